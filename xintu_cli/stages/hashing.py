"""Fingerprint files: batches of walked photos in, batches of hashed photos out.

An unchanged file costs a row of the index and no open. The rest is read and hashed in worker
threads, a hop a chunk of 256 files or 64 MB: a hop costs 25 µs, hashing a small file 8 µs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import anyio
from anyio import to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from xintu_cli.interfaces import FileIndex
from xintu_cli.outcomes import Failed, Found, Outcome, Skipped
from xintu_cli.records import FileStatus, HashedBatch, IndexEntry, Photo
from xintu_cli.stages.control import Control
from xintu_cli.stages.reading import Reading, ReadRules, read_promptly
from xintu_cli.taxonomy import HASH_VERSION

CHUNK_FILES = 256
CHUNK_BYTES = 64 * 1024 * 1024
_SMALL_BYTES = 256 * 1024
_PHOTO = FileStatus.PHOTO.value
RACY_NS = 2_000_000_000
"""FAT and SMB stamp files to 2 s: a file touched that shortly before it was read may have
changed since without showing it (borg's and git's rule)."""


@dataclass(slots=True)
class Sorted:
    """What the index says of a batch."""

    entries: list[IndexEntry]
    """Entries that still speak for their files."""
    unknown: list[Photo]
    before: dict[bytes, str]
    """Path to image hash as the index had it, for files that must be read again."""

    def chunks(self) -> Iterator[list[Photo]]:
        """Cut what must be read into hops of `CHUNK_FILES` files or about `CHUNK_BYTES`."""
        chunk: list[Photo] = []
        size = 0
        for photo in self.unknown:
            if chunk and (len(chunk) == CHUNK_FILES or size + photo.size_bytes > CHUNK_BYTES):
                yield chunk
                chunk, size = [], 0
            chunk.append(photo)
            size += photo.size_bytes
        if chunk:
            yield chunk


async def fingerprint(
    found: MemoryObjectReceiveStream[list[Photo]],
    hashed: MemoryObjectSendStream[HashedBatch],
    outcomes: MemoryObjectSendStream[Outcome],
    *,
    index: FileIndex,
    rules: ReadRules,
    control: Control,
) -> None:
    """Turn walked files into hashed photos; unreadable and vanished ones go to the sink."""
    async with found, hashed, outcomes, anyio.create_task_group() as aside:
        async for batch in found:
            async with control.turn():
                known = await to_thread.run_sync(sort_by_index, index, batch, limiter=control.disk)
            control.indexed += len(known.entries)
            await _send(hashed, outcomes, known.entries, unchanged=True)

            async def deliver(read: Reading, before: Mapping[bytes, str] = known.before) -> None:
                await to_thread.run_sync(index.remember, read.entries, limiter=control.disk)
                control.indexed += len(read.entries)
                for path in read.vanished:
                    await outcomes.send(Found(1))
                    await outcomes.send(Skipped(path, "vanished before it could be read"))
                await _send(hashed, outcomes, read.entries, before=before)
                read.tell(control)

            for photos in known.chunks():
                if control.stopping:
                    break
                # Large files take their time outside the interpreter: two at once are faster.
                async with control.turn() if _are_small(photos) else nullcontext():
                    await read_promptly(photos, rules, control, aside=aside, deliver=deliver)


def _are_small(photos: Sequence[Photo]) -> bool:
    return sum(photo.size_bytes for photo in photos) < _SMALL_BYTES * len(photos)


_NOTHING: Mapping[bytes, str] = {}


async def _send(
    hashed: MemoryObjectSendStream[HashedBatch],
    outcomes: MemoryObjectSendStream[Outcome],
    entries: Sequence[IndexEntry],
    *,
    unchanged: bool = False,
    before: Mapping[bytes, str] = _NOTHING,
) -> None:
    """Send photos on and failures to the sink; what is no photo at all is neither."""
    photos = tuple(entry for entry in entries if entry.status == _PHOTO)
    failed = [entry for entry in entries if entry.status == FileStatus.UNREADABLE]
    if photos or failed:
        await outcomes.send(Found(len(photos) + len(failed)))
    for entry in failed:
        await outcomes.send(Failed(entry.path, entry.reason, known=unchanged))
    if photos:
        new_here = () if unchanged else (e for e in photos if before.get(e.path) != e.image_hash)
        await hashed.send(
            HashedBatch(photos, unchanged, frozenset(entry.path for entry in new_here))
        )


def sort_by_index(index: FileIndex, batch: Sequence[Photo]) -> Sorted:
    """Part a batch into what the index answers and what must be read; blocks."""
    known = index.known([photo.path for photo in batch])
    now_ns = time.time_ns()
    result = Sorted([], [], {})
    for photo in batch:
        entry = known.get(photo.path)
        if entry is not None and is_trusted(entry, photo, now_ns):
            result.entries.append(entry)
            continue
        result.unknown.append(photo)
        if entry is not None:
            result.before[photo.path] = entry.image_hash
    return result


def is_trusted(entry: IndexEntry, photo: Photo, now_ns: int) -> bool:
    """Tell whether an entry still speaks for the file: all of its stat equal, and not racy."""
    return (
        entry[:5] == photo
        and entry.hash_version == HASH_VERSION
        and entry.hashed_at_ns - RACY_NS > photo.mtime_ns
        and entry.hashed_at_ns - RACY_NS > photo.ctime_ns
        and entry.hashed_at_ns <= now_ns
    )
