"""Which display a run gets: live on a terminal, plain lines anywhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from xintu_cli.interfaces import Reporter
from xintu_cli.records import ProviderState
from xintu_cli.reporting.plain import PlainReporter
from xintu_cli.reporting.run_facts import RunFacts


def choose_reporter(
    stream: TextIO,
    facts: RunFacts,
    environment: Mapping[str, str],
    *,
    quiet: bool = False,
    progress: bool = True,
    provider_states: Callable[[], Sequence[ProviderState]] = tuple,
) -> Reporter:
    """Return the reporter for `stream`, usually stderr.

    `quiet` says problems alone; without `progress` only notices and the closing word are left.
    """
    if quiet or not progress or not can_draw_on(stream, environment):
        interval = 30.0 if progress else None
        return PlainReporter(
            stream,
            facts,
            quiet=quiet,
            interval_seconds=interval,
            provider_states=provider_states,
        )
    # rich takes 40 ms to import: nothing that cron starts pays for it.
    from xintu_cli.reporting.live import LiveReporter

    return LiveReporter(stream, facts, provider_states=provider_states)


def can_draw_on(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Tell whether a stream is a terminal whose cursor can be moved."""
    return stream.isatty() and environment.get("TERM", "") not in {"", "dumb", "unknown"}
