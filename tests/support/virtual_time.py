"""An event loop on which time passes at once: whoever sleeps an hour wakes in a microsecond.

Everything that asks the loop for the time (`anyio.sleep`, `move_on_after`, deadlines) sees the
same virtual clock, so a simulated half hour is deterministic and takes a second. Real I/O and
worker threads do not belong on it.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any

import anyio

from xintu_cli.resilience.clock import SystemClock


class _NoWaiting(selectors.BaseSelector):
    """A selector that advances its clock instead of waiting."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("every task waits for something that will never happen")
        self.now += max(0.0, timeout)
        return self._real.select(0)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose clock starts at 0 and jumps to the next timer when nobody is ready."""

    def __init__(self) -> None:
        self._virtual = _NoWaiting()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return virtual seconds."""
        return self._virtual.now


class VirtualClock(SystemClock):
    """The `Clock` of the resilience layer, on the loop's virtual time."""

    def monotonic(self) -> float:
        """Return the loop's reading."""
        return anyio.current_time()


Backend = tuple[str, dict[str, type[VirtualTimeLoop]]]

VIRTUAL_TIME: Backend = ("asyncio", {"loop_factory": VirtualTimeLoop})
"""The `anyio_backend` of tests on virtual time."""
