"""How good the answers are: `xintu evaluate`, and how fast: `xintu models bench`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.cloud import ALL_CLOUD, environment
from tests.support.command import Home
from tests.support.demo import make_album
from tests.support.invariants import check_streams
from tests.support.photos import make_jpeg
from tests.support.vendor_process import VendorProcess

DRAWN = ("travel_scenery", "screenshot", "qrcode", "other")
"""What `make_album` draws in turn."""


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Return a folder of drawings that the local model can tell apart, three a category."""
    folder = tmp_path / "set"
    make_album(tmp_path / "album", 12)
    for number, path in enumerate(sorted((tmp_path / "album").iterdir())):
        category = folder / DRAWN[number % len(DRAWN)]
        category.mkdir(parents=True, exist_ok=True)
        path.rename(category / path.name)
    return folder


def test_the_figures_are_told_to_programs(home: Home, labelled: Path) -> None:
    finished = home.run("evaluate", labelled, "--json")
    assert finished.exit_code == 0, finished
    told = finished.json()
    assert {
        "accuracy",
        "macro_f1",
        "per_category",
        "confusion",
        "ece",
        "latency_ms",
        "cost",
    } <= set(told)
    assert told["photos"] == 12
    right = sum(told["confusion"][key].get(key, 0) for key in DRAWN)
    assert told["accuracy"] == pytest.approx(right / 12, abs=1e-6)
    # A code that can be decoded is one.
    assert told["confusion"]["qrcode"] == {"qrcode": 3}
    assert told["per_category"]["qrcode"]["recall"] == 1.0
    assert sum(told["per_category"][key]["photos"] for key in told["per_category"]) == 12
    assert (told["calls"], told["cost"]) == (0, 0)
    assert 0 < told["latency_ms"]["p50"] <= told["latency_ms"]["p90"] <= told["latency_ms"]["p99"]
    assert told["mistakes_total"] == len(told["mistakes"]) == 12 - right
    assert sum(b["photos"] for b in told["calibration"]) == 12


def test_the_figures_are_shown_to_people(home: Home, labelled: Path) -> None:
    finished = home.run("evaluate", labelled, "--lang", "zh")
    assert finished.exit_code == 0, finished
    check_streams(finished)
    assert "准确率" in finished.lines()[0]
    assert "二维码" in finished.stdout
    assert "█" in finished.stdout


def test_the_cache_is_neither_read_nor_written(home: Home, labelled: Path) -> None:
    home.run("label", labelled / "qrcode", "--as", "pets")
    before = home.run("cache", "info", "--json").json()
    told = home.run("evaluate", labelled, "--json").json()
    assert told["confusion"]["qrcode"] == {"qrcode": 3}
    assert home.run("cache", "info", "--json").json() == before


def test_a_csv_does_as_well(home: Home, labelled: Path, tmp_path: Path) -> None:
    rows = [f"{path.relative_to(tmp_path)},{path.parent.name}" for path in labelled.rglob("*.jpg")]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["path,category", *rows]), encoding="utf-8")
    folder = home.run("evaluate", labelled, "--json").json()
    told = home.run("evaluate", table, "--json").json()
    for key in ("photos", "accuracy", "macro_f1", "confusion"):
        assert told[key] == folder[key], key


def test_a_photo_that_cannot_be_read_is_named_and_not_counted(home: Home, labelled: Path) -> None:
    (labelled / "qrcode" / "broken.jpg").write_bytes(make_jpeg(1)[:200])
    finished = home.run("evaluate", labelled, "--json")
    assert finished.exit_code == 3, finished
    told = finished.json()
    assert told["photos"] == 12
    assert [Path(failure["path"]).name for failure in told["failures"]] == ["broken.jpg"]


def test_one_category_alone_can_be_measured(home: Home, labelled: Path) -> None:
    """How many of these are told right? A photo may be taken for what no other photo here is."""
    for name in DRAWN[:2] + DRAWN[3:]:
        shutil.rmtree(labelled / name)
    told = home.run("evaluate", labelled, "--json").json()
    assert told["per_category"]["qrcode"] == {
        "precision": 1.0, "recall": 1.0, "f1": 1.0, "photos": 3, "said": 3,
    }  # fmt: skip


def test_links_are_followed_where_they_are_named_or_asked_for(
    home: Home, labelled: Path, tmp_path: Path
) -> None:
    links = tmp_path / "links"
    for path in labelled.rglob("*.jpg"):
        (links / path.parent.name).mkdir(parents=True, exist_ok=True)
        (links / path.parent.name / path.name).symlink_to(path)
    refused = home.run("evaluate", links)
    assert refused.exit_code == 2, refused
    assert "--follow-symlinks follows them" in refused.stderr
    assert home.run("evaluate", links, "--follow-symlinks", "--json").json()["photos"] == 12
    rows = [f"{path},{path.parent.name}" for path in links.rglob("*.jpg")]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["path,category", *rows]), encoding="utf-8")
    told = home.run("evaluate", table, "--json").json()
    assert (told["photos"], told["failures"]) == (12, [])


def test_what_stood_in_for_an_llm_is_not_taken_for_its_answer(home: Home, labelled: Path) -> None:
    with VendorProcess({"rules": [{"then": {"status": 500}}]}) as vendor:
        env = environment(openai=vendor)
        finished = home.run("evaluate", labelled, "--policy", "hybrid", "--json", env=env)
        shown = home.run("evaluate", labelled, "--policy", "hybrid", "--fallback-ok", env=env)
    assert finished.exit_code == 4, finished
    assert finished.json()["provisional"] == 12
    assert shown.exit_code == 0, shown
    assert "for 12 photos no LLM answered: the local model stood in" in shown.stdout


def test_a_budget_is_spent_on_every_category(home: Home, labelled: Path) -> None:
    with VendorProcess() as vendor:
        finished = home.run(
            *("evaluate", labelled, *ALL_CLOUD, "--max-calls", "4", "--concurrency", "1", "--json"),
            env=environment(openai=vendor),
        )
        assert vendor.summary()["requests"] == 4
    assert finished.exit_code == 4, finished
    told = finished.json()
    assert told["stopped"].startswith("--max-calls is reached")
    assert {key: by["photos"] for key, by in told["per_category"].items() if by["photos"]} == (
        dict.fromkeys(DRAWN, 1)
    )


@pytest.mark.parametrize(
    ("files", "exit_code", "said"),
    [
        ((), 2, "no labelled photo"),
        (("pets/a.jpg", "kittens/b.jpg"), 2, "kittens"),
        (("pets/a.jpg", "screnshot/b.jpg"), 2, "screenshot"),
        (("pets/a.jpg", "foods/"), 2, "foods"),
        (None, 66, "nowhere"),
    ],
)
def test_a_set_that_is_not_as_it_should_be_is_told_before_anything_is_classified(
    home: Home, tmp_path: Path, files: tuple[str, ...] | None, exit_code: int, said: str
) -> None:
    place = tmp_path / "set"
    for name in files or ():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            (place / name).mkdir()
        else:
            (place / name).write_bytes(make_jpeg(1))
    place.mkdir(exist_ok=True)
    finished = home.run("evaluate", "nowhere" if files is None else place)
    assert finished.exit_code == exit_code, finished
    assert said in finished.stderr
    assert finished.stdout == ""


def test_a_bench_tells_how_fast_this_machine_is(home: Home, labelled: Path) -> None:
    finished = home.run("models", "bench", labelled, "--photos", "6", "--json")
    assert finished.exit_code == 0, finished
    told = json.loads(finished.stdout)
    assert told["photos"] == 6
    assert told["photos_per_second"] > 0
    assert told["model"].startswith("xintu-lite@")
    shown = home.run("models", "bench", labelled, "--photos", "2")
    assert "photos/s" in shown.stdout
