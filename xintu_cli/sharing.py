"""What a run needs because others use its cache too: claims, leases, and patience with a server.

In: settings, how long a lease must last. Out: one object that the parts of a run ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from xintu_cli.interfaces import Leases, Reporter
from xintu_cli.records import Attempt, RunRow
from xintu_cli.reporting.notices import Notice as Wait
from xintu_cli.reporting.notices import claimed_by_the_dead
from xintu_cli.reporting.phrases import speaker
from xintu_cli.resilience.lease import LeaseBook
from xintu_cli.resilience.renewal import renewed_leases
from xintu_cli.stages.claiming import ClaimRules
from xintu_cli.stages.control import Control
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.outage import Outage, OutlastingCache
from xintu_cli.storage.spool import LocalSpool
from xintu_cli.storage.urls import open_lease_keeper
from xintu_cli.workspace import Workspace

if TYPE_CHECKING:
    from xintu_cli.resilience.admission import Notice
    from xintu_cli.resilience.compose import Surroundings


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

    @property
    def leases(self) -> Leases | None:
        """The claims that must hold before a photo is sent; None where nothing is paid for."""
        return self.book if self.lease_seconds else None

    @property
    def claims(self) -> ClaimRules:
        """How the feeder claims."""
        return ClaimRules(
            self.run.run_id,
            self.run.host,
            needed=self.leases is not None,
            lease_seconds=self.lease_seconds,
            batch=min(_MOST_CLAIMED, _CLAIMED_PER_CALL * self.concurrency),
            waiting=self.waiting,
            taken_over=lambda photos: self.say(claimed_by_the_dead(photos)),
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

    @contextmanager
    def renewed(self, cache_url: str) -> Iterator[None]:
        """Keep the claims alive until the block is left."""
        keeper = partial(open_lease_keeper, cache_url)
        with renewed_leases(keeper, self.book, run_id=self.run.run_id, seconds=self.lease_seconds):
            yield

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
        run, lease_seconds, concurrency, outage, book, notice, tell_of_wait, reporter.notice
    )


def outlasting(cache: SqlCache, sharing: Sharing, workspace: Workspace) -> OutlastingCache:
    """Return the cache as a run uses it: what it cannot take goes to this machine's spool."""
    spool = LocalSpool(workspace.locations.spool_file, cache.cache_id)
    return OutlastingCache(cache, spool, sharing.outage)
