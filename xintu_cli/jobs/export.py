"""Export: one row per photo below the roots, out of the index and the cache.

Reads, never classifies, never spends. Files the index does not know are hashed; what only a
decode tells (size in pixels, camera time, background colour) is found out once and kept.
Flat memory: a batch of the walk at a time.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import anyio
from anyio import to_thread

from xintu_cli.errors import PhotoError, UnreadablePhotoError
from xintu_cli.imaging.decode import decode
from xintu_cli.imaging.identity import image_hash
from xintu_cli.imaging.reading import read_photo
from xintu_cli.interfaces import Cache, FileIndex
from xintu_cli.jobs.entries import entries_below
from xintu_cli.records import CachedAnswer, FileStatus, IndexEntry, PhotoFacts
from xintu_cli.reporting.export import ExportRow
from xintu_cli.routing import most_believed
from xintu_cli.stages.control import Control
from xintu_cli.stages.patterns import Patterns
from xintu_cli.stages.reading import ReadRules
from xintu_cli.stages.roots import outermost
from xintu_cli.stages.walk import BATCH, SYSTEM_NAMES, WalkPlan
from xintu_cli.taxonomy import Taxonomy

FACTS_EDGE = 256
"""Pixels that suffice for a background colour."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What an export reads."""

    index: FileIndex
    cache: Cache
    taxonomy: Taxonomy
    reading: ReadRules
    language: str
    keep_missing: bool = False


async def export_rows(
    plan: WalkPlan, sources: Sources, control: Control
) -> AsyncIterator[Sequence[ExportRow]]:
    """Yield batches of rows in the order of the walk; files that are gone, if asked, last."""
    below = entries_below(plan, index=sources.index, reading=sources.reading, control=control)
    async for entries in below:
        yield await _rows(await _complete(entries, sources, control), sources)
    if not sources.keep_missing:
        return
    patterns = Patterns(plan.rules.include, plan.rules.exclude)
    for root in outermost(plan.roots):
        gone: list[IndexEntry]
        known = sources.index.under(root)
        prefix = len(root.rstrip(b"/")) + 1
        missing = (
            entry
            for entry in known
            if _is_missing(entry)
            and (plan.rules.hidden or not _is_hidden(entry.path[prefix:]))
            and (entry.path == root or patterns.want(entry.path, prefix))
        )
        while gone := await to_thread.run_sync(
            partial(list, islice(missing, BATCH)), limiter=control.disk
        ):
            yield await _rows(gone, sources)


def _is_hidden(below: bytes) -> bool:
    return any(name.startswith(b".") or name in SYSTEM_NAMES for name in below.split(b"/"))


def _is_missing(entry: IndexEntry) -> bool:
    return entry.status != FileStatus.NOT_PHOTO and not os.path.lexists(entry.path)


async def _complete(
    entries: Sequence[IndexEntry], sources: Sources, control: Control
) -> Sequence[IndexEntry]:
    """Return the entries with their facts, in the same order."""
    photos = [entry for entry in entries if entry.status == FileStatus.PHOTO]
    paths = [photo.path for photo in photos]
    facts = await to_thread.run_sync(sources.index.facts, paths, limiter=control.disk)
    complete = await _with_facts([p for p in photos if p.path not in facts], sources, control)
    complete |= {p.path: p._replace(**facts[p.path]._asdict()) for p in photos if p.path in facts}
    return [complete.get(entry.path, entry) for entry in entries]


async def _with_facts(
    bare: Sequence[IndexEntry], sources: Sources, control: Control
) -> dict[bytes, IndexEntry]:
    """Decode photos whose facts nobody has asked for yet, a thread a core; keep what it tells."""
    found: dict[bytes, IndexEntry] = {}
    if not bare:
        return found

    async def look(entry: IndexEntry) -> None:
        # A disk that does not answer costs a row its facts, not the export its end.
        async with control.decoding:
            with anyio.move_on_after(sources.reading.timeout_seconds):
                found[entry.path] = await to_thread.run_sync(
                    _decoded_entry,
                    entry,
                    sources.reading,
                    abandon_on_cancel=True,
                    limiter=control.reading,
                )

    async with anyio.create_task_group() as group:
        for entry in bare:
            group.start_soon(look, entry)
    seen = [e for e in found.values() if e.status == FileStatus.PHOTO and e.width is not None]
    unreadable = [e for e in found.values() if e.status == FileStatus.UNREADABLE]
    facts = [(e.path, e.image_hash, _facts_of(e)) for e in seen]
    await to_thread.run_sync(sources.index.describe, facts, limiter=control.disk)
    await to_thread.run_sync(sources.index.remember, unreadable, limiter=control.disk)
    return found


def _decoded_entry(entry: IndexEntry, reading: ReadRules) -> IndexEntry:
    """Return the entry with its facts, or as unreadable; blocks."""
    try:
        file = read_photo(
            entry.path,
            size_limit_bytes=reading.size_limit_bytes,
            follow_symlinks=reading.follow_symlinks,
        )
        if file is None or image_hash(file.data) != entry.image_hash:
            return entry  # it changed this very moment: the next run looks again
        facts = decode(file.data, image_hash=entry.image_hash, edge=FACTS_EDGE).facts
    except UnreadablePhotoError as error:
        if not error.lasting:
            return entry
        return entry._replace(status=FileStatus.UNREADABLE, reason=str(error), image_hash="")
    except PhotoError:
        return entry
    return entry._replace(**facts._asdict())


def _facts_of(entry: IndexEntry) -> PhotoFacts:
    assert entry.width is not None
    assert entry.height is not None
    return PhotoFacts(entry.width, entry.height, entry.taken_at, entry.background_color or "")


async def _rows(entries: Sequence[IndexEntry], sources: Sources) -> Sequence[ExportRow]:
    taxonomy = sources.taxonomy
    hashes = list({entry.image_hash for entry in entries if entry.image_hash})
    answers = await sources.cache.details(taxonomy.task, taxonomy.name, hashes) if hashes else {}
    return [
        _row(entry, most_believed(answers.get(entry.image_hash, ()), taxonomy), sources)
        for entry in entries
        if entry.status != FileStatus.NOT_PHOTO
    ]


def _row(entry: IndexEntry, answer: CachedAnswer | None, sources: Sources) -> ExportRow:
    taxonomy = sources.taxonomy
    category = answer.category if answer else ""
    second = answer.second_category if answer else None
    return ExportRow(
        path=entry.path,
        image_hash=entry.image_hash,
        category=category,
        category_name=taxonomy.display_name(category, sources.language) if answer else "",
        confidence=answer.confidence if answer else None,
        description=answer.description if answer else "",
        second_category=second if second in taxonomy else None,
        background_color=entry.background_color,
        source=answer.source if answer else "",
        provisional=answer is not None and answer.stands_in,
        provider=answer.provider if answer else "",
        model=answer.model if answer else "",
        classified_at=answer.created_at if answer else None,
        size_bytes=entry.size_bytes,
        width=entry.width,
        height=entry.height,
        taken_at=entry.taken_at,
    )
