"""Learn a head from an album and judge it against the present one; nothing is stored here.

In: photos that the network has looked at, with labels. Out: a `Learnt`: the head, what both
are worth on photos that neither has seen, and whether the new one is to be adopted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xintu_cli.errors import UsageError
from xintu_cli.jobs.judging import MOST_MISSED, Judge, Measured, Worth
from xintu_cli.jobs.looking import Album
from xintu_cli.jobs.resemblance import groups_of
from xintu_cli.providers.coverage import coverage
from xintu_cli.providers.head import Head
from xintu_cli.providers.head_files import KeptHead
from xintu_cli.providers.head_fitting import Examples, out_of_fold, train_head
from xintu_cli.providers.onnx_answers import Interpreter, Outputs
from xintu_cli.taxonomy import Taxonomy

if TYPE_CHECKING:
    from xintu_cli.providers.head import Array
    from xintu_cli.providers.manifest import ModelManifest

FEWEST_PHOTOS = 20
"""Of fewer nobody can say whether what was learnt holds."""
FEWEST_OF_A_CATEGORY = 2
"""A category of one photo cannot be both learnt and checked where nothing is known before."""
_MOST_KEPT_BACK = 0.015
"""… and is as wary as keeping back this part of the others costs, or warier."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """A new head and what is to be said of it; `refused` "" where it is to be adopted."""

    head: Head
    held_out: Mapping[str, Array]
    cascade: float
    keep_local: Mapping[str, float]
    new: Worth
    present: Worth | None
    refused: str
    without_photos: tuple[str, ...]
    """Categories that the new head will never say."""


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
    judge = Judge(labels, examples.groups, kept, taxonomy)
    reader = Interpreter(manifest, taxonomy, own)
    said = reader.finish(plain.spread(rows, examples.categories), outputs)
    cascade = judge.surely_right_from(said.probabilities)
    if cascade is None:  # too few to say: as before where that is corrected, else never sure
        shipped = manifest.thresholds.cascade if examples.network is not None else None
        cascade = 1.0 if shipped is None else shipped
    new = judge.measure(reader, said, cascade)
    old = _measure_present(judge, album, outputs, manifest, taxonomy, present)
    silent = tuple(
        category.key
        for category in taxonomy.categories
        if category.key not in (*examples.categories, *_coded(manifest))
    )
    return Learnt(
        head=train_head(examples),
        held_out=dict(zip((page.image_hash for page in album.pages), rows, strict=True)),
        cascade=cascade,
        keep_local=own,
        new=new.worth,
        present=old.worth if old else None,
        refused=judge.objection(new, old) or _forgets(silent, kept, manifest, present),
        without_photos=silent,
    )


def _check_enough(labels: Sequence[str]) -> None:
    counts = Counter(labels)
    if len(counts) < 2:
        found = f"every photo is {next(iter(counts))!r}" if counts else "there is no labelled photo"
        raise UsageError(f"cannot learn: {found}. A head needs photos of at least two categories.")
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
    for category in categories:
        if not corrects and labels.count(category) < FEWEST_OF_A_CATEGORY:
            raise UsageError(
                f"cannot learn: {category!r} has one photo. Label more of it, or leave it out."
            )
    reader = Interpreter(manifest, taxonomy)
    return Examples(
        categories=categories,
        embeddings=outputs.embeddings,
        numbers=np.array([categories.index(label) for label in labels], np.int64),
        groups=groups_of(album.pages, outputs.embeddings),
        weights=np.array([page.lesson.weight for page in album.pages]),
        network=reader.of_network(outputs.network, categories) if corrects else None,
    )


def _measure_present(
    judge: Judge,
    album: Album,
    outputs: Outputs,
    manifest: ModelManifest,
    taxonomy: Taxonomy,
    kept_head: KeptHead | None,
) -> Measured | None:
    """Measure the present head; None where nothing serves the taxonomy.

    Of photos that it learnt from counts what was said of them when it had not seen them yet.
    """
    if kept_head is None:
        if not coverage(manifest, taxonomy).usable:
            return None
        reader = Interpreter(manifest, taxonomy)
        threshold = manifest.thresholds.cascade
        return judge.measure(reader, reader.answers(outputs, None), threshold)
    head, seen = kept_head.head(outputs.embeddings.shape[1]), kept_head.held_out()
    reader = Interpreter(manifest, taxonomy, kept_head.notes.keep_local)
    known = reader.of_network(outputs.network, head.categories)
    rows = head.probabilities(outputs.embeddings, known)
    for number, page in enumerate(album.pages):
        if page.image_hash in seen:
            rows[number] = seen[page.image_hash]
    said = reader.finish(reader.spread(rows, head.categories), outputs)
    own = kept_head.notes.cascade
    return judge.measure(reader, said, manifest.thresholds.cascade if own is None else own)


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
