"""No key comes back: not on a stream, not in a log, not in a table, whatever a vendor does.

The vendor of these runs echoes the key wherever it can speak: in errors of every status, in
headers, in answers that cannot be read, in categories and in descriptions.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Finished, Home
from tests.support.photos import make_tree
from tests.support.vendor_process import VendorProcess

CANARY = "sk-cnry-77aa01-echoed-key"
VARIABLES = {
    "dashscope": ("DASHSCOPE_API_KEY", "DASHSCOPE_HTTP_BASE_URL"),
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
}
CHATTER = {"OPENAI_LOG": "debug", "DASHSCOPE_LOGGING_LEVEL": "debug", "ANTHROPIC_LOG": "debug"}
HURRIED = {"XINTU_MAX_WAIT_SECONDS": "1"}
ANSWER = {"category": "pets", "confidence": 0.9, "description": "A cat.", "second_category": None}
ECHOES: list[dict[str, Any]] = [
    {"answer": {**ANSWER, "description": f"The key is {CANARY}, keep it safe."}},
    {"answer": {**ANSWER, "category": CANARY}},
    {"content": f"I was given {CANARY}."},
    {"body": f"<html>{CANARY}</html>", "content_type": "text/html"},
    {"body": f'{{"error": "{CANARY}"'},
    {"status": 400, "code": "data_inspection_failed", "message": f"refused {CANARY}"},
    {"status": 400, "code": "invalid_parameter", "message": f"bad request of {CANARY}"},
    {"status": 413, "code": "too_large", "message": f"{CANARY} sent too much"},
    {"status": 429, "message": f"slow down, {CANARY}", "headers": {"retry-after": "0"}},
    {"status": 503, "message": f"not now, {CANARY}", "headers": {"x-echo": CANARY}},
    {"status": 307, "headers": {"location": f"http://127.0.0.1:9/{CANARY}"}},
    {"fault": "close_before_reply"},
    {"fault": "close_in_reply"},
    {"fault": "garbage"},
]
REFUSED = {
    "then": {"status": 401, "code": "invalid_api_key", "message": f"Incorrect API key: {CANARY}."}
}


def faults() -> dict[str, Any]:
    """Return a script with every echo once, answers between them, and at last the key refused.

    Without the answers the breaker would open, and the run wait.
    """
    rules = [
        {"when": {"numbers": [2 * number]}, "then": then} for number, then in enumerate(ECHOES, 1)
    ]
    last = 2 * len(ECHOES)
    return {"rules": [*rules, {"when": {"first": last}, "then": {"answer": ANSWER}}, REFUSED]}


def forms() -> Iterator[bytes]:
    """Yield the key as it is, and as a header or a log might hide it."""
    yield CANARY.encode()
    for shift in range(3):
        encoded = base64.b64encode(b"x" * shift + CANARY.encode()).rstrip(b"=")
        yield encoded[4:-4]


def check(finished: Finished) -> None:
    told = (finished.stdout + finished.stderr).encode("utf-8", "surrogateescape")
    assert [form for form in forms() if form in told] == [], finished


@pytest.mark.parametrize("kind", sorted(VARIABLES))
def test_a_vendor_that_echoes_the_key_everywhere_brings_it_nowhere(
    home: Home, tmp_path: Path, kind: str
) -> None:
    photos = tmp_path / "photos"
    make_tree(photos, 2 * len(ECHOES) + 4)
    key, address = VARIABLES[kind]
    with VendorProcess(faults()) as vendor:
        env = {key: CANARY, address: vendor.base_url(kind), **CHATTER, **HURRIED}
        loud = ("--verbose", "--debug", "--keep-local", "none", "--concurrency", "2")
        outputs = ("--summary", home.path / "s.json", "--output", home.path / "rows.jsonl")
        runs = [
            home.run("classify", photos, "--policy", policy, *loud, *outputs, env=env)
            for policy in ("hybrid", "cloud")
        ]
        assert vendor.summary()["requests"] > len(ECHOES)
        runs += [
            home.run("doctor", "--policy", "cloud", env=env),
            home.run("config", "show", env=env),
            home.run("config", "show", "--json", env=env),
            home.run("classify", photos, "--policy", "hybrid", "--dry-run", env=env),
        ]
    runs += [
        home.run("stats", "--json"),
        home.run("export", photos, "-o", "-", "--format", "jsonl"),
    ]
    for finished in runs:
        check(finished)
    assert json.loads((home.path / "s.json").read_text())["calls"] > 0
    files = [path for path in home.path.rglob("*") if path.is_file()]
    assert home.state / "cache.db" in files
    spoilt = [(f, form) for f in files for form in forms() if form in f.read_bytes()]
    assert spoilt == []
