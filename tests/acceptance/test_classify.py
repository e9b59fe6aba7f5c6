"""The main job: what `xintu classify` finds, answers, counts and stores."""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import Home, grow_old
from tests.support.invariants import check_invariants
from tests.support.photos import make_gif, make_heic, make_jpeg, make_png, make_tree, make_webp


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of six different photos in three folders."""
    folder = tmp_path / "photos"
    make_tree(folder, 6)
    return folder


def test_a_newcomers_folder_is_classified_with_no_account_and_no_configuration(
    home: Home, photos: Path
) -> None:
    grow_old(photos)
    finished, summary = home.summary(photos)
    assert finished.exit_code == 0, finished
    counts = ("status", "found", "local", "cached", "calls", "cost")
    assert [summary[key] for key in counts] == ["done", 6, 6, 0, 0, 0.0]
    assert sum(summary["categories"].values()) == 6
    second = check_invariants(finished, summary, home, [photos])
    assert [second[key] for key in ("cached", "unchanged", "local")] == [6, 6, 0]


def test_a_summary_has_every_key_of_its_contract(home: Home, photos: Path) -> None:
    _, summary = home.summary(photos)
    assert set(summary) == {
        *("run_id", "status", "exit_code"),
        *("found", "cached", "llm", "local", "failed", "skipped", "pending"),
        *("unchanged", "duplicates", "manual", "provisional", "upgraded", "kept_local", "spared"),
        *("calls", "retries", "tokens_in", "tokens_out", "cost", "currency"),
        *("seconds", "photos_per_second", "categories", "providers"),
        *("failures", "failures_total"),
    }


def test_a_summary_goes_to_a_file_too(home: Home, photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "summary.json"
    finished = home.run("classify", photos, "--summary", target)
    assert (finished.exit_code, finished.stdout) == (0, "")
    assert json.loads(target.read_text(encoding="utf-8"))["found"] == 6


def test_the_same_image_under_many_names_is_classified_once(home: Home, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(5):
        (photos / f"copy-{number}.jpg").write_bytes(make_jpeg(1))
    (photos / "link.jpg").hardlink_to(photos / "copy-0.jpg")
    finished, summary = home.summary(photos)
    assert [summary[key] for key in ("found", "local", "cached", "duplicates")] == [6, 1, 5, 5]
    check_invariants(finished, summary, home, [photos])


def test_a_root_named_twice_and_a_folder_inside_a_root_are_seen_once(
    home: Home, photos: Path
) -> None:
    finished, summary = home.summary(
        photos, photos / "2023", photos, photos / "2023" / "IMG_00000.jpg"
    )
    assert summary["found"] == 6
    # Neither is it an empty folder, of which cron would mail.
    assert "nothing was found" not in finished.stderr


OWN_TAXONOMY = """
name = "mine"
fallback = "other"
[[category]]
key = "foods"
en = "Food"
zh = "美食"
description = "Food."
[[category]]
key = "cars"
en = "Cars"
zh = "汽车"
description = "Cars."
[[category]]
key = "other"
en = "Other"
zh = "其它"
description = "The rest."
"""


def test_a_run_says_which_categories_the_local_model_never_answers_with(
    home: Home, photos: Path, tmp_path: Path
) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(OWN_TAXONOMY, encoding="utf-8")
    finished, summary = home.summary(photos, "--taxonomy", own)
    assert summary["local"] == 6
    assert set(summary["categories"]) <= {"foods", "other"}
    assert "never answers with these categories of mine: Cars." in finished.stderr
    assert "汽车" in home.run("classify", photos, "--taxonomy", own, "--lang", "zh").stderr
    assert home.run("classify", photos, "--taxonomy", own, "-q").stderr == ""
    assert "never answers" not in home.run("classify", photos).stderr


def test_the_export_that_a_run_proposes_exports_that_run(
    home: Home, photos: Path, tmp_path: Path
) -> None:
    own = tmp_path / "my own.toml"
    own.write_text(OWN_TAXONOMY, encoding="utf-8")
    (tmp_path / "c.toml").write_text("hidden = true\n", encoding="utf-8")
    (photos / ".shy.jpg").write_bytes(make_jpeg(7))
    cache = f"sqlite:///{tmp_path}/elsewhere.db"
    asked = ("--taxonomy", own, "--cache", cache, "--config", tmp_path / "c.toml")
    finished = home.run("classify", photos, *asked, "--include", "*0*", "--include", ".shy.jpg")
    (proposed,) = re.findall(r"xintu (export .* -o labels\.csv)", finished.stderr)
    assert home.run(*shlex.split(proposed), cwd=tmp_path).exit_code == 0
    exported = (tmp_path / "labels.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(exported.splitlines()))
    assert len(rows) == 7
    assert {row["category"] for row in rows} <= {"foods", "other"}


def test_a_single_file_is_a_root(home: Home, photos: Path) -> None:
    _, summary = home.summary(photos / "2023" / "IMG_00000.jpg")
    assert [summary[key] for key in ("found", "local")] == [1, 1]


def test_a_file_that_was_classified_elsewhere_is_answered_from_the_cache(
    home: Home, photos: Path, tmp_path: Path
) -> None:
    home.summary(photos)
    moved = photos.rename(tmp_path / "moved")
    _, summary = home.summary(moved)
    assert [summary[key] for key in ("cached", "unchanged", "local")] == [6, 0, 0]


def test_an_unchanged_photo_is_not_opened_again(
    home: Home, photos: Path, tmp_path: Path, strace: Callable[..., list[str]]
) -> None:
    grow_old(photos)
    home.summary(photos)
    trace = tmp_path / "trace"
    wrapper = strace("-e", "trace=open,openat,openat2", "-o", str(trace))
    _, summary = home.summary(photos, wrapper=wrapper)
    assert summary["unchanged"] == 6
    assert [line for line in trace.read_text().splitlines() if "IMG_" in line] == []


def test_a_changed_photo_is_classified_anew(home: Home, photos: Path) -> None:
    home.summary(photos)
    (photos / "2023" / "IMG_00000.jpg").write_bytes(make_jpeg(999))
    _, summary = home.summary(photos)
    assert [summary[key] for key in ("found", "cached", "local")] == [6, 5, 1]


def test_formats_are_told_by_content_not_by_name(home: Home, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    contents = {
        "a.jpg": make_png(1),
        "b.PNG": make_jpeg(2),
        "c": make_webp(3),
        "d.heic": make_heic(4),
        "e.JPEG": make_gif(5, frames=3),
    }
    for name, content in contents.items():
        (photos / name).write_bytes(content)
    finished, summary = home.summary(photos)
    assert [summary[key] for key in ("found", "local", "failed")] == [5, 5, 0]
    check_invariants(finished, summary, home, [photos])


def test_what_is_no_image_fails_under_an_images_name_and_is_not_found_under_another(
    home: Home, photos: Path
) -> None:
    (photos / "letter.jpg").write_text("Dear Sir or Madam", encoding="utf-8")
    (photos / "empty.png").touch()
    (photos / "letter.txt").write_text("Dear Sir or Madam", encoding="utf-8")
    finished, summary = home.summary(photos)
    assert finished.exit_code == 3, finished
    assert [summary[key] for key in ("status", "found", "local", "failed")] == ["partial", 8, 6, 2]
    assert sorted(Path(failure["path"]).name for failure in summary["failures"]) == [
        "empty.png",
        "letter.jpg",
    ]
    assert all(failure["reason"] for failure in summary["failures"])
    second = check_invariants(finished, summary, home, [photos], rerun_exit_code=3)
    assert second["failed"] == 2


def test_globs_choose_what_is_seen(home: Home, photos: Path) -> None:
    for name in ("scan.png", "scan.jpg"):
        (photos / name).write_bytes(make_png(len(name)))
    _, only_png = home.summary(photos, "--include", "*.png", "--dry-run")
    _, no_2024 = home.summary(photos, "--exclude", "2024", "--exclude", "*.png", "--dry-run")
    assert (only_png["found"], no_2024["found"]) == (1, 3)


def test_hidden_and_system_folders_are_left_out_unless_asked_for(home: Home, photos: Path) -> None:
    for folder in (".hidden", ".thumbnails", "@eaDir", ".git"):
        (photos / folder).mkdir()
        (photos / folder / "photo.jpg").write_bytes(make_jpeg(hash(folder) % 1000))
    (photos / ".hidden.jpg").write_bytes(make_jpeg(5000))
    _, plain = home.summary(photos, "--dry-run")
    _, hidden = home.summary(photos, "--hidden", "--dry-run")
    # Thumbnails and version control are never photos of the user's, hidden or not.
    assert plain["found"] == 6
    assert hidden["found"] >= 8


def test_symbolic_links_are_followed_only_when_asked(
    home: Home, photos: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    make_tree(outside, 2, seed=9, folders=("",))
    (tmp_path / "single.jpg").write_bytes(make_jpeg(70))
    (photos / "escape").symlink_to(outside)
    (photos / "file.jpg").symlink_to(tmp_path / "single.jpg")
    (photos / "again").symlink_to(outside)
    (photos / "inside.jpg").symlink_to(photos / "2023" / "IMG_00000.jpg")
    (photos / "loop").symlink_to(photos)
    _, plain = home.summary(photos, "--dry-run")
    _, followed = home.summary(photos, "--follow-symlinks", "--dry-run")
    assert plain["found"] == 6
    assert followed["found"] == 9


def test_the_programs_own_state_and_outputs_are_never_seen(home: Home) -> None:
    folder = home.path
    (folder / "photo.jpg").write_bytes(make_jpeg(1))
    for _ in range(2):
        finished, summary = home.summary(folder, "--output", folder / "rows.json", "--hidden")
        assert finished.exit_code == 0, finished
        assert summary["found"] == 1


def test_a_dry_run_counts_and_leaves_everything_as_it_was(home: Home, photos: Path) -> None:
    finished, summary = home.summary(photos, "--dry-run")
    assert finished.exit_code == 0, finished
    assert [summary[key] for key in ("found", "local", "pending", "calls")] == [6, 0, 6, 0]
    _, after = home.summary(photos)
    assert after["local"] == 6


def test_refresh_all_asks_again_about_every_photo(home: Home, photos: Path) -> None:
    home.summary(photos)
    finished, summary = home.summary(photos, "--refresh", "all")
    assert finished.exit_code == 0, finished
    assert [summary[key] for key in ("found", "local", "cached")] == [6, 6, 0]


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl"])
def test_output_holds_this_runs_rows(home: Home, photos: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"rows.{suffix}"
    finished = home.run("classify", photos, "--output", target)
    assert (finished.exit_code, finished.stdout) == (0, ""), finished
    text = target.read_text(encoding="utf-8-sig")
    if suffix == "csv":
        rows = list(csv.DictReader(text.splitlines()))
    elif suffix == "json":
        rows = json.loads(text)
    else:
        rows = [json.loads(line) for line in text.splitlines()]
    assert sorted(row["path"] for row in rows) == sorted(map(str, photos.rglob("*.jpg")))
    assert all(row["category"] for row in rows)


def test_an_empty_folder_is_done_with_a_word_about_it(home: Home, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    finished, summary = home.summary(empty)
    assert (finished.exit_code, summary["found"]) == (0, 0), finished
    assert "no photo" in finished.stderr.lower()


def test_a_folder_that_is_suddenly_empty_is_not_forgotten(
    home: Home, photos: Path, tmp_path: Path
) -> None:
    grow_old(photos)
    home.summary(photos)
    away = photos.rename(tmp_path / "away")
    photos.mkdir()
    home.summary(photos)
    photos.rmdir()
    away.rename(photos)
    _, summary = home.summary(photos)
    assert [summary[key] for key in ("cached", "unchanged")] == [6, 6]


def test_metadata_written_by_another_program_costs_nothing(home: Home, tmp_path: Path) -> None:
    photo = tmp_path / "photos" / "photo.jpg"
    photo.parent.mkdir()
    photo.write_bytes(make_jpeg(1))
    home.summary(photo.parent)
    # A comment segment right behind the marker that begins the file.
    content = photo.read_bytes()
    photo.write_bytes(content[:2] + b"\xff\xfe\x00\x09holiday" + content[2:])
    _, summary = home.summary(photo.parent)
    assert [summary[key] for key in ("cached", "unchanged", "local")] == [1, 0, 0]
