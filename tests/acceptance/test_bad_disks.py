"""File systems that lose, change, refuse and hide files under a run of the installed command."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Home, grow_old
from tests.support.invariants import (
    check_accounts,
    check_invariants,
    check_litter,
    check_streams,
)
from tests.support.machine import dead_disk_under, revive_disk
from tests.support.photos import make_jpeg, make_tree
from tests.support.sick_disk import SickDisk

Strace = Callable[..., list[str]]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of six photos; the one that suffers is `2023/sick.jpg`."""
    folder = tmp_path / "photos"
    make_tree(folder, 5, folders=("2023", "2024"))
    (folder / "2023" / "sick.jpg").write_bytes(make_jpeg(99, (200, 150)))
    return folder


def sick(photos: Path) -> Path:
    return photos / "2023" / "sick.jpg"


def reasons(summary: dict[str, Any]) -> dict[str, str]:
    return {Path(failure["path"]).name: failure["reason"] for failure in summary["failures"]}


def indexed(home: Home) -> int:
    with closing(sqlite3.connect(home.state / "index.db")) as connection:
        (count,) = connection.execute("SELECT count(*) FROM file").fetchone()
    return int(count)


def stored(home: Home) -> int:
    """Count the answers that are stored so far."""
    if not (home.state / "cache.db").exists():
        return 0
    uri = f"file:{home.state / 'cache.db'}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        try:
            (count,) = connection.execute("SELECT count(*) FROM classification").fetchone()
        except sqlite3.OperationalError:  # it is just being made
            return 0
    return int(count)


# ---- one file --------------------------------------------------------------------------------


def test_a_file_that_vanishes_before_it_is_opened_is_skipped(
    home: Home, photos: Path, strace: Strace
) -> None:
    wrapper = strace("-P", str(sick(photos)), "-e", "inject=openat:error=ENOENT")
    finished, summary = home.summary(photos, wrapper=wrapper)
    assert finished.exit_code == 0, finished
    assert (summary["found"], summary["local"], summary["skipped"]) == (6, 5, 1)
    check_invariants(finished, summary, home, [photos])


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("read:error=EIO", "I/O error: Input/output error"),
        ("openat:error=ESTALE", "I/O error: Stale file handle"),
        ("read:error=ETIMEDOUT", "I/O error: Connection timed out"),
        ("openat:error=ENXIO", "I/O error: No such device or address"),
        # A share that ends a read early: the hash would be valid, and wrong.
        ("read:retval=0", "changed while reading"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_read_when_the_disk_is_well(
    home: Home, photos: Path, strace: Strace, fault: str, reason: str
) -> None:
    wrapper = strace("-P", str(sick(photos)), "-e", f"inject={fault}")
    finished, summary = home.summary(photos, wrapper=wrapper)
    assert finished.exit_code == 3, finished
    assert (summary["local"], summary["failed"]) == (5, 1)
    assert reasons(summary) == {"sick.jpg": reason}
    second = check_invariants(finished, summary, home, [photos])
    assert (second["cached"], second["local"]) == (5, 1)


def test_a_read_that_fails_once_is_tried_again(home: Home, photos: Path, strace: Strace) -> None:
    wrapper = strace("-P", str(sick(photos)), "-e", "inject=read:error=EIO:when=1")
    finished, summary = home.summary(photos, wrapper=wrapper)
    assert (finished.exit_code, summary["local"]) == (0, 6), finished
    check_invariants(finished, summary, home, [photos])


def test_a_slow_disk_is_only_slow(home: Home, photos: Path, strace: Strace) -> None:
    wrapper = strace("-P", str(sick(photos)), "-e", "inject=read:delay_enter=400000")
    finished, summary = home.summary(photos, wrapper=wrapper)
    assert (finished.exit_code, summary["local"]) == (0, 6), finished
    check_invariants(finished, summary, home, [photos])


def test_pipes_devices_and_links_to_them_are_no_photos(home: Home, photos: Path) -> None:
    os.mkfifo(photos / "pipe.jpg")
    (photos / "zero.jpg").symlink_to("/dev/zero")
    (photos / "random.png").symlink_to("/dev/urandom")
    followed, summary = home.summary(photos, "--follow-symlinks")
    assert (followed.exit_code, summary["found"]) == (0, 6), followed
    finished, summary = home.summary(photos)
    assert (finished.exit_code, summary["found"]) == (0, 6), finished
    check_invariants(finished, summary, home, [photos])


# ---- links -----------------------------------------------------------------------------------


def test_links_in_circles_end_and_nothing_outside_is_read_unasked(
    home: Home, photos: Path, tmp_path: Path, strace: Strace
) -> None:
    outside = tmp_path / "outside"
    make_tree(outside, 2, folders=("secret",))
    [secret, *_] = (outside / "secret").iterdir()
    (photos / "escape").symlink_to(outside)
    (photos / "escape.jpg").symlink_to(secret)
    (photos / "loop").symlink_to(photos)
    (photos / "self").symlink_to("self")
    (photos / "2023" / "up").symlink_to("..")
    opened = tmp_path / "opened"
    wrapper = strace("-e", "trace=openat", "-o", str(opened))
    finished, summary = home.summary(photos, wrapper=wrapper)
    assert (finished.exit_code, summary["found"]) == (0, 6), finished
    assert str(outside) not in opened.read_text(encoding="utf-8", errors="replace")
    [told] = [line for line in finished.stderr.splitlines() if "not followed" in line]
    assert told.startswith("symbolic links not followed: 5 ("), finished
    assert f"{photos}/escape.jpg, " in told
    check_invariants(finished, summary, home, [photos])
    followed, summary = home.summary(photos, "--follow-symlinks")
    assert (followed.exit_code, summary["found"]) == (0, 8), followed
    check_invariants(followed, summary, home, [photos, "--follow-symlinks"])


# ---- what a stat tells -----------------------------------------------------------------------


def test_a_rewrite_that_hides_behind_size_and_time_is_seen(home: Home, photos: Path) -> None:
    victim = sick(photos)
    victim.write_bytes(make_jpeg(1, comment=b"before"))
    grow_old(photos)
    finished, _ = home.summary(photos)
    before = victim.stat()
    other = make_jpeg(2, comment=b"after.")
    other += bytes(before.st_size - len(other)) if len(other) < before.st_size else b""
    victim.write_bytes(other[: before.st_size])
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (victim.stat().st_size, victim.stat().st_mtime_ns) == (
        before.st_size,
        before.st_mtime_ns,
    )
    finished, summary = home.summary(photos)
    assert (summary["local"] + summary["failed"], summary["unchanged"]) == (1, 5), finished
    check_invariants(finished, summary, home, [photos], rerun_exit_code=finished.exit_code)


def test_a_restored_backup_is_read_again_and_not_answered_again(home: Home, photos: Path) -> None:
    """Other inodes, other ctimes: read, and known by the image."""
    home.summary(photos)
    copy = photos.with_name("copy")
    shutil.copytree(photos, copy)
    shutil.rmtree(photos)
    copy.rename(photos)
    finished, summary = home.summary(photos)
    assert (finished.exit_code, summary["cached"], summary["local"]) == (0, 6, 0), finished
    check_invariants(finished, summary, home, [photos])


@pytest.mark.parametrize("year", [1971, 2107])
def test_a_time_that_cannot_be_is_only_a_time(home: Home, photos: Path, year: int) -> None:
    moment = int((year - 1970) * 365.2425 * 86_400)
    for path in photos.rglob("*.jpg"):
        os.utime(path, (moment, moment))
    finished, summary = home.summary(photos)
    assert (finished.exit_code, summary["local"]) == (0, 6), finished
    second = check_invariants(finished, summary, home, [photos])
    assert second["cached"] == 6


# ---- the whole root --------------------------------------------------------------------------


def test_a_share_that_goes_away_in_mid_run_is_74_and_loses_nothing(
    home: Home, sick_disk: SickDisk, tmp_path: Path
) -> None:
    """What was done is kept, what was not is left to the next run, nothing is forgotten."""
    make_tree(sick_disk.source, 150, size=(320, 240))
    last = max(sick_disk.source.rglob("*.jpg")).relative_to(sick_disk.source)
    busy = dead_disk_under(sick_disk.mount / last, tmp_path)
    with home.start("classify", sick_disk.mount, "--summary", "-", env=busy) as running:
        running.wait_until(lambda: stored(home) >= 10)
        sick_disk.unplug()
        revive_disk(tmp_path)
        finished = running.finish()
    assert finished.exit_code == 74, finished
    assert "What was done is kept" in finished.stderr
    check_streams(finished)
    check_litter(home)
    summary = finished.json()
    check_accounts(summary)
    assert (summary["status"], summary["exit_code"]) == ("failed", 74)
    assert 10 <= summary["local"] == stored(home) < 150
    known = indexed(home)
    away, second = home.summary(sick_disk.mount)
    assert (away.exit_code, second["found"], indexed(home)) == (74, 0, known), away
    # The disk is back, under the name of the folder that it mirrored.
    finished, rest = home.summary(sick_disk.source)
    assert (finished.exit_code, rest["found"]) == (0, 150), finished
    assert (rest["cached"], rest["local"]) == (summary["local"], 150 - summary["local"])
    check_invariants(finished, rest, home, [sick_disk.source])


def test_a_folder_that_is_renamed_in_mid_run_is_74_and_loses_nothing(
    home: Home, tmp_path: Path
) -> None:
    """What a dead share does, on machines that let nobody mount one."""
    folder, away = tmp_path / "library", tmp_path / "away"
    make_tree(folder, 150, size=(320, 240))
    busy = dead_disk_under(max(folder.rglob("*.jpg")), tmp_path)
    with home.start("classify", folder, "--summary", "-", env=busy) as running:
        running.wait_until(lambda: stored(home) >= 10)
        folder.rename(away)
        revive_disk(tmp_path)
        finished = running.finish()
    assert finished.exit_code == 74, finished
    summary = finished.json()
    check_accounts(summary)
    check_streams(finished)
    assert summary["local"] == stored(home)
    known = indexed(home)
    missing = home.run("classify", folder)
    assert (missing.exit_code, indexed(home)) == (66, known), missing
    away.rename(folder)
    finished, rest = home.summary(folder)
    assert (finished.exit_code, rest["found"]) == (0, 150), finished
    assert rest["cached"] == summary["local"]
    check_invariants(finished, rest, home, [folder])


@pytest.mark.parametrize("command", ["evaluate", "models train"])
def test_a_labelled_file_that_never_answers_is_named_and_the_rest_is_judged(
    home: Home, tmp_path: Path, command: str
) -> None:
    folder = tmp_path / "labelled"
    make_tree(folder, 24, folders=("pets", "foods"))
    hanging = max(folder.rglob("*.jpg"))
    env = {**dead_disk_under(hanging, tmp_path), "XINTU_FILE_TIMEOUT_SECONDS": "2"}
    finished = home.run(*command.split(), folder, env=env)
    assert finished.exit_code == 3, finished
    assert "no answer from the disk for 2 s" in finished.stdout + finished.stderr, finished
    assert hanging.name in finished.stdout + finished.stderr


def test_a_file_that_stops_answering_ends_neither_a_report_nor_labels_from_a_table(
    home: Home, photos: Path, tmp_path: Path
) -> None:
    """It was well when it was hashed."""
    home.summary(photos)
    hanging = max(photos.rglob("*.jpg"))
    env = {**dead_disk_under(hanging, tmp_path), "XINTU_FILE_TIMEOUT_SECONDS": "2"}
    page, table = tmp_path / "page.html", tmp_path / "labels.csv"
    finished = home.run("report", photos, "-o", page, env=env)
    assert finished.exit_code == 0, finished
    assert page.read_text(encoding="utf-8").count("data:image/jpeg") == 5
    table.write_text(f"path,category\n{hanging},pets\n", encoding="utf-8")
    finished = home.run("label", "--from", table, env=env)
    assert finished.exit_code == 3, finished
    assert f"{hanging}: no answer from the disk for 2 s" in finished.stderr


def test_an_empty_mount_point_forgets_nothing(home: Home, photos: Path) -> None:
    home.summary(photos)
    photos.rename(photos.with_name("elsewhere"))
    photos.mkdir()
    finished, summary = home.summary(photos)
    assert (finished.exit_code, summary["found"], indexed(home)) == (0, 0, 6), finished
    assert "mounted" in finished.stderr
    photos.rmdir()
    photos.with_name("elsewhere").rename(photos)
    finished, summary = home.summary(photos)
    assert summary["unchanged"] + summary["cached"] >= 6
    check_invariants(finished, summary, home, [photos])


def test_a_folder_and_a_file_that_may_not_be_read_are_both_named(
    home: Home, photos: Path, bound_by_modes: list[str]
) -> None:
    sick(photos).chmod(0)
    (photos / "2024").chmod(0)
    try:
        finished, summary = home.summary(photos, wrapper=bound_by_modes)
    finally:
        (photos / "2024").chmod(0o700)
        sick(photos).chmod(0o600)
    assert finished.exit_code == 3, finished
    assert set(reasons(summary)) == {"sick.jpg", "2024"}
    second = check_invariants(finished, summary, home, [photos])
    assert (second["found"], second["failed"]) == (6, 0)


# ---- where xintu itself writes ---------------------------------------------------------------


def test_a_state_disk_that_is_full_spends_nothing_more_and_goes_on_with_room(
    home: Home, tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    folder = tmp_path / "photos"
    make_tree(folder, 300)
    disk = small_disk("256k")
    finished, summary = home.summary(folder, env={"XINTU_HOME": str(disk)})
    assert finished.exit_code == 74, finished
    check_streams(finished)
    check_accounts(summary)
    assert (summary["status"], summary["exit_code"]) == ("failed", 74)
    subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
    finished, rest = home.summary(folder, env={"XINTU_HOME": str(disk)})
    assert (finished.exit_code, rest["found"]) == (0, 300), finished
    assert rest["cached"] >= summary["local"]


def test_a_full_directory_for_temporary_files_is_not_needed(
    home: Home, photos: Path, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("4k")
    (disk / "filler").write_bytes(bytes(4096))
    finished, summary = home.summary(photos, env={"TMPDIR": str(disk)})
    assert (finished.exit_code, summary["local"]) == (0, 6), finished
    check_invariants(finished, summary, home, [photos])


def test_a_cache_that_may_only_be_read_is_an_error_in_words(
    home: Home, photos: Path, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("16m")
    env = {"XINTU_HOME": str(disk)}
    assert home.run("classify", photos, env=env).exit_code == 0
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for options in (["classify"], ["export", "-o", "-", "--format", "csv"]):
        finished = home.run(*options, photos, env=env)
        assert finished.exit_code == 74, finished
        assert str(disk) in finished.stderr
        check_streams(finished)


def test_only_the_owner_can_read_what_is_stored(home: Home, photos: Path) -> None:
    for umask in ("000", "077"):
        wrapper = ["sh", "-c", f'umask {umask}; exec "$@"', "sh"]
        finished, summary = home.summary(photos, wrapper=wrapper)
        check_invariants(finished, summary, home, [photos])
        modes = {path: path.stat().st_mode & 0o077 for path in [home.state, *home.state.iterdir()]}
        assert set(modes.values()) == {0}, modes


def test_an_export_during_a_run_is_whole(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    make_tree(folder, 150, size=(320, 240))
    target = tmp_path / "labels.jsonl"
    busy = dead_disk_under(max(folder.rglob("*.jpg")), tmp_path)
    with home.start("classify", folder, env=busy) as running:
        running.wait_until(lambda: stored(home) >= 10)
        while running.process.poll() is None:
            finished = home.run("export", folder, "-o", target)
            assert finished.exit_code == 0, finished
            assert len(target.read_text(encoding="utf-8").splitlines()) == 150
            revive_disk(tmp_path)
        assert running.finish().exit_code == 0
    finished, summary = home.summary(folder)
    check_invariants(finished, summary, home, [folder])


def test_the_clock_may_be_another_one_each_time(
    home: Home, photos: Path, other_clock: Callable[[str], list[str]]
) -> None:
    """Tomorrow's, last year's, today's: durations are right, and nobody is asked again."""
    home.summary(photos, wrapper=other_clock("+1d"))
    home.summary(photos, wrapper=other_clock("-400d"))
    finished, summary = home.summary(photos)
    assert (finished.exit_code, summary["found"], summary["cached"]) == (0, 6, 6), finished
    assert 0 <= summary["seconds"] < 600
    check_invariants(finished, summary, home, [photos])
