"""Runs of the installed command that ask a vendor, and what its ledger says of them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.command import Finished, Home
from tests.support.invariants import check_accounts, check_streams
from tests.support.vendor_process import VendorProcess

CANARY = "sk-cnry-77aa01"
"""Every provider's key: it may be seen nowhere."""

ALL_CLOUD = ("--policy", "cloud", "--keep-local", "none")
"""Nobody but the LLM: no local model is loaded, which saves half a second a run."""

_VARIABLES = {
    "dashscope": ("DASHSCOPE_API_KEY", "DASHSCOPE_HTTP_BASE_URL"),
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
}


def environment(**vendors: VendorProcess) -> dict[str, str]:
    """Return the variables that configure default providers: `environment(openai=vendor)`."""
    variables: dict[str, str] = {}
    for kind, vendor in vendors.items():
        key, url = _VARIABLES[kind]
        variables |= {key: CANARY, url: vendor.base_url(kind)}
    return variables


def classify(
    home: Home, photos: Path, *arguments: str, **vendors: VendorProcess
) -> tuple[Finished, dict[str, Any]]:
    """Classify with these vendors; check what holds of every run."""
    finished, summary = home.summary(photos, *arguments, env=environment(**vendors))
    check_streams(finished, [CANARY])
    check_accounts(summary)
    assert summary["exit_code"] == finished.exit_code, finished
    return finished, summary


def rows(cache: Path, sql: str) -> list[tuple[Any, ...]]:
    """Read a cache's file; nothing where it is not there or just being made."""
    if not cache.exists():
        return []
    with closing(sqlite3.connect(f"file:{cache}?mode=ro", uri=True)) as connection:
        try:
            return connection.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []


def answered(cache: Path) -> dict[str, str]:
    """Return image hash to the run that stored it, of every answer an LLM gave."""
    sql = "SELECT image_hash, run_id FROM classification WHERE source = 'llm'"
    return dict(rows(cache, sql))


def outlive_the_leases(cache: Path) -> None:
    """Let the claims of dead runs run out, as three minutes would."""
    if not rows(cache, "SELECT 1 FROM claim LIMIT 1"):
        return  # it was killed before there was any
    with closing(sqlite3.connect(cache)) as connection, connection:
        connection.execute("UPDATE claim SET expires_at = '2020-01-01 00:00:00.000'")


def billed(vendor: VendorProcess) -> Counter[str]:
    """Return how often every picture was billed: it arrived whole and was to be answered."""
    return Counter(request["picture"] for request in vendor.received() if request["picture"])
