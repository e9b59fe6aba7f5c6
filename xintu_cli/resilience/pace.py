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
"""Over which what was accepted is measured."""
_LEAST_MEASURED_SECONDS = 0.5
"""What a first burst of sends is taken to prove: its rate may double in a second again."""
_SLOT_SECONDS = 0.1
_REMEMBERED_SLOTS = 700
"""70 s: longer than a call may take to be refused."""
_BELOW_ACCEPTED = 0.95
_DEEPEST_CUT = 0.85
"""One refusal takes at most so much of the rate, unless it was far above what is accepted:"""
_MOST_UNDERRATED = 2.5
_RECOVERY_SECONDS = 120.0
"""After which a well-measured rate has doubled. With 30 s, 2.4 % of the calls of a long run were
refused instead of 0.9; with more, a vendor's raised limit stays unused for longer."""
_PER_SECOND_AT_A_CLOSED_DOOR = 1.0
_LATE_SECONDS = 0.02
"""A sleep ends a millisecond late, a busy loop's later still: up to here it is made up for."""


class _AcceptedSends:
    """Sends that were not refused (or not yet), counted by tenths of a second."""

    def __init__(self) -> None:
        self._slots: deque[list[int]] = deque()
        self._measurable_from = 0.0

    def add(self, now: float) -> None:
        slot = int(now / _SLOT_SECONDS)
        if not self._slots or self._slots[-1][0] != slot:
            self._slots.append([slot, 0])
            while self._slots[0][0] < slot - _REMEMBERED_SLOTS:
                self._slots.popleft()
        self._slots[-1][1] += 1

    def refuse(self, sent_at: float) -> None:
        """Take a send out again."""
        slot = int(sent_at / _SLOT_SECONDS)
        for entry in reversed(self._slots):
            if entry[0] == slot:
                entry[1] -= 1
            if entry[0] <= slot:
                return

    def begin(self, now: float) -> None:
        """Measure by nothing that was before."""
        self._measurable_from = now

    def measured_seconds(self, until: float) -> float:
        """Return for how long before `until` there is something to measure."""
        return min(_WINDOW_SECONDS, max(0.0, until - self._measurable_from))

    def per_second(self, until: float) -> float:
        """Return what was accepted per second of that time, or in its last second if that is more.

        The mean of a rate that rose steeply is far below what the vendor takes: where it has no
        burst to give, half of its rate then stayed unused for a minute.
        """
        span = max(1.0, self.measured_seconds(until))
        return max(self._count(until, span) / span, self._count(until, 1.0))

    def _count(self, until: float, seconds: float) -> int:
        last = int(until / _SLOT_SECONDS)
        first = last - int(seconds / _SLOT_SECONDS)
        return sum(count for slot, count in self._slots if first < slot <= last)


class Pace:
    """A `Gate`: when the next call may go, after what the vendor has said."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._accepted = _AcceptedSends()
        self._last_at = 0.0
        self._next_at = 0.0
        self._paused_until = 0.0
        self._pauses = 0
        self._rate_at_cut: float | None = None
        self._cut_at = 0.0
        self._first_cut_at = 0.0
        self._recovery_seconds = _RECOVERY_SECONDS
        self._closed = False
        self._rate_before_closing: float | None = None

    def paused_until(self, now: float) -> float | None:
        """Return when the pause that the vendor asked for ends, None if there is none."""
        return self._paused_until if self._paused_until > now else None

    def rate(self, now: float) -> float | None:
        """Return sends per second, None while unlimited.

        It has risen by 2 % after 20 s, 19 % after a minute, twofold after two.
        """
        if self._closed:
            return _PER_SECOND_AT_A_CLOSED_DOOR
        if self._rate_at_cut is None:
            return None
        well = (now - self._cut_at) / self._recovery_seconds
        return self._rate_at_cut * math.exp2(min(60.0, well * well))

    def wait_seconds(self, now: float) -> float:
        """Return the rest of the pause, or of the gap between two sends."""
        return max(0.0, self._paused_until - now, self._next_at - now)

    def enter(self, now: float, number: int) -> None:
        """Note a send, as accepted until the vendor says otherwise."""
        silence = now - max(self._last_at, self._next_at, self._paused_until)
        if silence > _WINDOW_SECONDS:
            # Nobody wanted to send: that proves nothing, and leaves nothing to measure by.
            self._accepted.begin(now)
            self._cut_at += silence
        self._last_at = now
        self._accepted.add(now)
        if rate := self.rate(now):
            # Later than a little, nobody was there; and two sends at once to make up for it are
            # what a vendor without a burst refuses.
            on_time = now - self._next_at <= _LATE_SECONDS
            self._next_at = (self._next_at if on_time else now) + 1 / rate

    def leave(self, now: float, call: Call) -> None:
        """Learn from how the call ended."""
        told = call.retry_after_seconds
        if told is not None and told <= LONGEST_RETRY_AFTER_SECONDS:
            self._paused_until = max(self._paused_until, now + told)
        if call.signal is Signal.THROTTLED:
            self._accepted.refuse(call.sent_at)
            accepted = self._accepted.per_second(call.sent_at)
            self._pause(now, call, accepted)
            self._slow_down(now, call, accepted)
        elif call.signal is Signal.ALIVE and self._closed and call.sent_at >= self._cut_at:
            self._reopen(now)

    def _pause(self, now: float, call: Call, accepted: float) -> None:
        """Hold everybody back for a moment if the vendor did not say how long."""
        if call.retry_after_seconds is None and call.sent_at >= self._paused_until:
            self._pauses = 1 if accepted else self._pauses + 1
            self._paused_until = now + full_jitter(self._pauses, self._random)

    def _slow_down(self, now: float, call: Call, accepted: float) -> None:
        if self._closed or not accepted:
            self._close(now)
            return
        present, rate = self.rate(now), accepted * _BELOW_ACCEPTED
        if present is None:
            self._first_cut_at = now
        elif call.sent_at < self._first_cut_at:
            # The first 429 seldom comes alone: each of that burst makes the measure truer.
            rate = min(present, rate)
        elif call.sent_at < self._cut_at:
            return  # it was sent before the last cut, which has answered it
        else:
            # Pauses and a steep recovery make what was accepted look less than it could be.
            likely = min(present, accepted * _MOST_UNDERRATED)
            rate = min(present, max(rate, likely * _DEEPEST_CUT))
        if call.sent_at - self._cut_at > _WINDOW_SECONDS or present is None:
            self._rate_before_closing = rate
        # A short time proves little: the rate recovers the faster the shorter it was.
        measured = max(_LEAST_MEASURED_SECONDS, self._accepted.measured_seconds(call.sent_at))
        self._set(now, rate, _RECOVERY_SECONDS * (measured / _WINDOW_SECONDS) ** 2)

    def _close(self, now: float) -> None:
        """Note that nobody is accepted: no pace would be slow enough, a quota is used up."""
        if not self._closed:
            self._closed = True
            self._cut_at = now
        self._next_at = now + 1 / _PER_SECOND_AT_A_CLOSED_DOOR

    def _reopen(self, now: float) -> None:
        """Go on as before: the rate that was accepted before the door closed is the best guess."""
        self._closed = False
        self._pauses = 0
        if self._rate_before_closing is None:
            self._rate_at_cut, self._next_at = None, now
        else:
            self._set(now, self._rate_before_closing, _RECOVERY_SECONDS)

    def _set(self, now: float, rate: float, recovery_seconds: float) -> None:
        self._rate_at_cut = rate
        self._recovery_seconds = recovery_seconds
        self._cut_at = now
        self._next_at = now + 1 / rate
