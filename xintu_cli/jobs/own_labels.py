"""What the cache knows of the user's own photos, to learn from: a person's word, then an LLM's.

In: entries of the file index. Out: lessons, so many at most that they can be looked at in a
minute or two. A local answer is never among them: a model that learns from itself learns
nothing but to be sure.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice

from anyio import to_thread

from xintu_cli.interfaces import Cache, FileIndex
from xintu_cli.jobs.looking import Lesson
from xintu_cli.records import CachedRow, FileStatus, IndexEntry, Source
from xintu_cli.stages.control import Control
from xintu_cli.taxonomy import Taxonomy

LLM_WEIGHT = 0.5
"""What an LLM's label counts beside a person's, were it wholly sure of it."""
_BATCH = 1_000
_EVERYTHING = b"/"


async def known_entries(index: FileIndex, control: Control) -> AsyncIterator[Sequence[IndexEntry]]:
    """Yield every file that this machine's index knows, in batches."""
    entries = index.under(_EVERYTHING)
    while batch := await to_thread.run_sync(_some, entries, limiter=control.disk):
        yield batch


def _some(entries: Iterator[IndexEntry]) -> list[IndexEntry]:
    return list(islice(entries, _BATCH))


async def own_lessons(
    batches: AsyncIterator[Sequence[IndexEntry]], cache: Cache, taxonomy: Taxonomy, *, most: int
) -> list[Lesson]:
    """Return the labelled photos among the files, `most` at most, each image once.

    Flat memory over any library. Rare categories come whole, of frequent ones a part: a
    person's labels first, then by image hash, which is as good as drawing lots and draws
    the same ones the next time.
    """
    chosen: dict[str, dict[str, Lesson]] = {}
    async for entries in batches:
        paths = {entry.image_hash: entry.path for entry in entries if _is_photo(entry)}
        found = await cache.look_up(taxonomy.task, taxonomy.name, list(paths))
        for image_hash, rows in found.items():
            lesson = _lesson(paths[image_hash], rows, taxonomy)
            if lesson is not None:
                chosen.setdefault(lesson.category, {})[image_hash] = lesson
        for category, lessons in chosen.items():
            if len(lessons) > 2 * most:
                chosen[category] = _first(lessons, most)
    quotas = fair_shares({category: len(lessons) for category, lessons in chosen.items()}, most)
    return [
        lesson
        for category, lessons in sorted(chosen.items())
        for lesson in _first(lessons, quotas[category]).values()
    ]


def fair_shares(counts: dict[str, int], most: int) -> dict[str, int]:
    """Share `most` places so that nobody gets more than it has, and the rest get the same."""
    shares: dict[str, int] = {}
    left = most
    for number, (name, count) in enumerate(sorted(counts.items(), key=lambda item: item[1])):
        shares[name] = min(count, left // (len(counts) - number))
        left -= shares[name]
    return shares


def _is_photo(entry: IndexEntry) -> bool:
    return entry.status == FileStatus.PHOTO and bool(entry.image_hash)


def _lesson(path: bytes, rows: Sequence[CachedRow], taxonomy: Taxonomy) -> Lesson | None:
    """Take the highest word about an image; None where only a local model spoke."""
    by_source = {row.source: row for row in rows if row.category in taxonomy}
    for source in (Source.MANUAL, Source.LLM):
        row = by_source.get(source)
        if row is None:
            continue
        is_person = source is Source.MANUAL
        weight = 1.0 if is_person else LLM_WEIGHT * min(1.0, max(0.0, row.confidence))
        if weight > 0:
            return Lesson(path, row.category, source.value, weight, row.image_hash)
    return None


def _first(lessons: dict[str, Lesson], most: int) -> dict[str, Lesson]:
    ordered = sorted(
        lessons.values(), key=lambda each: (each.giver != Source.MANUAL, each.image_hash)
    )
    return {lesson.image_hash: lesson for lesson in ordered[:most]}
