"""SIGTERM and SIGHUP end a command the way Ctrl-C does: tidily, each with its own exit code.

Left to themselves they kill the process on the spot, and a half-written file stays beside the
photos. A run has a watch of its own (`jobs.signals`), which drains it first.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self


def quit_at_signals() -> None:
    """Leave at once when a signal comes, with its exit code: for when nothing needs tidying up."""
    for number in _heeded():
        signal.signal(number, _quit)


class Interrupts:
    """Turn the signals that would kill into interrupts; a context manager for the main thread."""

    def __init__(self) -> None:
        self._number = int(signal.SIGINT)
        self._before: dict[int, Any] = {}

    @property
    def exit_code(self) -> int:
        """The exit code of a command that was interrupted: 130, 143 or 129."""
        return 128 + self._number

    def __enter__(self) -> Self:
        for number in _heeded():
            # asyncio looks for Python's own handler of Ctrl-C before it puts in one of its own.
            is_ctrl_c = number == signal.SIGINT
            handler = signal.default_int_handler if is_ctrl_c else self._interrupt
            self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._number = number
        # asyncio's handler cancels its main task, Python's own one raises.
        handler = signal.getsignal(signal.SIGINT)
        if not callable(handler):
            raise KeyboardInterrupt
        handler(signal.SIGINT, frame)


INTERRUPTS = Interrupts()
"""The process has one set of signal handlers, so there is one of these."""


def _heeded() -> Iterator[int]:
    """Give the signals that end a command, but those that are ignored: `nohup xintu …` means it."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
            yield number


def _quit(number: int, _frame: FrameType | None) -> NoReturn:
    os._exit(128 + number)
