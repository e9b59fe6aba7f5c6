"""Forgetting what is gone from folders, and never what is only away."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.photos import make_tree
from xintu_cli.jobs.tidying import Tidied, forget_orphans
from xintu_cli.records import FileStatus, IndexEntry
from xintu_cli.storage.index import SqliteFileIndex
from xintu_cli.taxonomy import HASH_VERSION


@pytest.fixture
def index(tmp_path: Path) -> Iterator[SqliteFileIndex]:
    with SqliteFileIndex(tmp_path / "state" / "index.db") as opened:
        yield opened


@pytest.fixture
def photos(tmp_path: Path, index: SqliteFileIndex) -> list[Path]:
    """Return six photos in three folders, all of them known."""
    made = make_tree(tmp_path / "photos", 6)
    index.remember(
        [
            IndexEntry(
                os.fsencode(path), 1, 1, 1, number, f"{number:032x}", HASH_VERSION, 1,
                FileStatus.PHOTO, "",
            )
            for number, path in enumerate(made)
        ]
    )  # fmt: skip
    return made


def below(index: SqliteFileIndex, folder: Path) -> int:
    return index.count_under(os.fsencode(folder))


def test_only_what_is_gone_below_the_named_folders_is_forgotten(
    index: SqliteFileIndex, photos: list[Path], tmp_path: Path
) -> None:
    photos[0].unlink()
    photos[1].unlink()
    root = os.fsencode(photos[0].parent)
    assert forget_orphans(index, [root], dry_run=True) == Tidied(1, ())
    assert below(index, tmp_path) == 6
    assert forget_orphans(index, [root], dry_run=False) == Tidied(1, ())
    assert below(index, tmp_path) == 5
    assert os.fsencode(photos[1]) in index.known([os.fsencode(photos[1])])


@pytest.mark.usefixtures("photos")
def test_a_folder_that_is_gone_is_forgotten_with_all_in_it(
    index: SqliteFileIndex, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "photos")
    tidied = forget_orphans(index, [os.fsencode(tmp_path / "photos")], dry_run=False)
    assert tidied == Tidied(6, ())
    assert below(index, tmp_path) == 0


@pytest.mark.usefixtures("photos")
def test_an_empty_folder_may_be_a_disk_that_is_not_mounted(
    index: SqliteFileIndex, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    shutil.rmtree(folder)
    folder.mkdir()
    root = os.fsencode(folder)
    assert forget_orphans(index, [root], dry_run=False) == Tidied(0, (root,))
    assert below(index, tmp_path) == 6


def test_more_than_a_batch_goes_too(index: SqliteFileIndex, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "gone")
    index.remember(
        [
            IndexEntry(folder + b"/%d.jpg" % n, 1, 1, 1, n, "", HASH_VERSION, 1, "unreadable", "x")
            for n in range(2_500)
        ]
    )
    assert forget_orphans(index, [folder], dry_run=False) == Tidied(2_500, ())
    assert below(index, tmp_path) == 0


def test_the_index_finds_a_path_of_an_image_and_counts_reasons(
    index: SqliteFileIndex, photos: list[Path]
) -> None:
    index.remember(
        [
            IndexEntry(b"/a/%d.jpg" % n, 1, 1, 1, n, "", HASH_VERSION, 1, "unreadable", reason)
            for n, reason in enumerate(("truncated", "truncated", "empty file"))
        ]
    )
    hashes = [f"{number:032x}" for number in (0, 5, 99)]
    assert index.paths_of(hashes) == {
        hashes[0]: os.fsencode(photos[0]),
        hashes[1]: os.fsencode(photos[5]),
    }
    assert index.paths_of([]) == {}
    assert index.unreadable_reasons() == {"truncated": 2, "empty file": 1}
