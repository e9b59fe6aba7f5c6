"""What stands between a photo and a send: gates, asked together and entered together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from xintu_cli.decisions import Signal


@dataclass(frozen=True, slots=True)
class Call:
    """One call that has ended, as the gates see it.

    `number` is what `enter` was told. `tokens`: really used, in and out (None: unknown).
    """

    number: int
    sent_at: float
    signal: Signal
    retry_after_seconds: float | None = None
    tokens: int | None = None


class Gate(Protocol):
    """A pure state machine; `now` is a reading of one monotonic clock, in seconds."""

    def wait_seconds(self, now: float) -> float:
        """Return 0 if a call may be sent, else how long to wait before asking again.

        Infinite: until some call has ended.
        """

    def enter(self, now: float, number: int) -> None:
        """Take note of a call that is sent now; only after `wait_seconds` said 0."""

    def leave(self, now: float, call: Call) -> None:
        """Take note of its end."""
