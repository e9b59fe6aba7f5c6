"""The breaker: keeps photos from a provider that is down, and says how long to wait for it.

    closed ──5 sends in a row failed, or > 50 % of ≥ 20 in 2 min──▶ open ──its period is over──▶
    half-open: one real photo ──answered──▶ closed, ──failed──▶ open for twice as long

Only infrastructure failures count (`Signal.DOWN`); an answer of any kind, a refusal too, is a
sign of life. Pure; `now` is a reading of a monotonic clock, in seconds.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import Enum

from xintu_cli.decisions import LONGEST_RETRY_AFTER_SECONDS, Signal
from xintu_cli.resilience.gates import Call

_REMEMBERED_ENDS = 1024


class State(Enum):
    """Of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When to open, for how long, and how long photos wait for the provider.

    `max_wait_seconds` if it has answered in this run, else `first_answer_seconds`.
    """

    failures_in_a_row: int = 5
    failed_share: float = 0.5
    least_calls: int = 20
    window_seconds: float = 120.0
    open_seconds: float = 5.0
    longest_open_seconds: float = 120.0
    max_wait_seconds: float = 120.0
    first_answer_seconds: float = 10.0


class Breaker:
    """A `Gate`."""

    def __init__(self, rules: BreakerRules | None = None) -> None:
        self.rules = rules or BreakerRules()
        self.state = State.CLOSED
        self.answered = False
        """It has given a sign of life in this run."""
        self.last_answered_send = -math.inf
        """When the latest call was sent that was answered."""
        self.down_since = -math.inf
        """When it last opened after it had been closed."""
        self._window: deque[tuple[float, bool]] = deque()
        self._failed_in_window = 0
        self._ends: dict[int, Signal] = {}
        self._failing_since: float | None = None
        self._throttled_since: float | None = None
        self._period = 0.0
        self._due = -math.inf
        self._recovered_at = -math.inf
        self._worth_waiting = True
        self._probe: int | None = None

    @property
    def is_down(self) -> bool:
        """True while photos are kept from the provider: failures are not theirs."""
        return self.state is not State.CLOSED

    @property
    def due(self) -> float | None:
        """When the next photo may try; None unless open."""
        return self._due if self.state is State.OPEN else None

    def is_hopeless(self, now: float) -> bool:
        """Tell whether a photo should not wait for the provider any longer.

        The photo that comes when a try is due is the one that tries, however long it has been.
        """
        return self.is_down and not self._worth_waiting and self.wait_seconds(now) > 0

    def wait_seconds(self, now: float) -> float:
        """Return the rest of the open period; half-open: until the one photo is back."""
        if self.state is State.OPEN:
            return max(0.0, self._due - now)
        return math.inf if self.state is State.HALF_OPEN else 0.0

    def enter(self, now: float, number: int) -> None:
        """Let a call go; when open, it is the one that tries."""
        if self.state is State.OPEN:
            self.state = State.HALF_OPEN
            self._probe = number

    def leave(self, now: float, call: Call) -> None:
        """Draw the conclusions of a call that has ended."""
        if call.signal in {Signal.ALIVE, Signal.THROTTLED}:
            self.answered = True
        if call.signal is Signal.ALIVE:
            self.last_answered_send = max(self.last_answered_send, call.sent_at)
        if self.state is State.HALF_OPEN and call.number == self._probe:
            self._judge_probe(now, call)
        elif self.state is State.CLOSED and call.sent_at >= self._recovered_at:
            self._judge(now, call)
        # Else it was sent before the breaker opened: time-outs trickle in for a minute after
        # an outage is over, and say nothing new.

    def open_now(self, now: float, failing_since: float) -> None:
        """Open on others' evidence: several photos have failed to the end, nobody was answered."""
        if self.state is State.CLOSED:
            if self._failing_since is None:
                self._failing_since = failing_since
            self._period = self.rules.open_seconds
            self._open(now)

    def _judge_probe(self, now: float, call: Call) -> None:
        self._probe = None
        if call.signal is Signal.ALIVE or (
            call.signal is Signal.THROTTLED and not self._throttled_too_long(now, call)
        ):
            self._close(call)
        elif call.signal is Signal.SILENT:
            self.state = State.OPEN  # not sent: the next photo tries, at once
        else:
            self._period = min(self._period * 2, self.rules.longest_open_seconds)
            self._open(now, _told_long(call))

    def _judge(self, now: float, call: Call) -> None:
        self._ends[call.number] = call.signal
        if len(self._ends) > 2 * _REMEMBERED_ENDS:
            for number in sorted(self._ends)[:_REMEMBERED_ENDS]:
                del self._ends[number]
        match call.signal:
            case Signal.ALIVE:
                self._failing_since = self._throttled_since = None
                self._count(call, failed=False)
            case Signal.DOWN:
                if self._failing_since is None:
                    self._failing_since = call.sent_at
                self._count(call, failed=True)
                if self._has_failed_enough(call) or _told_long(call):
                    self._period = self.rules.open_seconds
                    self._open(now, _told_long(call))
            case Signal.THROTTLED:
                if self._throttled_too_long(now, call):
                    self._failing_since = self._throttled_since
                    self._period = self.rules.open_seconds
                    self._open(now, _told_long(call))
            case Signal.STOPPED | Signal.SILENT:
                pass

    def _throttled_too_long(self, now: float, call: Call) -> bool:
        """Tell whether the vendor says nothing but "slow down": that is an outage too."""
        if self._throttled_since is None:
            self._throttled_since = call.sent_at
        patience = max(self.rules.max_wait_seconds, self.rules.first_answer_seconds)
        return now - self._throttled_since >= patience

    def _count(self, call: Call, *, failed: bool) -> None:
        self._window.append((call.sent_at, failed))
        self._failed_in_window += failed
        while self._window[0][0] < call.sent_at - self.rules.window_seconds:
            self._failed_in_window -= self._window.popleft()[1]

    def _has_failed_enough(self, call: Call) -> bool:
        if call.sent_at >= self.last_answered_send:  # else a later send was answered: old news
            in_a_row = 1 + self._failures_beside(call, -1) + self._failures_beside(call, +1)
            if in_a_row >= self.rules.failures_in_a_row:
                return True
        calls = len(self._window)
        failed_share = self._failed_in_window / calls
        return calls >= self.rules.least_calls and failed_share > self.rules.failed_share

    def _failures_beside(self, call: Call, step: int) -> int:
        """Count failed sends next to this one, up to one that was answered or is in flight.

        In the order they were sent: failures come back at once and answers after seconds, so
        in the order of their ends a few failures of a burst of sends look like an outage.
        """
        failures = 0
        for distance in range(1, 10 * self.rules.failures_in_a_row):
            signal = self._ends.get(call.number + step * distance, Signal.ALIVE)
            if signal is Signal.ALIVE:
                break
            failures += signal is Signal.DOWN
        return failures

    def _open(self, now: float, told_seconds: float = 0.0) -> None:
        if self.state is State.CLOSED:
            self.down_since = now
        self.state = State.OPEN
        since = now if self._failing_since is None else self._failing_since
        deadline = since + (
            self.rules.max_wait_seconds if self.answered else self.rules.first_answer_seconds
        )
        self._due = now + self._period
        if told_seconds:
            self._due = now + told_seconds
        elif self.answered and now < deadline:
            # The last moment that photos wait for is worth a try: an outage that is just
            # shorter than their patience then costs none of them.
            self._due = min(self._due, deadline)
        self._worth_waiting = self._due <= deadline

    def _close(self, probe: Call) -> None:
        self.state = State.CLOSED
        self._recovered_at = probe.sent_at
        self._ends.clear()
        self._failing_since = None
        self._window.clear()
        self._failed_in_window = 0


def _told_long(call: Call) -> float:
    """Return the pause the vendor asked for where it is too long to be a pause, else 0."""
    told = call.retry_after_seconds or 0.0
    return told if told > LONGEST_RETRY_AFTER_SECONDS else 0.0
