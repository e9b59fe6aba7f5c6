"""Label: a person's word about photos, which outranks every model.

Kept by image and taxonomy name, so it survives renames, upgrades and new descriptions.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from anyio import to_thread

from xintu_cli.errors import PhotoError, UnreadablePhotoError, VanishedPhotoError
from xintu_cli.imaging.identity import image_hash
from xintu_cli.interfaces import Cache, FileIndex
from xintu_cli.jobs.entries import entries_below
from xintu_cli.records import FileStatus
from xintu_cli.stages.control import Control
from xintu_cli.stages.reading import ReadRules, read_in_time
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
    """Read and hash the files that rows name. A person's word deserves fresh bytes."""
    labels: dict[str, str] = {}
    for path, category in rows:
        try:
            file = await read_in_time(path, desk.reading, desk.control)
            if file is None:
                raise UnreadablePhotoError("no photo")
        except PhotoError as error:
            done.failures.append((path, _reason(path, error)))
            continue
        done.photos += 1
        image = await to_thread.run_sync(image_hash, file.data, limiter=desk.control.decoding)
        labels[image] = category
    await _store(list(labels.items()), done, desk)


def _reason(path: bytes, error: PhotoError) -> str:
    """Say why a file has no label; one that was named and is not there has not vanished."""
    is_missing = isinstance(error, VanishedPhotoError) and not os.path.lexists(path)
    return "there is no such file" if is_missing else str(error)


async def _store(labels: Sequence[tuple[str, str]], done: Labelled, desk: LabelDesk) -> None:
    if labels:
        await desk.cache.set_labels(desk.taxonomy.name, labels, who=desk.who)
        done.images += len(labels)
