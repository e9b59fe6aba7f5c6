"""The pace a vendor's "429 Too Many Requests" teach: a pause for all, and a rate of sends.

Concurrency alone cannot keep a rate: with replies in 50 ms and 20 requests a second allowed, one
call in flight is just right and two are twice too many. So the first 429 also measures what the
vendor has accepted lately, and sends keep a little below that; the rate then rises slowly, faster
the longer it goes well. Without a 429 there is no limit at all.

Pure; `now` is a reading of a monotonic clock, in seconds.
"""

from __future__ import annotations

import math
from collections import deque

from xintu_cli.decisions import LONGEST_RETRY_AFTER_SECONDS, Random, Signal, full_jitter
from xintu_cli.resilience.gates import Call

_WINDOW_SECONDS = 5.0
_SLOT_SECONDS = 0.1
_REMEMBERED_SLOTS = 700
_BELOW_ACCEPTED = 0.95
_DEEPEST_CUT = 0.85
_LATE_SECONDS = 0.02
_RECOVERY_SECONDS = 120.0
_LEAST_PER_SECOND = 0.2


class Pace:
    """A `Gate`: when the next call may go, after what the vendor has said."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._slots: deque[list[int]] = deque()
        self._started_at: float | None = None
        self._paused_until = 0.0
        self._pauses = 0
        self._rate_at_cut: float | None = None
        self._cut_at = 0.0
        self._first_cut_at = 0.0
        self._recovery_seconds = _RECOVERY_SECONDS
        self._next_at = 0.0

    def paused_until(self, now: float) -> float | None:
        """Return when the pause that the vendor asked for ends, None if there is none."""
        return self._paused_until if self._paused_until > now else None

    def rate(self, now: float) -> float | None:
        """Return sends per second, None while unlimited.

        It has risen by 2 % after 20 s, 19 % after a minute, twofold after two.
        """
        if self._rate_at_cut is None:
            return None
        well = (now - self._cut_at) / self._recovery_seconds
        return self._rate_at_cut * math.exp2(min(60.0, well * well))

    def wait_seconds(self, now: float) -> float:
        """Return the rest of the pause, or of the gap between two sends."""
        return max(0.0, self._paused_until - now, self._next_at - now)

    def enter(self, now: float, number: int) -> None:
        """Note a send, as accepted until the vendor says otherwise."""
        if self._started_at is None:
            self._started_at = now
        slot = int(now / _SLOT_SECONDS)
        if not self._slots or self._slots[-1][0] != slot:
            self._slots.append([slot, 0])
            while self._slots[0][0] < slot - _REMEMBERED_SLOTS:
                self._slots.popleft()
        self._slots[-1][1] += 1
        if rate := self.rate(now):
            late = now - self._next_at
            # Waking up late by a millisecond must not add up; later than that, nobody was there,
            # and two sends at once are what a vendor without a burst refuses.
            self._next_at = (self._next_at if late <= _LATE_SECONDS else now) + 1 / rate

    def leave(self, now: float, call: Call) -> None:
        """Learn from how the call ended."""
        told = call.retry_after_seconds
        if told is not None and told <= LONGEST_RETRY_AFTER_SECONDS:
            self._paused_until = max(self._paused_until, now + told)
        if call.signal is Signal.THROTTLED:
            self._slow_down(now, call)

    def _slow_down(self, now: float, call: Call) -> None:
        self._forget(call.sent_at)
        present, span = self.rate(now), self._span(call.sent_at)
        accepted = self._accepted(call.sent_at, span)
        if call.retry_after_seconds is None and call.sent_at >= self._paused_until:
            self._pauses = 1 if accepted else self._pauses + 1
            self._paused_until = now + full_jitter(self._pauses, self._random)
        rate = accepted / span * _BELOW_ACCEPTED
        if present is None:
            self._first_cut_at = now
        elif call.sent_at >= self._cut_at:
            rate = min(present, max(rate, present * _DEEPEST_CUT))
        elif call.sent_at < self._first_cut_at:
            # The first 429 seldom comes alone: each of that burst makes the measure truer.
            rate = min(present, rate)
        else:
            return  # sent before the last cut, which has answered it
        self._rate_at_cut = max(rate, _LEAST_PER_SECOND)
        self._cut_at = now
        # A short time proves little: the rate recovers the faster the shorter it was.
        self._recovery_seconds = _RECOVERY_SECONDS * (span / _WINDOW_SECONDS) ** 2
        self._next_at = min(self._next_at, now + 1 / self._rate_at_cut)

    def _span(self, until: float) -> float:
        """Return over how many seconds before `until` to measure what was accepted."""
        assert self._started_at is not None
        return min(_WINDOW_SECONDS, max(1.0, until - self._started_at))

    def _accepted(self, until: float, span: float) -> int:
        last = int(until / _SLOT_SECONDS)
        first = last - int(span / _SLOT_SECONDS)
        return sum(count for slot, count in self._slots if first < slot <= last)

    def _forget(self, sent_at: float) -> None:
        """Take a refused send out of the accepted ones."""
        slot = int(sent_at / _SLOT_SECONDS)
        for entry in reversed(self._slots):
            if entry[0] == slot:
                entry[1] -= 1
            if entry[0] <= slot:
                return
