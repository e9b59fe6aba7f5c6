"""The database goes away, through the command: nothing is lost, nothing is paid for twice."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Finished, Home
from tests.support.databases import CacheDatabase, MariaDb
from tests.support.fleet import KEY, calls_per_photo, count, machine, paid_twice
from tests.support.invariants import check_accounts, check_litter, check_streams
from tests.support.line import Line
from tests.support.photos import make_tree
from tests.support.vendor_process import VendorProcess

PHOTOS = 40
IN_FLIGHT = 4
CLASSIFY = ("--concurrency", str(IN_FLIGHT), "--summary", "-")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    make_tree(folder, PHOTOS)
    return folder


@pytest.fixture
def server(mariadb: MariaDb, mysql_database: CacheDatabase) -> Iterator[MariaDb]:
    """Return the server; it runs again afterwards, so that the database can be dropped."""
    assert mysql_database.kind == "mysql"
    yield mariadb
    mariadb.kill()
    mariadb.start()


def slow_after(calls: int) -> dict[str, Any]:
    """Return what a vendor does so that a run is not over before its database is killed."""
    quick = {"when": {"first": calls}, "then": {"latency_seconds": 0.15}}
    return {"rules": [quick], "latency_seconds": 2.0}


def check(finished: Finished, home: Home) -> None:
    """Check what holds after every run."""
    check_streams(finished, [KEY])
    check_accounts(finished.json())
    check_litter(home)


def spooled(home: Home) -> int:
    """Return how many settlements wait on a machine."""
    spool = home.state / "spool.db"
    if not spool.exists():
        return 0
    with closing(sqlite3.connect(spool)) as connection:
        try:
            (waiting,) = connection.execute("SELECT COUNT(*) FROM spooled").fetchone()
        except sqlite3.OperationalError:  # it is just being made
            return 0
    return int(waiting)


@pytest.mark.row("D1")
def test_d1_a_database_that_is_down_at_the_start_costs_nothing(
    tmp_path: Path, photos: Path, server: MariaDb, mysql_database: CacheDatabase
) -> None:
    with VendorProcess() as vendor:
        home = machine(tmp_path / "a", mysql_database, vendor)
        server.kill()
        finished = home.run("classify", photos, *CLASSIFY)
        assert vendor.received() == []
    assert finished.exit_code == 75, finished
    check(finished, home)
    assert "cannot open the cache mysql://" in finished.stderr
    assert "Check the address and the server" in finished.stderr


@pytest.mark.parametrize("moment", [1, 7, 25])
@pytest.mark.row("D2")
def test_d2_a_run_outlasts_a_database_that_comes_back(
    tmp_path: Path, photos: Path, server: MariaDb, mysql_database: CacheDatabase, moment: int
) -> None:
    with VendorProcess(slow_after(moment)) as vendor:
        home = machine(tmp_path / "a", mysql_database, vendor)
        with home.start("classify", photos, *CLASSIFY) as running:
            vendor.wait_for(moment)
            server.kill()
            vendor.play({})
            running.wait_for_line("Nothing is sent meanwhile")
            server.start()
            running.wait_for_line("the cache is back")
            finished = running.finish()
        assert finished.exit_code == 0, finished
        check(finished, home)
        assert finished.json()["llm"] == PHOTOS
        assert vendor.summary()["requests"] == PHOTOS
    assert count(mysql_database, "classification") == PHOTOS
    assert count(mysql_database, "request_log") == PHOTOS
    assert count(mysql_database, "claim") == 0
    assert spooled(home) == 0


@pytest.mark.row("D2")
def test_d2_answers_outlive_a_database_that_stays_away(
    tmp_path: Path, photos: Path, server: MariaDb, mysql_database: CacheDatabase
) -> None:
    with VendorProcess(slow_after(10)) as vendor:
        home = machine(tmp_path / "a", mysql_database, vendor, max_wait_seconds="0.5")
        with home.start("classify", photos, *CLASSIFY) as running:
            vendor.wait_for(10)
            server.kill()
            vendor.play({})
            finished = running.finish()
        check(finished, home)
        assert finished.exit_code == 75, finished
        assert "Trying again for 0.5 s" in finished.stderr
        summary = finished.json()
        sent = vendor.summary()["requests"]
        assert (summary["status"], summary["llm"]) == ("failed", sent)
        assert spooled(home) > 0
        again = home.run("classify", photos, *CLASSIFY)
        assert again.exit_code == 75, again
        assert vendor.summary()["requests"] == sent
        server.start()
        last = home.run("classify", photos, *CLASSIFY)
        assert last.exit_code == 0, last
        check(last, home)
        assert (last.json()["cached"], last.json()["llm"]) == (sent, PHOTOS - sent)
        assert paid_twice(vendor) == 0
        assert vendor.summary()["requests"] == PHOTOS
    assert count(mysql_database, "classification") == PHOTOS
    assert spooled(home) == 0


# ---- two machines ----------------------------------------------------------------------------

LEASE = {"lease_seconds": "2"}
BRIEF = {"max_wait_seconds": "1"}
LONG = {"max_wait_seconds": "60"}


def pair(
    place: Path, database: CacheDatabase, vendor: VendorProcess, **settings: dict[str, str]
) -> list[Home]:
    """Make two machines over one cache: `a` and `b`, each with settings of its own."""
    return [
        machine(place / name, database, vendor, **LEASE, **more) for name, more in settings.items()
    ]


def check_ended(photos: Path, homes: list[Home]) -> None:
    """Check that each machine comes to an end of it, one after the other."""
    for home in homes:
        assert home.run("classify", photos, *CLASSIFY).exit_code == 0


def check_paid_once(database: CacheDatabase, vendor: VendorProcess, homes: list[Home]) -> None:
    """Check that every photo was paid for once, and that every answer is where it belongs."""
    assert set(calls_per_photo(vendor).values()) == {1}
    assert vendor.summary()["requests"] == PHOTOS == count(database, "classification")
    assert count(database, "claim") == 0
    assert [spooled(home) for home in homes] == [0, 0]


@pytest.mark.parametrize("moment", [2, 20])
@pytest.mark.row("D2")
def test_d2_answers_of_a_machine_that_is_late_to_return_are_paid_for_by_nobody_else(
    tmp_path: Path, photos: Path, server: MariaDb, mysql_database: CacheDatabase, moment: int
) -> None:
    with VendorProcess(slow_after(moment)) as vendor:
        homes = late, early = pair(tmp_path, mysql_database, vendor, a=BRIEF, b=BRIEF)
        with late.start("classify", photos, *CLASSIFY) as running:
            vendor.wait_for(moment)
            server.kill()
            vendor.play({})
            assert running.finish().exit_code == 75
        assert spooled(late) > 0
        server.start()
        # It waits for the leases to run out, and a moment more.
        first = early.run("classify", photos, *CLASSIFY)
        check(first, early)
        assert first.exit_code == 4, first
        assert "may hold the answer" in first.stderr
        assert first.json()["llm"] + first.json()["pending"] + first.json()["cached"] == PHOTOS
        back = late.run("classify", photos, *CLASSIFY)
        assert back.exit_code == 0, back
        check(back, late)
        last = early.run("classify", photos, *CLASSIFY)
        assert (last.exit_code, last.json()["cached"]) == (0, PHOTOS), last
        check_paid_once(mysql_database, vendor, homes)


@pytest.mark.row("D2")
def test_d2_who_is_back_first_pays_for_nothing_that_the_other_has_the_answers_of(
    tmp_path: Path, photos: Path, server: MariaDb, mysql_database: CacheDatabase
) -> None:
    """One machine outlasts the absence, and is stopped before it sees that it is over."""
    with VendorProcess(slow_after(PHOTOS // 2)) as vendor:
        homes = slow, quick = pair(tmp_path, mysql_database, vendor, a=LONG, b=BRIEF)
        with slow.start("classify", photos, *CLASSIFY) as running:
            vendor.wait_for(PHOTOS // 2)
            server.kill()
            vendor.play({})
            running.wait_until(lambda: spooled(slow) > 0)
            running.send_signal(signal.SIGSTOP)
            server.start()
            first = quick.run("classify", photos, *CLASSIFY)
            running.send_signal(signal.SIGCONT)
            assert first.exit_code == 4, first
            check(first, quick)
            finished = running.finish()
        assert finished.exit_code == 0, finished
        check(finished, slow)
        last = quick.run("classify", photos, *CLASSIFY)
        assert (last.exit_code, last.json()["cached"]) == (0, PHOTOS), last
        check_paid_once(mysql_database, vendor, homes)


@pytest.mark.row("D2")
def test_d2_two_machines_that_outlast_a_database_away_for_longer_than_their_leases_pay_once(
    tmp_path: Path, photos: Path, server: MariaDb, mysql_database: CacheDatabase
) -> None:
    with VendorProcess(slow_after(PHOTOS // 2)) as vendor:
        homes = pair(tmp_path, mysql_database, vendor, a=LONG, b=LONG)
        with (
            homes[0].start("classify", photos, *CLASSIFY) as one,
            homes[1].start("classify", photos, *CLASSIFY) as two,
        ):
            vendor.wait_for(PHOTOS // 2)
            server.kill()
            vendor.play({})
            for running in (one, two):
                running.wait_for_line("Nothing is sent meanwhile")
            one.pause(2.5)
            server.start()
            ends = [running.finish() for running in (one, two)]
        for home, finished in zip(homes, ends, strict=True):
            assert finished.exit_code in (0, 4), finished
            check(finished, home)
        check_ended(photos, homes)
        check_paid_once(mysql_database, vendor, homes)


@pytest.mark.row("D2")
def test_d2_an_absence_that_only_the_machines_saw_counts_as_well(
    tmp_path: Path, photos: Path, mariadb: MariaDb, mysql_database: CacheDatabase
) -> None:
    """The server was up all the time; the line to it was cut, and one machine gave up."""
    with VendorProcess(slow_after(PHOTOS // 2)) as vendor, Line(mariadb.port) as line:
        url = mysql_database.url.replace(f":{mariadb.port}/", f":{line.port}/")
        behind = replace(mysql_database, url=url)
        homes = late, patient = pair(tmp_path, behind, vendor, a=BRIEF, b=LONG)
        with patient.start("classify", photos, *CLASSIFY) as waiting:
            with late.start("classify", photos, *CLASSIFY) as running:
                vendor.wait_for(PHOTOS // 2)
                line.cut()
                vendor.play({})
                assert running.finish().exit_code == 75
            waiting.wait_for_line("Nothing is sent meanwhile")
            waiting.pause(2.5)
            line.mend()
            waiting.wait_for_line("the cache is back")
            assert spooled(late) > 0
            # Usually that is before the other one stops waiting for it.
            assert late.run("classify", photos, *CLASSIFY).exit_code in (0, 4)
            finished = waiting.finish()
        assert finished.exit_code in (0, 4), finished
        check(finished, patient)
        check_ended(photos, homes)
        check_paid_once(mysql_database, vendor, homes)


@pytest.mark.row("D2")
def test_d2_a_later_run_knows_of_an_absence_that_an_earlier_one_gave_up_in(
    tmp_path: Path, photos: Path, mariadb: MariaDb, mysql_database: CacheDatabase
) -> None:
    with VendorProcess(slow_after(PHOTOS // 2)) as vendor, Line(mariadb.port) as line:
        url = mysql_database.url.replace(f":{mariadb.port}/", f":{line.port}/")
        behind = replace(mysql_database, url=url)
        homes = late, early = pair(tmp_path, behind, vendor, a=BRIEF, b=BRIEF)
        with late.start("classify", photos, *CLASSIFY) as running:
            vendor.wait_for(PHOTOS // 2)
            line.cut()
            vendor.play({})
            assert running.finish().exit_code == 75
        assert early.run("classify", photos, *CLASSIFY).exit_code == 75
        line.mend()
        first = early.run("classify", photos, *CLASSIFY)
        assert first.exit_code == 4, first
        check(first, early)
        check_ended(photos, homes)
        check_paid_once(mysql_database, vendor, homes)
