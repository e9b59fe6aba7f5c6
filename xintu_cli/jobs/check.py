"""Check: which photos below the roots the cache can answer, and from which source.

Walks, hashes and looks up; classifies nothing and writes nothing but the index.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from xintu_cli.interfaces import FileIndex
from xintu_cli.jobs.entries import entries_below
from xintu_cli.records import FileStatus
from xintu_cli.routing import Verdict
from xintu_cli.stages.control import Control
from xintu_cli.stages.lookup import Shelves
from xintu_cli.stages.reading import ReadRules
from xintu_cli.stages.walk import WalkPlan


class Checked(NamedTuple):
    """One photo and what the cache has for it; `source` "" where it has nothing."""

    path: bytes
    image_hash: str
    verdict: str
    source: str
    category: str


async def check(
    plan: WalkPlan, *, index: FileIndex, shelves: Shelves, reading: ReadRules, control: Control
) -> AsyncIterator[Sequence[Checked]]:
    """Yield batches in the order of the walk; unreadable files have the verdict `unreadable`."""
    below = entries_below(plan, index=index, reading=reading, control=control)
    async for entries in below:
        rulings = await shelves.rulings(e.image_hash for e in entries if e.image_hash)
        rows = []
        for entry in entries:
            if entry.status == FileStatus.UNREADABLE:
                rows.append(Checked(entry.path, "", "unreadable", "", ""))
            elif entry.status == FileStatus.PHOTO:
                ruling = rulings[entry.image_hash]
                row = ruling.row if ruling.verdict is not Verdict.MISS else None
                source, category = (row.source, row.category) if row else ("", "")
                rows.append(
                    Checked(entry.path, entry.image_hash, ruling.verdict.value, source, category)
                )
        yield rows
