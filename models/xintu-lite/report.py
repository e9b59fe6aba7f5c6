"""Put what was measured into numbers, thresholds and the manifest's text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from recipe import Examples, Outcome, calibration_error, keep_threshold
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from xintu_cli.providers.manifest import InputSpec

if TYPE_CHECKING:
    from graph import Array

CASCADE_ACCURACY = 0.98
"""A local answer is trusted without a second opinion where so many of its kind are right."""


def with_barcode(
    probabilities: Array, barcode: Array, kept: Array, column: int, confidence: float
) -> Array:
    """Apply the barcode rule as run time does: not where the photo is protected."""
    mixed = probabilities.copy()
    speaks = barcode & ~kept
    mixed[speaks] *= 1.0 - confidence
    mixed[speaks, column] += confidence
    return mixed


def barcode_confidence(examples: Examples, column: int) -> float:
    """Share of photos with a code that are of its category; one doubt added (Laplace)."""
    told = examples.real & examples.barcode
    right = int((examples.labels[told] == column).sum())
    return round((right + 1) / (int(told.sum()) + 2), 3)


def measure(
    examples: Examples,
    outcome: Outcome,
    categories: Sequence[str],
    protected: str,
    barcode: str,
) -> dict[str, Any]:
    """Return every figure of the model card, from nested cross-validation."""
    real = examples.real
    labels, network = examples.labels[real], outcome.probabilities[real]
    own = categories.index(protected)
    kept = network[:, own] >= outcome.keep_thresholds[real]
    column = categories.index(barcode)
    confidence = barcode_confidence(examples, column)
    final = with_barcode(network, examples.barcode[real], kept, column, confidence)
    is_own = labels == own
    return {
        "with_rule": _scores(labels, final, categories),
        "network_alone": _scores(labels, network, categories),
        "keep_local": {
            "missed": float((~kept[is_own]).mean()),
            "kept_of_others": float(kept[~is_own].mean()),
        },
        "settings_of_folds": [str(settings) for settings in outcome.settings],
        "cascade": _cascade(final, labels),
    }


def _scores(labels: Array, probabilities: Array, categories: Sequence[str]) -> dict[str, Any]:
    said = probabilities.argmax(1)
    numbers = np.arange(len(categories))
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, said, labels=numbers, zero_division=0
    )
    correct = said == labels
    return {
        "accuracy": float(correct.mean()),
        "macro_f1": float(f1.mean()),
        "ece": calibration_error(probabilities.max(1), correct),
        "per_category": {
            name: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "photos": int(support[i]),
            }
            for i, name in enumerate(categories)
        },
        "confusion": confusion_matrix(labels, said, labels=numbers).tolist(),
    }


def _cascade(probabilities: Array, labels: Array) -> list[dict[str, float]]:
    """Accuracy and share of what is answered locally, per threshold."""
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    rows = []
    for threshold in (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98):
        sure = confidence >= threshold
        accuracy = float(correct[sure].mean()) if sure.any() else 1.0
        rows.append({"threshold": threshold, "share": float(sure.mean()), "accuracy": accuracy})
    return rows


def thresholds(
    examples: Examples,
    probabilities: Array,
    categories: Sequence[str],
    protected: str,
    barcode: str,
) -> dict[str, float]:
    """Choose the shipped thresholds from out-of-fold probabilities of all real photos."""
    real = examples.real
    labels, network = examples.labels[real], probabilities[real]
    own, column = categories.index(protected), categories.index(barcode)
    keep = keep_threshold(network[:, own], labels == own)
    confidence = barcode_confidence(examples, column)
    kept = network[:, own] >= keep
    final = with_barcode(network, examples.barcode[real], kept, column, confidence)
    sureness, correct = final.max(1), final.argmax(1) == labels
    cascade = 0.99
    for candidate in np.arange(0.99, 0.49, -0.01):
        if correct[sureness >= candidate].mean() < CASCADE_ACCURACY:
            break
        cascade = float(candidate)
    return {"keep_local": keep, "cascade": cascade, "barcode": confidence}


def manifest(
    *,
    name: str,
    version: str,
    sha256: str,
    categories: Sequence[str],
    inputs: Sequence[InputSpec],
    thresholds: dict[str, float],
) -> str:
    """Return the text of model.toml."""
    labels = ",\n  ".join(f'"{category}"' for category in categories)
    tables = "\n".join(
        f'[[input]]\nname = "{spec.name}"\nview = "{spec.view}"\n'
        f"width = {spec.width}\nheight = {spec.height}\n"
        f'layout = "{spec.layout}"\ndtype = "{spec.dtype}"\n'
        for spec in inputs
    )
    return f"""# Made by train.py; what each key means stands in xintu_cli/providers/manifest.py.
name = "{name}"
version = "{version}"
licence = "Apache-2.0"
file = "model.onnx"
sha256 = "{sha256}"
taxonomy = "xintu"
labels = [
  {labels},
]

{tables}
[output]
probabilities = "probabilities"
embedding = "embedding"

# zxing-cpp decodes a QR code: measured right for this share of such photos.
[barcode]
category = "qrcode"
formats = ["QRCode"]
confidence = {thresholds["barcode"]}

# cascade: where {CASCADE_ACCURACY:.0%} of the local answers are right, cross-validated by source.
# keep_local: below this, hardly an identity document was seen.
[thresholds]
cascade = {thresholds["cascade"]:.2f}
keep_local = {{ idcard = {thresholds["keep_local"]:.3f} }}
"""


def table(figures: dict[str, Any]) -> str:
    """Return the figures as lines to read."""
    scores = figures["with_rule"]
    lines = [
        (
            f"macro-F1 {scores['macro_f1']:.4f}  accuracy {scores['accuracy']:.4f}  "
            f"ECE {scores['ece']:.4f}  network alone {figures['network_alone']['macro_f1']:.4f} "
            f"(ECE {figures['network_alone']['ece']:.4f})"
        ),
        f"keep_local: {figures['keep_local']}",
    ]
    for category, row in scores["per_category"].items():
        lines.append(
            f"{category:18} P {row['precision']:.3f}  R {row['recall']:.3f}  "
            f"F1 {row['f1']:.3f}  n {row['photos']}"
        )
    lines += [str(row) for row in scores["confusion"]]
    lines += [str(row) for row in figures["cascade"]]
    return "\n".join(lines)


def card(figures: dict[str, Any], thresholds: dict[str, float]) -> str:
    """Return the part of the model card that numbers are in, as Markdown."""
    scores, alone = figures["with_rule"], figures["network_alone"]
    categories = list(scores["per_category"])
    summary = (
        f"macro-F1 **{scores['macro_f1']:.3f}**, accuracy {scores['accuracy']:.3f}, expected "
        f"calibration error {scores['ece']:.3f}. Without the QR code rule (zxing-cpp missing): "
        f"macro-F1 {alone['macro_f1']:.3f}, calibration error {alone['ece']:.3f}."
    )
    lines = [
        summary,
        "",
        "| category | precision | recall | F1 | without the rule, F1 | photos |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in scores["per_category"].items():
        other = alone["per_category"][name]["f1"]
        lines.append(
            f"| {name} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} "
            f"| {other:.3f} | {row['photos']} |"
        )
    lines += ["", "Confusion (rows: what it is; columns: what the model says, same order):", ""]
    lines.append("| | " + " | ".join(categories) + " |")
    lines.append("|---" * (len(categories) + 1) + "|")
    for name, row in zip(categories, scores["confusion"], strict=True):
        lines.append(f"| {name} | " + " | ".join(str(n) if n else "" for n in row) + " |")
    keep = figures["keep_local"]
    kept = (
        f"`keep_local`: at a threshold chosen without them, {keep['missed']:.1%} of the identity "
        f"documents were missed and {keep['kept_of_others']:.1%} of the other photos kept back. "
        f"Shipped threshold: {thresholds['keep_local']:.3f}."
    )
    cascade = (
        "`cascade`: what a confidence threshold answers locally, and how much of that is right. "
        f"Shipped threshold: {thresholds['cascade']:.2f}, the lowest from which on at least "
        f"{CASCADE_ACCURACY:.0%} are."
    )
    lines += ["", kept, "", cascade, ""]
    lines += [
        "| threshold | answered locally | of these right |",
        "|---|---|---|",
    ]
    lines += [
        f"| {row['threshold']:.2f} | {row['share']:.1%} | {row['accuracy']:.1%} |"
        for row in figures["cascade"]
    ]
    return "\n".join(lines)
