"""How a run ends when its outputs, its disk or its neighbours fail it: the code and the summary."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import Home
from tests.support.invariants import check_accounts, check_litter, check_streams
from tests.support.photos import make_jpeg, make_tree
from tests.support.sick_disk import SickDisk


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of six photos in three folders."""
    folder = tmp_path / "photos"
    make_tree(folder, 6)
    return folder


def test_an_output_that_does_not_fit_is_73_and_the_summary_is_written_all_the_same(
    home: Home, photos: Path, tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("8k")
    (disk / "filler").write_bytes(bytes(4096))
    for number in range(60):
        (photos / f"{'n' * 100}{number}.jpg").write_bytes(make_jpeg(1))
    target = tmp_path / "summary.json"
    finished = home.run("classify", photos, "--output", disk / "rows.csv", "--summary", target)
    assert finished.exit_code == 73, finished
    summary = json.loads(target.read_text(encoding="utf-8"))
    check_accounts(summary)
    assert (summary["status"], summary["exit_code"], summary["found"]) == ("failed", 73, 66)
    assert [path.name for path in disk.iterdir()] == ["filler"]
    check_streams(finished)
    _, again = home.summary(photos)
    assert again["cached"] == 66


def test_an_unreadable_directory_is_named_and_the_rest_is_done(
    home: Home, photos: Path, bound_by_modes: list[str]
) -> None:
    (photos / "2023").chmod(0)
    try:
        finished, summary = home.summary(photos, wrapper=bound_by_modes)
    finally:
        (photos / "2023").chmod(0o700)
    assert finished.exit_code == 3, finished
    assert summary["local"] == 4
    [failure] = summary["failures"]
    assert failure == {
        "path": os.fspath(photos / "2023"),
        "reason": "cannot read the directory: Permission denied",
    }
    check_streams(finished)


def test_a_file_nobody_may_read_is_named_and_tried_again_when_one_may(
    home: Home, photos: Path, bound_by_modes: list[str]
) -> None:
    locked = photos / "locked.jpg"
    locked.write_bytes(make_jpeg(99))
    locked.chmod(0)
    finished, summary = home.summary(photos, wrapper=bound_by_modes)
    assert finished.exit_code == 3, finished
    assert summary["failures"] == [{"path": os.fspath(locked), "reason": "permission denied"}]
    locked.chmod(0o600)
    finished, summary = home.summary(photos, wrapper=bound_by_modes)
    assert finished.exit_code == 0, finished
    assert (summary["local"], summary["cached"]) == (1, 6)


def test_a_share_that_is_away_is_74_and_forgets_nothing(home: Home, sick_disk: SickDisk) -> None:
    make_tree(sick_disk.source, 6)
    finished, summary = home.summary(sick_disk.mount)
    assert (finished.exit_code, summary["local"]) == (0, 6), finished
    sick_disk.unplug()
    finished, summary = home.summary(sick_disk.mount)
    assert finished.exit_code == 74, finished
    assert (summary["status"], summary["exit_code"], summary["found"]) == ("failed", 74, 0)
    check_streams(finished)
    check_litter(home)


def test_a_file_that_hangs_is_named_and_the_process_ends(home: Home, sick_disk: SickDisk) -> None:
    make_tree(sick_disk.source, 6)
    (sick_disk.source / "hang.jpg").write_bytes(make_jpeg(99))
    finished, summary = home.summary(
        sick_disk.mount, env={"XINTU_FILE_TIMEOUT_SECONDS": "2"}, timeout_seconds=60
    )
    assert finished.exit_code == 3, finished
    assert summary["local"] == 6
    assert [failure["reason"] for failure in summary["failures"]] == [
        "no answer from the disk for 2 s"
    ]
    check_accounts(summary)
    check_streams(finished)


def test_a_directory_that_was_removed_is_a_missing_root(home: Home, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    enter = f'cd "{gone}" && rmdir "{gone}" && exec "$@"'
    finished = home.run("classify", ".", wrapper=["sh", "-c", enter, "sh"])
    assert finished.exit_code == 66, finished
    check_streams(finished)


def test_a_home_that_is_not_ones_own_does_not_keep_one_from_classifying(
    home: Home, photos: Path, bound_by_modes: list[str], tmp_path: Path
) -> None:
    """As when `sudo -u somebody` leaves one in a directory that one may not look into."""
    closed = tmp_path / "closed"
    closed.mkdir()
    enter = f'cd "{closed}" && chmod 0 "{closed}" && exec "$@"'
    wrapper = [*bound_by_modes, "sh", "-c", enter, "sh"]
    try:
        finished = home.run("classify", photos, wrapper=wrapper)
    finally:
        closed.chmod(0o700)
    assert finished.exit_code == 0, finished
    check_streams(finished)


@pytest.mark.parametrize("pattern", ["!", "a[z-a]"])
def test_a_glob_that_is_none_is_a_usage_error(home: Home, photos: Path, pattern: str) -> None:
    finished = home.run("classify", photos, "--exclude", pattern)
    assert finished.exit_code == 2, finished
    assert finished.stderr.splitlines()[-1].startswith(
        f"xintu: cannot read the patterns {pattern}: "
    )
    check_streams(finished)
