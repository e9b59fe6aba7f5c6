"""Two machines with a state of their own over one cache, the same photos at once.

The vendor's ledger is the witness. The defaults are quick; the figures that the product
promises come from XINTU_TEST_PHOTOS=2000 XINTU_TEST_KILLS=12.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.command import Finished, Home, Running
from tests.support.databases import CacheDatabase
from tests.support.fleet import KEY, count, machine, paid_twice
from tests.support.invariants import check_accounts, check_litter, check_streams
from tests.support.photos import make_tree
from tests.support.vendor_process import VendorProcess

PHOTOS = int(os.environ.get("XINTU_TEST_PHOTOS", "160"))
KILLS = int(os.environ.get("XINTU_TEST_KILLS", "3"))
IN_FLIGHT = 4
LATENCY = {"latency_seconds": 0.03}
LEASE_SECONDS = 5
CLASSIFY = ("--concurrency", str(IN_FLIGHT), "--summary", "-")
PATIENCE_SECONDS = 120.0 + PHOTOS


@pytest.fixture
def albums(tmp_path: Path) -> list[Path]:
    """Return the same photos twice, in two folders."""
    album, copy = tmp_path / "album", tmp_path / "copy"
    make_tree(album, PHOTOS)
    shutil.copytree(album, copy)
    return [album, copy]


def start(home: Home, folder: Path, wrapper: Sequence[str] = ()) -> Running:
    return home.start("classify", folder, *CLASSIFY, wrapper=wrapper)


def check_end(finished: Finished) -> None:
    assert finished.exit_code == 0, finished
    check_streams(finished, [KEY])
    summary = finished.json()
    check_accounts(summary)
    assert (summary["found"], summary["pending"]) == (PHOTOS, 0)


def check_cache(database: CacheDatabase) -> None:
    """Check that every photo has its answer, once, and that nobody claims any."""
    assert count(database, "classification") == PHOTOS
    assert count(database, "claim") == 0


def stop_outside_a_transaction(run: Running, database: CacheDatabase) -> None:
    """Stop a run. A server hangs up on it soon; a file it would keep locked."""
    run.send_signal(signal.SIGSTOP)
    while database.kind == "sqlite" and is_locked(database):
        run.send_signal(signal.SIGCONT)
        run.send_signal(signal.SIGSTOP)


def is_locked(database: CacheDatabase) -> bool:
    path = database.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False


@pytest.mark.row("F3", "F4")
def test_f3_f4_two_runs_at_once_pay_for_every_photo_once(
    tmp_path: Path, albums: list[Path], database: CacheDatabase
) -> None:
    """On MySQL two machines, on SQLite two runs of one machine over folders with one content."""
    with VendorProcess(LATENCY) as vendor:
        homes = [machine(tmp_path / name, database, vendor) for name in "ab"]
        with start(homes[0], albums[0]) as one, start(homes[1], albums[1]) as two:
            ends = [run.finish(PATIENCE_SECONDS) for run in (one, two)]
        for finished in ends:
            check_end(finished)
        summaries = [finished.json() for finished in ends]
        assert sum(summary["llm"] for summary in summaries) == PHOTOS
        assert all(summary["llm"] for summary in summaries), "they shared the work"
        assert vendor.summary()["requests"] == PHOTOS
        assert paid_twice(vendor) == 0
    check_cache(database)
    assert count(database, "request_log") == PHOTOS


@pytest.mark.row("F8")
def test_f8_a_machine_whose_clock_is_an_hour_off_pays_for_nothing_twice(
    tmp_path: Path,
    albums: list[Path],
    mysql_database: CacheDatabase,
    other_clock: Callable[[str], list[str]],
) -> None:
    with VendorProcess(LATENCY) as vendor:
        homes = [machine(tmp_path / name, mysql_database, vendor) for name in "abc"]
        with (
            start(homes[0], albums[0]) as right,
            start(homes[1], albums[1], other_clock("+1h")) as fast,
            start(homes[2], albums[1], other_clock("-1h")) as slow,
        ):
            for run in (right, fast, slow):
                check_end(run.finish(PATIENCE_SECONDS))
        assert vendor.summary()["requests"] == PHOTOS
    check_cache(mysql_database)


@pytest.mark.row("D17", "F5")
def test_d17_f5_runs_killed_at_random_lose_nothing_and_pay_at_most_for_what_was_in_flight(
    tmp_path: Path,
    albums: list[Path],
    database: CacheDatabase,
    record_property: Callable[[str, object], None],
) -> None:
    moments = random.Random(KILLS)
    with VendorProcess(LATENCY) as vendor:
        homes = [
            machine(tmp_path / name, database, vendor, lease_seconds=str(LEASE_SECONDS))
            for name in "ab"
        ]
        runs = [start(home, album) for home, album in zip(homes, albums, strict=True)]
        try:
            for number, calls in enumerate(sorted(moments.sample(range(1, PHOTOS), KILLS))):
                vendor.wait_for(calls)
                victim = number % 2
                with runs[victim] as killed:
                    killed.send_signal(signal.SIGKILL)
                runs[victim] = start(homes[victim], albums[victim])
            ends = [run.finish(PATIENCE_SECONDS) for run in runs]
        finally:
            for run in runs:
                run.__exit__()
        for finished in ends:
            check_end(finished)
        twice = paid_twice(vendor)
        record_property("paid_twice", twice)
        assert twice <= KILLS * IN_FLIGHT
        asked = vendor.summary()["requests"]
        check_end(homes[0].run("classify", albums[0], *CLASSIFY))
        assert vendor.summary()["requests"] == asked
    # A claim that a killed run had no time to use is left, of a photo that has its answer.
    assert count(database, "classification") == PHOTOS
    log = database.fetch("SELECT COUNT(*) FROM request_log WHERE outcome = 'ok'")
    assert PHOTOS <= log[0][0] <= asked


@pytest.mark.row("D17")
def test_d17_a_machine_knows_its_own_dead_at_once(
    tmp_path: Path, albums: list[Path], database: CacheDatabase
) -> None:
    """With a lease of a day: neither the next run nor one that goes on has to wait for its end."""
    with VendorProcess(LATENCY) as vendor:
        home = machine(tmp_path / "a", database, vendor, lease_seconds="86400")
        with start(home, albums[0]) as killed:
            vendor.wait_for(PHOTOS // 4)
            killed.send_signal(signal.SIGKILL)
        with start(home, albums[0]) as killed:
            killed.wait_for_line("claimed by a run that died")
            vendor.wait_for(PHOTOS // 2)
            killed.send_signal(signal.SIGKILL)
        with start(home, albums[0]) as killed, start(home, albums[1]) as other:
            vendor.wait_for(3 * PHOTOS // 4)
            killed.send_signal(signal.SIGKILL)
            check_end(other.finish(PATIENCE_SECONDS))
        assert paid_twice(vendor) <= 3 * IN_FLIGHT
        check_end(home.run("classify", albums[0], *CLASSIFY))
    check_cache(database)
    check_litter(home)


@pytest.mark.row("E5")
def test_e5_a_run_that_was_stopped_beyond_its_lease_sends_nothing_on_it(
    tmp_path: Path, albums: list[Path], database: CacheDatabase
) -> None:
    quick = PHOTOS // 8
    # Slow in the middle of what it has claimed: there it is stopped.
    rule = {"when": {"first": quick}, "then": LATENCY}
    with VendorProcess({"rules": [rule], "latency_seconds": 2.0}) as vendor:
        sleeper, other = (
            machine(tmp_path / name, database, vendor, lease_seconds=str(LEASE_SECONDS))
            for name in "ab"
        )
        with start(sleeper, albums[0]) as stopped:
            vendor.wait_for(quick + IN_FLIGHT)
            stop_outside_a_transaction(stopped, database)
            vendor.play(LATENCY)
            assert count(database, "claim") > IN_FLIGHT, "more than could be in flight"
            # It waits for the sleeper's claims, and takes them over once they have run out.
            check_end(other.run("classify", albums[1], *CLASSIFY))
            check_cache(database)
            stopped.send_signal(signal.SIGCONT)
            finished = stopped.finish(PATIENCE_SECONDS)
        check_end(finished)
        assert paid_twice(vendor) <= IN_FLIGHT
    check_cache(database)
