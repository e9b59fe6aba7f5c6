"""What a run needs because others use its cache too: claims, leases, and patience with a server.

In: settings, how long a lease must last. Out: one object that the parts of a run ask.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from xintu_cli.errors import CacheUnreachableError
from xintu_cli.interfaces import Leases, Reporter
from xintu_cli.jobs.living import LivingRuns
from xintu_cli.records import Attempt, RunRow
from xintu_cli.reporting.notices import Notice as Wait
from xintu_cli.reporting.notices import claimed_by_the_dead
from xintu_cli.reporting.phrases import speaker
from xintu_cli.resilience.lease import LeaseBook
from xintu_cli.resilience.renewal import renewed_leases
from xintu_cli.stages.claiming import ClaimRules, nobody_died
from xintu_cli.stages.control import Control
from xintu_cli.storage.absence_note import AbsenceNote
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.outage import Outage, OutlastingCache
from xintu_cli.storage.spool import LocalSpool
from xintu_cli.storage.urls import masked, open_lease_keeper
from xintu_cli.workspace import Workspace

if TYPE_CHECKING:
    from xintu_cli.resilience.admission import Notice
    from xintu_cli.resilience.compose import Surroundings


_LEFT_ALONE_SECONDS = 30.0
"""For photos that an absence of the database cut off: a machine that outlasted it is back by then,
and others may take a day."""
_MOST_CLAIMED = 64
_CLAIMED_PER_CALL = 4
"""What is sent in a few seconds: the rest is left to other machines, and to those that come after
a run that dies. The next are claimed while these are on their way."""


@dataclass(slots=True)
class Sharing:
    """One run's side of the sharing; `lease_seconds` is 0 where nothing is paid for."""

    run: RunRow
    lease_seconds: float
    concurrency: int
    outage: Outage
    book: LeaseBook
    notice: Notice
    waiting: Callable[[], None]
    """Says that the rest is another run's."""
    say: Callable[[str], None]
    """Says what is no problem."""
    refused: dict[str, frozenset[str]] = field(default_factory=dict)
    """Image to the providers that refused it lately; the feeder fills it."""
    abandoned: dict[str, tuple[Attempt, ...]] = field(default_factory=dict)
    """What was sent about images whose classification was cut off."""
    left_alone_seconds: float = _LEFT_ALONE_SECONDS
    inherit: Callable[[], Awaitable[int]] = nobody_died

    @property
    def leases(self) -> Leases | None:
        """The claims that must hold before a photo is sent; None where nothing is paid for."""
        return self.book if self.lease_seconds else None

    @property
    def claims(self) -> ClaimRules:
        """How the feeder claims in the cache that was opened."""
        return ClaimRules(
            self.run.run_id,
            self.run.host,
            needed=self.leases is not None,
            lease_seconds=self.lease_seconds,
            batch=min(_MOST_CLAIMED, _CLAIMED_PER_CALL * self.concurrency),
            left_alone_seconds=self.left_alone_seconds,
            waiting=self.waiting,
            taken_over=lambda photos: self.say(claimed_by_the_dead(photos)),
            inherit=self.inherit,
            leases=self.leases,
            refused=self.refused,
        )

    @property
    def surroundings(self) -> Surroundings:
        """What the decorators of the classifiers ask."""
        from xintu_cli.resilience.compose import Surroundings

        return Surroundings(
            holds_lease=self._may_be_sent,
            refused_before=lambda image_hash: self.refused.get(image_hash, frozenset()),
            abandoned=self._abandon,
            notice=self.notice,
        )

    @asynccontextmanager
    async def opened(
        self, opening: AbstractAsyncContextManager[SqlCache], workspace: Workspace
    ) -> AsyncIterator[OutlastingCache]:
        """Open the cache as a run uses it: what it cannot take goes to this machine's spool.

        A run that pays keeps its claims alive, and is known to live, until the block is left.
        """
        note = AbsenceNote(workspace.locations.absences, masked(workspace.cache_url))
        async with AsyncExitStack() as stack:
            try:
                inner = await stack.enter_async_context(opening)
            except CacheUnreachableError:
                note.write()
                raise
            spool = LocalSpool(workspace.locations.spool_file, inner.cache_id)
            cache = OutlastingCache(inner, spool, self.outage, note)
            if self.lease_seconds and not workspace.settings.dry_run:
                living = LivingRuns(workspace.locations.locks, inner.cache_id)
                self.inherit = partial(_inherit, cache, living)
                stack.enter_context(self._renewed(workspace.cache_url))
                stack.enter_context(
                    living.joined(self.run.run_id, may_have_claims=lambda: cache.may_have_claims)
                )
            yield cache

    def _renewed(self, cache_url: str) -> AbstractContextManager[None]:
        keeper = partial(open_lease_keeper, cache_url)
        return renewed_leases(keeper, self.book, run_id=self.run.run_id, seconds=self.lease_seconds)

    def _may_be_sent(self, image_hash: str, /) -> bool:
        """Send nothing whose answer could not be shared: others would pay for it again."""
        return not self.outage.is_on and self.book(image_hash)

    def _abandon(self, image_hash: str, attempts: tuple[Attempt, ...]) -> None:
        self.abandoned[image_hash] = (*self.abandoned.get(image_hash, ()), *attempts)


def share(
    run: RunRow, lease_seconds: float, workspace: Workspace, reporter: Reporter, control: Control
) -> Sharing:
    """Return a run's side of the sharing."""
    notice = partial(reporter.notice, problem=True)
    outage = Outage(
        patience_seconds=workspace.settings.max_wait_seconds,
        notice=notice,
        hurried=lambda: control.stopping,
    )

    def tell_of_wait() -> None:
        say = speaker(reporter.language)
        reporter.notice(say(Wait.OTHERS_AT_WORK, seconds=lease_seconds))

    book = LeaseBook(seconds=lease_seconds)
    concurrency = workspace.settings.concurrency
    return Sharing(
        run,
        lease_seconds,
        concurrency,
        outage,
        book,
        notice,
        tell_of_wait,
        reporter.notice,
        left_alone_seconds=min(_LEFT_ALONE_SECONDS, workspace.settings.max_wait_seconds),
    )


async def _inherit(cache: OutlastingCache, living: LivingRuns) -> int:
    """Free what dead runs of this machine had claimed; return how many had no result.

    First what they had spooled is written: then no answer to what they claimed is left anywhere.
    """
    with living.dead() as dead:
        if not dead:
            return 0
        await cache.spool.replay(cache)
        return sum([await cache.bury(run_id) for run_id in dead])
