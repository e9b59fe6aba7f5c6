"""Time, as the decorators see it: injected, so that a test can run an hour in a second."""

from __future__ import annotations

import time
from typing import Protocol

import anyio


class Clock(Protocol):
    """A monotonic clock and the two ways to wait."""

    def monotonic(self) -> float:
        """Return seconds since some moment."""

    async def sleep(self, seconds: float) -> None:
        """Wait for so long."""

    async def wait(self, news: anyio.Event, seconds: float) -> None:
        """Wait for news, but no longer than `seconds` (infinite: for news alone)."""


class SystemClock:
    """The machine's monotonic clock, which is also the event loop's."""

    def monotonic(self) -> float:
        """Return the clock's reading; from any thread."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for so long."""
        await anyio.sleep(seconds)

    async def wait(self, news: anyio.Event, seconds: float) -> None:
        """Wait for news, but no longer than `seconds`."""
        with anyio.move_on_after(seconds):
            await news.wait()


def boottime() -> float:
    """Return seconds on a clock that goes on while the machine sleeps.

    Linux calls it CLOCK_BOOTTIME; on macOS CLOCK_MONOTONIC is one (and Python's own
    `time.monotonic` is not); on Windows `time.monotonic` is one.
    """
    if hasattr(time, "clock_gettime"):
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
    return time.monotonic()
