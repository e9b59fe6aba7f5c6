"""Judge answers on labelled photos: what they are worth, and whether new ones are better.

Which is better is decided by the log-loss of both on the same photos: it covers answers and
confidence alike, which is what `cascade` decides by. The difference must be more than chance
(one in twenty), group by group, since photos of one group err together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xintu_cli.jobs.scoring import Judged, score
from xintu_cli.providers.onnx_answers import Interpreter, Said
from xintu_cli.taxonomy import Taxonomy

if TYPE_CHECKING:
    from xintu_cli.providers.head import Array
    from xintu_cli.providers.onnx_answers import Flags

RIGHT_ENOUGH = 0.98
"""A local answer needs no second opinion where so many of its kind are right (model card)."""
MOST_MISSED = 0.02
"""`keep_local` may miss this part of the photos it is to keep at home."""
_LEAST_SURE = 0.7
"""Whatever the rest is worth: a photo that is three to seven against is worth an LLM's look."""
_NOT_CHANCE = 1.645
"""Standard errors that chance exceeds one time in twenty."""
_LEAST_SAID = 1e-3
"""One photo that somebody was dead sure and wrong about must not decide alone."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What answers are worth on labelled photos.

    `share`: the part that may be answered locally so that `RIGHT_ENOUGH` of it is right.
    `alone`: the part that `cascade` answers locally at its threshold; `alone_right` of it is
    (None: there is none).
    `missed`: per category that must stay at home, (photos of it, those that would be sent).
    """

    photos: int
    accuracy: float
    macro_f1: float
    ece: float
    share: float
    alone: float
    alone_right: float | None
    missed: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Measured:
    """What somebody said of each photo: log-loss, right or wrong, and all of it in figures."""

    said: Said
    losses: Array
    right: Flags
    worth: Worth


class Judge:
    """Measures answers against the labels."""

    def __init__(
        self,
        labels: Sequence[str],
        groups: Sequence[str],
        kept: Collection[str],
        taxonomy: Taxonomy,
    ) -> None:
        self._keys = [category.key for category in taxonomy.categories]
        self._labels = labels
        self._truth = np.array([self._keys.index(label) for label in labels])
        self._groups = np.unique(np.array(groups), return_inverse=True)[1]
        self._kept = sorted(kept)

    def measure(self, reader: Interpreter, said: Said, threshold: float | None) -> Measured:
        """Measure one who answered; `threshold`: its own for `cascade`, None: never sure."""
        every, chosen = np.arange(len(self._truth)), said.probabilities.argmax(axis=1)
        sure = said.probabilities.max(axis=1)
        figures = score(
            [
                Judged(label, self._keys[answer], confidence)
                for label, answer, confidence in zip(
                    self._labels, chosen.tolist(), np.minimum(sure, 1.0).tolist(), strict=True
                )
            ],
            self._keys,
        )
        right = chosen == self._truth
        alone = sure >= (2.0 if threshold is None else threshold)
        own = said.probabilities[every, self._truth]
        worth = Worth(
            photos=figures.photos,
            accuracy=figures.accuracy or 0.0,
            macro_f1=figures.macro_f1 or 0.0,
            ece=figures.ece or 0.0,
            share=_share_right(sure, right),
            alone=float(alone.mean()),
            alone_right=float(right[alone].mean()) if alone.any() else None,
            missed=self._missed(reader, said, chosen),
        )
        return Measured(said, -np.log(np.maximum(own, _LEAST_SAID)), right, worth)

    def surely_right_from(self, probabilities: Array) -> float | None:
        """Return the lowest confidence from which on enough is right; None: too few to say.

        One doubt is added (Laplace): 48 photos, all right, are the fewest that show 98 %.
        """
        sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == self._truth
        lowest = None
        for candidate in np.arange(0.99, _LEAST_SURE - 0.005, -0.01):
            inside = right[sure >= candidate]
            if (int(inside.sum()) + 1) / (len(inside) + 2) >= RIGHT_ENOUGH:
                lowest = round(float(candidate), 2)
            elif lowest is not None:
                break
        return lowest

    def objection(self, new: Measured, old: Measured | None) -> str:
        """Say why the new head is not to be adopted; "" where nothing speaks against it."""
        if old is None:
            old_losses = self._frequency_losses()
            if not self._is_better(old_losses - new.losses):
                return "it is no better than guessing the most frequent category"
            return ""
        for key, (photos, sent) in new.worth.missed.items():
            before = old.worth.missed[key][1]
            if sent > max(before, MOST_MISSED * photos):
                return f"it would send {sent} of {photos} photos of {key}, the present one {before}"
        if not self._is_better(old.losses - new.losses):
            return "it is not better than the present one by more than chance"
        if new.right.sum() < old.right.sum():
            return "it is surer than the present one, but wrong more often"
        return self._forgotten(new, old)

    def _missed(self, reader: Interpreter, said: Said, chosen: Array) -> dict[str, tuple[int, int]]:
        """Count what would be sent: neither answered as one that stays, nor under suspicion."""
        stays = np.isin(np.array(self._keys)[chosen], self._kept)
        columns = [key in self._kept for key in reader.protects]
        stays |= said.protected[:, columns].any(axis=1)
        counts = {}
        for key in self._kept:
            is_it = np.array([label == key for label in self._labels])
            counts[key] = (int(is_it.sum()), int((is_it & ~stays).sum()))
        return counts

    def _is_better(self, gains: Array) -> bool:
        """Tell whether a mean gain is more than chance, photos of a group erring together."""
        mean = float(gains.mean())
        sums = np.bincount(self._groups, gains - mean)
        return mean > _NOT_CHANCE * float(np.sqrt((sums**2).sum())) / len(gains) and mean > 0

    def _forgotten(self, new: Measured, old: Measured) -> str:
        """Name a category in which it is worse by more than chance (McNemar's test)."""
        for number in np.unique(self._truth):
            is_it = self._truth == number
            lost = int((is_it & old.right & ~new.right).sum())
            won = int((is_it & new.right & ~old.right).sum())
            if lost - won > max(1.0, _NOT_CHANCE * float(np.sqrt(lost + won))):
                photos, hits = int(is_it.sum()), int((is_it & new.right).sum())
                before = int((is_it & old.right).sum())
                return (
                    f"it would forget {self._keys[number]}: {hits} of {photos} right, "
                    f"the present one {before}"
                )
        return ""

    def _frequency_losses(self) -> Array:
        counts = np.bincount(self._truth)
        losses: Array = -np.log(counts[self._truth] / len(self._truth))
        return losses


def _share_right(sure: Array, right: Flags) -> float:
    """Return the largest part, the surest first, of which `RIGHT_ENOUGH` is right."""
    order = np.argsort(-sure, kind="stable")
    shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(shares >= RIGHT_ENOUGH)
    return float(enough[-1] + 1) / len(order) if len(enough) else 0.0
