"""The pace a vendor's "429 Too Many Requests" teach: a pause for all, and a rate of sends.

Concurrency alone cannot keep a rate: with replies in 50 ms and 20 requests a second allowed, one
call in flight is just right and two are twice too many. So every refusal narrows down the rate:
the pace that was refused is too high, and what was accepted between refusals is not
(`refusals`). From there the pace climbs back towards what was refused, the slower the better the
rate is known, lingers there, and goes on beyond: a vendor may have raised its limit. Without a
429 there is no limit at all.

Pure; `now` is a reading of a monotonic clock, in seconds.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

from xintu_cli.decisions import LONGEST_RETRY_AFTER_SECONDS, Random, Signal, full_jitter
from xintu_cli.resilience.gates import Call
from xintu_cli.resilience.refusals import Refusals, Send

_LONGEST_BURST_SECONDS = 3.0
"""What was accepted before the first refusal may have been saved up for so long."""
_DEEPEST_GUESS = 8.0
"""Part of the refused pace to begin with where nothing is proven."""
_SMALL_BURST = 3
"""A bucket below this loses what is not used at once, so counts prove less than is true."""
_TOWARDS_REFUSED = 0.7
"""How far up from such counts the rate is looked for (on a scale of octaves)."""
_BELOW_PROVEN = 0.98
_BELOW_REFUSED = 0.93

_LEAST_CLIMB_SECONDS = 1.5
_CLIMB_SECONDS_TIMES_OCTAVES = 2.0
"""A rate that is known to an octave is sought in two seconds, one known to a tenth in 15."""
_DELAYS_A_CLIMB = 4.0
"""A refusal that takes a second to arrive is followed by a second's sends at the same pace."""
_SENDS_A_CLIMB = 8
_SENDS_A_CLIMB_WITH_BURST = 50
"""A climb ends with a refusal: of 50 sends that is 2 %, and a burst saves what is not used."""

_IDLE_GAPS = 0.5
"""Later than by half a gap, nobody wanted to send, or nobody was allowed to."""
_LATE_GAPS = 0.1
"""Later than that is not made up for: two sends closely together are what a vendor refuses."""
_MEASURED_SECONDS = 1.0
_LEAST_MEASURED_SECONDS = 1 / 64
_CLOSED_AFTER_SECONDS = 1.0
_PER_SECOND_AT_A_CLOSED_DOOR = 1.0


@dataclass(frozen=True, slots=True)
class Climb:
    """A pace that rises from `low` over `high`, where it is nearly level, and then ever faster.

    The curve is that of CUBIC (S. Ha, I. Rhee, L. Xu, 2008), on a scale of octaves.
    """

    low: float
    high: float
    seconds: float
    began_at: float

    def rate(self, worked_at: float) -> float:
        """Return sends per second at a time of the clock that stops while nobody sends."""
        part = max(0.0, worked_at - self.began_at) / self.seconds - 1.0
        octaves = math.log2(self.high / self.low) * (1.0 + part**3)
        return self.low * math.exp2(min(60.0, octaves))


class Pace:
    """A `Gate`: when the next call may go, after what the vendor has said."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._refusals = Refusals()
        self._sends: dict[int, Send] = {}
        self._first: Send | None = None
        self._recent: deque[float] = deque()
        self._idle_seconds = 0.0
        self._next_at = 0.0
        self._paused_until = 0.0
        self._pauses = 0
        self._climb: Climb | None = None
        self._first_refused: Send | None = None
        self._guessing = False
        self._cuts = 0
        self._cut_at = -math.inf
        self._closed = False

    def paused_until(self, now: float) -> float | None:
        """Return when the pause that the vendor asked for ends, None if there is none."""
        return self._paused_until if self._paused_until > now else None

    def rate(self, now: float) -> float | None:
        """Return sends per second, None while unlimited."""
        if self._closed:
            return _PER_SECOND_AT_A_CLOSED_DOOR
        return self._climb.rate(now - self._idle_seconds) if self._climb else None

    def wait_seconds(self, now: float) -> float:
        """Return the rest of the pause, or of the gap between two sends."""
        return max(0.0, self._paused_until - now, self._next_at - now)

    def enter(self, now: float, number: int) -> None:
        """Note a send, as accepted until the vendor says otherwise."""
        rate = self._keep_step(now) if self._climb else self._recent_rate(now)
        send = Send(number, now, now - self._idle_seconds, rate)
        self._first = self._first or send
        self._sends[number] = send

    def leave(self, now: float, call: Call) -> None:
        """Learn from how the call ended."""
        send = self._sends.pop(call.number)
        told = call.retry_after_seconds
        if told is not None and told <= LONGEST_RETRY_AFTER_SECONDS:
            self._paused_until = max(self._paused_until, now + told)
        if call.signal is Signal.THROTTLED:
            self._learn(now, send)
            if told is None:
                self._pause(now, send)
        elif call.signal is Signal.ALIVE and self._closed and send.at >= self._cut_at:
            self._reopen(now)

    def _keep_step(self, now: float) -> float:
        """Return the pace, and say when the next send may go."""
        late, gap = now - self._next_at, 1 / (self.rate(now) or math.inf)
        if late > _IDLE_GAPS * gap:
            self._idle_seconds += late  # it proves nothing, and lets no pace grow
            gap = 1 / (self.rate(now) or math.inf)
        self._next_at = (self._next_at if late <= _LATE_GAPS * gap else now) + gap
        return 1 / gap

    def _recent_rate(self, now: float) -> float:
        """Return how many a second were sent lately, while nothing limits them."""
        self._recent.append(now)
        while self._recent[0] < now - _MEASURED_SECONDS:
            self._recent.popleft()
        seconds = max(_LEAST_MEASURED_SECONDS, now - self._recent[0])
        return max(1, len(self._recent) - 1) / seconds

    def _learn(self, now: float, send: Send) -> None:
        assert self._first is not None
        self._refusals.add(send, first_number=self._first.number)
        if self._closed or self._refusals.seconds_in_a_row() >= _CLOSED_AFTER_SECONDS:
            self._close(now)
        elif send.at >= self._cut_at:
            if self._first_refused is None or not self._refusals.follows_another(send):
                self._first_refused, self._cut_at = send, now
                self._cuts += 1
                self._climb = self._climb_again(now, send, send.rate)
                self._next_at = now + 1 / self._climb.low
        elif self._first_refused is not None and send.at > self._first_refused.at:
            # The first 429 seldom comes alone, and each of that burst makes the measure truer:
            # meanwhile everything the vendor filled was asked for.
            filled = self._refusals.accepted_since(self._first_refused, send) + 2
            most = filled / (send.at - self._first_refused.at) * (1 if self._is_roomy else 2)
            refused = min(self._first_refused.rate, most)
            self._climb = self._climb_again(now, send, refused)

    def _pause(self, now: float, send: Send) -> None:
        """Hold everybody back for a moment where no pace is known to be slow enough."""
        unsure = self._closed or self._guessing or self._refusals.follows_another(send)
        if unsure and send.at >= self._paused_until:
            self._pauses += 1
            self._paused_until = now + full_jitter(self._pauses, self._random)

    @property
    def _is_roomy(self) -> bool:
        return self._refusals.burst >= _SMALL_BURST

    def _climb_again(self, now: float, send: Send, refused: float) -> Climb:
        """Begin at what is proven, below what was refused; at a guess if need be."""
        proven, guess = self._refusals.proven_rate(send), self._least(send, refused)
        self._guessing = proven < guess
        if not self._guessing:
            self._pauses = 0
            if not self._is_roomy:
                proven *= max(1.0, refused / proven) ** _TOWARDS_REFUSED
        low = min(_BELOW_REFUSED * refused, max(guess, _BELOW_PROVEN * proven))
        patient = self._is_roomy and not self._guessing
        seconds = max(
            _LEAST_CLIMB_SECONDS,
            _CLIMB_SECONDS_TIMES_OCTAVES / math.log2(refused / low),
            (_SENDS_A_CLIMB_WITH_BURST if patient else _SENDS_A_CLIMB) / low,
            _DELAYS_A_CLIMB * (now - send.at),
        )
        return Climb(low, refused, seconds, now - self._idle_seconds)

    def _least(self, send: Send, refused: float) -> float:
        """Return the rate to begin with where refusals prove less."""
        guess = refused / _DEEPEST_GUESS
        if self._first is None or self._cuts > 1:
            return guess
        accepted = send.number - self._first.number
        return max(guess, accepted / (send.at - self._first.at + _LONGEST_BURST_SECONDS))

    def _close(self, now: float) -> None:
        """Note that nobody is accepted: no pace would be slow enough, a quota is used up."""
        if not self._closed:
            self._closed = True
            self._cut_at = now
        self._next_at = now + 1 / _PER_SECOND_AT_A_CLOSED_DOOR

    def _reopen(self, now: float) -> None:
        """Go on as before: the pace that the door was closed at is the best guess."""
        self._closed, self._pauses = False, 0
        if self._climb is not None:
            self._cut_at = now
            self._climb = replace(self._climb, began_at=now - self._idle_seconds)
            self._next_at = now + 1 / self._climb.low
