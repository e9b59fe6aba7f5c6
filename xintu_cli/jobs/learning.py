"""Learn a head from an album and judge it against the present one; nothing is stored here.

In: photos that the network has looked at, with labels. Out: a `Learnt`: the head, what both
are worth on photos that neither has seen, and whether the new one is to be adopted.

Whether it is better is decided by the log-loss of both on the same photos: it covers answers
and confidence alike, which is what `cascade` decides by. The difference must be more than
chance (one in twenty), group by group, since photos of one group err together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xintu_cli.errors import UsageError
from xintu_cli.jobs.looking import Album
from xintu_cli.jobs.resemblance import groups_of
from xintu_cli.jobs.scoring import Judged, score
from xintu_cli.providers.coverage import coverage
from xintu_cli.providers.head import Head
from xintu_cli.providers.head_files import KeptHead
from xintu_cli.providers.head_fitting import Examples, out_of_fold, train_head
from xintu_cli.providers.onnx_answers import Interpreter, Outputs, Said
from xintu_cli.taxonomy import Taxonomy

if TYPE_CHECKING:
    from xintu_cli.providers.head import Array
    from xintu_cli.providers.manifest import ModelManifest
    from xintu_cli.providers.onnx_answers import Flags

FEWEST_PHOTOS = 20
"""Of fewer nobody can say whether what was learnt holds."""
FEWEST_OF_A_CATEGORY = 2
"""A category of one photo cannot be both learnt and checked."""
RIGHT_ENOUGH = 0.98
"""A local answer needs no second opinion where so many of its kind are right (model card)."""
MOST_MISSED = 0.02
"""`keep_local` may miss this part of the photos it is to keep at home."""
_MOST_KEPT_BACK = 0.015
"""… and is as wary as keeping back this part of the others costs, or warier."""
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
    `missed`: per category that must stay at home, (photos of it, those that would be sent).
    """

    photos: int
    accuracy: float
    macro_f1: float
    ece: float
    share: float
    missed: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Learnt:
    """A new head and what is to be said of it; `refused` "" where it is to be adopted."""

    head: Head
    held_out: Mapping[str, Array]
    cascade: float | None
    keep_local: Mapping[str, float]
    new: Worth
    present: Worth | None
    refused: str
    without_photos: tuple[str, ...]
    """Categories that the new head will never say."""


@dataclass(frozen=True, slots=True)
class _Measured:
    said: Said
    losses: Array
    right: Flags
    worth: Worth


def learn(
    album: Album,
    manifest: ModelManifest,
    taxonomy: Taxonomy,
    *,
    present: KeptHead | None,
    kept: Collection[str],
) -> Learnt:
    """Learn, measure, compare. `kept` are the categories whose photos must stay at home.

    Raises `UsageError` where there is too little to learn from.
    """
    labels = [page.lesson.category for page in album.pages]
    _check_enough(labels)
    outputs = album.outputs()
    examples = _examples(album, labels, outputs, manifest, taxonomy)
    rows = out_of_fold(examples)
    plain = Interpreter(manifest, taxonomy)
    own = _own_thresholds(rows, examples, manifest, kept)
    judge = _Judge(labels, examples.groups, kept, taxonomy)
    reader = Interpreter(manifest, taxonomy, own)
    new = judge.measure(reader, reader.finish(plain.spread(rows, examples.categories), outputs))
    before = _present(album, outputs, manifest, taxonomy, present)
    old = judge.measure(*before) if before else None
    silent = tuple(
        category.key
        for category in taxonomy.categories
        if category.key not in (*examples.categories, *_coded(manifest))
    )
    return Learnt(
        head=train_head(examples),
        held_out=dict(zip((page.image_hash for page in album.pages), rows, strict=True)),
        cascade=judge.surely_right_from(new.said.probabilities),
        keep_local=own,
        new=new.worth,
        present=old.worth if old else None,
        refused=judge.objection(new, old) or _forgets(silent, kept, manifest, present),
        without_photos=silent,
    )


def _check_enough(labels: Sequence[str]) -> None:
    counts = Counter(labels)
    if len(counts) < 2:
        found = f"only photos of {next(iter(counts))!r}" if counts else "no labelled photo"
        raise UsageError(
            f"cannot learn: there is {found}. A head needs photos of at least two categories."
        )
    for category, count in counts.items():
        if count < FEWEST_OF_A_CATEGORY:
            raise UsageError(
                f"cannot learn: {category!r} has {count} photo. Label more of it, or leave it out."
            )
    if len(labels) < FEWEST_PHOTOS:
        raise UsageError(
            f"cannot learn from {len(labels)} photos: nobody could say whether it holds. "
            f"Label {FEWEST_PHOTOS} or more."
        )


def _examples(
    album: Album,
    labels: Sequence[str],
    outputs: Outputs,
    manifest: ModelManifest,
    taxonomy: Taxonomy,
) -> Examples:
    """Correct the network where it knows the whole taxonomy, else begin from nothing."""
    everything = [category.key for category in taxonomy.categories]
    corrects = taxonomy.keys <= set(manifest.categories)
    categories = tuple(key for key in everything if corrects or key in labels)
    reader = Interpreter(manifest, taxonomy)
    return Examples(
        categories=categories,
        embeddings=outputs.embeddings,
        numbers=np.array([categories.index(label) for label in labels], np.int64),
        groups=groups_of(album.pages, outputs.embeddings),
        weights=np.array([page.lesson.weight for page in album.pages]),
        network=reader.of_network(outputs.network, categories) if corrects else None,
    )


def _present(
    album: Album,
    outputs: Outputs,
    manifest: ModelManifest,
    taxonomy: Taxonomy,
    kept_head: KeptHead | None,
) -> tuple[Interpreter, Said] | None:
    """Return what the present head says; None where nothing serves the taxonomy.

    Of photos that it learnt from counts what was said of them when it had not seen them yet.
    """
    if kept_head is None:
        if not coverage(manifest, taxonomy).usable:
            return None
        reader = Interpreter(manifest, taxonomy)
        return reader, reader.answers(outputs, None)
    head, seen = kept_head.head(), kept_head.held_out()
    reader = Interpreter(manifest, taxonomy, kept_head.notes.keep_local)
    known = reader.of_network(outputs.network, head.categories)
    rows = head.probabilities(outputs.embeddings, known)
    for number, page in enumerate(album.pages):
        if page.image_hash in seen:
            rows[number] = seen[page.image_hash]
    return reader, reader.finish(reader.spread(rows, head.categories), outputs)


def _own_thresholds(
    rows: Array, examples: Examples, manifest: ModelManifest, kept: Collection[str]
) -> dict[str, float]:
    """Choose thresholds for what must stay at home and the network does not know.

    A document sent away cannot be called back: as low as `MOST_MISSED` demands.
    """
    thresholds = {}
    for key in sorted(set(kept) & set(examples.categories) - set(manifest.thresholds.keep_local)):
        column = examples.categories.index(key)
        is_it = examples.numbers == column
        if not is_it.any() or is_it.all():
            continue
        others = np.quantile(rows[~is_it, column], 1.0 - _MOST_KEPT_BACK)
        # The lowest but the part that may be missed, a little below to be on the safe side.
        least = 0.9 * np.quantile(rows[is_it, column], MOST_MISSED, method="lower")
        thresholds[key] = float(np.clip(min(others, least), 0.01, 0.5))
    return thresholds


class _Judge:
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

    def measure(self, reader: Interpreter, said: Said) -> _Measured:
        """Measure one who answered."""
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
        own = said.probabilities[every, self._truth]
        worth = Worth(
            photos=figures.photos,
            accuracy=figures.accuracy or 0.0,
            macro_f1=figures.macro_f1 or 0.0,
            ece=figures.ece or 0.0,
            share=_share_right(sure, right),
            missed=self._missed(reader, said, chosen),
        )
        return _Measured(said, -np.log(np.maximum(own, _LEAST_SAID)), right, worth)

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

    def objection(self, new: _Measured, old: _Measured | None) -> str:
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

    def _forgotten(self, new: _Measured, old: _Measured) -> str:
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


def _coded(manifest: ModelManifest) -> tuple[str, ...]:
    return (manifest.barcode.category,) if manifest.barcode else ()


def _forgets(
    silent: Sequence[str],
    kept: Collection[str],
    manifest: ModelManifest,
    present: KeptHead | None,
) -> str:
    """Say what the present head knows and the new one would not."""
    if present is None:
        return ""
    lost = sorted(set(silent) & set(present.notes.categories))
    if not lost:
        return ""
    protected = set(lost) & set(kept) - set(manifest.thresholds.keep_local)
    what = ", which is never sent" if protected else ""
    return (
        f"there is no photo of {', '.join(lost)}, which the present one knows{what}. "
        "Label some of it"
    )
