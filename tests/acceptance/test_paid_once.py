"""Nothing that was answered is lost or paid for again, however a run ends.

The vendor's ledger is the witness: it counts the pictures that arrived. A killed run (`kill -9`)
may have had calls in flight, which no program can take back: so many may be billed twice.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cloud import (
    ALL_CLOUD,
    CANARY,
    answered,
    billed,
    classify,
    environment,
    outlive_the_leases,
    rows,
)
from tests.support.command import Home
from tests.support.invariants import check_accounts, check_litter, check_streams
from tests.support.photos import make_tree
from tests.support.vendor_process import VendorProcess

ROUNDS = int(os.environ.get("XINTU_TEST_ROUNDS", "1"))
"""How many times the usual number of kills and interrupts; `1` takes seconds."""
PHOTOS = 60
IN_FLIGHT = 4
ASK = (*ALL_CLOUD, "--concurrency", str(IN_FLIGHT))
BRIEF = {"latency_seconds": 0.05}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of different photos."""
    folder = tmp_path / "photos"
    make_tree(folder, PHOTOS)
    return folder


@pytest.fixture
def chance() -> random.Random:
    """Return random numbers that a failure can be repeated with."""
    seed = int(os.environ.get("XINTU_TEST_SEED", "20261124"))
    return random.Random(seed)


# ---- ended by force --------------------------------------------------------------------------


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_killed_at_random_a_run_loses_nothing_and_pays_twice_for_what_was_in_flight_at_most(
    home: Home, photos: Path, chance: random.Random, round_: int
) -> None:
    kills, cache = 6, home.state / "cache.db"
    chance.seed(f"{chance.random()} {round_}")
    with VendorProcess(BRIEF) as vendor:
        env = environment(openai=vendor)
        for _ in range(kills):
            before = answered(cache)
            sent = vendor.summary()["requests"]
            with home.start("classify", photos, *ASK, env=env) as running:
                # On a busy machine the kills before may have come so late that no more is asked.
                calls = sent + chance.randint(1, PHOTOS // kills)
                while running.process.poll() is None and vendor.summary()["requests"] < calls:
                    running.pause(0.01)
                running.pause(chance.random() * 0.06)
                running.send_signal(signal.SIGKILL)
                running.finish()
            after = answered(cache)
            assert before.items() <= after.items(), "an answer was lost, or asked for again"
            outlive_the_leases(cache)
        finished, summary = classify(home, photos, *ASK, openai=vendor)
        times = billed(vendor)
    assert finished.exit_code == 0, finished
    assert len(answered(cache)) == len(times) == PHOTOS
    assert summary["cached"] + summary["llm"] == PHOTOS
    twice = times.total() - PHOTOS
    assert twice <= kills * IN_FLIGHT, f"{twice} paid twice in {kills} kills"
    assert rows(cache, "SELECT count(*) FROM claim") == [(0,)]
    check_litter(home)


@pytest.mark.parametrize("round_", range(2 * ROUNDS))
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_interrupted_at_random_a_run_loses_nothing_and_pays_for_nothing_twice(
    home: Home, photos: Path, chance: random.Random, number: signal.Signals, round_: int
) -> None:
    cache = home.state / "cache.db"
    chance.seed(f"{chance.random()} {number} {round_}")
    # The last ones take their time: the run is not over before the signal comes.
    last = {"numbers": list(range(PHOTOS - 2 * IN_FLIGHT + 1, PHOTOS + 1))}
    slow = {"when": last, "then": {"latency_seconds": 2.0}}
    with VendorProcess({**BRIEF, "rules": [slow]}) as vendor:
        arguments = ("classify", photos, *ASK, "--summary", "-")
        with home.start(*arguments, env=environment(openai=vendor)) as running:
            vendor.wait_for(chance.randint(1, PHOTOS - 2 * IN_FLIGHT))
            running.pause(chance.random() * 0.06)
            running.send_signal(number)
            finished = running.finish()
        assert finished.exit_code == 128 + number, finished
        check_streams(finished, [CANARY])
        summary = finished.json()
        check_accounts(summary)
        sent = vendor.summary()["requests"]
        assert len(answered(cache)) == summary["llm"] == summary["calls"] == sent
        assert rows(cache, "SELECT count(*) FROM claim") == [(0,)]
        vendor.play(BRIEF)
        finished, second = classify(home, photos, *ASK, openai=vendor)
        times = billed(vendor)
    assert (finished.exit_code, second["cached"]) == (0, sent)
    assert set(times.values()) == {1}
    assert len(times) == len(answered(cache)) == PHOTOS


WRITES = range(20, 300, max(1, 70 // ROUNDS))
"""At which of its writes a run of 8 photos is killed; it makes some three hundred."""


@pytest.mark.parametrize("number", WRITES)
def test_killed_at_any_write_a_run_loses_nothing_and_pays_twice_for_what_was_in_flight_at_most(
    home: Home, tmp_path: Path, strace: Callable[..., list[str]], number: int
) -> None:
    few, cache, in_flight = tmp_path / "few", home.state / "cache.db", 2
    make_tree(few, 8)
    ask = (*ALL_CLOUD, "--concurrency", str(in_flight))
    kill = strace("-e", "trace=pwrite64", "-e", f"inject=pwrite64:signal=KILL:when={number}")
    with VendorProcess() as vendor:
        env = environment(openai=vendor)
        killed = home.run("classify", few, *ask, env=env, wrapper=kill)
        before = answered(cache)
        if killed.exit_code != 0:
            outlive_the_leases(cache)
        finished, summary = classify(home, few, *ask, openai=vendor)
        times = billed(vendor)
    assert finished.exit_code == 0, finished
    assert summary["cached"] == len(before)
    assert before.items() <= answered(cache).items()
    assert len(times) == len(answered(cache)) == 8
    assert times.total() - 8 <= in_flight
    check_litter(home)


# ---- claims ----------------------------------------------------------------------------------


def test_calls_that_outlast_their_lease_are_paid_for_by_nobody_else(
    home: Home, tmp_path: Path
) -> None:
    """Two machines, one cache, a lease of six seconds; the calls last for longer."""
    few, cache = tmp_path / "few", tmp_path / "team.db"
    make_tree(few, IN_FLIGHT)
    other = Home(tmp_path / "other", {})
    other.path.mkdir()
    arguments = ("classify", few, *ASK, "--cache", f"sqlite:///{cache}", "--summary", "-")
    with VendorProcess({"together": PHOTOS}) as vendor:  # it holds its replies back
        env = {**environment(openai=vendor), "XINTU_LEASE_SECONDS": "6"}
        with home.start(*arguments, env=env) as first, other.start(*arguments, env=env) as second:
            vendor.wait_for(IN_FLIGHT)
            until = "SELECT strftime('%s', min(expires_at)) FROM claim"
            [(expiry,)] = rows(cache, until)
            first.wait_until(lambda: int(rows(cache, until)[0][0]) >= int(expiry) + 7)
            vendor.play({})
            summaries = [running.finish().json() for running in (first, second)]
        assert set(billed(vendor).values()) == {1}
        assert vendor.summary()["requests"] == IN_FLIGHT
    assert sum(summary["llm"] for summary in summaries) == IN_FLIGHT
    assert sum(summary["cached"] for summary in summaries) == IN_FLIGHT
    assert [summary["exit_code"] for summary in summaries] == [0, 0]
    assert rows(cache, "SELECT count(*) FROM claim") == [(0,)]


# ---- the cache goes away ---------------------------------------------------------------------


def test_answers_that_find_no_room_in_the_cache_are_spooled_and_written_first_by_the_next_run(
    home: Home, photos: Path, small_disk: Callable[[str], Path]
) -> None:
    """The disk with the cache fills up while calls are in flight; the spool lies on another."""
    disk = small_disk("8m")
    cache, filler = disk / "cache.db", disk / "filler"
    ask = (*ASK, "--cache", f"sqlite:///{cache}")
    with VendorProcess({"together": PHOTOS}) as vendor:  # it holds its replies back
        arguments = ("classify", photos, *ask, "--summary", "-")
        with home.start(*arguments, env=environment(openai=vendor)) as running:
            vendor.wait_for(IN_FLIGHT)
            fill(filler)
            vendor.play({})
            finished = running.finish()
        check_streams(finished, [CANARY])
        summary = finished.json()
        check_accounts(summary)
        sent = vendor.summary()["requests"]
        assert (finished.exit_code, summary["status"]) == (74, "failed"), finished
        # Those that were answered while the first answers were being spooled, and no more.
        assert IN_FLIGHT <= sent == summary["llm"] < PHOTOS
        assert answered(cache) == {}
        waiting = rows(home.state / "spool.db", "SELECT count(*) FROM spooled")
        assert waiting > [(0,)]
        filler.unlink()
        finished, second = classify(home, photos, *ask, openai=vendor)
        times = billed(vendor)
    assert finished.exit_code == 0, finished
    assert (second["cached"], second["llm"]) == (sent, PHOTOS - sent)
    assert set(times.values()) == {1}
    assert len(times) == len(answered(cache)) == PHOTOS
    assert rows(home.state / "spool.db", "SELECT count(*) FROM spooled") == [(0,)]
    assert rows(cache, "SELECT count(*) FROM claim") == [(0,)]


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as stream:
        try:
            while stream.write(bytes(4096)):
                pass
        except OSError:
            return


@pytest.mark.row("C7")
def test_a_stand_in_is_upgraded_once_and_then_never_asked_about_again(
    home: Home, photos: Path
) -> None:
    outage = {"rules": [{"then": {"status": 503, "message": "come back later"}}]}
    hybrid = ("--policy", "hybrid", "--concurrency", str(IN_FLIGHT))
    with VendorProcess(outage) as vendor:
        finished, first = classify(home, photos, *hybrid, openai=vendor)
        assert finished.exit_code == 4, finished
        assert (first["local"], first["provisional"]) == (PHOTOS, PHOTOS)
        vendor.play(BRIEF)
        vendor.forget()
        finished, second = classify(home, photos, *hybrid, "--max-calls", "20", openai=vendor)
        assert (finished.exit_code, second["upgraded"]) == (4, 20), finished
        assert (second["cached"], second["provisional"]) == (PHOTOS - 20, PHOTOS - 20)
        finished, third = classify(home, photos, *hybrid, openai=vendor)
        assert (finished.exit_code, third["upgraded"]) == (0, PHOTOS - 20), finished
        finished, fourth = classify(home, photos, *hybrid, openai=vendor)
        assert (finished.exit_code, fourth["cached"], fourth["calls"]) == (0, PHOTOS, 0)
        assert set(billed(vendor).values()) == {1}
        assert vendor.summary()["requests"] == PHOTOS


# ---- refusals --------------------------------------------------------------------------------

REFUSES = {"status": 400, "code": "content_policy_violation", "message": "not allowed"}


@pytest.mark.row("C15")
def test_a_photo_that_a_provider_refused_is_not_offered_to_it_for_thirty_days(
    home: Home, tmp_path: Path
) -> None:
    folder, cache = tmp_path / "one", home.state / "cache.db"
    make_tree(folder, 1)
    hybrid = ("--policy", "hybrid")
    with VendorProcess({"rules": [{"then": REFUSES}]}) as first, VendorProcess() as second:
        finished, summary = classify(home, folder, *hybrid, openai=first)
        assert (finished.exit_code, summary["provisional"], summary["calls"]) == (4, 1, 1)
        finished, summary = classify(home, folder, *hybrid, openai=first)
        assert (finished.exit_code, summary["provisional"], summary["calls"]) == (4, 1, 0)
        # Another provider is offered it, and takes it.
        finished, summary = classify(home, folder, *hybrid, openai=first, anthropic=second)
        assert (finished.exit_code, summary["upgraded"], summary["calls"]) == (0, 1, 1)
        assert (first.summary()["requests"], second.summary()["requests"]) == (1, 1)
    [(provider, days)] = rows(
        cache, "SELECT provider, julianday(retry_after) - julianday('now') FROM refusal"
    )
    assert provider == "openai"
    assert 29.9 < days <= 30


def test_a_refusal_on_the_way_to_the_end_of_the_budget_is_remembered(
    home: Home, tmp_path: Path
) -> None:
    folder = tmp_path / "one"
    make_tree(folder, 1)
    with VendorProcess({"rules": [{"then": REFUSES}]}) as first, VendorProcess() as second:
        vendors = {"openai": first, "anthropic": second}
        finished, summary = classify(home, folder, *ASK, "--max-calls", "1", **vendors)
        assert (finished.exit_code, summary["status"], summary["pending"]) == (4, "budget", 1)
        finished, summary = classify(home, folder, *ASK, **vendors)
        assert (finished.exit_code, summary["llm"]) == (0, 1)
        assert (first.summary()["requests"], second.summary()["requests"]) == (1, 1)
