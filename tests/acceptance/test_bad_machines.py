"""What a machine does to a run: kills, stops, starves it, starts two of them, runs it from cron."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.command import Home
from tests.support.invariants import (
    check_accounts,
    check_invariants,
    check_litter,
    check_streams,
)
from tests.support.machine import dead_disk_under, revive_disk
from tests.support.photos import make_tree

PHOTOS = 100
KILLED_AT = (1, 5, 30)
"""Writes of a run over twenty photos; more of them are tried one layer down, without a model."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder that keeps the local model busy for a second or two."""
    folder = tmp_path / "photos"
    make_tree(folder, PHOTOS, size=(320, 240))
    return folder


def stored(home: Home) -> int:
    """Count the answers that are stored so far."""
    if not (home.state / "cache.db").exists():
        return 0
    uri = f"file:{home.state / 'cache.db'}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        try:
            (count,) = connection.execute("SELECT count(*) FROM classification").fetchone()
        except sqlite3.OperationalError:  # it is just being made, or was never
            return 0
    return int(count)


# ---- the process -----------------------------------------------------------------------------


@pytest.mark.parametrize("number", KILLED_AT)
def test_a_run_may_be_killed_at_any_write(
    home: Home, tmp_path: Path, strace: Callable[..., list[str]], number: int
) -> None:
    folder = tmp_path / "few"
    make_tree(folder, 20)
    kill = strace("-e", f"inject=pwrite64:signal=SIGKILL:when={number}")
    home.run("classify", folder, wrapper=kill)
    kept = stored(home)
    finished, summary = home.summary(folder)
    assert finished.exit_code == 0, finished
    assert (summary["found"], summary["cached"], summary["local"]) == (20, kept, 20 - kept)
    check_invariants(finished, summary, home, [folder])


def test_a_run_that_is_stopped_goes_on_where_it_was(home: Home, photos: Path) -> None:
    """As when a laptop is closed."""
    with home.start("classify", photos, "--summary", "-") as running:
        running.wait_until(lambda: stored(home) >= 10)
        running.send_signal(signal.SIGSTOP)
        running.send_signal(signal.SIGCONT)
        finished = running.finish()
    assert finished.exit_code == 0, finished
    check_invariants(finished, finished.json(), home, [photos])


@pytest.mark.parametrize("most", [24, 64])
def test_few_file_descriptors_are_enough_or_end_in_words(
    home: Home, photos: Path, most: int
) -> None:
    wrapper = ["sh", "-c", f'ulimit -n {most}; exec "$@"', "sh"]
    finished, summary = home.summary(photos, wrapper=wrapper)
    assert finished.exit_code in {0, 74, 75}, finished
    check_streams(finished)
    check_accounts(summary)
    kept = stored(home)
    assert kept == summary["local"]
    finished, summary = home.summary(photos)
    assert (finished.exit_code, summary["cached"]) == (0, kept), finished
    check_invariants(finished, summary, home, [photos])


@pytest.mark.parametrize("megabytes", [300, 400, 800])
def test_too_little_memory_ends_in_words_or_is_enough(
    home: Home, photos: Path, megabytes: int
) -> None:
    wrapper = ["sh", "-c", f'ulimit -v {megabytes * 1024}; exec "$@"', "sh"]
    finished = home.run("classify", photos, wrapper=wrapper)
    assert finished.exit_code != 0 or stored(home) == PHOTOS, finished
    check_streams(finished)
    finished, summary = home.summary(photos)
    assert (finished.exit_code, summary["found"]) == (0, PHOTOS), finished
    check_invariants(finished, summary, home, [photos])


# ---- two of them -----------------------------------------------------------------------------


@pytest.fixture
def busy(photos: Path, tmp_path: Path) -> dict[str, str]:
    """Return an environment in which a run over the photos lasts until the disk is revived."""
    return dead_disk_under(max(photos.rglob("*.jpg")), tmp_path)


def test_a_second_run_over_the_same_folders_is_75_and_says_who_is_at_work(
    home: Home, photos: Path, tmp_path: Path, busy: dict[str, str]
) -> None:
    with home.start("classify", photos, "--summary", "-", env=busy) as running:
        running.wait_until(lambda: stored(home) >= 10)
        again = home.run("classify", "-q", photos, "--summary", "-")
        assert again.exit_code == 75, again
        assert re.search(rf"process {running.process.pid} on \S+ since 20\d\d-", again.stderr)
        assert (again.json()["status"], again.json()["found"]) == ("failed", 0)
        check_streams(again)
        revive_disk(tmp_path)
        finished = running.finish()
    assert finished.exit_code == 0, finished
    check_invariants(finished, finished.json(), home, [photos])


def test_a_run_that_waits_its_turn_finds_everything_done(
    home: Home, photos: Path, tmp_path: Path, busy: dict[str, str]
) -> None:
    with home.start("classify", photos, env=busy) as first:
        first.wait_until(lambda: stored(home) >= 10)
        with home.start("classify", photos, "--wait", "--summary", "-") as second:
            second.wait_for_line("waiting for another run")
            revive_disk(tmp_path)
            assert first.finish().exit_code == 0
            finished = second.finish()
    assert finished.exit_code == 0, finished
    assert (finished.json()["cached"], finished.json()["local"]) == (PHOTOS, 0)
    check_invariants(finished, finished.json(), home, [photos])


def test_a_run_that_waits_its_turn_may_be_interrupted(
    home: Home, photos: Path, tmp_path: Path, busy: dict[str, str]
) -> None:
    with home.start("classify", photos, env=busy) as first:
        first.wait_until(lambda: stored(home) >= 10)
        with home.start("classify", photos, "--wait", "--summary", "-") as second:
            second.wait_for_line("waiting for another run")
            second.send_signal(signal.SIGINT)
            finished = second.finish()
        revive_disk(tmp_path)
        assert first.finish().exit_code == 0
    assert finished.exit_code == 130, finished
    summary = finished.json()
    assert (summary["status"], summary["exit_code"]) == ("interrupted", 130)
    check_streams(finished)


def test_the_lock_of_a_killed_run_keeps_nobody_out(home: Home, photos: Path) -> None:
    with home.start("classify", photos) as running:
        running.wait_until(lambda: stored(home) >= 10)
        running.send_signal(signal.SIGKILL)
        running.finish()
    finished, summary = home.summary(photos)
    assert finished.exit_code == 0, finished
    check_invariants(finished, summary, home, [photos])


def test_runs_over_two_folders_may_share_images_and_a_cache(
    home: Home, photos: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    make_tree(other, PHOTOS, size=(320, 240))
    with home.start("classify", photos, "--summary", "-") as first:
        first.wait_until(lambda: stored(home) >= 1)
        finished, second = home.summary(other)
        done = first.finish()
    assert (done.exit_code, finished.exit_code) == (0, 0), (done, finished)
    assert stored(home) == PHOTOS
    for result, summary, root in ((done, done.json(), photos), (finished, second, other)):
        check_invariants(result, summary, home, [root])


# ---- who starts it ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environment",
    [
        {"PATH": "/usr/bin:/bin"},
        {"PATH": "/usr/bin:/bin", "LANG": "C", "TERM": ""},
        {"PATH": "/usr/bin:/bin", "LC_ALL": "POSIX", "TERM": "dumb"},
        {"PATH": "/usr/bin:/bin", "LANG": "xx_YY.UTF-8", "PYTHONIOENCODING": "ascii"},
        {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "PYTHONUTF8": "0"},
    ],
    ids=["bare", "C", "POSIX", "unknown locale", "no home"],
)
def test_the_answers_are_the_same_whoever_starts_it(
    home: Home, tmp_path: Path, environment: dict[str, str]
) -> None:
    folder = tmp_path / "相册"
    make_tree(folder, 6, folders=("é", "照片"))
    bare = [f"{name}={value}" for name, value in environment.items()]
    wrapper = ["env", "-i", f"XINTU_HOME={home.state}", *bare]
    target = tmp_path / "summary.json"
    finished = home.run("classify", "-q", folder, "--summary", target, wrapper=wrapper)
    assert (finished.exit_code, finished.stdout, finished.stderr) == (0, "", ""), finished
    summary = json.loads(target.read_text(encoding="utf-8"))
    assert summary["local"] == 6
    check_litter(home)
    again = home.run("export", folder, "-o", tmp_path / "rows.csv", wrapper=wrapper)
    assert again.exit_code == 0, again
    assert "照片" in (tmp_path / "rows.csv").read_text(encoding="utf-8-sig")
    check_invariants(finished, summary, home, [folder])
