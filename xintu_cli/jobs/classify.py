"""Classify: one run from its row in the cache to its summary.

In: the parts `bootstrap` has put together. Out: a `RunSummary`, whatever happened: a signal
drains the run, a second one cancels it, and what was answered is stored either way.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import anyio
from anyio import to_thread

from xintu_cli import pipeline
from xintu_cli.errors import ExitCode, StorageError, XintuError
from xintu_cli.interfaces import FileIndex
from xintu_cli.jobs.signals import SignalWatch
from xintu_cli.jobs.tidying import forget_gone
from xintu_cli.records import RunRow, RunSummary
from xintu_cli.reporting.notices import Notice, claimed_by_the_dead
from xintu_cli.reporting.phrases import speaker
from xintu_cli.stages.claiming import Claims
from xintu_cli.stages.control import Control
from xintu_cli.stages.roots import outermost
from xintu_cli.stages.walk import WalkPlan, left_out_of, refuse_lost_root

ECHO_SECONDS = 0.02
"""A second signal sooner than this is the first one's echo (a shell that signals the group)."""
MOST_NAMED = 5
"""Folders that were left out, as the warning of an empty root names them."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the run was asked for besides photos."""

    run: RunRow
    grace_seconds: float
    fallback_ok: bool
    dry_run: bool = False


@dataclass(slots=True)
class Ending:
    """How the run came to its end."""

    signal_number: int = 0
    error: Exception | None = None


async def classify(
    parts: pipeline.Parts, terms: Terms, signals: SignalWatch
) -> tuple[RunSummary, Exception | None]:
    """Run the pipeline; return the counts, and the error that ended it if one did.

    Errors that are ours to expect come back beside the summary, so that it is written on
    every path; a bug is raised.
    """
    cache, control = parts.store.cache, parts.control
    ending = Ending()
    started = time.monotonic()
    if not terms.dry_run:
        # Before anything is looked up: what waits there may answer it, and was paid for.
        await parts.store.spool.replay(cache)
        await cache.start_run(terms.run)
        await _tell_of_dead_runs(parts)
    parts.reporter.start()
    try:
        async with _obeying(signals, parts, ending, terms.grace_seconds):
            await pipeline.run(parts)
        if parts.plan.report.complete and control.error is None:
            await _refuse_lost_roots(parts)
            await _warn_of_empty_roots(parts)
            _tell_of_links(parts)
            if not terms.dry_run:
                await to_thread.run_sync(_forget_deleted, parts.store.index, parts.plan, control)
    except* XintuError as group:
        ending.error = _first(group)
    ending.error = control.error or ending.error
    summary = conclude(parts, terms, ending, time.monotonic() - started)
    if not terms.dry_run:
        try:
            await cache.finish_run(summary)
        except XintuError as error:
            ending.error = ending.error or error
            summary = conclude(parts, terms, ending, time.monotonic() - started)
    return summary, ending.error


async def _tell_of_dead_runs(parts: pipeline.Parts) -> None:
    """Say how many photos were being paid for by runs that ended without a word."""
    lost = await Claims(parts.claims, parts.shelves).begin()
    if lost:
        parts.reporter.notice(claimed_by_the_dead(lost))


def conclude(parts: pipeline.Parts, terms: Terms, ending: Ending, seconds: float) -> RunSummary:
    """Decide status and exit code from how the run ended and what it counted."""
    summary = parts.tally.summary("done", ExitCode.DONE, seconds)
    control = parts.control
    status, code = "done", int(ExitCode.DONE)
    if ending.signal_number:
        status, code = "interrupted", 128 + ending.signal_number
    elif ending.error is not None:
        status, code = "failed", _exit_code(ending.error)
    elif summary.failures_total:
        status, code = "partial", int(ExitCode.SOME_FAILED)
    elif (summary.pending or summary.provisional) and not terms.dry_run:
        status = "partial"
        code = int(ExitCode.DONE if terms.fallback_ok else ExitCode.SOME_PENDING)
    if status == "partial" and control.feeding_stopped and not terms.dry_run:
        status = "budget"
    return replace(summary, status=status, exit_code=code)


def _exit_code(error: Exception) -> int:
    return int(error.exit_code if isinstance(error, XintuError) else ExitCode.BUG)


def _first(group: BaseExceptionGroup[BaseException]) -> XintuError:
    """Return the first error of ours in a group; what follows it is its consequence."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return _first(error)
        assert isinstance(error, XintuError)
        return error
    raise AssertionError("an exception group is never empty")


@asynccontextmanager
async def _obeying(
    signals: SignalWatch, parts: pipeline.Parts, ending: Ending, grace_seconds: float
) -> AsyncIterator[None]:
    """Drain at the first signal; cancel what is left at the second."""
    async with anyio.create_task_group() as group:
        group.start_soon(_listen, signals, parts, ending, grace_seconds)
        yield
        group.cancel_scope.cancel()


async def _listen(
    signals: SignalWatch, parts: pipeline.Parts, ending: Ending, grace_seconds: float
) -> None:
    control = parts.control
    last = 0.0
    while True:
        number = await signals.receive()
        now = time.monotonic()
        if not ending.signal_number:
            ending.signal_number = number
            control.stop("interrupted")
            say = speaker(parts.reporter.language)
            parts.reporter.notice(say(Notice.DRAINING, seconds=grace_seconds))
            control.work.deadline = anyio.current_time() + grace_seconds
        elif now - last > ECHO_SECONDS:
            signals.insisted = True
            control.work.cancel()
        last = now


async def _refuse_lost_roots(parts: pipeline.Parts) -> None:
    """Raise where a root went away meanwhile: its files are not deleted, and not skipped."""

    def look() -> None:
        for root in parts.plan.report.roots:
            refuse_lost_root(root, parts.plan.report)

    with anyio.move_on_after(parts.reading.timeout_seconds) as patience:
        await to_thread.run_sync(look, abandon_on_cancel=True, limiter=parts.control.disk)
    if patience.cancelled_caught:
        raise StorageError(
            f"no answer from a disk for {parts.reading.timeout_seconds:g} s. "
            "What was done is kept; run it again when the disk is back."
        )


async def _warn_of_empty_roots(parts: pipeline.Parts) -> None:
    """Say, under -q too, that nothing was found below a root: it may be a disk not mounted."""
    report = parts.plan.report
    say = speaker(parts.reporter.language)
    for root, files in report.found_in.items():
        if files or root in report.shared:
            continue
        left_out = await to_thread.run_sync(left_out_of, root, limiter=parts.control.disk)
        rules = parts.plan.rules
        hint = say(Notice.NOT_MOUNTED)
        if rules.include or rules.exclude:
            hint = say(Notice.PATTERNS)
        elif left_out and not rules.hidden:
            names = ", ".join(os.fsdecode(name) for name in left_out[:MOST_NAMED])
            more = ", …" if len(left_out) > MOST_NAMED else ""
            hint = say(Notice.LEFT_OUT, names=names + more)
        told = say(Notice.NOTHING_BELOW, root=os.fsdecode(root), hint=hint)
        parts.reporter.notice(told, problem=True)


def _tell_of_links(parts: pipeline.Parts) -> None:
    """Name links that were not followed: photos may lie behind them."""
    report = parts.plan.report
    if report.links_total:
        names = ", ".join(map(os.fsdecode, report.links))
        more = ", …" if report.links_total > len(report.links) else ""
        say = speaker(parts.reporter.language)
        told = say(Notice.LINKS, n=report.links_total, names=names + more)
        parts.reporter.notice(told)


def _forget_deleted(index: FileIndex, plan: WalkPlan, control: Control) -> None:
    """Drop index entries of files that are gone; blocks.

    Only after a complete walk, and never below a root in which nothing was found: that is
    more likely an unmounted disk. The counts alone tell whether there is anything to look for.
    """
    if plan.report.unreadable:
        return
    roots = [root for root in outermost(plan.roots) if plan.report.found_in.get(root)]
    if sum(map(index.count_under, roots)) <= control.indexed:
        return
    for root in roots:
        forget_gone(index, root)
