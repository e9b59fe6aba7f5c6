"""Heed the user's word on the cloud, and ask for it once: on a terminal, with the figures.

The estimate needs the photos counted: a dry run under the policy that is offered, whose
fingerprints the index keeps, so that the run that follows opens no photo again to hash it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from xintu_cli.cli.session import Session
from xintu_cli.configuration import DEFAULT, Configuration
from xintu_cli.consent import Word, read_words, remember, standing, with_consent
from xintu_cli.errors import ConfigurationError
from xintu_cli.interfaces import Reporter
from xintu_cli.providers.catalog import CatalogEntry
from xintu_cli.providers.endpoint import host_of
from xintu_cli.records import RunSummary
from xintu_cli.reporting.escape import display_text
from xintu_cli.reporting.phrases import Phrase, speaker

if TYPE_CHECKING:
    from xintu_cli.cli.planning import Plan
    from xintu_cli.reporting.offer import Offer

Count = Callable[[Session], RunSummary]
"""Walks, hashes and looks up under a session's policy, and asks nobody."""

_YES, _NO = frozenset({"y", "yes", "是"}), frozenset({"", "n", "no", "否"})


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a run goes on with; `ended`: it was interrupted before it began, with these counts."""

    session: Session
    ended: RunSummary | None = None


def heeding_consent(session: Session) -> Session:
    """Return the session with the policy that the user's remembered word means."""
    path = session.workspace.locations.consent_file
    found = standing(session.configuration, read_words(path), os.environ)
    return _with(session, with_consent(session.configuration, found.allowed, str(path)))


def agree(session: Session, reporter: Reporter, count: Count) -> Agreed:
    """Offer the cloud to a user who has a key and has said nothing about it yet.

    Whoever is not asked (no terminal, `-y`, `-q`, a dry run) stays local and is told so.
    """
    path = session.workspace.locations.consent_file
    words = read_words(path)
    found = standing(session.configuration, words, os.environ)
    if not found.open:
        return Agreed(session)
    if not _may_ask(session):
        _tell_of_unused_keys(found.open, reporter)
        return Agreed(session)
    from xintu_cli.cli.planning import Plan

    try:
        offered = _with(session, with_consent(session.configuration, found.open, DEFAULT))
        plan = Plan(offered)
    except ConfigurationError as error:
        reporter.notice(f"nothing is sent: {error}")
        return Agreed(session)
    counting = offered.workspace.settings.model_copy(update={"dry_run": True})
    counted = count(replace(offered, workspace=replace(offered.workspace, settings=counting)))
    if counted.status not in {"done", "partial"}:
        return Agreed(session, counted)
    photos = counted.pending + counted.provisional
    if not photos:
        return Agreed(session)
    try:
        allowed = _ask(_offer(offered, found.open, plan, photos), session.language)
    except _InterruptedError as interrupt:
        ended = replace(counted, status="interrupted", exit_code=128 + interrupt.number)
        return Agreed(session, ended)
    word = Word(allowed, datetime.now(UTC).date().isoformat())
    remember(path, [host_of(entry.base_url) for entry in found.open], word)
    phrase = Phrase.OFFER_TAKEN if allowed else Phrase.OFFER_LEFT
    reporter.notice(speaker(session.language)(phrase, path=path))
    return Agreed(heeding_consent(session))


def _with(session: Session, configuration: Configuration) -> Session:
    workspace = replace(session.workspace, settings=configuration.settings)
    return replace(session, workspace=workspace, configuration=configuration)


def _may_ask(session: Session) -> bool:
    """Tell whether somebody sits there who wants questions."""
    settings = session.workspace.settings
    if settings.yes or settings.quiet or settings.dry_run:
        return False
    streams = (sys.stdin, sys.stderr)
    return all(s is not None and not s.closed and s.isatty() for s in streams)


def _tell_of_unused_keys(entries: Sequence[CatalogEntry], reporter: Reporter) -> None:
    """Say that nothing is sent although a key lies there and no policy was chosen."""
    reporter.notice(
        f"{entries[0].key_variable} is set, but the policy is local: nothing is sent. "
        "Use --policy hybrid to ask an LLM."
    )


def _offer(offered: Session, entries: Sequence[CatalogEntry], plan: Plan, photos: int) -> Offer:
    from xintu_cli.reporting.offer import Offer

    workspace = offered.workspace
    return Offer(
        variable=entries[0].key_variable,
        model=entries[0].model,
        hosts=tuple(host_of(entry.base_url) for entry in entries),
        photos=photos,
        estimate=plan(photos),
        max_edge=workspace.settings.max_edge,
        kept=tuple(
            workspace.taxonomy.display_name(key, offered.language)
            for key in workspace.settings.kept_local(workspace.taxonomy.keep_local)
        ),
    )


def _ask(offer: Offer, language: str) -> bool:
    """Put the question until it is answered; raise `_InterruptedError` where it is not.

    Not through `input`: its prompt goes to stdout where that is no terminal.
    """
    from xintu_cli.reporting.offer import offer_lines

    *said, question = offer_lines(offer, speaker(language))
    with _interruptible():
        sys.stderr.write("".join(f"{display_text(line)}\n" for line in said))
        while True:
            sys.stderr.write(f"{display_text(question)} [y/N] ")
            sys.stderr.flush()
            line = sys.stdin.readline()
            if not line:  # Ctrl-D is no answer
                sys.stderr.write("\n")
                raise _InterruptedError(signal.SIGINT)
            answer = line.strip().casefold()
            if answer in _YES | _NO:
                return answer in _YES


class _InterruptedError(Exception):
    """A signal came instead of an answer."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let the signals that end a run end a question too, by an exception."""

    def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
        raise _InterruptedError(number)

    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
