"""Fit the head and measure it without fooling ourselves.

A head is one linear layer over standardised features, fitted by logistic regression. Every
figure comes from nested cross-validation: folds are cut by the photos' source, a fold's
settings and thresholds are chosen by another cross-validation inside its training part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from features import DENSE
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold

if TYPE_CHECKING:
    from graph import Array

STRENGTHS = (0.001, 0.003)
"""Inverse regularisation to choose from."""
GAINS = (4.0,)
"""How much louder the dense features speak than the pooled ones; 3 and 6 did no better."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows of features with what is known of them.

    `real`: a photo that is measured on. Other rows (altered or drawn copies) only train, and
    never where their `group` is held out.
    """

    features: Array
    labels: Array
    groups: Array
    real: Array
    barcode: Array
    weights: Array

    def take(self, rows: Array) -> Examples:
        """Return some of the rows."""
        return Examples(*(getattr(self, name)[rows] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Settings:
    """What is chosen by the inner cross-validation."""

    strength: float = 0.001
    gain: float = 4.0


@dataclass(frozen=True, slots=True)
class Head:
    """Standardisation and linear layer: probabilities = softmax((f - shift)·scale·weight + bias).

    Dividing by the temperature is already in weight and bias.
    """

    shift: Array
    scale: Array
    weight: Array
    bias: Array

    def logits(self, features: Array) -> Array:
        """Return N×categories."""
        return ((features - self.shift) * self.scale) @ self.weight + self.bias

    def probabilities(self, features: Array) -> Array:
        """Return N×categories, rows summing to 1."""
        return softmax(self.logits(features))

    def cooled(self, temperature: float) -> Head:
        """Return the head with its logits divided by `temperature`."""
        return Head(self.shift, self.scale, self.weight / temperature, self.bias / temperature)


@dataclass
class Outcome:
    """What one nested cross-validation measured, per photo: row-aligned arrays."""

    probabilities: Array
    keep_thresholds: Array
    settings: list[Settings] = field(default_factory=list)


def softmax(logits: Array) -> Array:
    """Return exp(logits) normalised by row."""
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def fit(examples: Examples, settings: Settings, categories: int) -> Head:
    """Fit the linear layer; rarer categories weigh more, as if all were equally frequent."""
    shift = examples.features.mean(0)
    scale = 1.0 / (examples.features.std(0) + 1e-3)
    scale[:DENSE] *= settings.gain
    totals = np.bincount(examples.labels, examples.weights, categories)
    weights = examples.weights / totals[examples.labels] * len(examples.labels) / categories
    regression = LogisticRegression(C=settings.strength, max_iter=200, tol=1e-3)
    standardised = ((examples.features - shift) * scale).astype(np.float32)
    regression.fit(standardised, examples.labels, weights)
    weight = np.zeros((examples.features.shape[1], categories))
    bias = np.full(categories, -30.0)  # a category that this fold never saw
    weight[:, regression.classes_] = regression.coef_.T
    bias[regression.classes_] = regression.intercept_
    return Head(shift, scale, weight, bias)


def folds(examples: Examples, count: int, seed: int) -> Iterator[tuple[Array, Array]]:
    """Cut by source: (rows to train on, real rows to measure on)."""
    real = np.flatnonzero(examples.real)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    for _, held in splitter.split(real, examples.labels[real], examples.groups[real]):
        measured = real[held]
        away = np.isin(examples.groups, np.unique(examples.groups[measured]))
        yield np.flatnonzero(~away), measured


def predict_out_of_fold(
    examples: Examples, settings: Settings, categories: int, *, count: int, seed: int
) -> Array:
    """Return logits of the real rows (others NaN), each from a head that saw no such source."""
    logits = np.full((len(examples.labels), categories), np.nan)
    for training, measured in folds(examples, count, seed):
        head = fit(examples.take(training), settings, categories)
        logits[measured] = head.logits(examples.features[measured])
    return logits


def choose(
    examples: Examples, categories: int, *, count: int, seed: int
) -> tuple[Settings, float, Array]:
    """Choose settings by macro-F1 out of fold; also the temperature and the logits at it."""
    best: tuple[float, Settings, Array] | None = None
    real = examples.real
    for strength, gain in product(STRENGTHS, GAINS):
        settings = Settings(strength, gain)
        logits = predict_out_of_fold(examples, settings, categories, count=count, seed=seed)
        said = logits[real].argmax(1)
        score = float(f1_score(examples.labels[real], said, average="macro"))
        if best is None or score > best[0]:
            best = (score, settings, logits)
    assert best is not None
    _, settings, logits = best
    temperature = fit_temperature(logits[real], examples.labels[real])
    return settings, temperature, logits / temperature


def fit_temperature(logits: Array, labels: Array) -> float:
    """Return the temperature of least log-loss."""

    def loss(log_temperature: float) -> float:
        chosen = softmax(logits / np.exp(log_temperature))[np.arange(len(labels)), labels]
        return float(-np.log(np.maximum(chosen, 1e-12)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def keep_threshold(scores: Array, protected: Array, most_kept: float = 0.015) -> float:
    """Return the threshold that keeps back `most_kept` of the photos that need no keeping.

    `scores` are the protected category's probabilities, `protected` tells which photos are of
    it. As wary as is allowed: a document sent away cannot be called back.
    """
    others = scores[~protected]
    return float(np.clip(np.quantile(others, 1.0 - most_kept), 0.01, 0.5))


def nested(
    examples: Examples, categories: int, protected: int, *, count: int = 5, seed: int = 0
) -> Outcome:
    """Measure the whole procedure: what `choose` and `fit` yield on sources they never saw."""
    rows = len(examples.labels)
    outcome = Outcome(np.full((rows, categories), np.nan), np.full(rows, np.nan))
    for training, measured in folds(examples, count, seed):
        part = examples.take(training)
        settings, temperature, inner = choose(part, categories, count=count - 1, seed=seed)
        head = fit(part, settings, categories).cooled(temperature)
        outcome.probabilities[measured] = head.probabilities(examples.features[measured])
        scores = softmax(inner[part.real])[:, protected]
        is_protected = part.labels[part.real] == protected
        outcome.keep_thresholds[measured] = keep_threshold(scores, is_protected)
        outcome.settings.append(settings)
    return outcome


def calibration_error(confidence: Array, correct: Array, bins: int = 10) -> float:
    """Return the expected calibration error over bins of equal width."""
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    parts = [number == b for b in range(bins) if (number == b).any()]
    gaps = [part.sum() * abs(confidence[part].mean() - correct[part].mean()) for part in parts]
    return float(sum(gaps) / len(confidence))
