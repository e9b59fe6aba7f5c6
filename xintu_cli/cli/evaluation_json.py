"""An evaluation as JSON, for programs: what is undefined or unknown is null."""

from __future__ import annotations

from typing import Any

from xintu_cli.jobs.evaluate import Evaluation
from xintu_cli.jobs.scoring import Score, percentile
from xintu_cli.reporting.escape import path_text
from xintu_cli.taxonomy import Taxonomy

_NAMED_MISTAKES = 100
_PERCENTS = (50, 90, 99)


def evaluation_json(
    found: Evaluation, score: Score, taxonomy: Taxonomy, seconds: float
) -> dict[str, Any]:
    """Return the evaluation as what JSON can say; what is undefined or unknown is null."""
    latencies = found.latencies_ms
    tokens_in = sum(call.tokens_in or 0 for call in found.calls)
    tokens_out = sum(call.tokens_out or 0 for call in found.calls)
    return {
        "taxonomy": taxonomy.name,
        "photos": score.photos,
        "accuracy": _rounded(score.accuracy),
        "macro_f1": _rounded(score.macro_f1),
        "ece": _rounded(score.ece),
        "per_category": {
            key: {
                "precision": _rounded(by.precision),
                "recall": _rounded(by.recall),
                "f1": _rounded(by.f1),
                "photos": by.photos,
                "said": by.said,
            }
            for key, by in score.categories.items()
        },
        "confusion": score.confusion,
        "calibration": [
            {
                "photos": b.photos,
                "mean_confidence": _rounded(b.mean_confidence),
                "accuracy": _rounded(b.accuracy),
            }
            for b in score.calibration
        ],
        "latency_ms": {
            **{
                f"p{percent}": _milliseconds(percentile(latencies, percent))
                for percent in _PERCENTS
            },
            "mean": _milliseconds(sum(latencies) / len(latencies) if latencies else None),
        },
        "cost": None if found.cost is None else round(found.cost, 8),
        "currency": "".join(found.currencies) if len(found.currencies) == 1 else "",
        "calls": len(found.calls),
        "tokens_in": tokens_in,
        "tokens_out": tokens_out,
        "sources": found.sources,
        "provisional": found.provisional,
        "seconds": round(seconds, 3),
        "photos_per_second": round(score.photos / seconds, 1) if seconds > 0 else None,
        "stopped": found.stopped,
        "failures": [{"path": path_text(path), "reason": why} for path, why in found.failures],
        "mistakes": [
            {
                "path": path_text(mistake.path),
                "category": mistake.truth,
                "answer": mistake.said,
                "confidence": round(mistake.confidence, 4),
            }
            for mistake in found.worst()[:_NAMED_MISTAKES]
        ],
        "mistakes_total": len(found.mistakes),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _milliseconds(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
