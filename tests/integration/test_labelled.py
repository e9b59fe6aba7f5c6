"""Labelled photos: what is taken, and what is refused before anything is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.photos import make_jpeg
from xintu_cli.errors import RootMissingError, UsageError
from xintu_cli.jobs.labelled import LabelledPhoto, labelled_photos
from xintu_cli.stages.walk import WalkRules
from xintu_cli.taxonomy import load_taxonomy

TAXONOMY = load_taxonomy("xintu")


def photo(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no photo" if path.suffix == ".txt" else make_jpeg(len(path.name)))
    return path


def read(place: Path) -> list[tuple[str, str]]:
    found = labelled_photos(place, TAXONOMY, WalkRules())
    return [(os.fsdecode(each.path), each.category) for each in found]


def test_folders_name_categories_by_key_or_by_either_name(tmp_path: Path) -> None:
    made = [
        (photo(tmp_path / "pets" / "a.jpg"), "pets"),
        (photo(tmp_path / "pets" / "deeper" / "b.jpg"), "pets"),
        (photo(tmp_path / "手机截图" / "c.png"), "screenshot"),
        (photo(tmp_path / "手机截图" / "IMG_0001"), "screenshot"),
    ]
    (tmp_path / "pets" / "notes.txt").write_text("no photo")
    (tmp_path / "pets" / "notes").write_text("no photo")
    photo(tmp_path / "pets" / "developed.cr2")
    (tmp_path / "README.md").write_text("no photo")
    (tmp_path / ".git").mkdir()
    assert sorted(read(tmp_path)) == sorted((str(path), key) for path, key in made)


def test_a_csv_may_name_paths_from_here_from_beside_it_and_from_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, beside = tmp_path / "here", tmp_path / "set"
    first, second = photo(here / "a.jpg"), photo(beside / "b.jpg")
    third = photo(tmp_path / "c.jpg")
    table = beside / "labels.csv"
    table.write_text(f"path,category\na.jpg,pets\nb.jpg,Food\n{third},其它\nb.jpg,foods\n", "utf-8")
    monkeypatch.chdir(here)
    assert read(table) == [(str(first), "pets"), (str(second), "foods"), (str(third), "other")]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ((), "no labelled photo"),
        (("pets/a.jpg", "cats/b.jpg"), "'cats'"),
        (("pets/a.jpg", "fods/b.jpg"), "foods"),
        (("pets/a.jpg", "foods/"), "foods has no photo"),
        (("pets/a.jpg", "foods/notes.txt"), "foods has no photo"),
        (("pets/a.jpg", "foods/b.jpg", "stray.jpg"), "stray.jpg"),
    ],
)
def test_a_folder_that_is_not_as_it_should_be_is_told_why(
    tmp_path: Path, files: tuple[str, ...], said: str
) -> None:
    for name in files:
        if name.endswith("/"):
            (tmp_path / name).mkdir()
        else:
            photo(tmp_path / name)
    with pytest.raises(UsageError, match=said):
        read(tmp_path)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("", "no labelled photo"),
        ("a.jpg,pets\nb.jpg,kittens\n", "line 3"),
        ("a.jpg,pets\ngone.jpg,foods\n", "gone.jpg"),
        ("a.jpg,pets\nb.jpg,foods\na.jpg,other\n", "line 4"),
    ],
)
def test_a_csv_that_is_not_as_it_should_be_is_told_why(
    tmp_path: Path, rows: str, said: str
) -> None:
    for name in ("a.jpg", "b.jpg"):
        photo(tmp_path / name)
    table = tmp_path / "labels.csv"
    table.write_text(f"path,category\n{rows}", encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        read(table)


def test_a_place_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RootMissingError, match="nowhere"):
        labelled_photos(tmp_path / "nowhere", TAXONOMY, WalkRules())


def test_a_labelled_photo_is_an_absolute_path(tmp_path: Path) -> None:
    for name in ("pets", "foods"):
        photo(tmp_path / name / "a.jpg")
    found = labelled_photos(tmp_path, TAXONOMY, WalkRules())
    assert found == [
        LabelledPhoto(os.fsencode(tmp_path / name / "a.jpg"), name) for name in ("foods", "pets")
    ]
