"""Of EXIF we read the orientation and the time, and nothing in it can hurt."""

from __future__ import annotations

import struct

import pytest

from tests.support.photos import make_exif
from xintu_cli.imaging.exif import Exif, read_exif

ORIENTATION = 0x0112
EXIF_IFD = 0x8769
TIME = 0x9003
SHORT, LONG, ASCII = 3, 4, 2

Entry = tuple[int, int, int, bytes]


def directory(order: str, entries: list[Entry]) -> bytes:
    packed = b"".join(struct.pack(f"{order}HHI4s", *entry) for entry in entries)
    return struct.pack(f"{order}H", len(entries)) + packed + bytes(4)


def block(order: str, entries: list[Entry], behind: bytes = b"") -> bytes:
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(f"{order}I", 8) + directory(order, entries) + behind


def taken(text: bytes, order: str = "<") -> bytes:
    """Return a block whose EXIF directory says that the picture was taken at `text`."""
    inner_at = 8 + 2 + 12 + 4
    text_at = inner_at + 2 + 12 + 4
    inner = directory(order, [(TIME, ASCII, len(text) + 1, struct.pack(f"{order}I", text_at))])
    pointer = struct.pack(f"{order}I", inner_at)
    return block(order, [(EXIF_IFD, LONG, 1, pointer)], inner + text + b"\0")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [*((number, number) for number in range(1, 9)), (0, 1), (9, 1), (255, 1), (65535, 1)],
)
def test_orientation_is_one_to_eight_or_upright(order: str, value: int, expected: int) -> None:
    entries = [(ORIENTATION, SHORT, 1, struct.pack(f"{order}HH", value, 0))]
    assert Exif(expected) == read_exif(block(order, entries))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"2024:05:01 12:30:00", "2024-05-01T12:30:00"),
        (b"2024-05-01 12:30:00", "2024-05-01T12:30:00"),
        (b"2024/05/01T12:30:00", "2024-05-01T12:30:00"),
        (b"2024:05:01 12:30:00+08:00", "2024-05-01T12:30:00"),
        (b"2024:02:29 23:59:59", "2024-02-29T23:59:59"),
        (b"2023:02:29 23:59:59", None),
        (b"0000:00:00 00:00:00", None),
        (b"2024:13:01 12:30:00", None),
        (b"2024:05:01 25:00:00", None),
        (b"    :  :     :  :  ", None),
        (b"2024:05:01", None),
        (b"1714566600 seconds..", None),
        (b"\x1b[31m2024:05:01 12:00", None),
        (b"\xff" * 19, None),
    ],
)
def test_time_is_iso_8601_or_nothing(text: bytes, expected: str | None) -> None:
    assert expected == read_exif(taken(text)).taken_at
    assert expected == read_exif(taken(text, ">")).taken_at


def test_a_block_as_cameras_write_it_is_read() -> None:
    made = make_exif(orientation=6, taken_at="2024:05:01 12:30:00", gps=True)
    assert Exif(6, "2024-05-01T12:30:00") == read_exif(made)
    assert Exif(6, "2024-05-01T12:30:00") == read_exif(made.removeprefix(b"Exif\0\0"))


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"Exif\0\0",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"XX*\0\x08\0\0\0",
        b"II*\0\x08\0\0\0\xff\xff" + b"\xff" * 70_000,
        block("<", [(EXIF_IFD, LONG, 1, struct.pack("<I", 0xFFFFFFFF))]),
        block("<", [(ORIENTATION, ASCII, 1, b"\x06\0\0\0")]),
        taken(b"2024:05:01 12:30:00")[:-8],
    ],
)
def test_a_broken_block_is_as_if_there_were_none(broken: bytes) -> None:
    assert Exif() == read_exif(broken)


def test_a_directory_that_contains_itself_ends() -> None:
    itself = block("<", [(EXIF_IFD, LONG, 1, struct.pack("<I", 8))])
    assert Exif() == read_exif(itself)


def test_what_was_read_before_the_block_breaks_off_stays() -> None:
    entries = [(ORIENTATION, SHORT, 1, b"\x08\0\0\0"), (EXIF_IFD, LONG, 1, b"\0\0\1\0")]
    assert Exif(8) == read_exif(block("<", entries))
    assert Exif(8) == read_exif(block("<", entries)[:-12])
