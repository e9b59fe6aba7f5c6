"""Text that others wrote is shown and stored harmlessly, and paths come back exactly."""

from __future__ import annotations

import csv
import io
import json
import unicodedata

import pytest

from xintu_cli.reporting.escape import (
    csv_cell,
    csv_path,
    display_text,
    json_text,
    path_from_text,
    path_text,
    shell_word,
    text_of_csv_cell,
)

HOSTILE_PATHS = [
    b"/photos/plain.jpg",
    "/photos/照片 1.jpg".encode(),
    b"/photos/not-utf8-\xff\xfe.jpg",
    b"/photos/latin1-\xe9t\xe9.jpg",
    b"/photos/cesu-\xed\xa0\x80.jpg",
    b"/photos/new\nline.jpg",
    b"/photos/cr\rlf\r\n.jpg",
    b"/photos/esc\x1b]0;owned\x07\x1b[2J.jpg",
    "/photos/\u202egpj.exe".encode(),
    "/photos/nel\u0085c1\u009b31m.jpg".encode(),
    b"/photos/%41 100%.jpg",
    b"/photos/back\\slash\\x41.jpg",
    b"/photos/[red]%s{0}'\";--.jpg",
    "/photos/👨\u200d👩\u200d👧.jpg".encode(),
    "/photos/e\u0301.jpg".encode(),
    "/photos/é.jpg".encode(),
    b"//double//slash\xff",
    b"file:///not/a/uri.jpg",
    b"file:relative-\xff",
    b"=cmd|' /C calc'!A0.jpg",
    b"relative/\xff.jpg",
    b"-rf",
    "＝1+1.jpg".encode(),
    b"'=quoted.jpg",
    b"\t=tab.jpg",
    bytes(range(1, 256)),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("IMG_0001.jpg", "IMG_0001.jpg"),
        ("照片 été 👨\u200d👩\u200d👧", "照片 été 👨\u200d👩\u200d👧"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("bell\x07 nul\0 del\x7f", r"bell\x07 nul\x00 del\x7f"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("c1 \x9b31m nel\x85", r"c1 \x9b31m nel\x85"),
        ("exe.\u202egpj", r"exe.\u202egpj"),
        ("\u2066hidden\u2069 \u200b\ufeff", r"\u2066hidden\u2069 \u200b\ufeff"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("tag \U000e0041", r"tag \U000e0041"),
        ("lone \ud83d", r"lone \ud83d"),
        ("[red]markup[/red] %s {0}", "[red]markup[/red] %s {0}"),
        (b"not utf-8 \xff\xe9", r"not utf-8 \xff\xe9"),
        (b"cesu \xed\xa0\x80", r"cesu \xed\xa0\x80"),
        ("照片".encode(), "照片"),
        ("", ""),
    ],
)
def test_acting_characters_are_spelled_out(text: str | bytes, expected: str) -> None:
    assert display_text(text) == expected


def test_no_character_of_unicode_acts_once_it_is_shown() -> None:
    samples = [
        chr(code) for code in (*range(0x3000), *range(0xD7FF, 0xE010), *range(0xE0000, 0xE0080))
    ]
    shown = display_text("".join(samples))
    acting = {c for c in shown if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    assert acting == {"\u200c", "\u200d"}


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_path_survives_being_text(path: bytes) -> None:
    text = path_text(path)
    assert text.encode("utf-8")
    assert path_from_text(text) == path


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_path_survives_a_csv(path: bytes) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow([csv_path(path)])
    [[cell]] = csv.reader(io.StringIO(buffer.getvalue(), newline=""))
    assert path_from_text(text_of_csv_cell(cell)) == path


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_path_in_a_csv_holds_no_control_but_a_newline(path: bytes) -> None:
    assert [c for c in csv_path(path) if ord(c) < 0x20 and c != "\n"] == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/照片/a b.jpg".encode(), "/照片/a b.jpg"),
        (b"/a/\xff b.jpg", "file:///a/%FF%20b.jpg"),
        (b"a/\xff", "file:a/%FF"),
        (b"file:///a", "file:file%3A///a"),
        (b"/new\nline", "/new\nline"),
    ],
)
def test_only_paths_that_text_cannot_hold_become_file_uris(path: bytes, expected: str) -> None:
    assert path_text(path) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pets", "pets"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", r"'\t=1"),
        ("\r=1", r"'\r=1"),
        ("\n=1", "'\n=1"),
        ("\0=1", r"'\x00=1"),
        ("\uff1d1", "'\uff1d1"),
        ("\uff0b1", "'\uff0b1"),
        ("\uff0d1", "'\uff0d1"),
        ("\uff20A", "'\uff20A"),
        ("'=1", "''=1"),
        ("'tis a cat", "'tis a cat"),
        ("a=b", "a=b"),
        ("a cat\x1b[2J\nand a dog", "a cat\\x1b[2J\nand a dog"),
        ("lone \ud83d", r"lone \ud83d"),
        ("", ""),
    ],
)
def test_no_cell_starts_a_formula(text: str, expected: str) -> None:
    assert csv_cell(text) == expected


@pytest.mark.parametrize("text", ["=1", "'=1", "''@x", "'tis", "pets", "", "＝1", "'", "''"])
def test_a_guarded_cell_is_read_back(text: str) -> None:
    assert text_of_csv_cell(csv_cell(text)) == text


@pytest.mark.parametrize(
    "value",
    ["照片", "a\x1b[31m\u202e", "lone \ud83d", "\u2028", "tag \U000e0041", "a\nb", 'say "hi"\\'],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_json_is_exact_and_does_not_act(value: str, indent: int | None) -> None:
    text = json_text({"v": value}, indent=indent)
    assert json.loads(text.encode("utf-8")) == {"v": value}
    assert display_text(text.replace("\n", "")) == text.replace("\n", "")


def test_json_keeps_chinese_legible() -> None:
    assert json_text({"名": "照片"}) == '{"名": "照片"}'


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/photos", "/photos"),
        (b"/my photos", "'/my photos'"),
        (b"/it's", "'/it'\"'\"'s'"),
        ("/照片".encode(), "'/照片'"),
        (b"/a\x1bb'c\\d", r"$'/a\x1bb\'c\\d'"),
        (b"/\xff", r"$'/\xff'"),
    ],
)
def test_a_path_can_be_pasted_into_a_shell(path: bytes, expected: str) -> None:
    assert shell_word(path) == expected
