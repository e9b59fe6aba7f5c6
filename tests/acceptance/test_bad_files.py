"""Files that are not what they should be, as a whole run meets them: named, and nothing else.

`tests/integration/test_odd_images.py` has the verdict on each odd file; here the installed
command walks over all of them at once, and every invariant is checked.
"""

from __future__ import annotations

import csv
import io
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support import photos as made
from tests.support.command import Home, grow_old
from tests.support.invariants import check_invariants, check_streams
from tests.support.odd_photos import NOT_A_PHOTO, write_odd_photos
from tests.support.photos import make_jpeg, make_tree

PROGRAMS = ("gs", "gswin32c", "djpeg", "dcraw", "exiftool", "convert", "ffmpeg", "xdg-open")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of three sound photos."""
    folder = tmp_path / "photos"
    make_tree(folder, 3, folders=("sound",))
    return folder


def reasons(summary: dict[str, Any]) -> dict[str, str]:
    return {Path(failure["path"]).name: failure["reason"] for failure in summary["failures"]}


def test_every_odd_file_gets_its_verdict_in_one_run(home: Home, photos: Path) -> None:
    odds = write_odd_photos(photos / "odd")
    finished, summary = home.summary(photos)
    assert finished.exit_code == 3, finished
    refused = {odd.name: odd.reason for odd in odds if odd.reason not in ("", NOT_A_PHOTO)}
    told = reasons(summary)
    assert set(told) == set(refused)
    assert {name: why for name, why in told.items() if not why.startswith(refused[name])} == {}
    accepted = sum(not odd.reason for odd in odds)
    assert (summary["found"], summary["local"]) == (3 + accepted + len(refused), 3 + accepted)
    second = check_invariants(finished, summary, home, [photos], rerun_exit_code=3)
    assert (reasons(second), second["local"]) == (told, 0)
    # Remembered: a damaged file is not decoded every night, and named every night.
    grow_old(photos)
    home.summary(photos)
    _, later = home.summary(photos)
    assert (reasons(later), later["unchanged"]) == (told, later["cached"])


def test_no_file_has_a_program_executed_or_anything_sent(
    home: Home, photos: Path, tmp_path: Path, no_network: list[str]
) -> None:
    write_odd_photos(photos / "odd")
    traps = tmp_path / "bin"
    traps.mkdir()
    for name in PROGRAMS:
        (traps / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n", encoding="ascii")
        (traps / name).chmod(0o755)
    env = {"PATH": f"{traps}:/usr/bin:/bin"}
    finished, summary = home.summary(photos, env=env, wrapper=no_network)
    assert (finished.exit_code, summary["calls"]) == (3, 0), finished
    check_invariants(finished, summary, home, [photos], rerun_exit_code=3)
    assert not (tmp_path / "executed").exists()


def test_damaged_files_never_end_a_run(home: Home, photos: Path) -> None:
    """Five hundred of them, a bit flipped, cut or with a hole, of every format there is."""
    sound = {
        "jpg": made.make_jpeg(1, (48, 48)),
        "png": made.make_png(1, (48, 48)),
        "webp": made.make_webp(1, (48, 48)),
        "gif": made.make_gif(1, (48, 48)),
        "tif": made.make_tiff(1, (48, 48)),
        "bmp": made.make_bmp(1, (48, 48)),
        "heic": made.make_heic(1),
        "avif": made.make_avif(1),
    }
    (photos / "damaged").mkdir()
    for suffix, content in sound.items():
        for number in range(63):
            at = number * 7919 % len(content)
            damaged = bytearray(content)
            if number % 3 == 0:
                damaged[at] ^= 1 << number % 8
            elif number % 3 == 1:
                damaged = damaged[: max(at, 1)]
            else:
                damaged[at : at + 64] = bytes(64)
            (photos / "damaged" / f"{number}.{suffix}").write_bytes(damaged)
    finished, summary = home.summary(photos)
    assert finished.exit_code == 3, finished
    assert summary["found"] == 3 + 504
    assert min(summary["local"], summary["failed"]) > 50
    check_invariants(finished, summary, home, [photos], rerun_exit_code=3)


def test_of_a_file_beyond_the_limit_only_the_name_is_told(
    home: Home, photos: Path, strace: Any
) -> None:
    """Eight sparse gigabytes: reading them would take as long as if they were full."""
    huge = photos / "huge.jpg"
    huge.write_bytes(make_jpeg(9))
    os.truncate(huge, 8 << 30)
    log = photos.parent / "reads"
    wrapper = strace("-P", str(huge), "-e", "trace=read,pread64,mmap", "-o", str(log))
    finished, summary = home.summary(photos, wrapper=wrapper)
    assert finished.exit_code == 3, finished
    assert reasons(summary)["huge.jpg"].startswith("larger than the limit of 256 MB")
    read = [int(line.rpartition("= ")[2]) for line in log.read_text().splitlines() if "=" in line]
    assert sum(read) < 1_000_000
    check_invariants(finished, summary, home, [photos], rerun_exit_code=3)


def test_pictures_stand_upright_whatever_their_orientation_says(home: Home, tmp_path: Path) -> None:
    """The export tells width and height as a person sees them."""
    folder = tmp_path / "turned"
    folder.mkdir()
    for value in (0, 1, 3, 6, 8, 9, 255):
        exif = made.make_exif(orientation=value)
        (folder / f"{value}.jpg").write_bytes(make_jpeg(value, (60, 40), exif=exif))
    finished, summary = home.summary(folder)
    assert finished.exit_code == 0, finished
    exported = home.run("export", folder, "-o", "-", "--format", "json")
    sizes = {Path(row["path"]).stem: (row["width"], row["height"]) for row in exported.json()}
    assert {name for name, size in sizes.items() if size == (40, 60)} == {"6", "8"}
    check_invariants(finished, summary, home, [folder])


def test_names_and_texts_of_photos_are_only_ever_text(home: Home, photos: Path) -> None:
    """Formulas, markup, escapes, paths and SQL in file names: shown escaped, exported whole."""
    names = [
        "=HYPERLINK('http:..x')&A1.jpg",
        "＋1.jpg",
        "@sum(1).jpg",
        "[red]markup[bold] %s {0}.jpg",
        "\x1b]0;title\x07\x1b[2J.jpg",
        "\u202egpj.exe.jpg",
        "a\rb\nc.jpg",
        "<script>alert(1)<script>.jpg",
        "'; DROP TABLE classification; --.jpg",
        "x\\..\\..%2f..%2fetc%2fpasswd.jpg",
    ]
    for number, name in enumerate(names):
        comment = b"=1+1\x1b[31m<b>"
        (photos / name).write_bytes(make_jpeg(40 + number, comment=comment))
    finished, summary = home.summary(photos)
    assert finished.exit_code == 0, finished
    check_invariants(finished, summary, home, [photos])
    table = home.run("export", photos, "-o", "-", "--format", "csv").stdout.removeprefix("\ufeff")
    cells = [cell for row in csv.reader(io.StringIO(table, newline="")) for cell in row]
    assert [cell for cell in cells if cell.startswith(tuple("=+-@\t\r\n\0＝＋－＠"))] == []
    rows = home.run("export", photos, "-o", "-", "--format", "json").json()
    assert {row["path"].rpartition("/")[2] for row in rows} >= set(names)
    for verbose in (["classify", "--refresh", "all", "-v"], ["cache", "check", "-v"], ["stats"]):
        finished = home.run(*verbose, *([] if verbose == ["stats"] else [photos]))
        assert finished.exit_code == 0, finished
        check_streams(finished)
    page = photos.parent / "page.html"
    home.run("report", photos, "-o", page)
    assert "<script>alert" not in page.read_text(encoding="utf-8")


def test_a_row_that_somebody_else_wrote_into_the_cache_is_not_believed(
    home: Home, photos: Path
) -> None:
    """Off the list, not a number, a megabyte of escapes: misses, asked about again."""
    home.summary(photos)
    with closing(sqlite3.connect(home.state / "cache.db")) as connection:
        keys = [key for (key,) in connection.execute("SELECT image_hash FROM classification")]
        poison = [
            ("\x1b[31mnone", 0.5, ""),
            ("pets", 9.0, ""),
            ("<b>", 0.5, "\x1b[2J" * 250_000),
        ]
        for key, (category, confidence, text) in zip(keys, poison, strict=True):
            connection.execute(
                "UPDATE classification SET category = ?, confidence = ?, description = ?"
                " WHERE image_hash = ?",
                (category, confidence, text, key),
            )
        connection.commit()
    finished, summary = home.summary(photos)
    assert (finished.exit_code, summary["local"]) == (0, 3), finished
    assert set(summary["categories"]) <= {"other", "qrcode", "screenshot"}
    check_invariants(finished, summary, home, [photos])
