"""The summary has exactly the keys that the design promises."""

from __future__ import annotations

from typing import Any

from xintu_cli.records import ProviderFigures, RunSummary
from xintu_cli.reporting.summary import summary_json

SUMMARY = RunSummary(
    run_id="r-1",
    status="partial",
    exit_code=3,
    found=10,
    cached=4,
    llm=2,
    local=1,
    failed=2,
    skipped=0,
    pending=1,
    unchanged=3,
    duplicates=1,
    manual=1,
    provisional=1,
    upgraded=1,
    kept_local=1,
    spared=0,
    calls=3,
    retries=1,
    tokens_in=1500,
    tokens_out=120,
    cost=0.1 + 0.2,
    currency="CNY",
    seconds=2.34567,
    photos_per_second=4.2637,
    categories={"foods": 1, "pets": 6},
    providers={"qwen": ProviderFigures(3, 2, 1, 1012.345, 2024.567, 0.3)},
    failures=((b"/a\xff.jpg", "empty"), ("/照片\x1b.jpg".encode(), "truncated")),
    failures_total=2,
)

EXPECTED: dict[str, Any] = {
    "run_id": "r-1",
    "status": "partial",
    "exit_code": 3,
    "found": 10,
    "cached": 4,
    "llm": 2,
    "local": 1,
    "failed": 2,
    "skipped": 0,
    "pending": 1,
    "unchanged": 3,
    "duplicates": 1,
    "manual": 1,
    "provisional": 1,
    "upgraded": 1,
    "kept_local": 1,
    "spared": 0,
    "calls": 3,
    "retries": 1,
    "tokens_in": 1500,
    "tokens_out": 120,
    "cost": 0.3,
    "currency": "CNY",
    "seconds": 2.346,
    "photos_per_second": 4.3,
    "categories": {"pets": 6, "foods": 1},
    "providers": {
        "qwen": {
            "calls": 3,
            "ok": 2,
            "failed": 1,
            "p50_ms": 1012.3,
            "p99_ms": 2024.6,
            "cost": 0.3,
        }
    },
    "failures": [
        {"path": "file:///a%FF.jpg", "reason": "empty"},
        {"path": "/照片\x1b.jpg", "reason": "truncated"},
    ],
    "failures_total": 2,
}


def test_the_summary_has_these_keys_in_this_order() -> None:
    produced = summary_json(SUMMARY)
    assert produced == EXPECTED
    assert list(produced) == list(EXPECTED)
    assert list(produced["categories"]) == ["pets", "foods"]


def test_an_unknown_cost_is_null() -> None:
    unknown = RunSummary("r", "done", 0, 0, 0, 0, 0, 0, 0, 0, cost=None)
    assert summary_json(unknown)["cost"] is None
