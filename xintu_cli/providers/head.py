"""Heads: what turns the local model's embedding into categories, learnt from labelled photos.

In: embeddings (N × D, float32, as `OnnxModel.predict` gives them) and their labels. Out: a
`Head`, one linear layer, kept as `head.npz` with `head.json` beside it. Numpy alone, seconds
for thousands of photos. Multinomial logistic regression with an L2 penalty; the temperature
and the penalty are chosen out of fold.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xintu_cli.errors import ModelFileError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Embeddings = NDArray[np.float32]
    Numbers = NDArray[np.int64]

WEIGHTS_NAME = "head.npz"
NOTES_NAME = "head.json"
STRENGTHS = (0.0005, 0.002, 0.01, 0.1)
"""Inverse L2 penalties to choose from; the shipped embedding likes 0.001 to 0.003, narrow
embeddings more."""
FEWEST_PHOTOS = 2
"""A category of one photo cannot be both learnt and checked."""
_FOLDS = 4
_STEPS = 200
_MEMORY = 10
_FLAT = 1e-4
"""Stop where no weight's gradient exceeds this part of the number of photos."""


@dataclass(frozen=True, slots=True)
class Head:
    """One linear layer: probabilities = softmax(embedding · weight + bias).

    `weight` is D × categories; the temperature is already divided out. `base` is the SHA-256
    of the ONNX file whose embedding this is made for.
    """

    categories: tuple[str, ...]
    weight: Embeddings
    bias: Embeddings
    base: str
    taxonomy: str

    def probabilities(self, embeddings: Embeddings) -> Array:
        """Return N × categories (rows sum to 1) for N × D."""
        return softmax(embeddings @ self.weight + self.bias)

    @property
    def digest(self) -> str:
        """SHA-256 over all that decides an answer."""
        parts = (self.weight.tobytes(), self.bias.tobytes())
        names = "\0".join((*self.categories, self.base, self.taxonomy)).encode()
        return hashlib.sha256(b"".join((*parts, names))).hexdigest()


@dataclass(frozen=True, slots=True)
class Score:
    """How well probabilities meet labels; `ece` is the expected calibration error (10 bins)."""

    photos: int
    accuracy: float
    macro_f1: float
    ece: float


def softmax(logits: NDArray[Any]) -> Array:
    """Return exp(logits) normalised by row."""
    powers: Array = np.exp(logits - logits.max(axis=1, keepdims=True)).astype(np.float64)
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def train_head(
    embeddings: Embeddings,
    labels: Sequence[str],
    *,
    base: str,
    taxonomy: str,
    groups: Sequence[str] | None = None,
) -> Head:
    """Learn a head; rarer categories weigh more, as if all were equally frequent.

    `groups`: photos that resemble each other (a folder, a day) share one; they stay together
    when penalty and temperature are chosen. Raises `UsageError` where there is too little.
    """
    categories, numbers = _checked(embeddings, labels)
    rows, basis = _rotated(embeddings)
    weight, bias = _chosen(rows, numbers, _folds(numbers, groups), len(categories))
    return Head(
        categories=categories,
        weight=(weight if basis is None else basis.T @ weight).astype(np.float32),
        bias=bias.astype(np.float32),
        base=base,
        taxonomy=taxonomy,
    )


def out_of_fold(
    embeddings: Embeddings, labels: Sequence[str], *, groups: Sequence[str] | None = None
) -> tuple[tuple[str, ...], Array]:
    """Return categories and N × categories probabilities, each from a head that never saw it.

    Each of those heads chose its penalty and temperature without the photos it is asked
    about: what this measures is what `train_head` yields on new photos.
    """
    categories, numbers = _checked(embeddings, labels)
    rows, _ = _rotated(embeddings)
    fold_of = _folds(numbers, groups)
    names = np.arange(len(numbers)).astype(str) if groups is None else np.array(groups)
    logits = np.zeros((len(numbers), len(categories)))
    for fold in np.unique(fold_of):
        held = fold_of == fold
        if not held.all():
            inner = _folds(numbers[~held], [str(name) for name in names[~held]])
            weight, bias = _chosen(rows[~held], numbers[~held], inner, len(categories))
            logits[held] = rows[held] @ weight + bias
    return categories, softmax(logits)


def score(probabilities: Array, categories: Sequence[str], labels: Sequence[str]) -> Score:
    """Measure probabilities (N × categories) against labels.

    A label that is none of the categories counts as wrong, as it would for a person.
    """
    said = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    names = np.array([*categories])[said]
    truth = np.array(labels)
    correct = names == truth
    f1 = []
    for category in sorted(set(labels)):
        hits = int((correct & (truth == category)).sum())
        total = int((names == category).sum() + (truth == category).sum())
        f1.append(2 * hits / total)
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = (
        float(inside.sum()) * abs(float(confidence[inside].mean() - correct[inside].mean()))
        for inside in (bins == number for number in np.unique(bins))
    )
    return Score(
        photos=len(labels),
        accuracy=float(correct.mean()),
        macro_f1=float(np.mean(f1)),
        ece=sum(gaps) / len(labels),
    )


def save_head(head: Head, directory: Path, figures: Score) -> None:
    """Write the head and its notes; the weights first, so that the notes never lie."""
    directory.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    np.savez(stream, weight=head.weight, bias=head.bias)
    content = stream.getvalue()
    notes = {
        "categories": list(head.categories),
        "base": head.base,
        "taxonomy": head.taxonomy,
        "sha256": hashlib.sha256(content).hexdigest(),
        "photos": figures.photos,
        "accuracy": figures.accuracy,
        "macro_f1": figures.macro_f1,
        "ece": figures.ece,
    }
    for name, data in (
        (WEIGHTS_NAME, content),
        (NOTES_NAME, json.dumps(notes, indent=2, ensure_ascii=False).encode()),
    ):
        partial = directory / f"{name}.part"
        partial.write_bytes(data)
        partial.replace(directory / name)


def load_head(directory: Path, *, base: str) -> Head:
    """Read a head made for the ONNX file with SHA-256 `base`. Raises `ModelFileError`."""

    def wrong(what: str) -> ModelFileError:
        return ModelFileError(
            f"the trained head in {directory} cannot be used: {what}. "
            "Train it again (xintu models train), or delete that directory."
        )

    try:
        notes = json.loads((directory / NOTES_NAME).read_text(encoding="utf-8"))
        content = (directory / WEIGHTS_NAME).read_bytes()
        categories = tuple(str(name) for name in notes["categories"])
        recorded, made_for, taxonomy = notes["sha256"], notes["base"], str(notes["taxonomy"])
    except OSError as error:
        raise wrong(f"{error.strerror}: {error.filename}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise wrong(f"{NOTES_NAME} is damaged ({error!r})") from error
    if hashlib.sha256(content).hexdigest() != recorded:
        raise wrong(f"{WEIGHTS_NAME} is damaged or was exchanged")
    if made_for != base:
        raise wrong("it was made for another model than the present one")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            weight, bias = arrays["weight"], arrays["bias"]
    except (ValueError, KeyError, OSError) as error:
        raise wrong(f"{WEIGHTS_NAME} is damaged ({error})") from error
    shapes_fit = weight.ndim == 2 and weight.shape[1:] == bias.shape == (len(categories),)
    if not shapes_fit or not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise wrong(f"{WEIGHTS_NAME} does not fit its categories")
    return Head(categories, weight, bias, base, taxonomy)


def _checked(embeddings: Embeddings, labels: Sequence[str]) -> tuple[tuple[str, ...], Numbers]:
    """Name the categories and number the labels; refuse what nothing can be learnt from."""
    if embeddings.ndim != 2 or len(embeddings) != len(labels):
        raise ValueError(f"{embeddings.shape} embeddings for {len(labels)} labels")
    categories = tuple(sorted(set(labels)))
    if len(categories) < 2:
        found = f"only photos of {categories[0]!r}" if categories else "no labelled photo"
        raise UsageError(
            f"cannot train: there is {found}. A head needs photos of at least two categories."
        )
    numbers = np.searchsorted(np.array(categories), np.array(labels)).astype(np.int64)
    for category, count in zip(categories, np.bincount(numbers), strict=True):
        if count < FEWEST_PHOTOS:
            raise UsageError(
                f"cannot train: {category!r} has {count} photo. Add more, or leave it out."
            )
    return categories, numbers


def _folds(numbers: Numbers, groups: Sequence[str] | None) -> Numbers:
    """Return each photo's fold: groups stay together, categories spread out.

    The largest groups first, each to the fold that has fewest of its most frequent category.
    """
    names = np.arange(len(numbers)).astype(str) if groups is None else np.array(groups)
    filled = np.zeros((_FOLDS, int(numbers.max()) + 1))
    fold_of = np.zeros(len(numbers), np.int64)
    unique, inverse, counts = np.unique(names, return_inverse=True, return_counts=True)
    for group in sorted(range(len(unique)), key=lambda g: (-counts[g], unique[g])):
        members = inverse == group
        inside = np.bincount(numbers[members], minlength=filled.shape[1])
        main = int(inside.argmax())
        fold = min(range(_FOLDS), key=lambda f: (filled[f, main], filled[f].sum()))
        fold_of[members] = fold
        filled[fold] += inside
    return fold_of


def _rotated(embeddings: Embeddings) -> tuple[Array, Array | None]:
    """Turn N rows of D numbers into N rows of N, where that is fewer; and the way back.

    The penalised solution lies in the span of the photos, and a rotation changes no penalty:
    the result is the same, for a third of the time.
    """
    rows: Array = embeddings.astype(np.float64)
    if rows.shape[0] >= rows.shape[1]:
        return rows, None
    left, lengths, basis = np.linalg.svd(rows, full_matrices=False)
    return left * lengths, basis


def _chosen(rows: Array, numbers: Numbers, fold_of: Numbers, count: int) -> tuple[Array, Array]:
    """Fit with the penalty of least log-loss out of fold, its temperature divided out."""
    best: tuple[float, float, float] | None = None  # log-loss, strength, temperature
    for strength in STRENGTHS:
        logits = _out_of_fold(rows, numbers, fold_of, count, strength)
        temperature, loss = _coolest(logits, numbers)
        if best is None or loss < best[0]:
            best = (loss, strength, temperature)
    assert best is not None
    _, strength, temperature = best
    weight, bias = _fit(rows, numbers, count, strength)
    return weight / temperature, bias / temperature


def _out_of_fold(
    rows: Array, numbers: Numbers, fold_of: Numbers, count: int, strength: float
) -> Array:
    logits = np.zeros((len(numbers), count))
    for fold in np.unique(fold_of):
        held = fold_of == fold
        if held.all():
            continue  # one group is all there is: nothing can be held out
        weight, bias = _fit(rows[~held], numbers[~held], count, strength)
        logits[held] = rows[held] @ weight + bias
    return logits


def _coolest(logits: Array, numbers: Numbers) -> tuple[float, float]:
    """Return the temperature of least log-loss, and that loss; golden-section search."""

    def loss(log_temperature: float) -> float:
        own = softmax(logits / np.exp(log_temperature))[np.arange(len(numbers)), numbers]
        return float(-np.log(np.maximum(own, 1e-12)).mean())

    low, high, golden = -2.5, 2.5, (5**0.5 - 1) / 2
    for _ in range(40):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    middle = (low + high) / 2
    return float(np.exp(middle)), loss(middle)


def _fit(rows: Array, numbers: Numbers, count: int, strength: float) -> tuple[Array, Array]:
    """Return weight (D × count) and bias of the penalised maximum likelihood."""
    present = np.bincount(numbers, minlength=count)
    per_photo = len(numbers) / np.maximum(present, 1)[numbers] / max(1, int((present > 0).sum()))
    wanted = np.eye(count)[numbers]
    inputs = rows.shape[1]

    def loss(flat: Array) -> tuple[float, Array]:
        weight, bias = flat[: inputs * count].reshape(inputs, count), flat[inputs * count :]
        likely = softmax(rows @ weight + bias)
        own = np.maximum(likely[np.arange(len(numbers)), numbers], 1e-300)
        error = (likely - wanted) * per_photo[:, None]
        slope = np.concatenate([(rows.T @ error + weight / strength).ravel(), error.sum(axis=0)])
        return float(-(per_photo * np.log(own)).sum() + (weight**2).sum() / 2 / strength), slope

    flat = _minimise(loss, np.zeros((inputs + 1) * count), tolerance=_FLAT * len(numbers))
    weight, bias = flat[: inputs * count].reshape(inputs, count), flat[inputs * count :]
    bias = np.where(present > 0, bias, bias.min() - 10.0)  # nothing is known of it: unlikely
    return weight, bias


def _minimise(
    function: Callable[[Array], tuple[float, Array]], start: Array, *, tolerance: float
) -> Array:
    """Minimise a smooth convex function by L-BFGS (Nocedal and Wright, algorithm 7.5)."""
    point = start
    value, slope = function(point)
    pairs: list[tuple[Array, Array]] = []
    for _ in range(_STEPS):
        if np.abs(slope).max() < tolerance:
            break
        direction = -_scaled(slope, pairs)
        along = float(direction @ slope)
        step = 1.0 if pairs else min(1.0, 1.0 / float(np.abs(slope).sum()))
        for candidate in _halved(step):
            new_point = point + candidate * direction
            new_value, new_slope = function(new_point)
            if new_value <= value + 1e-4 * candidate * along:
                break
        else:
            break  # no step improves: this is the minimum, as far as floats can tell
        move, turn = new_point - point, new_slope - slope
        if float(move @ turn) > 1e-12:
            pairs = [*pairs[-(_MEMORY - 1) :], (move, turn)]
        point, value, slope = new_point, new_value, new_slope
    return point


def _halved(step: float) -> Iterator[float]:
    for power in range(30):
        yield step / 2**power


def _scaled(slope: Array, pairs: Sequence[tuple[Array, Array]]) -> Array:
    """Multiply by the approximate inverse Hessian (two-loop recursion, algorithm 7.4)."""
    vector = slope.copy()
    shares = []
    for move, turn in reversed(pairs):
        share = float(move @ vector) / float(move @ turn)
        shares.append(share)
        vector -= share * turn
    if pairs:
        move, turn = pairs[-1]
        vector *= float(move @ turn) / float(turn @ turn)
    for (move, turn), share in zip(pairs, reversed(shares), strict=True):
        vector += (share - float(turn @ vector) / float(move @ turn)) * move
    return vector
