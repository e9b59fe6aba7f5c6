"""The run's counts as JSON, for programs: `--summary FILE`.

In: a `RunSummary`. Out: one JSON object, written in one step or to stdout.
"""

from __future__ import annotations

from typing import Any

from xintu_cli.records import ProviderFigures, RunSummary
from xintu_cli.reporting.escape import json_text, path_text
from xintu_cli.reporting.outputs import Target, open_output

_MONEY_DIGITS = 8
_PLAIN_KEYS = (
    "run_id", "status", "exit_code",
    "found", "cached", "llm", "local", "failed", "skipped", "pending",
    "unchanged", "duplicates", "manual", "provisional", "upgraded", "kept_local", "spared",
    "calls", "retries", "tokens_in", "tokens_out",
)  # fmt: skip


def summary_json(summary: RunSummary) -> dict[str, Any]:
    """Return the summary as what JSON can say; an unknown cost is null, never 0.

    A path that is not UTF-8 is a file URI (`escape.path_text`).
    """
    return {
        **{key: getattr(summary, key) for key in _PLAIN_KEYS},
        "cost": _money(summary.cost),
        "currency": summary.currency,
        "seconds": round(summary.seconds, 3),
        "photos_per_second": round(summary.photos_per_second, 1),
        "categories": dict(sorted(summary.categories.items(), key=lambda kv: (-kv[1], kv[0]))),
        "providers": {name: _figures_json(f) for name, f in sorted(summary.providers.items())},
        "failures": [
            {"path": path_text(path), "reason": reason} for path, reason in summary.failures
        ],
        "failures_total": summary.failures_total,
    }


def write_summary(summary: RunSummary, target: Target) -> None:
    """Write the summary to a file in one step, or to stdout ("-"); raise `OutputError`."""
    with open_output(target) as output:
        output.write(json_text(summary_json(summary), indent=2) + "\n")


def _figures_json(figures: ProviderFigures) -> dict[str, Any]:
    return {
        "calls": figures.calls,
        "ok": figures.ok,
        "failed": figures.failed,
        "p50_ms": _milliseconds(figures.p50_ms),
        "p99_ms": _milliseconds(figures.p99_ms),
        "cost": _money(figures.cost),
    }


def _milliseconds(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _money(value: float | None) -> float | None:
    return None if value is None else round(value, _MONEY_DIGITS)
