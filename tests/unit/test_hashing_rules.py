"""When an index entry still speaks for a file, and how unknown files are cut into hops."""

from __future__ import annotations

from pathlib import Path

import pytest

from xintu_cli.records import FileStatus, IndexEntry, Photo
from xintu_cli.stages.hashing import (
    CHUNK_BYTES,
    CHUNK_FILES,
    RACY_NS,
    Sorted,
    is_trusted,
    sort_by_index,
)
from xintu_cli.storage.index import SqliteFileIndex
from xintu_cli.taxonomy import HASH_VERSION

SECOND = 1_000_000_000
TOUCHED = 1_700_000_000 * SECOND
HASHED = TOUCHED + 3600 * SECOND
NOW = HASHED + 86_400 * SECOND

PHOTO = Photo(b"/photos/a.jpg", 1000, TOUCHED, TOUCHED + 5, 42)
ENTRY = IndexEntry(*PHOTO, "a" * 32, HASH_VERSION, HASHED, FileStatus.PHOTO, "")


def test_a_file_that_was_not_touched_since_is_known() -> None:
    assert is_trusted(ENTRY, PHOTO, NOW)


@pytest.mark.parametrize(
    "changed",
    [
        PHOTO._replace(size_bytes=1001),
        PHOTO._replace(mtime_ns=TOUCHED + 1),
        PHOTO._replace(mtime_ns=TOUCHED - SECOND),
        # A rewrite of the same size whose mtime was put back: only the ctime tells.
        PHOTO._replace(ctime_ns=TOUCHED + 6),
        PHOTO._replace(inode=43),
        PHOTO._replace(path=b"/photos/b.jpg"),
    ],
    ids=["size", "mtime", "older mtime", "ctime alone", "inode", "path"],
)
def test_a_file_any_of_whose_stat_differs_is_read_again(changed: Photo) -> None:
    assert not is_trusted(ENTRY, changed, NOW)


@pytest.mark.parametrize(
    ("mtime_before", "ctime_before", "expected"),
    [
        (RACY_NS + 1, RACY_NS + 1, True),
        (RACY_NS, RACY_NS + 1, False),
        (RACY_NS + 1, RACY_NS, False),
        (0, 0, False),
        (RACY_NS + 1, -SECOND, False),
        (-3600 * SECOND, RACY_NS + 1, False),
    ],
    ids=["longer", "mtime at the border", "ctime at it", "at once", "ctime after", "future mtime"],
)
def test_a_file_touched_within_two_seconds_of_being_hashed_is_read_again(
    mtime_before: int, ctime_before: int, expected: bool
) -> None:
    photo = PHOTO._replace(mtime_ns=HASHED - mtime_before, ctime_ns=HASHED - ctime_before)
    entry = ENTRY._replace(mtime_ns=photo.mtime_ns, ctime_ns=photo.ctime_ns)
    assert is_trusted(entry, photo, NOW) is expected


@pytest.mark.parametrize(("now_ns", "expected"), [(HASHED, True), (HASHED - 1, False)])
def test_an_entry_from_the_future_is_not_believed(now_ns: int, expected: bool) -> None:
    """The clock was wrong when it was written, or it is wrong now."""
    assert is_trusted(ENTRY, PHOTO, now_ns) is expected


def test_an_entry_hashed_at_no_time_is_never_believed() -> None:
    assert not is_trusted(ENTRY._replace(hashed_at_ns=0), PHOTO, NOW)


def test_an_entry_of_another_way_of_hashing_is_not_believed() -> None:
    assert not is_trusted(ENTRY._replace(hash_version=HASH_VERSION + 1), PHOTO, NOW)


@pytest.mark.parametrize("status", list(FileStatus))
def test_every_verdict_is_believed_not_only_photos(status: FileStatus) -> None:
    assert is_trusted(ENTRY._replace(status=status, image_hash=""), PHOTO, NOW)


def test_a_batch_is_parted_into_known_and_unknown_and_remembers_what_was(tmp_path: Path) -> None:
    changed = PHOTO._replace(path=b"/photos/b.jpg")
    new = PHOTO._replace(path=b"/photos/c.jpg")
    with SqliteFileIndex(tmp_path / "index.db") as index:
        other = ENTRY._replace(path=changed.path, image_hash="b" * 32, ctime_ns=TOUCHED)
        index.remember([ENTRY, other])
        parted = sort_by_index(index, [PHOTO, changed, new])
    assert [entry.path for entry in parted.entries] == [PHOTO.path]
    assert parted.unknown == [changed, new]
    assert parted.before == {changed.path: "b" * 32}


def cut(*sizes: int) -> list[list[int]]:
    photos = [PHOTO._replace(size_bytes=size) for size in sizes]
    return [[p.size_bytes for p in chunk] for chunk in Sorted([], photos, {}).chunks()]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([1], [[1]]),
        ([CHUNK_BYTES, 1], [[CHUNK_BYTES], [1]]),
        ([CHUNK_BYTES - 1, 1], [[CHUNK_BYTES - 1, 1]]),
        # One that is too large for a hop has one of its own.
        ([1, 2 * CHUNK_BYTES, 1], [[1], [2 * CHUNK_BYTES], [1]]),
    ],
)
def test_a_hop_takes_so_many_bytes(sizes: list[int], expected: list[list[int]]) -> None:
    assert cut(*sizes) == expected


def test_a_hop_takes_so_many_files() -> None:
    assert [len(chunk) for chunk in cut(*[1] * (2 * CHUNK_FILES + 1))] == [
        CHUNK_FILES,
        CHUNK_FILES,
        1,
    ]
