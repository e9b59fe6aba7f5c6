"""Room in memory that threads share: who needs more than is left waits for it.

In: how much each thread is about to take. Out: a context in which it is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock


class Room:
    """`size` is for all together; one that needs more than all of it has it alone."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._turn = Lock()
        self._freed = Condition()

    @property
    def waited_for(self) -> bool:
        """Tell whether somebody waits for room."""
        return self._turn.locked()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Wait until `amount` fits in; one at a time, so that who needs much is not overtaken."""
        with self._turn, self._freed:
            self._freed.wait_for(lambda: not self._taken or self._taken + amount <= self._size)
            self._taken += amount
        try:
            yield
        finally:
            with self._freed:
                self._taken -= amount
                self._freed.notify_all()
