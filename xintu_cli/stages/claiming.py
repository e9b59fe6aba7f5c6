"""Claims: what this run is about to pay for, so that no other run pays for it too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import anyio

from xintu_cli.interfaces import Leases
from xintu_cli.records import Task
from xintu_cli.stages.lookup import Shelves


async def nobody_died() -> int:
    """Inherit nothing."""
    return 0


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """How photos are claimed; a policy that pays for nothing claims nothing (`needed` False)."""

    run_id: str
    host: str
    needed: bool
    lease_seconds: float = 180.0
    look_again_seconds: float = 1.0
    """How long to leave photos alone that another run has claimed."""
    batch: int = 64
    """Tasks to claim at once: what the workers send in a few seconds, so that a run that
    dies holds up little."""
    left_alone_seconds: float = 30.0
    """How long to wait, with nothing else to do, for photos that are left to their runs."""
    waiting: Callable[[], None] = lambda: None
    """Called once a run that has nothing else to do has waited a while for another one's photos."""
    taken_over: Callable[[int], None] = lambda _photos: None
    """Told how many photos another run had claimed, and died before it had their answers."""
    inherit: Callable[[], Awaitable[int]] = nobody_died
    """Frees what dead runs of this machine had claimed; returns how many had no result."""
    leases: Leases | None = None
    refused: dict[str, frozenset[str]] = field(default_factory=dict)
    """Filled here: image to the providers that refused it lately."""


@dataclass(slots=True)
class Claims:
    """One run's claims in the cache, and its own book of them.

    They end with the outcome, which `persist` stores and releases in one transaction; here end
    those of images that have no outcome.
    """

    rules: ClaimRules
    shelves: Shelves
    elsewhere: set[str] = field(default_factory=set)
    """Images that another run had claimed when they were last looked at."""
    _patient_until: float | None = None
    """Until when photos that are left to their runs are waited for; None: there are none."""

    async def take(self, tasks: Sequence[Task]) -> Sequence[str]:
        """Return the images this run may pay for, in their order; the rest another run has."""
        images = [task.image_hash for task in tasks]
        rules, cache = self.rules, self.shelves.cache
        if not rules.needed or not tasks:
            return images
        waited_for = self.elsewhere.intersection(images)
        run_out = await self._run_out(waited_for)
        asked_at = rules.leases.now() if rules.leases else 0.0
        ours = await cache.claim(
            self._task,
            # Sorted: two runs that lock rows in one order cannot deadlock.
            sorted(images),
            run_id=rules.run_id,
            host=rules.host,
            seconds=rules.lease_seconds,
        )
        if rules.leases:
            rules.leases.claimed(ours, asked_at=asked_at)
        if inherited := len(run_out & ours):
            rules.taken_over(inherited)
        self.elsewhere.difference_update(ours)
        self.elsewhere.update(image for image in images if image not in ours)
        if ours:
            rules.refused.update(await cache.refused(self._task, sorted(ours)))
        return [image for image in images if image in ours]

    async def _run_out(self, images: set[str]) -> frozenset[str]:
        """Look, before they are claimed, which were left by a run that died in the meantime.

        Those that had run out when this run began were told of then.
        """
        if not images:
            return frozenset()
        return await self.shelves.cache.run_out(self._task, sorted(images))

    async def begin(self) -> int:
        """Get ready to claim; return how many photos runs that died have left behind."""
        rules, cache = self.rules, self.shelves.cache
        if not rules.needed:
            return 0
        await cache.note_lease(rules.lease_seconds)
        return await rules.inherit() + await cache.expired_claims()

    async def given_up(self, images: Sequence[str]) -> Mapping[str, str]:
        """Tell which images of other runs are not waited for any longer, and why.

        Asked while there is nothing else to do. A run of this machine that died meanwhile is
        inherited from; what an absence of the database cut off is waited for a little.
        """
        if not images:
            return {}
        if inherited := await self.rules.inherit():
            self.rules.taken_over(inherited)
        left = await self.shelves.cache.left_to(self._task, images)
        if not left:
            return {}
        now = anyio.current_time()
        if self._patient_until is None:
            self._patient_until = now + self.rules.left_alone_seconds
        if now < self._patient_until:
            return {}
        return {
            image: f"a run on {host} may hold the answer, paid for while the cache was away: "
            f"run xintu there, or again here after {until[:16]} UTC"
            for image, (host, until) in left.items()
        }

    def busy(self) -> None:
        """Note that there is something else to do than wait."""
        self._patient_until = None

    async def let_go(self, image_hash: str) -> None:
        """Give a claim back at once: whoever else has a file of this image need not wait."""
        rules = self.rules
        if not rules.needed:
            return
        await self.shelves.cache.release(self._task, [image_hash], run_id=rules.run_id)
        self.lost(image_hash)

    def lost(self, image_hash: str) -> None:
        """Strike out a claim that ran out: the photo may be sent again once it is claimed anew."""
        if self.rules.leases:
            self.rules.leases.ended([image_hash])

    @property
    def _task(self) -> str:
        return self.shelves.question.task
