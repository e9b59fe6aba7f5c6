"""The mock vendor of the benchmarks with calls: one local server, OpenAI's wire format."""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.benchmarks.measure import Measured, Place, run, succeed
from tests.support.command import Argument
from tests.support.vendor_process import VendorProcess

LATENCY_SECONDS = 1.5


def environment(vendor: VendorProcess) -> dict[str, str]:
    """Return what makes the server the default provider; it wants no real key."""
    return {"OPENAI_API_KEY": "sk-bench-1", "OPENAI_BASE_URL": vendor.base_url("openai")}


def classify(
    place: Place, vendor: VendorProcess, photos: Argument, *options: Argument, **counts: int
) -> Measured:
    """Time one run that asks the LLM; refuse one whose counts are not those expected."""
    command: list[Argument] = ["classify", photos, "--policy", "cloud", "--summary", "-", *options]
    measured = succeed(place.xintu(*command, env=environment(vendor)))
    found: dict[str, Any] = json.loads(measured.stdout)
    wrong = {key: found[key] for key, count in counts.items() if found[key] != count}
    if wrong:
        raise RuntimeError(f"expected {counts}, the run says {wrong}")
    return measured


def bare_calls(photos: Argument, concurrency: int, vendor: VendorProcess) -> Measured:
    """Time the simplest honest tool on the same photos; a concurrency of 0 only prepares them."""
    command: list[Argument] = [sys.executable, "-m", "tests.benchmarks.bare_calls"]
    return succeed(run([*command, photos, str(concurrency), vendor.base_url("openai")]))
