"""A person's word, said with `xintu label`: it outranks every model, and stays."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.support.command import Home
from tests.support.invariants import check_streams
from tests.support.photos import make_tree
from tests.support.terminal import OnTerminal

TAXONOMY = Path(__file__).parents[2] / "configs" / "taxonomies" / "xintu.toml"


@pytest.fixture
def photos(tmp_path: Path, home: Home) -> Path:
    """Return a folder of six photos in two folders, classified."""
    folder = tmp_path / "photos"
    make_tree(folder, 6, folders=("2023", "2024"))
    assert home.run("classify", folder).exit_code == 0
    return folder


def exported(home: Home, *arguments: str | Path) -> dict[str, dict[str, str]]:
    """Export; return the rows by file name."""
    finished = home.run("export", *arguments, "-o", "-", "--format", "csv")
    assert finished.exit_code == 0, finished
    rows = csv.DictReader(io.StringIO(finished.stdout.removeprefix("\ufeff"), newline=""))
    return {Path(row["path"]).name: row for row in rows}


def categories(home: Home, *arguments: str | Path) -> dict[str, str]:
    return {name: row["category"] for name, row in exported(home, *arguments).items()}


def test_a_word_is_exported_and_counted_and_can_be_taken_back(home: Home, photos: Path) -> None:
    before = categories(home, photos)
    finished = home.run("label", photos / "2023", "--as", "pets")
    assert finished.exit_code == 0, finished
    assert "3 photos labelled: Pets" in finished.stderr
    rows = exported(home, photos / "2023")
    assert {(row["category"], row["source"], row["confidence"]) for row in rows.values()} == {
        ("pets", "manual", "1.0")
    }
    _, summary = home.summary(photos)
    assert (summary["cached"], summary["manual"], summary["categories"]["pets"]) == (6, 3, 3)
    cleared = home.run("label", photos, "--clear")
    assert "3 labels taken back, of 6 photos" in cleared.stderr
    assert categories(home, photos) == before


@pytest.mark.parametrize("word", ["PETS", " pets ", "宠物萌照", "Pets"])
def test_a_category_may_be_said_in_any_of_its_names(home: Home, photos: Path, word: str) -> None:
    assert home.run("label", photos, "--as", word).exit_code == 0
    assert set(categories(home, photos).values()) == {"pets"}


def test_files_folders_and_patterns_may_be_mixed(home: Home, photos: Path) -> None:
    """A pattern in quotes is expanded by us, as on systems whose shell expands none."""
    first, *_ = sorted((photos / "2023").iterdir())
    finished = home.run("label", first, f"{photos}/2024/*.jpg", "--as", "foods")
    assert finished.exit_code == 0, finished
    assert "4 photos labelled" in finished.stderr
    some = home.run("label", photos, "--include", "2023/", "--as", "pets")
    assert "3 photos labelled" in some.stderr


def test_a_word_survives_a_new_name_other_metadata_and_another_model(
    home: Home, photos: Path, tmp_path: Path
) -> None:
    [path, *_] = sorted(photos.rglob("*.jpg"))
    home.run("label", path, "--as", "qrcode")
    content = path.rename(photos / "renamed.jpg").read_bytes()
    note = b"\xff\xfe\0\x08a note"
    (photos / "renamed.jpg").write_bytes(content[:2] + note + content[2:])
    mine = tmp_path / "mine.toml"
    described = TAXONOMY.read_text(encoding="utf-8").replace("A pet as", "Any animal as")
    mine.write_text(described, encoding="utf-8")
    for options in ([], ["--taxonomy", str(mine)]):
        home.run("classify", photos, *options)
        assert categories(home, photos, *options)["renamed.jpg"] == "qrcode"


def test_an_export_is_read_back_as_it_was_corrected(home: Home, photos: Path) -> None:
    table = photos.parent / "labels.csv"
    home.run("export", photos, "-o", table)
    text = table.read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    rows[0]["category"] = "screenshot"
    rows[1]["category"] = "美食记录"
    rows[2]["category"] = ""
    kept = rows[:3]
    with table.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(kept)
    finished = home.run("label", "--from", table)
    assert finished.exit_code == 0, finished
    assert "2 photos labelled" in finished.stderr
    told = exported(home, photos)
    said = {Path(row["path"]).name: told[Path(row["path"]).name] for row in rows}
    assert [(row["category"], row["source"]) for row in said.values()][:2] == [
        ("screenshot", "manual"),
        ("foods", "manual"),
    ]
    assert {row["source"] for row in list(said.values())[2:]} == {"local"}


def test_one_photo_is_one_photo(home: Home, photos: Path) -> None:
    one = min(photos.rglob("*.jpg"))
    assert "1 photo labelled: Pets" in home.run("label", one, "--as", "pets").stderr
    assert "1 label taken back, of 1 photo" in home.run("label", one, "--clear").stderr
    table = home.path / "one\x1b[31m.csv"
    finished = home.run("export", one, "-o", table)
    assert r"1 row in" in finished.stderr
    check_streams(finished)


@pytest.mark.parametrize(
    ("content", "exit_code", "said"),
    [
        ("name,label\na,b\n", 2, "no column path and no column category"),
        ("path,category\nphotos/2023,petz\n", 2, "line 2: the taxonomy xintu has no category"),
        ("path,category\nphotos/none.jpg,pets\n", 3, "none.jpg: there is no such file"),
        ("path,category\nphotos/notes.jpg,pets\n", 3, "notes.jpg: not a supported image"),
        ("path,category\nphotos/2023,pets\n", 3, "2023: no regular file"),
        ("path,category\n", 0, "0 photos labelled"),
        ("", 2, "no column path"),
    ],
)
def test_a_table_that_cannot_be_used_is_told(
    home: Home, photos: Path, content: str, exit_code: int, said: str
) -> None:
    (photos / "notes.jpg").write_text("no image", encoding="utf-8")
    table = photos.parent / "labels.csv"
    table.write_text(content, encoding="utf-8")
    finished = home.run("label", "--from", table, cwd=photos.parent)
    assert finished.exit_code == exit_code, finished
    assert said in finished.stderr
    check_streams(finished)


def test_one_wrong_line_stores_none_of_them(home: Home, photos: Path) -> None:
    [first, second, *_] = sorted(photos.rglob("*.jpg"))
    table = photos.parent / "labels.csv"
    table.write_text(f"path,category\n{first},pets\n{second},petz\n", encoding="utf-8")
    assert home.run("label", "--from", table).exit_code == 2
    assert {row["source"] for row in exported(home, photos).values()} == {"local"}


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        ([], 2, "label needs one of"),
        (["photos"], 2, "label needs one of"),
        (["--as", "pets"], 2, "needs a PATH"),
        (["photos", "--as", "pets", "--clear"], 2, "needs one of"),
        (["photos", "--from", "x.csv"], 2, "not both"),
        (["photos", "--as", "petz"], 2, "Did you mean pets?"),
        (["nowhere", "--as", "pets"], 66, "there is no file or directory nowhere"),
        (["photos/*.gif", "--as", "pets"], 66, "photos/*.gif"),
    ],
)
def test_what_cannot_be_is_said(
    home: Home, photos: Path, arguments: list[str], exit_code: int, said: str
) -> None:
    finished = home.run("label", *arguments, cwd=photos.parent)
    assert (finished.exit_code, finished.stdout) == (exit_code, ""), finished
    assert said in finished.stderr


@pytest.mark.parametrize(("answer", "labelled"), [("n", 0), ("y", 25)])
def test_many_photos_are_asked_about_once(
    home: Home, tmp_path: Path, answer: str, labelled: int
) -> None:
    folder = tmp_path / "many"
    make_tree(folder, 25)
    with OnTerminal("label", folder, "--as", "pets", home=home.path) as terminal:
        terminal.wait_for("Label 25 files as Pets?")
        terminal.type(answer + "\n")
        assert terminal.finish() == (0 if labelled else 2)
    manual = [row for row in exported(home, folder).values() if row["source"] == "manual"]
    assert len(manual) == labelled
