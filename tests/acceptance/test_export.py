"""Getting the labels out: `xintu export`."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Finished, Home
from tests.support.photos import make_exif, make_jpeg, make_tree

COLUMNS = [
    *("path", "image_hash", "category", "category_name", "confidence", "description"),
    *("second_category", "background_color", "source", "provisional", "provider", "model"),
    *("classified_at", "size_bytes", "width", "height", "taken_at"),
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of four photos, one of them with a camera's time and lying on its side."""
    folder = tmp_path / "photos"
    make_tree(folder, 3)
    exif = make_exif(orientation=6, taken_at="2024:05:01 12:30:00")
    (folder / "a-portrait.jpg").write_bytes(make_jpeg(50, (64, 32), exif=exif))
    return folder


def rows_of(finished: Finished) -> list[dict[str, Any]]:
    """Parse an export in JSON from stdout."""
    assert finished.exit_code == 0, finished
    rows: list[dict[str, Any]] = finished.json()
    return rows


def test_a_row_tells_all_that_is_known_of_a_photo(home: Home, photos: Path) -> None:
    home.run("classify", photos)
    first, *_ = rows_of(home.run("export", photos, "-o", "-", "--format", "json"))
    assert list(first) == COLUMNS
    known = {key: first[key] for key in ("path", "source", "provider", "provisional")}
    assert known == {
        "path": str(photos / "a-portrait.jpg"),
        "source": "local",
        "provider": "local",
        "provisional": False,
    }
    facts = [first[key] for key in ("size_bytes", "width", "height", "taken_at")]
    size = (photos / "a-portrait.jpg").stat().st_size
    assert facts == [size, 32, 64, "2024-05-01T12:30:00"]
    assert re.fullmatch(r"[0-9a-f]{32}", first["image_hash"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", first["classified_at"])
    assert 0.0 < first["confidence"] <= 1.0
    assert first["background_color"]
    assert first["model"].startswith("xintu-lite@")


def test_the_three_formats_say_the_same(home: Home, photos: Path, tmp_path: Path) -> None:
    home.run("classify", photos)
    for suffix in ("csv", "json", "jsonl"):
        finished = home.run("export", photos, "-o", tmp_path / f"labels.{suffix}")
        assert (finished.exit_code, finished.stdout) == (0, ""), finished
    as_json = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))
    lines = (tmp_path / "labels.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == as_json
    text = (tmp_path / "labels.csv").read_text(encoding="utf-8-sig")
    as_csv = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["path"] for row in as_csv] == [row["path"] for row in as_json]
    assert list(as_csv[0]) == COLUMNS


def test_a_csv_opens_in_excel_with_chinese_intact(home: Home, photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "labels.csv"
    home.run("classify", photos)
    home.run("export", photos, "-o", target, "--lang", "zh")
    content = target.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    assert "夏天" in content.decode("utf-8")


def test_photos_that_were_never_classified_have_a_row_without_a_category(
    home: Home, photos: Path
) -> None:
    rows = rows_of(home.run("export", photos, "-o", "-", "--format", "json"))
    assert [(row["category"], bool(row["image_hash"])) for row in rows] == [("", True)] * 4


@pytest.mark.parametrize(("missing", "rows"), [("skip", 3), ("keep", 4)])
def test_photos_that_are_gone_are_left_out_unless_they_are_to_be_kept(
    home: Home, photos: Path, missing: str, rows: int
) -> None:
    home.run("classify", photos)
    (photos / "a-portrait.jpg").unlink()
    finished = home.run("export", photos, "-o", "-", "--format", "json", "--missing", missing)
    assert len(rows_of(finished)) == rows


def test_every_copy_of_an_image_has_its_row(home: Home, photos: Path) -> None:
    (photos / "copy.jpg").write_bytes((photos / "a-portrait.jpg").read_bytes())
    home.run("classify", photos)
    rows = rows_of(home.run("export", photos, "-o", "-", "--format", "json"))
    assert [
        Path(row["path"]).name for row in rows if row["width"] == 32 and row["height"] == 64
    ] == [
        "a-portrait.jpg",
        "copy.jpg",
    ]


def test_an_export_never_classifies(home: Home, photos: Path) -> None:
    home.run("export", photos, "-o", "-", "--format", "csv")
    _, summary = home.summary(photos)
    assert [summary[key] for key in ("local", "cached")] == [4, 0]


def test_a_target_that_is_no_file_is_refused_and_left_alone(
    home: Home, photos: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "labels.csv"
    directory.mkdir()
    finished = home.run("export", photos, "-o", directory)
    assert finished.exit_code == 73, finished
    assert directory.is_dir()


def test_an_export_that_fails_leaves_the_old_file(home: Home, photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "labels.csv"
    home.run("export", photos, "-o", target)
    before = hashlib.sha256(target.read_bytes()).digest()
    finished = home.run("export", photos / "nowhere", "-o", target)
    assert finished.exit_code == 66, finished
    assert hashlib.sha256(target.read_bytes()).digest() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "labels.csv", "photos"]


def test_a_formula_in_a_file_name_is_text_in_a_csv(home: Home, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "=cmd.jpg").write_bytes(make_jpeg(1))
    finished = home.run("export", "=cmd.jpg", "-o", "-", "--format", "csv", cwd=tmp_path / "photos")
    assert finished.exit_code == 0, finished
    row = next(csv.reader(finished.stdout.splitlines()[1:]))
    assert not row[0].startswith("=")


def test_an_export_can_be_told_everything_by_the_environment(
    home: Home, photos: Path, tmp_path: Path
) -> None:
    target = tmp_path / "rows.txt"
    env = {"XINTU_OUTPUT": str(target), "XINTU_FORMAT": "jsonl", "XINTU_MISSING": "keep"}
    finished = home.run("export", photos, env=env)
    assert finished.exit_code == 0, finished
    assert len(target.read_text(encoding="utf-8").splitlines()) == 4
    wrong = home.run("export", photos, env=env | {"XINTU_FORMAT": "xlsx"})
    assert (wrong.exit_code, wrong.stderr) == (
        2,
        "xintu: --format: there is no 'xlsx'. Say csv or json or jsonl.\n",
    )
    (tmp_path / "xintu.toml").write_text("output = 'here.csv'\n", encoding="utf-8")
    assert home.run("export", photos, cwd=tmp_path).exit_code == 0
    assert (tmp_path / "here.csv").exists()
