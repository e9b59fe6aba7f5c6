"""Signals, from before the event loop begins until after it has ended.

Handlers that come and go with the loop would leave a gap in which a second SIGTERM kills the
process between the last answer stored and the summary written.
"""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from types import FrameType, TracebackType
from typing import Any, Self

import anyio

LONGEST_SLEEP_SECONDS = 0.1


class SignalWatch:
    """Collect SIGINT, SIGTERM and SIGHUP instead of dying of them; a context manager.

    Entered in the main thread. Inside a loop, `receive` waits for the next one. `insisted`: a
    second one has come, and nothing long may be begun any more.
    """

    def __init__(self) -> None:
        self.insisted = False
        self._waiting: deque[int] = deque()
        self._before: dict[int, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._arrived: asyncio.Event | None = None

    def __enter__(self) -> Self:
        names = ("SIGINT", "SIGTERM", "SIGHUP")
        for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
            if signal.getsignal(number) is signal.SIG_IGN:
                continue  # `nohup xintu …` means it
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    async def receive(self) -> int:
        """Wait for the next signal and return its number."""
        self._loop = asyncio.get_running_loop()
        while not self._waiting:
            self._arrived = asyncio.Event()
            # The kernel may hand a signal to any thread, and Python runs the handler in the main
            # one when that wakes: a loop with nothing to do must not sleep for ever.
            with anyio.move_on_after(LONGEST_SLEEP_SECONDS):
                await self._arrived.wait()
            self._arrived = None
        return self._waiting.popleft()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._waiting.append(number)
        if self._loop is not None and not self._loop.is_closed():
            # Runs between two bytecodes of the main thread; the loop may be asleep in select.
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._arrived is not None:
            self._arrived.set()
