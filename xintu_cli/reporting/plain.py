"""A run shown where there is no terminal: one plain line now and then, and how it went.

Under `-q` only problems are said, so that cron mails when there is something to read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TextIO

from xintu_cli.outcomes import Settled
from xintu_cli.records import ProviderState, RunSummary
from xintu_cli.reporting.escape import display_text
from xintu_cli.reporting.figures import coarse_duration, money, percent, rate, trouble_of
from xintu_cli.reporting.lossy import LossyStream
from xintu_cli.reporting.pace import Pace
from xintu_cli.reporting.phrases import Phrase, speaker
from xintu_cli.reporting.run_facts import RunFacts

_COUNTED = (
    (Phrase.CACHED, "cached"),
    (Phrase.LLM, "llm"),
    (Phrase.LOCAL, "local"),
    (Phrase.FAILED, "failed"),
    (Phrase.SKIPPED, "skipped"),
    (Phrase.WAITING, "pending"),
)


class PlainReporter:
    """A `Reporter` that writes lines to a stream of any encoding.

    A line every `interval_seconds` at most (None: none at all, `--no-progress`).
    """

    def __init__(
        self,
        stream: TextIO,
        facts: RunFacts,
        *,
        quiet: bool = False,
        interval_seconds: float | None = 30.0,
        provider_states: Callable[[], Sequence[ProviderState]] = tuple,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = LossyStream(stream)
        self._facts = facts
        self._quiet = quiet
        self._interval = None if quiet else interval_seconds
        self._provider_states = provider_states
        self._clock = clock
        self._say = speaker(facts.language)
        self._walked = False
        self._last_line = clock()
        self._photos = Pace(clock())
        self._work = Pace(clock())

    @property
    def language(self) -> str:
        """The language notices are to be in."""
        return self._facts.language

    def start(self) -> None:
        """Begin to count the time to the first line."""
        self._last_line = self._clock()

    def settled(self, batch: Sequence[Settled], summary: RunSummary, *, waiting: int) -> None:
        """Write a line with the counts when the last one is old enough."""
        if self._interval is None:
            return
        now = self._clock()
        self._photos.observe(now, summary.found - summary.pending)
        self._work.observe(now, summary.llm + summary.local + summary.failed)
        if now - self._last_line >= self._interval:
            self._last_line = now
            self._stream.write(self._progress(summary, waiting) + "\n")

    def doing(self, what: str) -> None:
        """Say nothing: the counts of the next line tell what is going on."""

    def walked(self) -> None:
        """Count in percent from now on."""
        self._walked = True

    def notice(self, message: str, *, problem: bool = False) -> None:
        """Write the message; under `-q` only when it is a problem."""
        if problem or not self._quiet:
            self._stream.write(display_text(message) + "\n")

    def finish(self, summary: RunSummary) -> None:
        """Say how it went; under `-q` only when that is not well."""
        from xintu_cli.reporting.closing import closing_text

        if self._quiet and summary.exit_code == 0:
            return
        self._stream.write(
            closing_text(summary, self._facts, self._stream, problems_only=self._quiet)
        )

    def close(self) -> None:
        """Leave nothing behind: there is nothing."""

    def _progress(self, summary: RunSummary, waiting: int) -> str:
        say = self._say
        counts = ", ".join(
            f"{say(phrase)} {count:,}"
            for phrase, name in _COUNTED
            if (count := getattr(summary, name))
        )
        if not self._walked:
            return say(Phrase.LINE_WALKING, counts=counts)
        done = summary.found - summary.pending
        parts = [
            say(Phrase.LINE_DONE, percent=percent(done, summary.found), counts=counts),
            rate(self._photos.per_second, say),
        ]
        seconds = self._work.seconds_for(waiting)
        if waiting and seconds is not None:
            parts.append(say(Phrase.TIME_LEFT, time=coarse_duration(seconds, say)))
        if summary.calls:
            parts.append(money(summary.cost, summary.currency, say))
        now = self._clock()
        parts += [
            f"{display_text(state.name)} {trouble}"
            for state in self._provider_states()
            if (trouble := trouble_of(state, now, say))
        ]
        return "; ".join(parts)
