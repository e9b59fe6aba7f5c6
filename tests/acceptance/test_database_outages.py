"""The database goes away, through the command: nothing is lost, nothing is paid for twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Finished, Home
from tests.support.databases import CacheDatabase, MariaDb
from tests.support.fleet import KEY, count, machine, paid_twice
from tests.support.invariants import check_accounts, check_litter, check_streams
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
        (waiting,) = connection.execute("SELECT COUNT(*) FROM spooled").fetchone()
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
