"""The past at a glance: `xintu stats`, and the page that `xintu report` writes."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.support.command import Home
from tests.support.invariants import check_streams
from tests.support.odd_photos import make_flat_png
from tests.support.photos import make_jpeg, make_tree


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of six photos, one of them a copy, and one that cannot be read."""
    folder = tmp_path / "photos"
    [first, *_] = make_tree(folder, 6)
    (folder / "copy.jpg").write_bytes(first.read_bytes())
    (folder / "broken.jpg").write_bytes(make_jpeg(9)[:200])
    return folder


def test_nothing_yet_is_said_in_a_line_with_what_to_do(home: Home) -> None:
    finished = home.run("stats")
    assert finished.exit_code == 0, finished
    assert "xintu classify" in finished.lines()[-1]


def test_statistics_add_up_what_runs_have_told(home: Home, photos: Path) -> None:
    runs = [home.summary(photos)[1] for _ in range(2)]
    finished = home.run("stats", "--json")
    assert finished.exit_code == 0, finished
    told = finished.json()
    everything = told["periods"]["all_time"]
    assert everything["runs"] == 2
    for count in ("found", "cached", "local", "failed", "duplicates"):
        assert everything[count] == sum(run[count] for run in runs), count
    # Eight of the fourteen answers: a copy in the first run, everything in the second.
    assert everything["hit_rate"] == round(8 / 14, 4)
    assert told["answers"]["local"] == 6
    assert sum(line["photos"] for line in told["categories"]) == 6
    assert all(0.0 < line["mean_confidence"] <= 1.0 for line in told["categories"])
    [local] = told["providers"]
    assert (local["provider"], local["attempts"], local["ok"]) == ("local", 6, 6)
    assert (local["cost"], local["unpriced"]) == (0.0, 0)
    assert sum(told["failures"]["files_here"].values()) == 1
    assert [run["status"] for run in told["runs"]] == ["partial", "partial"]
    assert all(run["host"] for run in told["runs"])


def test_a_persons_word_and_reuse_show_with_the_path_that_is_here(home: Home, photos: Path) -> None:
    home.run("classify", photos)
    second = photos.parent / "second"
    second.mkdir()
    (second / "again.jpg").write_bytes((photos / "copy.jpg").read_bytes())
    home.run("classify", second)
    home.run("label", photos / "copy.jpg", "--as", "pets")
    told = home.run("stats", "--json").json()
    assert (told["answers"]["manual"], told["answers"]["local"]) == (1, 5)
    [most] = told["most_hit"]
    assert (most["hits"], most["label"]) == (1, "pets")
    assert Path(most["path"]).name in {"copy.jpg", "again.jpg", "IMG_00000.jpg"}
    assert most["path"] in home.run("stats").stdout
    # How often an answer was reused is known, not when.
    page = home.run("stats", "--days", "7").lines()
    assert "Most reused" in page
    assert "Latest runs · last 7 days" in page


def test_the_page_fits_eighty_columns_and_speaks_the_language_asked_for(
    home: Home, photos: Path
) -> None:
    home.run("classify", photos)
    english, chinese = home.run("stats"), home.run("stats", "--lang", "zh")
    for finished in (english, chinese):
        assert finished.exit_code == 0, finished
        check_streams(finished)
        assert "█" in finished.stdout
    assert "By the local model" in english.stdout
    assert "本地模型识别" in chinese.stdout
    assert "今天" in chinese.stdout


def test_reasons_are_told_whole_and_without_their_particulars(home: Home, photos: Path) -> None:
    for number, size in enumerate((13_300, 20_000)):
        (photos / f"bomb{number}.png").write_bytes(make_flat_png(size, size))
    (photos / "page.jpg").write_text("<!DOCTYPE html>", encoding="utf-8")
    home.run("classify", photos)
    told = home.run("stats", "--json").json()["failures"]["files_here"]
    assert told == {"too large": 2, "not a supported image": 1, "truncated": 1}
    page = home.run("stats").stdout
    assert re.search(r"cannot be read\n  too large +2 .*\n", page), page
    assert ".." not in page


def test_a_terminal_without_unicode_gets_plain_bars(home: Home, photos: Path) -> None:
    home.run("classify", photos)
    finished = home.run("stats", env={"PYTHONIOENCODING": "ascii", "LANG": "C"})
    assert finished.exit_code == 0, finished
    assert finished.stdout.isascii()
    assert "####" in finished.stdout


def test_the_last_days_can_be_had_alone(home: Home, photos: Path) -> None:
    home.run("classify", photos)
    told = home.run("stats", "--days", "3", "--json").json()
    assert told["details_of_days"] == 3
    assert told["periods"]["last_3_days"]["runs"] == 1
    later = home.run("stats", "--days", "1", "--json")
    assert later.json()["periods"]["last_1_days"]["found"] == 8
    wrong = home.run("stats", "--days", "0")
    assert (wrong.exit_code, "--days" in wrong.stderr) == (2, True)


def test_a_report_is_one_page_with_pictures(home: Home, photos: Path) -> None:
    (photos / "2023" / "é <b>.jpg").write_bytes(make_jpeg(70))
    (photos / os.fsdecode(b"odd\xff.jpg")).write_bytes(make_jpeg(71))
    home.run("classify", photos)
    page = photos.parent / "report.html"
    finished = home.run("report", photos, "-o", page)
    assert finished.exit_code == 0, finished
    check_streams(finished)
    assert "10 photos" in finished.stderr
    text = page.read_text(encoding="utf-8")
    # All but the broken one, which has a place without a picture.
    assert (text.count("<figure>"), text.count("data:image/jpeg;base64,")) == (10, 9)
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    assert re.findall(r'(?:src|href)="(?!data:|file:)', text) == []


@pytest.mark.parametrize(
    ("output", "exit_code", "said"),
    [("report.csv", 2, ".html"), ("no/such/report.html", 73, "no/such"), (".", 2, ".html")],
)
def test_a_report_that_cannot_be_written_is_refused_before_any_work(
    home: Home, photos: Path, output: str, exit_code: int, said: str
) -> None:
    finished = home.run("report", photos, "-o", output)
    assert finished.exit_code == exit_code, finished
    assert said in finished.stderr


def test_a_report_on_stdout_is_the_page_alone(home: Home, photos: Path) -> None:
    finished = home.run("report", photos, "-o", "-", "-q")
    assert finished.exit_code == 0, finished
    assert finished.stdout.startswith("<!doctype html>")
    assert finished.stderr == ""
