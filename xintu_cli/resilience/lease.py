"""Send nothing on a claim that may have run out.

Between the claim and the send a laptop may have slept or a process been stopped for an hour; by
then another machine may be paying for the photo. So the innermost decorator asks just before
each send, by a clock that goes on while the machine sleeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from xintu_cli.errors import LeaseLostError
from xintu_cli.interfaces import Classifier, DecodedPhoto
from xintu_cli.records import Answer
from xintu_cli.resilience.clock import boottime


class HoldsLease(Protocol):
    """Tells whether this run may still send a photo; must not block."""

    def __call__(self, image_hash: str, /) -> bool:
        """Return False if the lease on this image has run out, or is about to."""


def needs_no_lease(_image_hash: str, /) -> bool:
    """Allow every send: for runs that share their cache with nobody."""
    return True


class LeaseBook:
    """Which images this run holds, and until when it may send them.

    A lease counts from the moment *before* the database was asked, and is good for three
    quarters of its time: the rest is for the call itself to be under way, and for clocks that
    run apart. Methods may be called from any thread: each is one step of a dict.
    """

    def __init__(self, *, seconds: float, boottime: Callable[[], float] = boottime) -> None:
        self._good_for_seconds = seconds * 0.75
        self._boottime = boottime
        self._confirmed: dict[str, float] = {}

    def now(self) -> float:
        """Return the reading to take before the database is asked."""
        return self._boottime()

    def confirm(self, image_hashes: Iterable[str], *, asked_at: float) -> None:
        """Note leases that the database has granted or renewed."""
        self._confirmed.update(dict.fromkeys(image_hashes, asked_at))

    def end(self, image_hashes: Iterable[str]) -> None:
        """Forget leases that were released, or lost to another run."""
        for image_hash in image_hashes:
            self._confirmed.pop(image_hash, None)

    def held(self) -> tuple[str, ...]:
        """Return the images to renew."""
        return tuple(self._confirmed)

    def __call__(self, image_hash: str, /) -> bool:
        """Tell whether the image may be sent now."""
        confirmed_at = self._confirmed.get(image_hash)
        if confirmed_at is None:
            return False
        return self._boottime() < confirmed_at + self._good_for_seconds


class Leased:
    """A classifier that sends only what this run has a good lease on; the innermost decorator."""

    def __init__(self, inner: Classifier, holds_lease: HoldsLease) -> None:
        self._inner = inner
        self._holds_lease = holds_lease

    @property
    def name(self) -> str:
        """The provider's name."""
        return self._inner.name

    async def classify(self, photo: DecodedPhoto) -> Answer:
        """Send, or raise `LeaseLostError`."""
        if not self._holds_lease(photo.image_hash):
            raise LeaseLostError(
                "its claim ran out before it could be sent: another run may be classifying it"
            )
        return await self._inner.classify(photo)
