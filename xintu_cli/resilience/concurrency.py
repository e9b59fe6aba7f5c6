"""Adaptive concurrency: opens to what was asked, sinks when the vendor objects, recovers.

The places open evenly within half a second. Sent in one instant, the 64 first calls to a vendor
that takes 20 at once are refused 44 times; spread, the first refusal stops the rest.

Additive increase, multiplicative decrease (D.-M. Chiu, R. Jain, 1989). Pure; `now` is a reading
of a monotonic clock, in seconds.
"""

from __future__ import annotations

import math

from xintu_cli.decisions import Signal
from xintu_cli.resilience.gates import Call

_CUT = 0.7
_LEAST_SECONDS_BETWEEN_CUTS = 1.0
_OPENING_SECONDS = 0.5
_IDLE_SECONDS = 1.0
"""Calls of a few milliseconds leave moments with nothing in flight: those are no pauses."""
_LONGEST_OPENING_GAP_SECONDS = 1 / 64
"""Few places open faster: four of them within a twentieth of a second."""


class Concurrency:
    """A `Gate`: so many calls in flight."""

    def __init__(self, asked: int, *, head_start_seconds: float = 0.0) -> None:
        """Open `asked` places; the first call ever goes ahead of the others for a while."""
        self._asked = float(asked)
        self._limit = float(asked)
        self._gap = min(_LONGEST_OPENING_GAP_SECONDS, _OPENING_SECONDS / asked)
        self._head_start_seconds = head_start_seconds
        self._open = 0
        self._next_opens_at = 0.0
        self._cut_at = -math.inf
        self._idle_since = -math.inf
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """How many calls may be in flight now."""
        return int(self._limit)

    def wait_seconds(self, now: float) -> float:
        """Wait for a place to open; for a call to end if all places are taken."""
        if self.in_flight >= self.limit:
            return math.inf
        return 0.0 if self.in_flight < self._open else max(0.0, self._next_opens_at - now)

    def enter(self, now: float, number: int) -> None:
        """Take a place; after a time with nothing in flight the others open anew, one by one.

        Each a gap after the one before, however late that was: a loop that was busy for a while
        must not send in one instant what it missed.
        """
        if not self.in_flight and now - self._idle_since >= _IDLE_SECONDS:
            self._open = 0
        self.in_flight += 1
        if self.in_flight > self._open:
            self._open = self.in_flight
            self._next_opens_at = now + max(self._gap, self._head_start_seconds)
            self._head_start_seconds = 0.0

    def leave(self, now: float, call: Call) -> None:
        """Free the place; learn from how the call ended.

        One more after every success: the pace keeps the rate, this is for vendors that count
        calls in flight. One more after a whole window of them left a third of the rate of a
        vendor unused whose replies take two seconds.
        """
        self.in_flight -= 1
        if not self.in_flight:
            self._idle_since = now
        if call.signal is Signal.THROTTLED:
            # Sent before the cut: it is part of what was answered by it.
            if call.sent_at >= self._cut_at and now - self._cut_at >= _LEAST_SECONDS_BETWEEN_CUTS:
                self._limit = max(1.0, self._limit * _CUT)
                self._cut_at = now
        elif call.signal is Signal.ALIVE:
            self._limit = min(self._asked, self._limit + 1)
