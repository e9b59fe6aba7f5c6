"""Progress of a job that is not a run: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from xintu_cli.cli.exits import say
from xintu_cli.cli.session import Session
from xintu_cli.reporting.choice import can_draw_on
from xintu_cli.reporting.figures import percent
from xintu_cli.reporting.phrases import Phrase, Say, speaker

Advance = Callable[[int, int], None]
"""`advance(done, total)`: how far the job is."""

_LINE_SECONDS = 30.0


@contextmanager
def shown_progress(session: Session, doing: str) -> Iterator[Advance]:
    """Show how far a job is while the block lasts; silent under -q and --no-progress."""
    settings = session.workspace.settings
    if settings.quiet or settings.no_progress or sys.stderr is None or sys.stderr.closed:
        yield no_progress
    elif can_draw_on(sys.stderr, os.environ):
        with _bar(doing) as advance:
            yield advance
    else:
        yield _Lines(doing, speaker(session.language))


def no_progress(_done: int, _total: int) -> None:
    """Show nothing."""


class _Lines:
    """A line every half minute."""

    def __init__(self, doing: str, tell: Say) -> None:
        self._doing = doing
        self._tell = tell
        self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= _LINE_SECONDS:
            self._last = now
            counts = self._tell(Phrase.DONE_OF, done=done, found=total)
            say(f"{self._doing}: {counts} ({percent(done, total)})")


@contextmanager
def _bar(doing: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(file=sys.stderr, markup=False, emoji=False, highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(doing, total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield advance
