"""Being interrupted: everything that was finished is stored, and the next run goes on there."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.command import Home
from tests.support.invariants import check_accounts, check_litter, check_streams
from tests.support.machine import dead_disk_under, revive_disk
from tests.support.photos import make_tree
from xintu_cli.jobs.classify import ECHO_SECONDS

PHOTOS = 150


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder that keeps the local model busy for a second or two."""
    folder = tmp_path / "photos"
    make_tree(folder, PHOTOS, size=(320, 240))
    return folder


def last_of(photos: Path) -> Path:
    """Return the photo that a walk comes to last."""
    return max(photos.rglob("*.jpg"))


def answers(home: Home) -> int:
    """Count the answers that are stored so far."""
    return count(home, "classification")


def count(home: Home, table: str) -> int:
    """Count the rows that the cache has in one of its tables."""
    cache = home.state / "cache.db"
    if not cache.exists():
        return 0
    with closing(sqlite3.connect(f"file:{cache}?mode=ro", uri=True)) as connection:
        try:
            (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        except sqlite3.OperationalError:  # it is just being made
            return 0
    return int(rows)


@pytest.mark.parametrize(
    ("number", "exit_code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["SIGINT", "SIGTERM", "SIGHUP"],
)
def test_one_signal_finishes_what_is_in_flight_and_keeps_it(
    home: Home, photos: Path, tmp_path: Path, number: signal.Signals, exit_code: int
) -> None:
    # It cannot be over before the signal: its last photo waits for that.
    env = dead_disk_under(last_of(photos), tmp_path)
    with home.start("classify", photos, "--summary", "-", env=env) as running:
        running.wait_until(lambda: answers(home) >= 10)
        running.send_signal(number)
        running.wait_for_line("once more stops at once")
        revive_disk(tmp_path)
        finished = running.finish()
        assert not running.has_children_left()
    assert finished.exit_code == exit_code, finished
    check_streams(finished)
    check_litter(home)
    summary = finished.json()
    check_accounts(summary)
    assert (summary["status"], summary["exit_code"]) == ("interrupted", exit_code)
    assert summary["pending"] > 0
    assert summary["local"] == answers(home)
    again, rest = home.summary(photos)
    assert again.exit_code == 0, again
    assert rest["cached"] == summary["local"]
    assert rest["local"] == PHOTOS - summary["local"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_second_signal_does_not_wait_for_a_dead_disk(
    home: Home, photos: Path, tmp_path: Path, number: signal.Signals
) -> None:
    env = dead_disk_under(last_of(photos), tmp_path)
    with home.start("classify", photos, "--summary", "-", env=env) as running:
        running.wait_until(lambda: answers(home) >= 10)
        running.send_signal(number)
        running.wait_for_line("once more stops at once", timeout_seconds=15)
        time.sleep(2 * ECHO_SECONDS)  # faster than any person: it would count as an echo
        running.send_signal(number)
        finished = running.finish(timeout_seconds=25)
    assert finished.exit_code == 128 + number, finished
    check_streams(finished)
    summary = finished.json()
    check_accounts(summary)
    assert summary["local"] == answers(home)


def test_a_killed_run_loses_nothing_that_it_had_stored(home: Home, photos: Path) -> None:
    with home.start("classify", photos) as running:
        running.wait_until(lambda: answers(home) >= 10)
        running.send_signal(signal.SIGKILL)
        running.finish()
    stored = answers(home)
    finished, summary = home.summary(photos)
    assert finished.exit_code == 0, finished
    assert [summary[key] for key in ("cached", "local")] == [stored, PHOTOS - stored]


def test_an_interrupt_before_any_photo_is_an_interrupt_too(home: Home, photos: Path) -> None:
    with home.start("classify", photos) as running:
        running.wait_until((home.state / "cache.db").exists)
        running.send_signal(signal.SIGINT)
        finished = running.finish()
    assert finished.exit_code == 130, finished
    check_streams(finished)


ENDS = pytest.mark.parametrize(
    ("number", "exit_code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["SIGINT", "SIGTERM", "SIGHUP"],
)


@ENDS
def test_an_export_that_is_stopped_leaves_nothing_behind(
    home: Home, photos: Path, tmp_path: Path, number: signal.Signals, exit_code: int
) -> None:
    env = dead_disk_under(last_of(photos), tmp_path)
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    with home.start("export", photos, "-o", outputs / "rows.csv", env=env) as running:
        running.wait_until(lambda: any(outputs.iterdir()))
        running.pause(0.5)
        running.send_signal(number)
        finished = running.finish(timeout_seconds=25)
    assert finished.exit_code == exit_code, finished
    assert list(outputs.iterdir()) == []
    check_litter(home)
    check_streams(finished)


@ENDS
def test_a_run_that_is_stopped_while_it_waits_its_turn_says_so_in_its_summary(
    home: Home, photos: Path, tmp_path: Path, number: signal.Signals, exit_code: int
) -> None:
    env = dead_disk_under(last_of(photos), tmp_path)
    with home.start("classify", photos, env=env) as first:
        first.wait_until(lambda: answers(home) >= 1)
        with home.start("classify", photos, "--wait", "--summary", "-") as second:
            second.wait_for_line("waiting for another run")
            second.send_signal(number)
            finished = second.finish(timeout_seconds=25)
    assert finished.exit_code == exit_code, finished
    summary = finished.json()
    assert (summary["status"], summary["exit_code"]) == ("interrupted", exit_code)
    check_streams(finished)


@pytest.mark.parametrize("grace_seconds", ["1", "600"])
def test_rows_are_not_waited_for_when_a_run_is_to_end(
    home: Home, photos: Path, tmp_path: Path, grace_seconds: str
) -> None:
    """They end with the grace, or with the next signal; the old file stands as it was."""
    home.run("classify", photos)
    unread = tmp_path / "outputs" / "unread"
    make_tree(unread, 1)
    (rows := tmp_path / "outputs" / "rows.csv").write_text("old", encoding="utf-8")
    dead = dead_disk_under(next(unread.rglob("*.jpg")), tmp_path)
    env = {**dead, "XINTU_GRACE_SECONDS": grace_seconds}
    with home.start(
        "classify", photos, unread, "--output", rows, "--summary", "-", env=env
    ) as running:
        running.wait_until(lambda: count(home, "run") == 2)
        running.send_signal(signal.SIGINT)
        if grace_seconds == "600":
            running.wait_for_line("once more stops at once")
            time.sleep(2 * ECHO_SECONDS)
            running.send_signal(signal.SIGINT)
        finished = running.finish(timeout_seconds=25)
    assert finished.exit_code == 130, finished
    assert "no rows were written" in finished.stderr
    assert rows.read_text(encoding="utf-8") == "old"
    assert finished.json()["status"] == "interrupted"
    check_litter(home, [rows.parent])
