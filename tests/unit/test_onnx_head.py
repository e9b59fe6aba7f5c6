"""A head learns from embeddings: as well as it should, calibrated, and without forgetting."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.heads import examples
from xintu_cli.jobs.scoring import Judged, Score, score
from xintu_cli.providers.head import Head, softmax
from xintu_cli.providers.head_fitting import out_of_fold, train_head

Rows = NDArray[np.float32]
NOTHING = np.zeros((0, 0))
SPECIES = ("cat", "dog", "fox")


def clouds(count: int, width: int, spread: float, seed: int = 0) -> tuple[Rows, list[str]]:
    """Return embeddings of three categories, the last one rare, `spread` wide."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(3, width))
    numbers = np.repeat([0, 1, 2], [count, count, max(4, count // 5)])
    rows = centres[numbers] + rng.normal(size=(len(numbers), width)) * spread
    return rows.astype(np.float32), [SPECIES[number] for number in numbers]


def worth(head: Head, rows: Rows, labels: list[str], network: NDArray[np.float64]) -> Score:
    return scored(head.probabilities(rows, network), head.categories, labels)


def scored(rows: NDArray[np.float64], categories: tuple[str, ...], labels: list[str]) -> Score:
    said = [categories[number] for number in rows.argmax(axis=1)]
    judged = map(Judged, labels, said, rows.max(axis=1).tolist())
    return score(list(judged), categories)


@pytest.mark.parametrize("width", [12, 400, 700])
def test_a_head_recognises_what_it_has_not_seen(width: int) -> None:
    """Whatever there are more of: photos, or numbers in an embedding."""
    head = train_head(examples(*clouds(60, width, 0.7)))
    found = worth(head, *clouds(50, width, 0.7, seed=1), NOTHING)
    assert head.categories == SPECIES
    assert (found.accuracy or 0) > 0.95
    assert (found.macro_f1 or 0) > 0.95


def test_many_photos_are_learnt_from_in_the_directions_in_which_they_differ() -> None:
    rows, labels = clouds(300, 530, 1.0)
    found = worth(train_head(examples(rows, labels)), *clouds(50, 530, 1.0, seed=1), NOTHING)
    assert (found.accuracy or 0) > 0.95


def test_the_order_of_the_photos_does_not_matter() -> None:
    """The penalised likelihood has one maximum, and every fold is made of the same groups."""
    rows, labels = clouds(40, 6, 1.5)
    names = [str(number) for number in range(len(labels))]
    order = np.random.default_rng(3).permutation(len(labels))
    heads = [
        train_head(
            examples(rows[chosen], [labels[i] for i in chosen], groups=[names[i] for i in chosen])
        )
        for chosen in (np.arange(len(labels)), order)
    ]
    first, second = (head.probabilities(rows, NOTHING) for head in heads)
    assert np.abs(first - second).max() < 0.02


def test_confidence_means_how_often_it_is_right() -> None:
    head = train_head(examples(*clouds(300, 8, 1.6)))
    found = worth(head, *clouds(1000, 8, 1.6, seed=1), NOTHING)
    assert 0.6 < (found.accuracy or 0) < 0.95
    assert (found.ece or 1) < 0.05


def test_groups_stay_together_when_photos_are_held_out() -> None:
    """Copies of one photo in one group: a head that saw a copy would look better than it is."""
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(40, 90)), 4, axis=0).astype(np.float32)
    labels = [("cat", "dog")[i // 4 % 2] for i in range(160)]
    copies = [str(i // 4) for i in range(160)]
    alone = out_of_fold(examples(rows, labels, groups=copies))
    leaking = out_of_fold(examples(rows, labels))
    assert (scored(leaking, ("cat", "dog"), labels).accuracy or 0) > 0.95
    assert (scored(alone, ("cat", "dog"), labels).accuracy or 1) < 0.75


def half_blind(rows: Rows) -> NDArray[np.float64]:
    """Return what a network says that knows the centres, but takes most dogs for others."""
    centres = np.random.default_rng(7).normal(size=(3, rows.shape[1]))
    return softmax(rows @ centres.T - (centres**2).sum(axis=1) / 2 - np.array([0.0, 18.0, 0.0]))


def test_a_correction_begins_where_the_network_is_and_gets_better() -> None:
    rows, labels = clouds(60, 20, 0.7)
    head = train_head(examples(rows, labels, network=half_blind(rows), categories=SPECIES))
    new_rows, new_labels = clouds(200, 20, 0.7, seed=1)
    network = half_blind(new_rows)
    before = scored(network, SPECIES, new_labels)
    after = worth(head, new_rows, new_labels, network)
    assert (before.accuracy or 1) < 0.85
    assert (after.accuracy or 0) > 0.95


def test_a_correction_by_two_categories_does_not_forget_the_third() -> None:
    """No photo of a fox teaches nothing about foxes: not that there are none, either."""
    rows, labels = clouds(60, 20, 0.7)
    known = [number for number, label in enumerate(labels) if label != "fox"]
    head = train_head(
        examples(
            rows[known],
            [labels[number] for number in known],
            network=half_blind(rows[known]),
            categories=SPECIES,
        )
    )
    new_rows, new_labels = clouds(200, 20, 0.7, seed=1)
    after = worth(head, new_rows, new_labels, half_blind(new_rows))
    assert (after.categories["dog"].recall or 0) > 0.9
    assert (after.categories["fox"].recall or 0) > 0.9


def test_a_correction_of_a_network_that_says_nothing_possible_is_finite() -> None:
    rows, labels = clouds(20, 4, 0.7)
    network = np.zeros((len(rows), 3))
    network[:, 2] = 1.0
    head = train_head(examples(rows, labels, network=network, categories=SPECIES))
    assert np.isfinite(head.probabilities(rows, network)).all()
