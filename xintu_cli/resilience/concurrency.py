"""Adaptive concurrency: starts at what was asked, sinks when the vendor objects, recovers.

Additive increase, multiplicative decrease (D.-M. Chiu, R. Jain, 1989). Pure; `now` is a reading
of a monotonic clock, in seconds.
"""

from __future__ import annotations

import math

from xintu_cli.decisions import Signal
from xintu_cli.resilience.gates import Call

_CUT = 0.7
_LEAST_SECONDS_BETWEEN_CUTS = 1.0
_STEPS_PER_WINDOW = 4
"""One more call in flight after each quarter of a window of successes. One after a whole window
left 13 % of a vendor's rate unused: the pace's own probing, every half minute, cut it faster
than it grew."""


class Concurrency:
    """A `Gate`: so many calls in flight."""

    def __init__(self, asked: int) -> None:
        self._asked = float(asked)
        self._limit = float(asked)
        self._successes = 0
        self._cut_at = -math.inf
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """How many calls may be in flight now."""
        return int(self._limit)

    def wait_seconds(self, now: float) -> float:
        """Wait for a call to end if all places are taken."""
        return 0.0 if self.in_flight < self.limit else math.inf

    def enter(self, now: float, number: int) -> None:
        """Take a place."""
        self.in_flight += 1

    def leave(self, now: float, call: Call) -> None:
        """Free the place; learn from how the call ended."""
        self.in_flight -= 1
        if call.signal is Signal.THROTTLED:
            # Sent before the cut: it is part of what was answered by it.
            if call.sent_at >= self._cut_at and now - self._cut_at >= _LEAST_SECONDS_BETWEEN_CUTS:
                self._limit = max(1.0, self._limit * _CUT)
                self._cut_at = now
            self._successes = 0
        elif call.signal is Signal.ALIVE and self._limit < self._asked:
            self._successes += 1
            if self._successes * _STEPS_PER_WINDOW >= self.limit:
                self._limit = min(self._asked, self._limit + 1)
                self._successes = 0
