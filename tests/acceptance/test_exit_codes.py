"""What the process ends with, and what it says then."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import Home
from tests.support.invariants import check_accounts, check_streams
from tests.support.photos import make_jpeg, make_tree


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (["--help"], 0, ""),
        (["--version"], 0, ""),
        (["classify"], 2, "PATH"),
        (["clasify", "."], 2, "clasify"),
        (["classify", ".", "--polcy", "local"], 2, "--polcy"),
        (["classify", ".", "--policy", "locl"], 2, "--policy"),
        (["classify", ".", "--concurrency", "none"], 2, "--concurrency"),
        (["classify", ".", "--concurrency", "0"], 2, "--concurrency"),
        (["classify", ""], 2, "Is a variable not set?"),
        (["classify", "nowhere"], 66, "nowhere"),
        (["classify", ""], 2, "a path is empty"),
        (["classify", ".", ""], 2, "a path is empty"),
        (["label", "", "--as", "pets"], 2, "a path is empty"),
        (["export", "", "-o", "-", "--format", "csv"], 2, "a path is empty"),
        (["cache", "prune", ""], 2, "a path is empty"),
        (["classify", ".", "nowhere"], 66, "nowhere"),
        (["classify", ".", "--taxonomy", "nonsense"], 78, "nonsense"),
        (["classify", ".", "--taxonomy", "nowhere.toml"], 78, "nowhere.toml"),
        (["classify", ".", "--config", "nowhere.toml"], 78, "nowhere.toml"),
        (["classify", ".", "--output", "rows.xlsx"], 2, "rows.xlsx"),
        (["classify", ".", "--output", "no/such/place.csv"], 73, "no/such/place.csv"),
        (["classify", ".", "--policy", "cloud"], 78, "cloud"),
        (["export", "."], 2, "-o"),
        (["export", "nowhere", "-o", "-", "--format", "csv"], 66, "nowhere"),
        (["export", ".", "-o", "rows.xlsx"], 2, "rows.xlsx"),
    ],
)  # fmt: skip
def test_a_wrong_word_is_answered_with_its_code_and_by_name(
    home: Home, tmp_path: Path, arguments: list[str], exit_code: int, said: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    finished = home.run(*arguments, cwd=folder)
    assert finished.exit_code == exit_code, finished
    assert said in finished.stderr, finished
    check_streams(finished)


def test_an_error_is_one_plain_sentence_without_a_traceback(home: Home) -> None:
    finished = home.run("classify", "nowhere")
    assert finished.stdout == ""
    assert len(finished.stderr.splitlines()) <= 2, finished


def test_a_remedy_names_only_options_that_there_are(home: Home, tmp_path: Path) -> None:
    for command, there_is in (
        (["classify", ".", "--output"], False),
        (["export", ".", "-o"], True),
    ):
        finished = home.run(*command, "rows.xlsx", cwd=tmp_path)
        assert ("--format" in finished.stderr) == there_is, finished


@pytest.mark.parametrize("way", ["flag", "variable", "file"])
def test_debug_shows_where_an_error_came_from(home: Home, tmp_path: Path, way: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text("debug = true\n", encoding="utf-8")
    flags = {"flag": ["--debug"], "variable": [], "file": ["--config", str(config)]}[way]
    env = {"XINTU_DEBUG": "1"} if way == "variable" else {}
    finished = home.run("classify", "nowhere", *flags, env=env)
    assert finished.exit_code == 66
    assert "Traceback" in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        (["--policy", "locl"], 2),
        (["--taxonomy", "nonsense"], 78),
        (["--config", "nowhere.toml"], 78),
        (["--model", "nowhere"], 78),
        (["--output", "no/such/place.csv"], 73),
        (["--output", "rows.xlsx"], 2),
    ],
)
@pytest.mark.parametrize("by_flag", [True, False], ids=["flag", "environment"])
def test_a_summary_is_written_whatever_the_run_fails_of(
    home: Home, tmp_path: Path, arguments: list[str], exit_code: int, by_flag: bool
) -> None:
    """Programs read it after every run: the one of the run before must not be taken for it."""
    target = tmp_path / "summary.json"
    target.write_text("the one before", encoding="utf-8")
    said = ["--summary", str(target)] if by_flag else []
    env = {} if by_flag else {"XINTU_SUMMARY": str(target)}
    finished = home.run("classify", tmp_path, *arguments, *said, env=env)
    assert finished.exit_code == exit_code, finished
    summary = json.loads(target.read_text(encoding="utf-8"))
    assert (summary["status"], summary["exit_code"]) == ("failed", exit_code)
    check_accounts(summary)


def test_a_summary_is_written_when_the_root_is_missing(home: Home, tmp_path: Path) -> None:
    target = tmp_path / "summary.json"
    finished = home.run("classify", "nowhere", "--summary", target)
    assert finished.exit_code == 66, finished
    summary = json.loads(target.read_text(encoding="utf-8"))
    check_accounts(summary)
    assert [summary[key] for key in ("status", "exit_code", "found")] == ["failed", 66, 0]


@pytest.mark.parametrize("by_flag", [True, False])
def test_a_summary_is_written_when_the_configuration_is_wrong(
    home: Home, tmp_path: Path, *, by_flag: bool
) -> None:
    target = tmp_path / "summary.json"
    wrong = ("classify", tmp_path, "--taxonomy", "nonsense")
    if by_flag:
        finished = home.run(*wrong, "--summary", target)
    else:
        finished = home.run(*wrong, env={"XINTU_SUMMARY": str(target)})
    assert finished.exit_code == 78, finished
    summary = json.loads(target.read_text(encoding="utf-8"))
    assert [summary[key] for key in ("status", "exit_code", "found")] == ["failed", 78, 0]


def test_a_misspelt_key_of_a_configuration_names_the_right_one(home: Home, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("max_cals = 5\n", encoding="utf-8")
    finished = home.run("classify", tmp_path, "--config", config)
    assert finished.exit_code == 78, finished
    assert "max_cals" in finished.stderr
    assert "max_calls" in finished.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["export", "photos", "-o", "rows.csv"],
        ["report", "photos", "-o", "page.html"],
        ["label", "photos", "--as", "pets"],
        ["cache", "check", "photos"],
        ["cache", "check", "photos", "--json"],
    ],
    ids=lambda command: " ".join(command[:2] + command[3:4]),
)
def test_a_folder_that_may_not_be_looked_into_is_named_by_every_command(
    home: Home, tmp_path: Path, bound_by_modes: list[str], command: list[str]
) -> None:
    photos = tmp_path / "photos"
    make_tree(photos, 4, folders=("open", "closed"))
    (photos / "closed").chmod(0)
    try:
        finished = home.run(*command, cwd=tmp_path, wrapper=bound_by_modes)
    finally:
        (photos / "closed").chmod(0o700)
    assert finished.exit_code == 3, finished
    assert "photos/closed: cannot read the directory: Permission denied" in finished.stderr
    check_streams(finished)


def test_a_misspelt_category_is_a_usage_error_that_names_the_nearest(
    home: Home, tmp_path: Path
) -> None:
    finished = home.run("classify", tmp_path, "--keep-local", "idcrad")
    assert finished.exit_code == 2, finished
    assert "idcard" in finished.stderr


def test_files_that_may_not_be_read_are_named_and_their_siblings_done(
    home: Home, tmp_path: Path, bound_by_modes: list[str]
) -> None:
    photos = tmp_path / "photos"
    make_tree(photos, 4, folders=("open", "closed"))
    (photos / "secret.jpg").write_bytes(make_jpeg(77))
    (photos / "secret.jpg").chmod(0)
    (photos / "closed").chmod(0)
    try:
        finished, summary = home.summary(photos, wrapper=bound_by_modes)
    finally:
        (photos / "closed").chmod(0o700)
    assert finished.exit_code == 3, finished
    check_accounts(summary)
    assert summary["local"] == 2
    named = {Path(failure["path"]).name for failure in summary["failures"]}
    assert {"secret.jpg", "closed"} <= named | {"closed"}, summary
    assert "closed" in finished.stderr


def test_a_state_directory_that_cannot_be_written_is_an_io_error(
    home: Home, tmp_path: Path, bound_by_modes: list[str]
) -> None:
    (home.path / "sealed").mkdir(mode=0o500)
    finished = home.run(
        "classify", tmp_path,
        env={"XINTU_HOME": str(home.path / "sealed" / "state")}, wrapper=bound_by_modes,
    )  # fmt: skip
    assert finished.exit_code == 74, finished
    assert "XINTU_HOME" in finished.stderr


def test_an_output_on_a_full_disk_is_73_and_the_answers_stay(
    home: Home, tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    photos = tmp_path / "photos"
    make_tree(photos, 30)
    target = small_disk("4k") / "rows.json"
    finished = home.run("classify", photos, "--output", target)
    assert finished.exit_code == 73, finished
    assert str(target) in finished.stderr
    assert list(target.parent.iterdir()) == []
    _, second = home.summary(photos)
    assert [second[key] for key in ("cached", "local")] == [30, 0]


def test_a_state_disk_that_is_full_ends_the_run_with_an_io_error(
    home: Home, tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    photos = tmp_path / "photos"
    make_tree(photos, 300)
    state = small_disk("256k")
    finished = home.run("classify", photos, env={"XINTU_HOME": str(state)})
    assert finished.exit_code == 74, finished
    check_streams(finished)


@pytest.mark.parametrize("damage", ["header", "truncated", "middle"])
def test_a_damaged_cache_is_named_and_left_as_it_is(
    home: Home, tmp_path: Path, damage: str
) -> None:
    photos = tmp_path / "photos"
    make_tree(photos, 3)
    home.summary(photos)
    cache = home.state / "cache.db"
    content = bytearray(cache.read_bytes())
    if damage == "header":
        content[:16] = b"not a database.."
    elif damage == "truncated":
        content = content[: len(content) // 2 + 100]
    else:
        middle = len(content) // 2
        content[middle : middle + 4096] = os.urandom(4096)
    for companion in home.state.glob("cache.db-*"):
        companion.unlink()
    cache.write_bytes(content)
    finished = home.run("classify", photos, "--refresh", "all")
    # Damage in the middle may lie where nobody reads.
    assert finished.exit_code in ({74} if damage != "middle" else {0, 74}), finished
    check_streams(finished)
    if finished.exit_code == 74:
        assert "cache.db" in finished.stderr
