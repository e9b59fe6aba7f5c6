"""`xintu stats` about calls, each figure against a truth that is computed apart from it.

The truth: what the vendor's script did to which request, the exports before and after, and the
raw rows of the log.
"""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Home
from tests.support.photos import make_tree
from tests.support.vendor_process import VendorProcess

PHOTOS = 12
AWAY, REFUSED = {3, 9}, {5}
"""Requests, counted from 1, that end in 503 and in a refusal of the photo."""
TOKENS_IN, TOKENS_OUT = 900, 60
PRICE_IN, PRICE_OUT = 2.0, 10.0
COST = (TOKENS_IN * PRICE_IN + TOKENS_OUT * PRICE_OUT) / 1e6
SCRIPT = {
    "categories": ["other", "pets", "foods"],
    "rules": [
        {"when": {"numbers": sorted(AWAY)}, "then": {"status": 503, "message": "later"}},
        {
            "when": {"numbers": sorted(REFUSED)},
            "then": {"status": 400, "code": "content_policy_violation", "message": "no"},
        },
    ],
}


def exported(home: Home, photos: Path) -> dict[str, tuple[str, str]]:
    """Return source and category of every path."""
    told = home.run("export", photos, "-o", "-", "--format", "jsonl")
    rows = [json.loads(line) for line in told.lines()]
    return {row["path"]: (row["source"], row["category"]) for row in rows}


def latencies(home: Home) -> list[float]:
    with closing(sqlite3.connect(home.state / "cache.db")) as connection:
        sql = "SELECT latency_ms FROM request_log WHERE provider = 'mine' AND outcome = 'ok'"
        return sorted(row[0] for row in connection.execute(sql))


def nearest_rank(ordered: list[float], percent: int) -> float:
    return ordered[math.ceil(percent / 100 * len(ordered)) - 1]


def test_what_calls_cost_saved_took_and_failed_is_what_the_vendor_did(
    home: Home, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    make_tree(photos, PHOTOS)
    home.run("classify", photos)
    before = exported(home, photos)
    with VendorProcess(SCRIPT) as vendor:
        config = f"""
            policy = "hybrid"
            concurrency = 1
            keep_local = ["none"]
            [[provider]]
            name = "mine"
            kind = "openai"
            base_url = "{vendor.base_url("openai")}"
            price_in = {PRICE_IN}
            price_out = {PRICE_OUT}
            currency = "USD"
        """
        (home.state / "config.toml").write_text(config)
        _, run = home.summary(photos)
        requests = vendor.summary()["requests"]
    then = exported(home, photos)
    answered = PHOTOS - len(REFUSED)
    assert (requests, run["llm"]) == (PHOTOS + len(AWAY), answered)

    # A copy elsewhere is answered from the cache: a call saved, and what it had cost.
    again = tmp_path / "again"
    again.mkdir()
    by_llm = [path for path, (source, _) in then.items() if source == "llm"]
    shutil.copy(by_llm[0], again)
    home.run("classify", again)

    told = home.run("stats", "--json").json()
    [mine] = [line for line in told["providers"] if line["provider"] == "mine"]
    assert (mine["attempts"], mine["ok"]) == (requests, answered)
    assert (mine["tokens_in"], mine["tokens_out"]) == (answered * TOKENS_IN, answered * TOKENS_OUT)
    assert (mine["cost"], mine["unpriced"]) == (pytest.approx(answered * COST), 0)
    assert told["periods"]["all_time"]["spent"] == {"USD": pytest.approx(answered * COST)}
    assert told["saved"] == [{"calls": 1, "cost": pytest.approx(COST), "currency": "USD"}]
    ordered = latencies(home)
    assert len(ordered) == answered
    for percent in (50, 90, 99):
        assert mine[f"p{percent}_ms"] == nearest_rank(ordered, percent)
    assert failures(told) == {"unavailable": len(AWAY), "rejected": len(REFUSED)}
    assert told["answers"]["fallback_share"] == round(len(REFUSED) / PHOTOS, 4)
    assert told["answers"]["provisional"] == {"refused": len(REFUSED)}
    alike = sum(then[path][1] == before[path][1] for path in by_llm)
    assert told["agreement"] == {"both": answered, "alike": alike}
    assert 0 < alike < answered, "the script should agree sometimes, else this shows nothing"

    page = home.run("stats").stdout
    for said in ("mine", f"{answered * COST:.4f} USD"):
        assert said in page


def failures(told: dict[str, Any]) -> dict[str, int]:
    calls = told["failures"]["calls"]
    return {line["outcome"]: line["attempts"] for line in calls if line["provider"] == "mine"}
