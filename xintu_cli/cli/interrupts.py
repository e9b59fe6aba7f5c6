"""SIGTERM and SIGHUP end a command the way Ctrl-C does: tidily, each with its own exit code.

Left to themselves they kill the process on the spot, and a half-written file stays beside the
photos. A run has a watch of its own (`jobs.signals`), which drains it first.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Self

_LIKE_CTRL_C = ("SIGTERM", "SIGHUP")


class Interrupts:
    """Turn the signals that would kill into interrupts; a context manager for the main thread."""

    def __init__(self) -> None:
        self._number = int(signal.SIGINT)
        self._taken: list[int] = []

    @property
    def exit_code(self) -> int:
        """The exit code of a command that was interrupted: 130, 143 or 129."""
        return 128 + self._number

    def __enter__(self) -> Self:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (getattr(signal, name, None) for name in _LIKE_CTRL_C):
            # Not where it is ignored: `nohup xintu …` means it.
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._interrupt)
                self._taken.append(number)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number in self._taken:
            signal.signal(number, signal.SIG_DFL)
        self._taken.clear()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._number = number
        # asyncio's handler cancels its main task, Python's own one raises.
        handler = signal.getsignal(signal.SIGINT)
        if not callable(handler):
            raise KeyboardInterrupt
        handler(signal.SIGINT, frame)


INTERRUPTS = Interrupts()
"""The process has one set of signal handlers, so there is one of these."""
