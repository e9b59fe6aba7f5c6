"""A head learns from embeddings: as well as it should, calibrated, and kept safely."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from xintu_cli.errors import ModelFileError, UsageError
from xintu_cli.providers.head import (
    NOTES_NAME,
    WEIGHTS_NAME,
    Head,
    load_head,
    out_of_fold,
    save_head,
    score,
    softmax,
    train_head,
)

BASE = "ab" * 32


def clouds(
    count: int, width: int, spread: float, seed: int = 0
) -> tuple[NDArray[np.float32], list[str]]:
    """Return embeddings of three categories, the last one rare, `spread` wide."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(3, width))
    numbers = np.repeat([0, 1, 2], [count, count, max(4, count // 5)])
    rows = centres[numbers] + rng.normal(size=(len(numbers), width)) * spread
    return rows.astype(np.float32), [("cat", "dog", "fox")[number] for number in numbers]


def trained(rows: NDArray[np.float32], labels: list[str]) -> Head:
    return train_head(rows, labels, base=BASE, taxonomy="animals")


@pytest.mark.parametrize("width", [12, 400])
def test_a_head_recognises_what_it_has_not_seen(width: int) -> None:
    """Both ways to fit: more photos than numbers, and fewer."""
    head = trained(*clouds(60, width, 0.7))
    rows, labels = clouds(50, width, 0.7, seed=1)
    found = score(head.probabilities(rows), head.categories, labels)
    assert head.categories == ("cat", "dog", "fox")
    assert found.accuracy > 0.95
    assert found.macro_f1 > 0.95


def test_the_order_of_the_photos_does_not_matter() -> None:
    """The penalised likelihood has one maximum, and every fold is made of the same groups."""
    rows, labels = clouds(40, 6, 1.5)
    names = [str(number) for number in range(len(labels))]
    order = np.random.default_rng(3).permutation(len(labels))
    heads = [
        train_head(
            rows[chosen],
            [labels[i] for i in chosen],
            base=BASE,
            taxonomy="animals",
            groups=[names[i] for i in chosen],
        )
        for chosen in (np.arange(len(labels)), order)
    ]
    first, second = (head.probabilities(rows) for head in heads)
    assert np.abs(first - second).max() < 0.01


def test_confidence_means_how_often_it_is_right() -> None:
    head = trained(*clouds(300, 8, 1.6))
    rows, labels = clouds(1000, 8, 1.6, seed=1)
    found = score(head.probabilities(rows), head.categories, labels)
    assert 0.6 < found.accuracy < 0.95
    assert found.ece < 0.05


def test_groups_stay_together_when_photos_are_held_out() -> None:
    """Copies of one photo in one group: a head that saw a copy would look better than it is."""
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(40, 90)), 4, axis=0).astype(np.float32)
    labels = [("cat", "dog")[i // 4 % 2] for i in range(160)]
    copies = [str(i // 4) for i in range(160)]
    categories, alone = out_of_fold(rows, labels, groups=copies)
    _, leaking = out_of_fold(rows, labels)
    assert score(leaking, categories, labels).accuracy > 0.95
    assert score(alone, categories, labels).accuracy < 0.75


def test_a_label_that_a_head_does_not_know_counts_as_wrong() -> None:
    probabilities = softmax(np.array([[5.0, 0.0], [5.0, 0.0]]))
    found = score(probabilities, ("cat", "dog"), ["cat", "fox"])
    assert (found.photos, found.accuracy) == (2, 0.5)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([], "no labelled photo"),
        (["cat"] * 5, "only photos of 'cat'"),
        (["cat", "cat", "dog"], "'dog' has 1 photo"),
    ],
)
def test_what_nothing_can_be_learnt_from_is_refused(labels: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        trained(np.zeros((len(labels), 3), np.float32), labels)


def test_a_head_survives_being_kept(tmp_path: Path) -> None:
    rows, labels = clouds(20, 5, 1.0)
    head = trained(rows, labels)
    save_head(head, tmp_path / "head", score(head.probabilities(rows), head.categories, labels))
    kept = load_head(tmp_path / "head", base=BASE)
    assert kept.digest == head.digest
    assert np.array_equal(kept.probabilities(rows), head.probabilities(rows))
    assert sorted(path.name for path in (tmp_path / "head").iterdir()) == [NOTES_NAME, WEIGHTS_NAME]


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (WEIGHTS_NAME, b"PK", b"PX", "damaged or was exchanged"),
        (NOTES_NAME, b'"base"', b'"bass"', "head.json is damaged"),
        (NOTES_NAME, b"{", b"", "head.json is damaged"),
        (NOTES_NAME, b'"cat",', b"", "does not fit its categories"),
        (NOTES_NAME, BASE.encode(), b"cd" * 32, "made for another model"),
    ],
)
def test_a_damaged_or_foreign_head_is_told(
    tmp_path: Path, name: str, old: bytes, new: bytes, said: str
) -> None:
    rows, labels = clouds(20, 5, 1.0)
    head = trained(rows, labels)
    save_head(head, tmp_path, score(head.probabilities(rows), head.categories, labels))
    content = (tmp_path / name).read_bytes()
    assert old in content
    (tmp_path / name).write_bytes(content.replace(old, new, 1))
    with pytest.raises(ModelFileError, match=said):
        load_head(tmp_path, base=BASE)


def test_a_missing_head_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be used"):
        load_head(tmp_path / "none", base=BASE)
