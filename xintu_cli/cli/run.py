"""What `xintu classify` does around the job: roots, outputs, lock, display, summary."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import anyio

from xintu_cli.bootstrap import open_run
from xintu_cli.cli.consenting import Agreed, agree, heeding_consent
from xintu_cli.cli.exits import say
from xintu_cli.cli.memory import settle_memory
from xintu_cli.cli.rows_of_run import Rows
from xintu_cli.cli.session import Session, export_flags
from xintu_cli.cli.summing import SummaryFile, summary_target
from xintu_cli.interfaces import Reporter
from xintu_cli.jobs.classify import classify
from xintu_cli.jobs.locking import locked
from xintu_cli.jobs.signals import SignalWatch
from xintu_cli.locations import expand_home
from xintu_cli.records import ProviderState, RunSummary
from xintu_cli.reporting.choice import choose_reporter
from xintu_cli.reporting.escape import display_text
from xintu_cli.reporting.export import ExportFormat, format_for
from xintu_cli.reporting.outputs import Target, check_writable
from xintu_cli.reporting.run_facts import DryRun, RunFacts
from xintu_cli.routing import Policy
from xintu_cli.settings import Settings
from xintu_cli.stages.roots import absolute_roots
from xintu_cli.storage.urls import masked


class _Watched:
    """How the providers are doing, for a display that is made before they are opened."""

    def __init__(self) -> None:
        self.states: Callable[[], Sequence[ProviderState]] = tuple

    def __call__(self) -> Sequence[ProviderState]:
        return self.states()


def classify_paths(session: Session, paths: Sequence[Path]) -> int:
    """Run the classification of `paths` and return the exit code."""
    settings = session.workspace.settings
    settle_memory()
    with SummaryFile(settings.summary) as summing:
        output = _check_outputs(settings)
        roots = absolute_roots(paths)
        typed = [os.fsencode(path) for path in paths]
        session = heeding_consent(session)
        watched = _Watched()
        reporter = _reporter(session, typed, watched, dry_run=_dry_run(session))
        # The lock first: whoever waits for it may be interrupted the ordinary way.
        with _lock(session, roots, reporter):
            agreed = agree(session, reporter, partial(_counted, roots, typed))
            with SignalWatch() as signals:
                summary, error = _run(agreed, roots, reporter, signals, watched)
                if output is not None and error is None and agreed.ended is None:
                    rows = Rows(agreed.session, roots, *output)
                    summary, error = rows.written(summary, signals)
                summing.write(summary)
    return end(summary, error)


def end(summary: RunSummary, error: Exception | None) -> int:
    """Return the exit code, or raise what the run ended with; a signal counts more than that."""
    if error is None:
        return summary.exit_code
    if summary.status != "interrupted":
        raise error
    say(display_text(str(error)))
    return summary.exit_code


def _lock(
    session: Session, roots: tuple[bytes, ...], reporter: Reporter
) -> AbstractContextManager[None]:
    workspace = session.workspace
    return locked(
        workspace.locations.locks,
        roots,
        workspace.taxonomy.task,
        wait=workspace.settings.wait,
        notice=reporter.notice,
    )


def _run(
    agreed: Agreed,
    roots: tuple[bytes, ...],
    reporter: Reporter,
    signals: SignalWatch,
    watched: _Watched,
) -> tuple[RunSummary, Exception | None]:
    """Run what was agreed on, and say how it went."""
    try:
        if agreed.ended is not None:
            summary, error = agreed.ended, None
        else:
            summary, error = _classified(agreed.session, roots, reporter, signals, watched)
        reporter.finish(summary)
    finally:
        reporter.close()
    return summary, error


def _counted(roots: tuple[bytes, ...], typed: Sequence[bytes], session: Session) -> RunSummary:
    """Run a dry run for its counts, which says nothing of its own at the end."""
    watched = _Watched()
    reporter = _reporter(session, typed, watched)
    try:
        with SignalWatch() as signals:
            summary, error = _classified(session, roots, reporter, signals, watched)
    finally:
        reporter.close()
    if error is not None:
        raise error
    return summary


def _classified(
    session: Session,
    roots: tuple[bytes, ...],
    reporter: Reporter,
    signals: SignalWatch,
    watched: _Watched,
) -> tuple[RunSummary, Exception | None]:
    async def run() -> tuple[RunSummary, Exception | None]:
        async with open_run(session.workspace, roots, reporter) as (parts, terms, states):
            watched.states = states
            return await classify(parts, terms, signals)

    return anyio.run(run)


def _dry_run(session: Session) -> DryRun | None:
    """Say whom a dry run would ask, and what that would cost; None for a run in earnest."""
    settings = session.workspace.settings
    if not settings.dry_run:
        return None
    if not settings.policy.wants_llm:
        return DryRun()
    from xintu_cli.cli.planning import Plan

    plan = Plan(session)
    return DryRun(plan.names, plan, at_most=settings.policy is Policy.CASCADE)


def _reporter(
    session: Session,
    typed: Sequence[bytes],
    watched: _Watched,
    *,
    dry_run: DryRun | None = None,
) -> Reporter:
    """Choose the display: live on a terminal, else plain lines."""
    workspace = session.workspace
    settings = workspace.settings
    facts = RunFacts(
        roots=tuple(typed),
        taxonomy=workspace.taxonomy,
        cache_url=masked(workspace.cache_url),
        language=session.language,
        dry_run=dry_run,
        verbose=settings.verbose,
        export_flags=tuple(export_flags(session)),
    )
    stream = sys.stderr
    if stream is None or stream.closed:
        stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # ours to the end
    return choose_reporter(
        stream,
        facts,
        os.environ,
        quiet=settings.quiet,
        progress=not settings.no_progress,
        provider_states=watched,
    )


def _check_outputs(settings: Settings) -> tuple[Target, ExportFormat] | None:
    """Refuse what could not be written before anything is spent."""
    if (summary := summary_target(settings.summary)) is not None:
        check_writable(summary)
    if not settings.output:
        return None
    target = expand_home(settings.output)
    format_ = format_for(target)
    check_writable(target)
    return target, format_
