"""Heads on disk: adopted in one step, kept, taken back; what is wrong with one is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.heads import kept_head, notes
from xintu_cli.errors import ModelFileError, StorageError
from xintu_cli.providers.head import Head
from xintu_cli.providers.head_files import NOTES_NAME, WEIGHTS_NAME, KeptHead, pack_head
from xintu_cli.providers.heads import IN_USE_NAME, MOST_KEPT, HeadShelf, shelves

BASE = "ab" * 32


def head(seed: int = 0) -> Head:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(5, 2)).astype(np.float32)
    return Head(("cat", "dog"), weight, np.zeros(2, np.float32), prior=0.5)


def shelf(home: Path) -> HeadShelf:
    return HeadShelf.of(home, "tiny", "animals")


def test_a_head_survives_being_kept(tmp_path: Path) -> None:
    kept_head(tmp_path, head())
    kept = shelf(tmp_path).in_use()
    assert kept is not None
    assert np.array_equal(kept.head(5).weight, head().weight)
    assert kept.head(5).prior == 0.5
    assert kept.head(5).categories == ("cat", "dog")


def test_what_was_said_of_its_photos_is_kept_with_it(tmp_path: Path) -> None:
    said = {"0" * 32: np.array([0.25, 0.75]), "1" * 32: np.array([1.0, 0.0])}
    shelf(tmp_path).adopt(notes(("cat", "dog")), pack_head(head(), said))
    kept = shelf(tmp_path).in_use()
    assert kept is not None
    assert {name: row.tolist() for name, row in kept.held_out().items()} == {
        "0" * 32: [0.25, 0.75],
        "1" * 32: [1.0, 0.0],
    }


def test_another_head_is_another_model(tmp_path: Path) -> None:
    first, second = (kept_head(tmp_path, head(seed)).notes.digest for seed in (1, 2))
    surer = kept_head(tmp_path, head(2), cascade=0.8).notes.digest
    assert len({first, second, surer}) == 3
    assert kept_head(tmp_path / "elsewhere", head(1)).notes.digest == first


def test_taking_back_leads_through_all_that_were_adopted_to_none(tmp_path: Path) -> None:
    digests = [kept_head(tmp_path, head(seed)).notes.digest for seed in range(3)]
    for digest in reversed(digests):
        present = shelf(tmp_path).in_use()
        assert present is not None
        assert present.notes.digest == digest
        assert shelf(tmp_path).take_back()
    assert shelf(tmp_path).in_use() is None
    assert shelf(tmp_path).take_back() == ""
    assert [path.name for path in shelf(tmp_path).directory.iterdir()] == [IN_USE_NAME]


def test_no_more_are_kept_than_anybody_goes_back_to(tmp_path: Path) -> None:
    for seed in range(MOST_KEPT + 2):
        kept_head(tmp_path, head(seed))
    assert len(shelf(tmp_path).kept()) == MOST_KEPT
    assert len(list(shelf(tmp_path).directory.iterdir())) == MOST_KEPT + 1


def test_taxonomies_whose_names_look_alike_on_a_disk_have_their_own(tmp_path: Path) -> None:
    for name in ("a/b", "a_b", "..", "家"):
        kept_head(tmp_path, head(), taxonomy=name)
    found = [each.in_use() for each in shelves(tmp_path)]
    assert {kept.notes.taxonomy for kept in found if kept} == {"a/b", "a_b", "..", "家"}
    assert {path.name for path in tmp_path.iterdir()} == {shelf(tmp_path).directory.parent.name}


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (WEIGHTS_NAME, b"PK", b"PX", "damaged or was exchanged"),
        (NOTES_NAME, b'"base"', b'"bass"', "head.json is damaged"),
        (NOTES_NAME, b"{", b"", "head.json is damaged"),
        (NOTES_NAME, b'"format": 1', b'"format": 2', "head.json is damaged"),
        (NOTES_NAME, b'"prior": 0.5', b'"prior": -1', "head.json is damaged"),
        (NOTES_NAME, b'"prior": 0.5', b'"prior": true', "head.json is damaged"),
        (NOTES_NAME, b'"cascade": 0.9', b'"cascade": 9', "head.json is damaged"),
        (NOTES_NAME, b'"cascade": 0.9', b'"cascade": NaN', "head.json is damaged"),
        (NOTES_NAME, b'"keep_local": {}', b'"keep_local": {"fox": 0.5}', "head.json is damaged"),
        (NOTES_NAME, b'"cat",', b'"dog",', "head.json is damaged"),
        (NOTES_NAME, b'"cat",', b'"cat", "fox",', "does not fit its categories"),
        (NOTES_NAME, BASE.encode(), b"cd" * 32, "made for another tiny"),
        (NOTES_NAME, b'"animals"', b'"plants"', "made for the taxonomy plants"),
    ],
)
def test_a_damaged_or_foreign_head_is_told(
    tmp_path: Path, name: str, old: bytes, new: bytes, said: str
) -> None:
    directory = kept_head(tmp_path, head()).directory
    content = (directory / name).read_bytes()
    assert old in content
    (directory / name).write_bytes(content.replace(old, new, 1))
    with pytest.raises(ModelFileError, match=said) as caught:
        use(directory)
    assert "--take-back" in str(caught.value)


def use(directory: Path) -> Head:
    kept = KeptHead.read(directory)
    kept.check(base=BASE, taxonomy="animals")
    return kept.head(5)


def without_its_head(directory: Path) -> None:
    (directory / json.loads((directory / IN_USE_NAME).read_text())["heads"][0]).rename(
        directory / "away"
    )


def naming_somewhere_else(directory: Path) -> None:
    (directory / IN_USE_NAME).write_text('{"heads": ["../../secret"]}')


def naming_what_holds_it(directory: Path) -> None:
    (directory / IN_USE_NAME).write_text('{"heads": [".."]}')


def cut_off(directory: Path) -> None:
    (directory / IN_USE_NAME).write_text('{"heads": [')


@pytest.mark.parametrize(
    "spoil", [without_its_head, naming_somewhere_else, naming_what_holds_it, cut_off]
)
def test_a_shelf_in_disorder_is_told_and_can_be_left_behind(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    kept_head(tmp_path, head())
    spoil(shelf(tmp_path).directory)
    with pytest.raises(ModelFileError, match="--take-back"):
        shelf(tmp_path).in_use()
    assert shelf(tmp_path).take_back()
    assert shelf(tmp_path).in_use() is None
    assert any(shelf(tmp_path).directory.iterdir())


def test_what_a_killed_adoption_left_is_in_nobodys_way(tmp_path: Path) -> None:
    directory = kept_head(tmp_path / "other", head()).directory
    half = shelf(tmp_path).directory / directory.name
    half.mkdir(parents=True)
    (half / WEIGHTS_NAME).write_bytes(b"half")
    assert shelf(tmp_path).in_use() is None
    assert np.array_equal(kept_head(tmp_path, head()).head(5).weight, head().weight)


def test_a_place_that_takes_no_files_is_told_and_the_present_head_stays(tmp_path: Path) -> None:
    present = kept_head(tmp_path, head(1))
    (shelf(tmp_path).directory / f"{IN_USE_NAME}.part").mkdir()
    with pytest.raises(StorageError, match="cannot keep a head"):
        kept_head(tmp_path, head(2))
    in_use = shelf(tmp_path).in_use()
    assert in_use is not None
    assert in_use.notes.digest == present.notes.digest
