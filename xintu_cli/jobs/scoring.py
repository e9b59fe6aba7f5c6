"""How good answers are: counts in, the usual figures out. Pure.

Undefined figures are None: a category that was never said has no precision. The macro-F1 is
the mean over the categories that have photos; the expected calibration error is over ten bins
of equal width (Guo et al., 2017, arXiv:1706.04599).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_BINS = 10


class Judged(NamedTuple):
    """One answered photo: what it is, what was said, how sure (0..1)."""

    truth: str
    said: str
    confidence: float

    @property
    def right(self) -> bool:
        """True where the answer is what the photo is."""
        return self.truth == self.said


@dataclass(frozen=True, slots=True)
class CategoryScore:
    """One category: `photos` are it, `said` were called it, `hits` are both."""

    photos: int
    said: int
    hits: int

    @property
    def precision(self) -> float | None:
        """The share of those called it that are."""
        return self.hits / self.said if self.said else None

    @property
    def recall(self) -> float | None:
        """The share of those it is that were called so."""
        return self.hits / self.photos if self.photos else None

    @property
    def f1(self) -> float | None:
        """The harmonic mean of both; 0 where nothing was hit."""
        return 2 * self.hits / (self.photos + self.said) if self.photos + self.said else None


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Answers of about one confidence: how many, how sure they were, how many were right."""

    photos: int
    mean_confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Score:
    """All figures; None where nothing was answered."""

    photos: int
    accuracy: float | None
    macro_f1: float | None
    ece: float | None
    categories: Mapping[str, CategoryScore]
    confusion: Mapping[str, Mapping[str, int]]
    """Truth to what was said to number of photos."""
    calibration: Sequence[CalibrationBin]


def score(judged: Sequence[Judged], categories: Iterable[str]) -> Score:
    """Measure answers; `categories` gives the order, and those nobody has photos of."""
    pairs = Counter((each.truth, each.said) for each in judged)
    keys = list(dict.fromkeys([*categories, *(key for pair in pairs for key in pair)]))
    photos, said = Counter[str](), Counter[str]()
    for (truth, answer), count in pairs.items():
        photos[truth] += count
        said[answer] += count
    by_category = {key: CategoryScore(photos[key], said[key], pairs[key, key]) for key in keys}
    f1 = [by.f1 or 0.0 for by in by_category.values() if by.photos]
    bins = _calibration(judged)
    total = len(judged)
    return Score(
        photos=total,
        accuracy=sum(by.hits for by in by_category.values()) / total if total else None,
        macro_f1=math.fsum(f1) / len(f1) if f1 else None,
        ece=_calibration_error(bins, total),
        categories=by_category,
        confusion={
            truth: {answer: pairs[truth, answer] for answer in keys if pairs[truth, answer]}
            for truth in keys
            if photos[truth]
        },
        calibration=bins,
    )


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return the smallest value that `percent` (0..100) of all do not exceed; None of nothing."""
    if not values:
        return None
    rank = max(1, math.ceil(percent / 100 * len(values)))
    return sorted(values)[rank - 1]


def _calibration(judged: Sequence[Judged]) -> list[CalibrationBin]:
    """Sort answers into bins by confidence, empty bins left out, the least sure first."""
    bins: list[list[Judged]] = [[] for _ in range(_BINS)]
    for each in judged:
        bins[min(_BINS - 1, int(each.confidence * _BINS))].append(each)
    return [
        CalibrationBin(
            photos=len(inside),
            mean_confidence=math.fsum(each.confidence for each in inside) / len(inside),
            accuracy=sum(each.right for each in inside) / len(inside),
        )
        for inside in bins
        if inside
    ]


def _calibration_error(bins: Sequence[CalibrationBin], total: int) -> float | None:
    if not total:
        return None
    return math.fsum(b.photos * abs(b.mean_confidence - b.accuracy) for b in bins) / total
