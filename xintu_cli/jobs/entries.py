"""What this machine knows of the files below some roots; unknown ones are read and hashed.

The first half of every job that is not a run: export, check, label.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial

from anyio import to_thread

from xintu_cli.interfaces import FileIndex
from xintu_cli.records import IndexEntry, Photo
from xintu_cli.stages.control import Control
from xintu_cli.stages.hashing import sort_by_index
from xintu_cli.stages.reading import ReadRules, read_all
from xintu_cli.stages.walk import WalkPlan, walk_files


async def entries_below(
    plan: WalkPlan, *, index: FileIndex, reading: ReadRules, control: Control
) -> AsyncIterator[Sequence[IndexEntry]]:
    """Yield batches of index entries in the order of the walk, whatever their status."""
    batches = walk_files(plan.roots, plan.rules, plan.report)
    while batch := await to_thread.run_sync(partial(next, batches, None), limiter=control.disk):
        yield await _entries(batch, index, reading, control)


async def _entries(
    batch: Sequence[Photo], index: FileIndex, reading: ReadRules, control: Control
) -> Sequence[IndexEntry]:
    known = await to_thread.run_sync(sort_by_index, index, batch, limiter=control.disk)
    if not known.unknown:
        return known.entries
    entries = {entry.path: entry for entry in known.entries}
    for photos in known.chunks():
        read = await read_all(photos, reading, control)
        await to_thread.run_sync(index.remember, read.entries, limiter=control.disk)
        if control.error is not None:
            raise control.error
        entries.update((entry.path, entry) for entry in read.entries)
    return [entries[photo.path] for photo in batch if photo.path in entries]
