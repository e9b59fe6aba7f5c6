"""Vendors that are not there, and vendors that are: what a person sees in the first seconds."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cloud import ALL_CLOUD, CANARY, classify, rows
from tests.support.command import Home
from tests.support.invariants import check_accounts, check_litter, check_streams
from tests.support.photos import make_tree
from tests.support.vendor_process import VendorProcess

PHOTOS = 40

WRONG_KEY = {"status": 401, "code": "invalid_api_key", "message": f"bad key {CANARY}"}
NO_MONEY = {"status": 402, "code": "insufficient_balance", "message": "top up"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of different photos."""
    folder = tmp_path / "photos"
    make_tree(folder, PHOTOS)
    return folder


@pytest.fixture
def refused() -> Iterator[str]:
    """Return an address at which nobody listens, nor will as long as the test lasts."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"


def environment(url: str) -> dict[str, str]:
    return {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": url}


@pytest.mark.row("C9", "C21")
@pytest.mark.parametrize("kind", ["refused", "unknown host"])
def test_a_vendor_that_is_not_there_is_known_within_ten_seconds(
    home: Home, photos: Path, refused: str, kind: str
) -> None:
    """With nobody else to ask the run ends 69, and the photos wait for the next."""
    url = refused if kind == "refused" else "https://nobody.invalid/v1"
    finished, summary = home.summary(photos, *ALL_CLOUD, env=environment(url))
    check_streams(finished, [CANARY])
    check_accounts(summary)
    assert finished.exit_code == 69, finished
    assert summary["status"] == "failed"
    assert (summary["pending"], summary["failed"], summary["calls"]) == (PHOTOS, 0, 0)
    assert "cannot reach openai at" in finished.stderr
    # Ten on a machine at rest; a vendor that had answered before would be waited for 120.
    assert summary["seconds"] < 60
    assert rows(home.state / "cache.db", "SELECT count(*) FROM claim") == [(0,)]
    check_litter(home)
    with VendorProcess() as vendor:
        again, second = classify(home, photos, *ALL_CLOUD, openai=vendor)
    assert (again.exit_code, second["llm"]) == (0, PHOTOS), again


@pytest.mark.row("C3", "C4")
@pytest.mark.parametrize(
    ("refusal", "exit_code"), [(WRONG_KEY, 77), (NO_MONEY, 69)], ids=["wrong key", "no money"]
)
def test_a_vendor_that_takes_nobodys_calls_is_known_from_its_first_word(
    home: Home, photos: Path, refusal: dict[str, object], exit_code: int
) -> None:
    """Nothing is sent after the calls that were in flight when it said so."""
    with VendorProcess({"rules": [{"then": refusal}], "latency_seconds": 0.2}) as vendor:
        finished, summary = classify(home, photos, *ALL_CLOUD, "--concurrency", "8", openai=vendor)
        assert finished.exit_code == exit_code, finished
        assert (summary["status"], summary["pending"]) == ("failed", PHOTOS)
        assert summary["calls"] == vendor.summary()["requests"] <= 8
        assert rows(home.state / "cache.db", "SELECT count(*) FROM claim") == [(0,)]
        vendor.play({})
        again, second = classify(home, photos, *ALL_CLOUD, openai=vendor)
    assert (again.exit_code, second["llm"]) == (0, PHOTOS), again


def test_the_next_provider_takes_over_from_one_that_was_never_there(
    home: Home, photos: Path, refused: str
) -> None:
    env = environment(refused)
    with VendorProcess() as vendor:
        env |= {"ANTHROPIC_API_KEY": CANARY, "ANTHROPIC_BASE_URL": vendor.base_url("anthropic")}
        finished, summary = home.summary(photos, *ALL_CLOUD, env=env)
        check_streams(finished, [CANARY])
        assert vendor.summary()["requests"] == PHOTOS
    assert finished.exit_code == 0, finished
    assert summary["llm"] == summary["providers"]["anthropic"]["ok"] == PHOTOS
    assert summary["providers"]["openai"]["ok"] == 0


@pytest.mark.parametrize("word", ["none", "x", "e"])
def test_a_server_on_this_machine_takes_any_word_for_a_key(
    home: Home, photos: Path, word: str
) -> None:
    """Which is no secret then: taken out of answers, it would take letters out of words."""
    with VendorProcess({"categories": ["pets", "other"]}) as vendor:
        env = {"OPENAI_API_KEY": word, "OPENAI_BASE_URL": vendor.base_url("openai")}
        finished, summary = home.summary(photos, *ALL_CLOUD, env=env)
    assert (finished.exit_code, summary["llm"]) == (0, PHOTOS), finished


def test_the_asked_concurrency_is_used_from_the_first_calls_on(home: Home, photos: Path) -> None:
    """No reply leaves before so many calls are in flight at once: a ramp would wait for ever."""
    with VendorProcess({"together": 32}) as vendor:
        finished, summary = classify(home, photos, *ALL_CLOUD, "--concurrency", "32", openai=vendor)
        assert vendor.summary() == {"requests": PHOTOS, "most_in_flight": 32}
    assert (finished.exit_code, summary["llm"]) == (0, PHOTOS), finished
