"""A run that asks an LLM, through the command: answers, outages, budgets, keys, interrupts."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Finished, Home
from tests.support.invariants import check_accounts, check_litter, check_streams
from tests.support.photos import make_tree
from tests.support.vendor_process import VendorProcess

CANARY = "sk-cnry-77aa01"
PHOTOS = 24
OUTAGE = {"rules": [{"then": {"status": 503, "message": "come back later"}}]}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of different photos, all of which the local model takes for `other`."""
    folder = tmp_path / "photos"
    make_tree(folder, PHOTOS)
    return folder


def classify(
    home: Home, vendor: VendorProcess, photos: Path, *arguments: str
) -> tuple[Finished, dict[str, Any]]:
    env = environment(vendor)
    finished, summary = home.summary(photos, *arguments, env=env)
    check_streams(finished, [CANARY])
    check_accounts(summary)
    check_litter(home)
    assert summary["exit_code"] == finished.exit_code
    assert summary["found"] == PHOTOS
    return finished, summary


def environment(vendor: VendorProcess) -> dict[str, str]:
    return {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": vendor.base_url("openai")}


def rows(home: Home, sql: str) -> list[tuple[Any, ...]]:
    cache = home.state / "cache.db"
    if not cache.exists():
        return []
    with closing(sqlite3.connect(f"file:{cache}?mode=ro", uri=True)) as connection:
        try:
            return connection.execute(sql).fetchall()
        except sqlite3.OperationalError:  # it is just being made
            return []


@pytest.mark.parametrize("policy", ["hybrid", "cloud", "cascade"])
def test_every_photo_is_paid_for_once(home: Home, photos: Path, policy: str) -> None:
    # The synthetic photos leave the local model unsure of none: the threshold sends them all.
    options = ["--policy", policy, "--cascade-threshold", "1"]
    with VendorProcess() as vendor:
        finished, summary = classify(home, vendor, photos, *options)
        assert finished.exit_code == 0, finished
        assert (summary["llm"], summary["calls"]) == (PHOTOS, PHOTOS)
        assert summary["categories"] == {"pets": PHOTOS}
        again, second = classify(home, vendor, photos, *options)
        assert again.exit_code == 0, again
        assert (second["cached"], second["calls"]) == (PHOTOS, 0)
        assert vendor.summary()["requests"] == PHOTOS
    assert rows(home, "SELECT count(*) FROM claim") == [(0,)]


def test_a_run_that_finds_everything_known_loads_neither_sdk_nor_model(
    home: Home, photos: Path
) -> None:
    with VendorProcess() as vendor:
        env = {**environment(vendor), "PYTHONPROFILEIMPORTTIME": "1"}
        command = ("classify", photos, "--policy", "hybrid")
        for expected in ({"openai", "onnxruntime", "numpy"}, set()):
            finished = home.run(*command, env=env)
            assert finished.exit_code == 0, finished
            imported = {line.rpartition("|")[2].strip() for line in finished.stderr.splitlines()}
            assert imported & {"openai", "onnxruntime", "numpy"} == expected


def test_a_model_that_is_not_what_it_was_sends_nothing(home: Home, photos: Path) -> None:
    model = home.path / "spoilt"
    shutil.copytree(Path(__file__).parents[2] / "models" / "xintu-lite", model)
    with (model / "model.onnx").open("r+b") as file:
        file.seek(4096)
        file.write(b"spoilt")
    with VendorProcess() as vendor:
        env = environment(vendor)
        options = ("classify", photos, "--policy", "hybrid", "--model", model)
        refused = home.run(*options, env=env)
        assert vendor.received() == []
        assert refused.exit_code == 78, refused
        assert "cannot keep idcard back" in refused.stderr
        unjudged = home.run(*options, "--keep-local", "none", env=env)
    assert unjudged.exit_code == 0, unjudged
    assert "nobody stands in where the LLM fails" in unjudged.stderr


def test_a_provider_that_is_named_is_asked(home: Home, photos: Path) -> None:
    with VendorProcess() as vendor:
        finished, summary = classify(home, vendor, photos, "--provider", "openai")
    assert finished.exit_code == 0, finished
    assert summary["llm"] == PHOTOS


def test_a_key_alone_sends_nothing_and_is_told(home: Home, photos: Path) -> None:
    with VendorProcess() as vendor:
        finished, summary = classify(home, vendor, photos)
        assert vendor.received() == []
    assert (finished.exit_code, summary["local"]) == (0, PHOTOS)
    assert "OPENAI_API_KEY is set" in finished.stderr
    assert "--policy hybrid" in finished.stderr


def test_what_an_outage_left_to_the_local_model_is_asked_again(home: Home, photos: Path) -> None:
    with VendorProcess(OUTAGE) as vendor:
        finished, summary = classify(home, vendor, photos, "--policy", "hybrid")
        assert finished.exit_code == 4, finished
        assert (summary["local"], summary["provisional"]) == (PHOTOS, PHOTOS)
        assert summary["status"] == "partial"
        vendor.play({})
        vendor.forget()
        again, second = classify(home, vendor, photos, "--policy", "hybrid")
        assert again.exit_code == 0, again
        assert (second["llm"], second["upgraded"]) == (PHOTOS, PHOTOS)
        assert vendor.summary()["requests"] == PHOTOS


@pytest.mark.row("C22")
def test_max_calls_is_kept_to_the_call(home: Home, photos: Path) -> None:
    with VendorProcess() as vendor:
        finished, summary = classify(home, vendor, photos, "--policy", "hybrid", "--max-calls", "3")
        assert vendor.summary()["requests"] == 3
    assert finished.exit_code == 4, finished
    assert (summary["status"], summary["llm"]) == ("budget", 3)
    assert summary["pending"] == PHOTOS - 3
    assert rows(home, "SELECT count(*) FROM claim") == [(0,)]


def test_a_wrong_key_ends_a_run_that_has_nobody_else(home: Home, photos: Path) -> None:
    wrong = {"status": 401, "code": "invalid_api_key", "message": f"bad key {CANARY}"}
    with VendorProcess({"rules": [{"then": wrong}]}) as vendor:
        finished, summary = classify(home, vendor, photos, "--policy", "cloud")
    assert finished.exit_code == 77, finished
    assert (summary["status"], summary["pending"]) == ("failed", PHOTOS)


def test_an_interrupt_loses_no_answer_that_was_paid_for(home: Home, photos: Path) -> None:
    # Slow after the first few: not over before the signal comes.
    slow = {
        "rules": [{"when": {"first": 6}, "then": {"latency_seconds": 0.1}}],
        "latency_seconds": 2.0,
    }
    with VendorProcess(slow) as vendor:
        arguments = ("classify", photos, "--policy", "hybrid", "--concurrency", "4")
        with home.start(*arguments, "--summary", "-", env=environment(vendor)) as running:
            vendor.wait_for(6)
            running.send_signal(signal.SIGINT)
            finished = running.finish()
        vendor.play({})
        assert finished.exit_code == 130, finished
        check_streams(finished, [CANARY])
        summary = finished.json()
        check_accounts(summary)
        sent = vendor.summary()["requests"]
        assert 6 <= sent < PHOTOS
        assert summary["llm"] == summary["calls"] == sent
        assert rows(home, "SELECT count(*) FROM classification") == [(sent,)]
        assert rows(home, "SELECT count(*) FROM claim") == [(0,)]
        _, second = classify(home, vendor, photos, "--policy", "hybrid")
        assert (second["cached"], second["llm"]) == (sent, PHOTOS - sent)
        assert vendor.summary()["requests"] == PHOTOS


def test_a_second_interrupt_accounts_for_what_was_cut_off(home: Home, photos: Path) -> None:
    with VendorProcess({"latency_seconds": 30.0}) as vendor:
        arguments = ("classify", photos, "--policy", "hybrid", "--concurrency", "4")
        with home.start(*arguments, "--summary", "-", env=environment(vendor)) as running:
            vendor.wait_for(4)
            running.send_signal(signal.SIGINT)
            running.wait_for_line("once more", timeout_seconds=15)
            time.sleep(0.1)  # sooner it would be taken for the first one's echo
            running.send_signal(signal.SIGINT)
            finished = running.finish(timeout_seconds=25)
    assert finished.exit_code == 130, finished
    check_streams(finished, [CANARY])
    check_accounts(finished.json())
    assert rows(home, "SELECT count(*) FROM request_log WHERE outcome = 'unknown'") == [(4,)]
    assert rows(home, "SELECT count(*) FROM claim") == [(0,)]


def test_a_photo_to_be_kept_is_not_sent(home: Home, photos: Path) -> None:
    with VendorProcess() as vendor:
        options = ["--policy", "hybrid", "--keep-local", "other"]
        finished, summary = classify(home, vendor, photos, *options)
        assert vendor.received() == []
    assert finished.exit_code == 0, finished
    assert (summary["local"], summary["kept_local"]) == (PHOTOS, PHOTOS)


def test_nobody_to_ask_is_a_configuration_error(home: Home, photos: Path) -> None:
    for policy in ("hybrid", "cloud", "cascade"):
        finished = home.run("classify", photos, "--policy", policy)
        assert finished.exit_code == 78, finished
        assert "Set DASHSCOPE_API_KEY, OPENAI_API_KEY or ANTHROPIC_API_KEY" in finished.stderr
        check_streams(finished)


def test_a_dry_run_names_who_would_be_asked_and_learns_what_calls_use(
    home: Home, photos: Path
) -> None:
    with VendorProcess() as vendor:
        env = environment(vendor)
        dry_run = ("classify", photos, "--policy", "hybrid", "--dry-run")
        finished = home.run(*dry_run, env=env)
        assert vendor.received() == []
        assert finished.exit_code == 0, finished
        assert f"{PHOTOS} photos for openai" in finished.stderr
        assert f"about {PHOTOS} calls" in finished.stderr
        assert "by formula: no real call has been made yet" in finished.stderr
        home.run("classify", photos, "--policy", "hybrid", "--max-calls", "9", env=env)
        corrected = home.run(*dry_run, env=env)
    assert f"about {PHOTOS - 9} calls" in corrected.stderr
    assert "measured over 9 real calls" in corrected.stderr
