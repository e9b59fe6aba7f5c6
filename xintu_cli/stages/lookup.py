"""Ask the cache about whole batches: hashed photos in; hits to the sink, misses to the backlog.

Never waits for a classifier: a miss is a row of the backlog, and the walk goes on.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace

from anyio import to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from xintu_cli.interfaces import Backlog, Cache
from xintu_cli.outcomes import Hits, Outcome
from xintu_cli.records import CachedRow, HashedBatch, IndexEntry, Task
from xintu_cli.routing import Acceptance, Refresh, Ruling, Verdict, judge
from xintu_cli.stages.control import Control
from xintu_cli.stages.seen import SeenImages

_HIT = Verdict.HIT


@dataclass(frozen=True, slots=True)
class Question:
    """What the cache is asked: answers to which task, and which of them count."""

    task: str
    taxonomy: str
    acceptance: Acceptance


@dataclass(frozen=True, slots=True)
class Shelves:
    """Where answers are looked for, and where questions wait that have none."""

    cache: Cache
    backlog: Backlog
    question: Question

    async def rulings(
        self, hashes: Iterable[str], asked: Container[str] = frozenset()
    ) -> dict[str, Ruling]:
        """Rule on distinct images by what the cache has of them now.

        What this run has `asked` about is not to be refreshed once more.
        """
        images = list(dict.fromkeys(hashes))
        question = self.question
        rows = await self.cache.look_up(question.task, question.taxonomy, images)
        fresh = question.acceptance
        if fresh.refresh is Refresh.NONE:
            return {image: judge(rows.get(image, ()), fresh) for image in images}
        settled = replace(fresh, refresh=Refresh.NONE)
        return {
            image: judge(rows.get(image, ()), settled if image in asked else fresh)
            for image in images
        }


async def look_up(
    hashed: MemoryObjectReceiveStream[HashedBatch],
    outcomes: MemoryObjectSendStream[Outcome],
    *,
    shelves: Shelves,
    control: Control,
) -> None:
    """Answer what the cache can answer and queue the rest, batch by batch."""
    seen = SeenImages()
    try:
        async with hashed, outcomes:
            async for batch in hashed:
                rulings = await shelves.rulings(photo.image_hash for photo in batch.photos)
                hits, misses = _part(batch, rulings, seen)
                if hits.photos:
                    await outcomes.send(hits)
                if misses:
                    await to_thread.run_sync(shelves.backlog.add, misses, limiter=control.disk)
                    control.tell()
    finally:
        # Whatever ended it: the feeder waits for this.
        control.looked_up()


def _part(
    batch: HashedBatch, rulings: Mapping[str, Ruling], seen: SeenImages
) -> tuple[Hits, list[Task]]:
    """Part a batch into what the cache answers and what is still to be classified."""
    photos: list[IndexEntry] = []
    rows: list[CachedRow] = []
    misses: list[Task] = []
    duplicates = 0
    images = [photo.image_hash for photo in batch.photos]
    for photo, image, is_new in zip(batch.photos, images, seen.add_all(images), strict=True):
        verdict, row = rulings[image]
        if verdict is _HIT and row is not None:
            photos.append(photo)
            rows.append(row)
            duplicates += not is_new
        elif verdict is Verdict.PROVISIONAL and row is not None:
            misses.append(Task(image, photo.path, photo.size_bytes, True, row.category))
        else:
            misses.append(Task(image, photo.path, photo.size_bytes, False))
    hits = Hits(tuple(photos), tuple(rows), batch.unchanged, duplicates, batch.new_here)
    return hits, misses
