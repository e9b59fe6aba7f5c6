"""Limits the user or the vendor's page gave: requests and tokens per minute, and a gentle start.

Pure; `now` is a reading of a monotonic clock, in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from xintu_cli.resilience.gates import Call


@dataclass(frozen=True, slots=True)
class Limits:
    """What one provider may be asked; None or 0: no limit is known.

    `ramped`: its vendor (DashScope) refuses a rate that rises too fast, whatever its height.
    `head_start_seconds`: the first call goes ahead of all others for so long, or until it ends.
    """

    concurrency: int = 16
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    ramped: bool = False
    head_start_seconds: float = 0.0


class Bucket:
    """A token bucket that may be overdrawn once: what is owed is waited for by the next.

    It holds one second's worth (vendors enforce a minute's limit by the second) and at least
    one unit, so that in any minute no more than 61 seconds' worth can pass.
    """

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._most = max(1.0, per_second)
        self._level = self._most
        self._at: float | None = None

    def wait_seconds(self, now: float, units: float = 1.0) -> float:
        """Return how long until so many units, or a full bucket, are there."""
        self._fill(now)
        missing = min(units, self._most) - self._level
        return max(0.0, missing / self.per_second)

    def take(self, now: float, units: float = 1.0) -> None:
        """Take units out, below nothing if need be."""
        self._fill(now)
        self._level -= units

    def give_back(self, units: float) -> None:
        """Put units back that were taken but not used (negative: that were used besides)."""
        self._level = min(self._most, self._level + units)

    def _fill(self, now: float) -> None:
        if self._at is not None:
            self._level = min(self._most, self._level + (now - self._at) * self.per_second)
        self._at = now


class RateLimits:
    """A `Gate`: requests and tokens per minute; tokens are counted by what calls used so far."""

    def __init__(self, limits: Limits, *, tokens_expected: float) -> None:
        self._requests = _bucket(limits.requests_per_minute)
        self._tokens = _bucket(limits.tokens_per_minute)
        self._tokens_expected = tokens_expected
        self._taken: dict[int, float] = {}

    def wait_seconds(self, now: float) -> float:
        """Return when both a request and its tokens are there."""
        wait = self._requests.wait_seconds(now) if self._requests else 0.0
        if self._tokens:
            wait = max(wait, self._tokens.wait_seconds(now, self._tokens_expected))
        return wait

    def enter(self, now: float, number: int) -> None:
        """Take a request and the tokens it will likely use."""
        if self._requests:
            self._requests.take(now)
        if self._tokens:
            self._tokens.take(now, self._tokens_expected)
            self._taken[number] = self._tokens_expected

    def leave(self, now: float, call: Call) -> None:
        """Correct the tokens taken by those used."""
        taken = self._taken.pop(call.number, 0.0)
        if call.tokens is None:
            return
        if self._tokens:
            self._tokens.give_back(taken - call.tokens)
        # The mean of the last twenty or so: photos of one run resemble each other.
        self._tokens_expected += (call.tokens - self._tokens_expected) / 20


class Ramp:
    """A `Gate` that doubles the rate of sends every two seconds, from eight a second.

    DashScope answers 429 "Request rate increased too quickly" to a rate that jumps, and says
    nowhere what slope it takes. A pause of a minute starts it anew.
    """

    _FIRST_PER_SECOND = 8.0
    """What 16 calls in flight of two seconds each come to anyway: no jump, and a run of 60 photos
    is sent within 4 s instead of 7 from two a second."""
    _DOUBLING_SECONDS = 2.0
    _IDLE_SECONDS = 60.0
    _MOST_DOUBLINGS = 12

    def __init__(self) -> None:
        self._started_at = 0.0
        self._last_at: float | None = None

    def wait_seconds(self, now: float) -> float:
        """Return the rest of the gap between two sends at the present rate."""
        if self._last_at is None or now - self._last_at >= self._IDLE_SECONDS:
            return 0.0
        return max(0.0, self._last_at + self._gap(now) - now)

    def enter(self, now: float, number: int) -> None:
        """Note the send."""
        if self._last_at is None or now - self._last_at >= self._IDLE_SECONDS:
            self._started_at = self._last_at = now
        else:
            # From when it was allowed, not from when the loop got to it: waking up late by a
            # millisecond must not add up.
            self._last_at = max(self._last_at + self._gap(now), now - self._gap(now))

    def leave(self, now: float, call: Call) -> None:
        """Nothing: what the vendor says is the pace's business."""

    def _gap(self, now: float) -> float:
        doublings = (now - self._started_at) / self._DOUBLING_SECONDS
        if doublings >= self._MOST_DOUBLINGS:
            return 0.0
        return 1 / (self._FIRST_PER_SECOND * math.exp2(doublings))


def _bucket(per_minute: float | None) -> Bucket | None:
    return Bucket(per_minute / 60) if per_minute else None
