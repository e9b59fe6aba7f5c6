"""Send nothing on a claim that may have run out.

Between the claim and the send a laptop may have slept or a process been stopped for an hour; by
then another machine may be paying for the photo. So the innermost decorator asks just before
each send, by a clock that goes on while the machine sleeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock
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
    """Which images this run holds, and until when it may send them; from any thread.

    A lease counts from the moment *before* the database was asked, and is good for three
    quarters of its time: the rest is for the call itself to be under way, and for clocks that
    run apart. Whoever asks the database takes `now()` first and tells it afterwards:

        asked_at = book.now()
        claimed = await cache.claim(…)
        book.claimed(claimed, asked_at=asked_at)
    """

    def __init__(self, *, seconds: float, boottime: Callable[[], float] = boottime) -> None:
        self._seconds = seconds
        self._boottime = boottime
        self._asked_at: dict[str, float] = {}
        self._lock = Lock()

    def now(self) -> float:
        """Return the reading to take before the database is asked."""
        return self._boottime()

    def claimed(self, image_hashes: Iterable[str], *, asked_at: float) -> None:
        """Note claims that the database has granted."""
        with self._lock:
            self._asked_at.update(dict.fromkeys(image_hashes, asked_at))

    def renewed(self, *, asked_at: float) -> None:
        """Note that the database has renewed all claims of this run that had not run out.

        Those that may have run out by the time it did are dropped: after a long sleep the
        database lets them lie, and another run may hold them.
        """
        with self._lock:
            alive_from = self._boottime() - self._seconds
            for image_hash, before in list(self._asked_at.items()):
                if before > alive_from:
                    self._asked_at[image_hash] = asked_at
                else:
                    del self._asked_at[image_hash]

    def ended(self, image_hashes: Iterable[str]) -> None:
        """Forget claims that were released."""
        with self._lock:
            for image_hash in image_hashes:
                self._asked_at.pop(image_hash, None)

    def __call__(self, image_hash: str, /) -> bool:
        """Tell whether the image may be sent now."""
        asked_at = self._asked_at.get(image_hash)
        return asked_at is not None and self._boottime() < asked_at + 0.75 * self._seconds


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
