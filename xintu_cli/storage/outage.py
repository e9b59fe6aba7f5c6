"""Outlast a database that goes away in mid-run: nothing is lost, nothing is sent meanwhile.

Whoever reads or claims waits for the database and tries again, for a bounded time. Whoever
settles does not wait: from the first failure on answers go to the spool, until all that waits
there has been written. A run that has not begun waits for nothing: nothing was paid for yet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import anyio
from anyio import CapacityLimiter, Lock, to_thread

from xintu_cli.errors import CacheUnreachableError
from xintu_cli.interfaces import Spool
from xintu_cli.records import RunRow, RunSummary, Settlement
from xintu_cli.storage.absence_note import AbsenceNote
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.script import Connector, Verb
from xintu_cli.storage.verbs.absences import to_return_until
from xintu_cli.storage.verbs.clock import clock

T = TypeVar("T")

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 5.0


class Outage:
    """Whether the database is away, and how long that is put up with.

    `notice` tells a person; `hurried` is True once the run wants to end (a signal): then
    nobody waits any more.
    """

    def __init__(
        self,
        *,
        patience_seconds: float,
        notice: Callable[[str], None],
        hurried: Callable[[], bool],
    ) -> None:
        self._patience_seconds = patience_seconds
        self._notice = notice
        self._hurried = hurried
        self._since: float | None = None
        self.back_at = ""
        """When the last absence was over, by the database's clock; "" where none was seen."""

    @property
    def is_on(self) -> bool:
        """True from the first call that found the database away to one that did not."""
        return self._since is not None

    @property
    def is_borne(self) -> bool:
        """True while it makes sense to wait for the end."""
        waited = 0.0 if self._since is None else anyio.current_time() - self._since
        return waited < self._patience_seconds and not self._hurried()

    def saw(self, now: str, /) -> str:
        """Tell others' absences from their deaths: a `Witness`."""
        return now if self.is_on else self.back_at

    def begin(self, error: CacheUnreachableError) -> bool:
        """Note a failure; return True for the first one of an absence."""
        if self.is_on:
            return False
        self._since = anyio.current_time()
        if self.is_borne:
            self._notice(
                f"{error} Nothing is sent meanwhile; answers on their way are kept on this "
                f"machine. Trying again for {self._patience_seconds:g} s."
            )
        return True

    def end(self, back_at: str) -> None:
        """Note that the database is back, and since when by its own clock."""
        self._since = None
        self.back_at = back_at
        self._notice("the cache is back, and has what was kept for it")


class OutlastingCache(SqlCache):
    """The cache of a run: another one, whose absences are waited out and spooled over."""

    def __init__(
        self, inner: SqlCache, spool: Spool, outage: Outage, note: AbsenceNote | None = None
    ) -> None:
        """Take the parts; `note` keeps what this run sees of absences for later ones."""
        connector = _PatientConnector(inner.connector, self)
        super().__init__(connector, inner.cache_id, inner.descriptions)
        self._inner = inner
        self.spool = spool
        self.saw = outage.saw
        self._outage = outage
        self._note = note
        self._begun = False
        self._is_over = False
        self._disk = CapacityLimiter(1)
        self._recovery = Lock()
        self._turn = Lock()
        """Held while it is decided where a settlement goes: none slips into a spool that has
        just been emptied."""

    @property
    def may_have_claims(self) -> bool:
        """True from the run's beginning to an end that gives its claims back."""
        return self._begun and not self._is_over

    async def start_run(self, run: RunRow) -> None:
        """Write the run's row; from now on absences are waited out."""
        await self._inner.start_run(run)
        await self._recall_absence()
        self._begun = True

    async def finish_run(self, summary: RunSummary) -> None:
        """Complete the run's row; if it cannot be, see that its claims do not outlast it."""
        try:
            await super().finish_run(summary)
        except CacheUnreachableError:
            over = Settlement(summary.run_id, task="", ends_run=True)
            await to_thread.run_sync(self.spool.append, over, limiter=self._disk)
            self._is_over = True
            raise
        self._is_over = True

    async def settle(self, settlement: Settlement) -> None:
        """Write a settlement, or keep it in the spool; durable when this returns."""
        if not self._begun:
            await self._inner.settle(settlement)
            return
        while True:
            if not self._outage.is_on:
                try:
                    await self._inner.settle(settlement)
                except CacheUnreachableError as error:
                    await self._begin_outage(error)
                else:
                    return
            async with self._turn:
                if self._outage.is_on:
                    await to_thread.run_sync(self.spool.append, settlement, limiter=self._disk)
                    return

    async def patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call whose answer is waited for, again and again while that makes sense."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                # First what waits in the spool: it may be what the call asks about.
                await self._empty_spool()
                result = await call()
                await self._end_outage()
            except CacheUnreachableError as error:
                if not self._begun:
                    raise
                await self._begin_outage(error)
                if not self._outage.is_borne:
                    raise
            else:
                return result
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _empty_spool(self) -> None:
        async with self._recovery:
            if self._outage.is_on:
                await self.spool.replay(self._inner)

    async def _end_outage(self) -> None:
        """Let settlements go the straight way again, once none is left beside it."""
        async with self._turn:
            if self._outage.is_on:
                await self.spool.replay(self._inner)
                back_at = await self._inner.connector.read(clock, doing="read from")
                self._outage.end(back_at)
                await self._write_note(back_at)

    async def _begin_outage(self, error: CacheUnreachableError) -> None:
        if self._outage.begin(error):
            await self._write_note("")

    async def _write_note(self, back_at: str) -> None:
        if self._note is not None:
            await to_thread.run_sync(self._note.write, back_at, limiter=self._disk)

    async def _recall_absence(self) -> None:
        """Take over what earlier runs of this machine saw: the database is back now."""
        if self._note is None:
            return
        noted = await to_thread.run_sync(self._note.read, limiter=self._disk)
        if noted is None:
            return
        now = await self._inner.connector.read(clock, doing="read from")
        if noted and to_return_until(noted) < now:
            await to_thread.run_sync(self._note.remove, limiter=self._disk)
            return
        self._outage.back_at = noted or now
        if not noted:
            await self._write_note(now)


class _PatientConnector:
    """A connector whose calls the cache makes patiently."""

    def __init__(self, inner: Connector, caller: OutlastingCache) -> None:
        self._inner = inner
        self._caller = caller

    @property
    def url(self) -> str:
        """Where the database is, without any secret."""
        return self._inner.url

    async def read(self, verb: Verb[T], *, doing: str, is_long: bool = False) -> T:
        """Run a script that only reads."""
        read = partial(self._inner.read, verb, doing=doing, is_long=is_long)
        return await self._caller.patiently(read)

    async def write(self, verb: Verb[T], *, doing: str) -> T:
        """Run a script as one transaction."""
        return await self._caller.patiently(partial(self._inner.write, verb, doing=doing))

    async def shrink(self) -> None:
        """Give free space back."""
        await self._inner.shrink()
