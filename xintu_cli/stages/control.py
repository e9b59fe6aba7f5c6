"""What the stages of one run share besides records: when to stop, and how many threads.

One object a run; it owns no data that flows.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio import CapacityLimiter, Event

from xintu_cli.errors import StorageError

LOST_IN_A_ROW = 8
"""Files in a row that fail as they do on a disk that is gone, before the run gives up."""

_TURN_SECONDS = 0.25


@dataclass(slots=True)
class Control:
    """Stop signs and thread limiters of one run; used on the event loop only."""

    cores: int = field(default_factory=lambda: os.cpu_count() or 1)
    stopping: bool = False
    """Take nothing more: the walk ends, the feeder stops, what is in flight finishes."""
    feeding_stopped: str = ""
    """Why nobody is asked any more (a `Reason` or text), "" while the feeder goes on."""
    error: Exception | None = None
    """What the run will end with although it drained in good order (cache lost, root gone)."""
    lost_in_a_row: int = 0
    """Files, one after another, of which the disk told nothing."""
    look_up_complete: bool = False
    in_flight: int = 0
    """Tasks handed to workers whose outcome is not in the sink yet."""
    indexed: int = 0
    """Index entries seen or written by this run; fewer than the index holds: some are gone."""
    disk: CapacityLimiter = field(init=False)
    reading: CapacityLimiter = field(init=False)
    preparing: CapacityLimiter = field(init=False)
    """Files in memory whole, being read or decoded."""
    decoding: CapacityLimiter = field(init=False)
    work: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    _news: Event = field(default_factory=Event)
    _turn: anyio.Lock = field(default_factory=anyio.Lock)
    _turn_is_late: bool = False
    _receipts: dict[str, Event] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.disk = CapacityLimiter(4)
        self.reading = CapacityLimiter(16)
        self.preparing = CapacityLimiter(self.cores + 2)
        self.decoding = CapacityLimiter(self.cores)

    def stop_feeding(self, reason: str) -> None:
        """Ask nobody any more; the walk and the look-up go on, the rest stays pending."""
        self.feeding_stopped = self.feeding_stopped or reason
        self.tell()

    def stop(self, reason: str) -> None:
        """Take nothing more at all."""
        self.stopping = True
        self.stop_feeding(reason)

    def fail(self, error: Exception) -> None:
        """Drain, keep what is done, and end with `error` (the first one counts)."""
        self.error = self.error or error
        self.stop(str(error))

    def fail_feeding(self, error: Exception) -> None:
        """Ask nobody any more and end with `error`; the walk and the look-up go on."""
        self.error = self.error or error
        self.stop_feeding(str(error))

    def disk_answered(self) -> None:
        """Note that a file could be read, whatever it held."""
        self.lost_in_a_row = 0

    def disk_silent(self, path: bytes, reason: str, in_a_row: int | None = None) -> None:
        """Note a file that failed as on a disk that is gone; many in a row end the run."""
        self.lost_in_a_row = self.lost_in_a_row + 1 if in_a_row is None else in_a_row
        if self.lost_in_a_row >= LOST_IN_A_ROW:
            self.fail(
                StorageError(
                    f"cannot read {os.fsdecode(path)!r}, nor those before it: {reason}. "
                    "What was done is kept; run it again when the disk is back."
                )
            )

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Do one batch's file work (walk it, look it up in the index, read it) alone.

        Each gives the interpreter lock back several times a file; side by side they fight for
        it: a rescan of 100 000 photos took 2.7 s instead of 1.8, a first pass 9 instead of 5.5.
        Nobody waits long for whoever has it, nor twice: a disk that is slow or hangs holds up
        no other work.
        """
        with anyio.move_on_after(0.0 if self._turn_is_late else _TURN_SECONDS) as patience:
            await self._turn.acquire()
        has_turn = not patience.cancelled_caught
        self._turn_is_late = not has_turn
        try:
            yield
        finally:
            if has_turn:
                self._turn.release()
                self._turn_is_late = False

    def looked_up(self) -> None:
        """Note that the look-up has ended: only photos that changed still join the backlog."""
        self.look_up_complete = True
        self.tell()

    def task_done(self) -> None:
        """Note that a task's outcome is in the sink, or the task back in the backlog."""
        self.in_flight -= 1
        self.tell()

    def receipt(self, image_hash: str) -> Event:
        """Return the event of this image's answer being safe on a disk; ask before it is sent."""
        return self._receipts.setdefault(image_hash, Event())

    def stored(self, image_hashes: Iterable[str]) -> None:
        """Note that what the sink has of these images is in the cache, or in the spool."""
        for image_hash in image_hashes:
            if receipt := self._receipts.pop(image_hash, None):
                receipt.set()

    def tell(self) -> None:
        """Wake whoever waits for news."""
        self._news.set()
        self._news = Event()

    @property
    def news(self) -> Event:
        """The event of the next thing that may change what the feeder can do."""
        return self._news
