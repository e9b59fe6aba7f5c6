"""What the file index remembers, and what it does when its file is not what it should be."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from xintu_cli.errors import SchemaError, StorageError
from xintu_cli.interfaces import FileIndex
from xintu_cli.records import FileStatus, IndexEntry, PhotoFacts
from xintu_cli.storage.index import SqliteFileIndex

FACTS = PhotoFacts(4000, 3000, "2024-05-01T12:00:00", "blue")
NO_FACTS = (None, None, None, None)


@dataclass(frozen=True)
class OpenIndex:
    """An index and the file it lives in."""

    index: FileIndex
    file: Path


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenIndex]:
    """Open an empty index."""
    path = tmp_path / "state" / "index.db"
    with SqliteFileIndex(path) as index:
        yield OpenIndex(index, path)


@pytest.fixture
def index(opened: OpenIndex) -> FileIndex:
    """Return an empty index."""
    return opened.index


def entry(path: bytes, image_hash: str = "a" * 32, facts: PhotoFacts | None = None) -> IndexEntry:
    known = (path, 10, 20, 30, 40, image_hash, 1, 50, FileStatus.PHOTO.value, "")
    return IndexEntry(*known, *facts) if facts else IndexEntry(*known)


def remembered(index: FileIndex, path: bytes) -> IndexEntry:
    (found,) = index.under(path)
    return found


def test_what_is_remembered_is_known(index: FileIndex) -> None:
    cat, dog = entry(b"/p/cat.jpg"), entry(b"/p/dog.jpg", "")
    index.remember([cat, dog])
    expected = {cat.path: cat, dog.path: dog}
    assert expected == index.known([dog.path, b"/p/bird.jpg", cat.path])


def test_nothing_is_known_of_nothing(index: FileIndex) -> None:
    assert index.known([]) == {}


def test_any_number_of_paths_may_be_asked_for(index: FileIndex) -> None:
    entries = [entry(b"/p/%05d.jpg" % number) for number in range(3_000)]
    index.remember(entries)
    assert len(index.known([e.path for e in reversed(entries)])) == 3_000


def test_a_few_paths_are_found_among_many_neighbours(index: FileIndex) -> None:
    index.remember([entry(b"/p/%05d.jpg" % number) for number in range(3_000)])
    asked = [b"/p/00000.jpg", b"/p/01500.jpg", b"/p/02999.jpg", b"/p/none.jpg"]
    assert set(asked[:3]) == set(index.known(asked))


def test_names_are_bytes_of_any_kind(index: FileIndex) -> None:
    names = [b"/p/\xff\xfe.jpg", b"/p/new\nline", "/p/照片.jpg".encode(), b"/p/a.jpg ", b"/p/A.JPG"]
    index.remember([entry(name) for name in names])
    assert set(names) == set(index.known(names))


def test_a_file_is_remembered_anew(index: FileIndex) -> None:
    index.remember([entry(b"/p/cat.jpg")])
    changed = entry(b"/p/cat.jpg", "b" * 32)._replace(size_bytes=11)
    index.remember([changed])
    assert {changed.path: changed} == index.known([changed.path])


def test_facts_are_stored_where_the_image_is_the_same(index: FileIndex) -> None:
    index.remember([entry(b"/p/cat.jpg"), entry(b"/p/dog.jpg")])
    index.describe([(b"/p/cat.jpg", "a" * 32, FACTS), (b"/p/dog.jpg", "b" * 32, FACTS)])
    assert remembered(index, b"/p/cat.jpg")[-4:] == FACTS
    assert remembered(index, b"/p/dog.jpg")[-4:] == NO_FACTS


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"ctime_ns": 31}, FACTS),
        ({"hashed_at_ns": 51}, FACTS),
        ({"mtime_ns": 21}, NO_FACTS),
        ({"size_bytes": 11}, NO_FACTS),
        ({"inode": 41}, NO_FACTS),
        ({"image_hash": "b" * 32}, NO_FACTS),
    ],
)
def test_facts_stay_until_the_file_is_written_to(
    index: FileIndex, changed: dict[str, Any], expected: tuple[object, ...]
) -> None:
    """The camera's time and the orientation may have been put right: the hash is the same."""
    index.remember([entry(b"/p/cat.jpg", facts=FACTS)])
    index.remember([entry(b"/p/cat.jpg")._replace(**changed)])
    assert expected == remembered(index, b"/p/cat.jpg")[-4:]


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        (b"/p", [b"/p/a", b"/p/b/c", b"/p/b0"]),
        (b"/p/", [b"/p/a", b"/p/b/c", b"/p/b0"]),
        (b"/p/b", [b"/p/b/c"]),
        (b"/p/a", [b"/p/a"]),
        (b"/", [b"/p/a", b"/p/b/c", b"/p/b0", b"/pa", b"/q"]),
        (b"/none", []),
    ],
)
def test_entries_are_found_below_a_root(
    index: FileIndex, root: bytes, expected: list[bytes]
) -> None:
    index.remember([entry(path) for path in (b"/q", b"/pa", b"/p/b0", b"/p/b/c", b"/p/a")])
    assert expected == [found.path for found in index.under(root)]
    assert len(expected) == index.count_under(root)


def test_many_entries_are_streamed_and_may_be_forgotten_meanwhile(index: FileIndex) -> None:
    paths = [b"/p/%05d.jpg" % number for number in range(2_500)]
    index.remember([entry(path) for path in paths])
    seen = []
    for found in index.under(b"/p"):
        seen.append(found.path)
        index.forget([found.path])
    assert paths == seen
    assert index.count_under(b"/") == 0


def test_it_tells_where_images_lie_and_why_files_cannot_be_read(tmp_path: Path) -> None:
    with SqliteFileIndex(tmp_path / "index.db") as index:
        broken = entry(b"/p/bad.jpg", "")._replace(status="unreadable", reason="truncated")
        index.remember([entry(b"/p/a"), entry(b"/p/b"), entry(b"/p/c", "c" * 32), broken])
        assert index.paths_of(["a" * 32, "d" * 32]) == {"a" * 32: b"/p/a"}
        assert index.unreadable_reasons() == {"truncated": 1}


def test_several_threads_may_use_it_at_once(index: FileIndex) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                paths = [b"/%d/%d/%d" % (number, turn, file) for file in range(20)]
                index.remember([entry(path) for path in paths])
                assert len(index.known(paths)) == 20
                index.forget(paths[:10])
        except BaseException as error:  # noqa: BLE001 - whatever a thread says is the result
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert index.count_under(b"/") == 8 * 20 * 10


def test_it_survives_being_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    with SqliteFileIndex(path) as index:
        index.remember([entry(b"/p/cat.jpg")])
    with SqliteFileIndex(path) as index:
        assert {b"/p/cat.jpg"} == set(index.known([b"/p/cat.jpg"]))


def test_only_its_owner_can_read_it(opened: OpenIndex) -> None:
    opened.index.remember([entry(b"/p/cat.jpg")])
    modes = {stat.S_IMODE(file.stat().st_mode) for file in opened.file.parent.iterdir()}
    assert {0o600} == modes
    assert stat.S_IMODE(opened.file.parent.stat().st_mode) == 0o700


def test_a_newer_index_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    SqliteFileIndex(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    before = path.read_bytes()
    with pytest.raises(SchemaError, match="newer xintu wrote it"):
        SqliteFileIndex(path)
    assert before == path.read_bytes()


def test_a_damaged_index_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(StorageError, match="move it away"):
        SqliteFileIndex(path)
    assert path.read_bytes() == b"this is no database" * 1000


def test_damage_that_is_met_later_is_told_too(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    with SqliteFileIndex(path) as index:
        index.remember([entry(b"/p/%05d.jpg" % number) for number in range(2_000)])
    content = bytearray(path.read_bytes())
    content[8_192:40_960] = b"\xee" * 32_768
    path.write_bytes(content)
    with (
        SqliteFileIndex(path) as index,
        pytest.raises(StorageError, match="nothing is paid for again"),
    ):
        index.known([b"/p/%05d.jpg" % number for number in range(2_000)])
