"""What `xintu label` does around the job: paths, the question, what came of it."""

from __future__ import annotations

import glob
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio

from xintu_cli.bootstrap import open_local, open_shared, read_rules, walk_rules
from xintu_cli.cli.exits import say
from xintu_cli.cli.session import Session
from xintu_cli.errors import ExitCode, UsageError
from xintu_cli.jobs.label import LabelDesk, Labelled, label_below, label_rows
from xintu_cli.reporting.command_phrases import Deed
from xintu_cli.reporting.escape import display_text
from xintu_cli.reporting.labels import read_labels_csv
from xintu_cli.reporting.phrases import Phrase, speaker
from xintu_cli.reporting.reasons import reason_text
from xintu_cli.stages.control import Control
from xintu_cli.stages.roots import absolute_roots
from xintu_cli.stages.walk import WalkPlan, WalkReport, walk_files

_NAMED_FAILURES = 10
MANY = 20
"""Above so many photos in one go, a person is asked once."""


def label_paths(
    session: Session, paths: Sequence[Path], category: str | None, from_: Path | None
) -> int:
    """Label the photos and say what came of it; return the exit code."""
    taxonomy = session.workspace.taxonomy
    key = None if category is None else taxonomy.require(category, purpose="cannot label")
    rows = [] if from_ is None else list(_checked_rows(from_, session))
    roots = absolute_roots(list(_expanded(paths))) if from_ is None else ()
    plan = WalkPlan(roots, walk_rules(session.workspace))
    if from_ is None:
        _confirm(plan, session, taxonomy.display_name(key, session.language) if key else "")

    async def run() -> Labelled:
        async with open_shared(session.workspace) as cache:
            with open_local(session.workspace) as index:
                desk = LabelDesk(
                    cache=cache,
                    index=index,
                    taxonomy=taxonomy,
                    reading=read_rules(session.workspace.settings),
                    who=socket.gethostname(),
                    control=Control(),
                )
                if from_ is not None:
                    return await label_rows(rows, desk)
                return await label_below(plan, key, desk)

    done = anyio.run(run)
    _tell(done, key, cleared=category is None and from_ is None, session=session)
    return int(ExitCode.SOME_FAILED if done.failures else ExitCode.DONE)


def _expanded(paths: Sequence[Path]) -> Iterator[Path]:
    """Expand patterns that no shell has expanded (quoted, or typed on Windows)."""
    for path in paths:
        has_pattern = glob.has_magic(str(path)) and not path.exists()
        # Path.glob takes no absolute patterns.
        found = sorted(glob.glob(str(path), recursive=True)) if has_pattern else []  # noqa: PTH207
        if found:
            yield from map(Path, found)
        else:
            yield path


def _checked_rows(file: Path, session: Session) -> Iterator[tuple[bytes, str]]:
    """Read the CSV; every category is checked before any label is stored."""
    taxonomy = session.workspace.taxonomy
    for row in read_labels_csv(file):
        where = f"cannot label from {file}, line {row.line}"
        yield os.path.abspath(row.path), taxonomy.require(row.category, purpose=where)


def _confirm(plan: WalkPlan, session: Session, name: str) -> None:
    """Ask before many photos are labelled at once; only on a terminal, and once."""
    settings = session.workspace.settings
    if settings.yes or sys.stdin is None or not sys.stdin.isatty() or not sys.stderr.isatty():
        return
    files = sum(len(batch) for batch in walk_files(plan.roots, plan.rules, WalkReport()))
    if files <= MANY:
        return
    import typer

    question = Deed.ASK_LABEL if name else Deed.ASK_CLEAR
    what = speaker(session.language)(question, n=files, name=name)
    if not typer.confirm(what, err=True):
        raise UsageError("nothing was labelled.")


def _tell(done: Labelled, key: str | None, *, cleared: bool, session: Session) -> None:
    tell = speaker(session.language)
    for path, reason in done.failures[:_NAMED_FAILURES]:
        say(f"{display_text(path)}: {display_text(reason_text(reason, session.language))}")
    if len(done.failures) > _NAMED_FAILURES:
        say(tell(Deed.MORE, n=len(done.failures) - _NAMED_FAILURES))
    if session.workspace.settings.quiet:
        return
    if cleared:
        photos = tell(Phrase.PHOTOS, n=done.photos)
        say(tell(Deed.TAKEN_BACK, n=done.images, photos=photos))
    elif key:
        name = session.workspace.taxonomy.display_name(key, session.language)
        say(tell(Deed.LABELLED_AS, n=done.photos, name=name))
    else:
        say(tell(Deed.LABELLED, n=done.photos))
