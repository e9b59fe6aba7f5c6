"""The seams: what the pipeline asks of a cache, an index, a backlog, a classifier, a reporter.

Implementations live in `storage`, `providers`, `resilience` and `reporting`; which one a run uses
is the composition root's (`bootstrap`). Methods that are not `async` block: call them in threads.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from xintu_cli.outcomes import Settled
from xintu_cli.records import (
    Answer,
    CachedAnswer,
    CachedRow,
    CacheInfo,
    IndexEntry,
    LeftTo,
    PhotoFacts,
    RunRow,
    RunSummary,
    Settlement,
    Task,
)

if TYPE_CHECKING:
    from PIL.Image import Image


class DecodedPhoto(Protocol):
    """An upright RGB picture, from which every classifier derives its own encoding."""

    @property
    def image_hash(self) -> str:
        """XXH3-128 of the very bytes this picture was decoded from, 32 hex digits."""

    @property
    def facts(self) -> PhotoFacts:
        """Width and height of the original (upright), camera time, background colour."""

    def image(self) -> Image:
        """Return the upright RGB picture, its longest edge at most the decode edge; blocks."""

    def jpeg(self, *, max_edge: int, max_bytes: int) -> bytes:
        """Return the picture as a JPEG without metadata, within both limits; blocks."""

    def compact(self, *, max_edge: int, max_bytes: int) -> None:
        """Encode now and drop the pixels: a photo waiting for a reply costs its JPEG alone.

        `image()` afterwards decodes that JPEG. Blocks.
        """


class Classifier(Protocol):
    """Anything that answers a photo; decorators (retry, breaker, fallback) are classifiers too."""

    @property
    def name(self) -> str:
        """The provider's name, as configured: `dashscope`, `local`."""

    async def classify(self, photo: DecodedPhoto) -> Answer:
        """Answer one photo, or raise a `ProviderError`; what was sent is in its attempts."""


class Cache(Protocol):
    """What was answered before, shared by every run that names the same URL.

    Safe under concurrent calls of one event loop; every call has its own time-out and either
    happened or did not. Raises `CacheUnreachableError`, `StorageError` or `SchemaError`.
    """

    @property
    def url(self) -> str:
        """Where it is, without any secret."""

    async def look_up(
        self, task: str, taxonomy: str, hashes: Sequence[str]
    ) -> Mapping[str, Sequence[CachedRow]]:
        """Return every row about these images (manual labels too, source `manual`).

        Images without a row are absent. Any number of hashes; no write.
        """

    async def details(
        self, task: str, taxonomy: str, hashes: Sequence[str]
    ) -> Mapping[str, Sequence[CachedAnswer]]:
        """Like `look_up`, with every column; for exports."""

    async def settle(self, settlement: Settlement) -> None:
        """Write answers, attempts, refusals, hits and released claims in one transaction.

        Idempotent: writing a settlement twice leaves what writing it once leaves.
        """

    async def claim(
        self, task: str, hashes: Sequence[str], *, run_id: str, host: str, seconds: float
    ) -> frozenset[str]:
        """Claim images for `seconds`, taking over expired claims; return those that are ours.

        Not those that an absence of the database cut off: see `left_to`.
        """

    async def left_to(self, task: str, hashes: Sequence[str]) -> Mapping[str, LeftTo]:
        """Return which of these images have run out and are left to their runs all the same."""

    async def release(self, task: str, hashes: Sequence[str], *, run_id: str) -> None:
        """Give claims back without an answer."""

    async def run_out(self, task: str, hashes: Sequence[str]) -> frozenset[str]:
        """Return which of these images have claims that ran out without a result."""

    async def expired_claims(self) -> int:
        """Count claims that ran out without a result: calls that may have been paid for."""

    async def bury(self, run_id: str) -> int:
        """Delete every claim of a run that is known to be dead; return how many had no result."""

    async def note_lease(self, seconds: float) -> None:
        """Let other machines know how long the leases here are; once, before the first claim."""

    async def refused(self, task: str, hashes: Sequence[str]) -> Mapping[str, frozenset[str]]:
        """Return, per image, the providers whose refusal is not yet over."""

    async def start_run(self, run: RunRow) -> None:
        """Write the run's row."""

    async def finish_run(self, summary: RunSummary) -> None:
        """Complete the run's row with its counts."""

    async def set_labels(
        self, taxonomy: str, labels: Sequence[tuple[str, str]], *, who: str
    ) -> None:
        """Store a person's word: (image hash, category) each."""

    async def clear_labels(self, taxonomy: str, hashes: Sequence[str]) -> int:
        """Take a person's word back; return how many there were."""

    async def info(self) -> CacheInfo:
        """Count what is there."""

    def answers(self, task: str | None = None) -> AsyncIterator[tuple[str, CachedAnswer]]:
        """Stream (task, answer) of every classification, in key order; flat memory."""


class LeaseKeeper(Protocol):
    """Keeps a run's claims alive from a thread with a connection of its own; blocks."""

    def renew(self, run_id: str, seconds: float) -> None:
        """Extend this run's claims to `seconds` from now, by the database's clock.

        Claims that have run out already stay so: whoever slept through a lease claims again.
        Raises `CacheUnreachableError` or `StorageError`.
        """


class Leases(Protocol):
    """Which images a run holds, and until when it may send them; from any thread."""

    def now(self) -> float:
        """Return the reading to take before the database is asked."""

    def claimed(self, image_hashes: Iterable[str], *, asked_at: float) -> None:
        """Note claims that the database has granted."""

    def renewed(self, *, asked_at: float) -> None:
        """Note that the database has renewed all claims that had not run out."""

    def ended(self, image_hashes: Iterable[str]) -> None:
        """Forget claims that were released."""


class FileIndex(Protocol):
    """What this machine knows of files: path and stat to image hash. Every method blocks."""

    def known(self, paths: Sequence[bytes]) -> Mapping[bytes, IndexEntry]:
        """Return the entries of these paths; unknown ones are absent.

        Their facts (width, height, taken_at, background_color) are not read and None: see
        `facts`. `remember` keeps the stored facts of an image in a file that was not written to.
        """

    def facts(self, paths: Sequence[bytes]) -> Mapping[bytes, PhotoFacts]:
        """Return what decoding told of these paths; those not decoded yet are absent."""

    def remember(self, entries: Sequence[IndexEntry]) -> None:
        """Insert or replace entries, in one transaction."""

    def describe(self, facts: Sequence[tuple[bytes, str, PhotoFacts]]) -> None:
        """Store (path, image hash, facts) where path still has that image hash."""

    def under(self, root: bytes) -> Iterator[IndexEntry]:
        """Stream the entries at or below a directory (or of one file), in path order."""

    def count_under(self, root: bytes) -> int:
        """Return how many entries are at or below `root`."""

    def forget(self, paths: Sequence[bytes]) -> None:
        """Delete entries."""


class Backlog(Protocol):
    """The local queue of what this run still has to classify, keyed by image. Blocks.

    A second file of the same image becomes a copy of the first while that one waits or is
    taken, so one image is classified once. Settling removes the image: a copy that comes
    later is queued anew, and the feeder, which reads the cache once more, finds its answer.
    """

    def add(self, tasks: Sequence[Task]) -> Sequence[bool]:
        """Queue tasks; True where the image was new, False where it became a copy."""

    def take(self, limit: int) -> Sequence[Task]:
        """Take up to `limit` waiting tasks, misses first, then provisional photos, oldest first."""

    def give_back(self, tasks: Sequence[Task]) -> None:
        """Put taken tasks back to the end of the queue."""

    def settle(self, image_hashes: Sequence[str]) -> Mapping[str, Sequence[bytes]]:
        """Remove images; return the paths of their copies (absent where there are none)."""

    def waiting(self) -> int:
        """Return how many images wait or are taken."""


class Spool(Protocol):
    """Where answers wait that the cache could not take; local, synced to the disk. Blocks."""

    def append(self, settlement: Settlement) -> None:
        """Keep a settlement until it can be written; durable when this returns."""

    async def replay(self, cache: Cache) -> int:
        """Write what waits into the cache; return how many settlements that were.

        The one method that does not block. Raises what the cache raises; the rest waits on.
        """


class Reporter(Protocol):
    """Whoever shows a run to a person; called on the event loop, must not block for long."""

    @property
    def language(self) -> str:
        """The language notices are to be in: `zh`, else English."""

    def start(self) -> None:
        """Begin to show."""

    def settled(self, batch: Sequence[Settled], summary: RunSummary, *, waiting: int) -> None:
        """Show the counts after a stored batch; `waiting` photos are still to be classified."""

    def doing(self, what: str) -> None:
        """Say what is being done now, in a few words."""

    def walked(self) -> None:
        """Hear that the walk is complete: the total is known."""

    def notice(self, message: str, *, problem: bool = False) -> None:
        """Say one thing a person should know; plain text, escaped by the reporter.

        A `problem` is said under `-q` too.
        """

    def finish(self, summary: RunSummary) -> None:
        """Stop showing progress and say how it went."""

    def close(self) -> None:
        """Give the terminal back, whatever happened; nothing to do after `finish`."""
