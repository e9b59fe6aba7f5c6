"""The figures of an evaluation, against counts that can be checked by hand."""

from __future__ import annotations

import pytest

from xintu_cli.jobs.scoring import Judged, Score, percentile, score

CATEGORIES = ("pets", "foods", "other")


def judged(*rows: tuple[str, str, float, int]) -> list[Judged]:
    """Repeat (truth, said, confidence) so many times each."""
    return [Judged(truth, said, sure) for truth, said, sure, times in rows for _ in range(times)]


def hand_made() -> Score:
    return score(
        judged(
            ("pets", "pets", 0.95, 8),
            ("pets", "foods", 0.55, 2),
            ("foods", "foods", 0.75, 6),
            ("foods", "pets", 0.95, 4),
        ),
        CATEGORIES,
    )


def test_accuracy_and_f1_are_what_the_counts_say() -> None:
    found = hand_made()
    pets, foods = found.categories["pets"], found.categories["foods"]
    assert (found.photos, found.accuracy) == (20, 14 / 20)
    assert (pets.precision, pets.recall, pets.f1) == (8 / 12, 8 / 10, 16 / 22)
    assert (foods.precision, foods.recall, foods.f1) == (6 / 8, 6 / 10, 12 / 18)
    assert found.macro_f1 == pytest.approx((16 / 22 + 12 / 18) / 2)


def test_a_category_without_photos_neither_helps_nor_harms() -> None:
    other = hand_made().categories["other"]
    assert (other.photos, other.precision, other.recall, other.f1) == (0, None, None, None)


def test_a_category_that_is_only_said_has_a_precision_and_no_recall() -> None:
    found = score(judged(("pets", "other", 0.5, 1), ("pets", "pets", 0.9, 1)), CATEGORIES)
    other = found.categories["other"]
    assert (other.precision, other.recall, other.f1) == (0.0, None, 0.0)
    assert found.macro_f1 == found.categories["pets"].f1


def test_the_confusion_tells_what_was_taken_for_what() -> None:
    assert hand_made().confusion == {
        "pets": {"pets": 8, "foods": 2},
        "foods": {"pets": 4, "foods": 6},
    }


def test_the_calibration_error_weighs_each_bin_by_its_photos() -> None:
    found = hand_made()
    shown = [
        (b.photos, round(b.mean_confidence, 2), round(b.accuracy, 2)) for b in found.calibration
    ]
    assert shown == [(2, 0.55, 0.0), (6, 0.75, 1.0), (12, 0.95, 0.67)]
    assert found.ece == pytest.approx((2 * 0.55 + 6 * 0.25 + 12 * (0.95 - 8 / 12)) / 20)


@pytest.mark.parametrize("sure", [0.0, 1.0])
def test_the_ends_of_the_scale_have_a_bin(sure: float) -> None:
    found = score([Judged("pets", "pets", sure)], CATEGORIES)
    assert found.ece == pytest.approx(1.0 - sure)


def test_nothing_answered_is_undefined_not_zero() -> None:
    found = score([], CATEGORIES)
    assert (found.photos, found.accuracy, found.macro_f1, found.ece) == (0, None, None, None)
    assert (found.confusion, found.calibration) == ({}, [])


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(0, 10.0), (10, 10.0), (11, 20.0), (50, 50.0), (99, 100.0), (100, 100.0)],
)
def test_a_percentile_is_a_value_that_was_measured(percent: float, expected: float) -> None:
    assert percentile([float(n) for n in range(100, 0, -10)], percent) == expected


def test_of_nothing_there_is_no_percentile() -> None:
    assert percentile([], 50) is None
