"""Label: a person's word about photos, which outranks every model.

Kept by image and taxonomy name, so it survives renames, upgrades and new descriptions.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from anyio import to_thread

from xintu_cli.errors import PhotoError, UnreadablePhotoError
from xintu_cli.imaging.identity import image_hash
from xintu_cli.imaging.reading import read_photo
from xintu_cli.interfaces import Cache, FileIndex
from xintu_cli.jobs.entries import entries_below
from xintu_cli.records import FileStatus
from xintu_cli.stages.control import Control
from xintu_cli.stages.reading import ReadRules
from xintu_cli.stages.walk import WalkPlan
from xintu_cli.taxonomy import Taxonomy

BATCH = 512


@dataclass(slots=True)
class Labelled:
    """What labelling came to. `photos` counts files, `images` distinct pictures."""

    photos: int = 0
    images: int = 0
    failures: list[tuple[bytes, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LabelDesk:
    """What labelling needs."""

    cache: Cache
    index: FileIndex
    taxonomy: Taxonomy
    reading: ReadRules
    who: str
    control: Control


async def label_below(plan: WalkPlan, category: str | None, desk: LabelDesk) -> Labelled:
    """Give every photo below the roots the category; None takes a person's word back."""
    done = Labelled()
    below = entries_below(plan, index=desk.index, reading=desk.reading, control=desk.control)
    async for entries in below:
        done.failures += [
            (entry.path, entry.reason) for entry in entries if entry.status == FileStatus.UNREADABLE
        ]
        photos = [entry for entry in entries if entry.status == FileStatus.PHOTO]
        done.photos += len(photos)
        images = list(dict.fromkeys(entry.image_hash for entry in photos))
        if category is None:
            done.images += await desk.cache.clear_labels(desk.taxonomy.name, images)
        else:
            await _store([(image, category) for image in images], done, desk)
    done.failures += plan.report.problems
    return done


async def label_rows(rows: Iterable[tuple[bytes, str]], desk: LabelDesk) -> Labelled:
    """Store (path, category) rows, as an export wrote them; categories are checked already."""
    done = Labelled()
    batch: list[tuple[bytes, str]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            await _label_batch(batch, done, desk)
            batch = []
    await _label_batch(batch, done, desk)
    return done


async def _label_batch(rows: Sequence[tuple[bytes, str]], done: Labelled, desk: LabelDesk) -> None:
    labels = await to_thread.run_sync(_hash_rows, rows, done, desk, limiter=desk.control.reading)
    await _store(labels, done, desk)


def _hash_rows(
    rows: Sequence[tuple[bytes, str]], done: Labelled, desk: LabelDesk
) -> list[tuple[str, str]]:
    """Read and hash the files that rows name; blocks. A person's word deserves fresh bytes."""
    labels: dict[str, str] = {}
    for path, category in rows:
        try:
            file = read_photo(path, size_limit_bytes=desk.reading.size_limit_bytes)
            if file is None:
                raise UnreadablePhotoError("no photo")
        except PhotoError as error:
            reason = str(error) if os.path.lexists(path) else "there is no such file"
            done.failures.append((path, reason))
            continue
        done.photos += 1
        labels[image_hash(file.data)] = category
    return list(labels.items())


async def _store(labels: Sequence[tuple[str, str]], done: Labelled, desk: LabelDesk) -> None:
    if labels:
        await desk.cache.set_labels(desk.taxonomy.name, labels, who=desk.who)
        done.images += len(labels)
