"""The decoder sees only those chunks of a PNG that make the picture."""

from __future__ import annotations

import zlib

from tests.support.photos import make_png
from xintu_cli.imaging.png import part_png


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + kind + content + checksum


PNG = make_png(1)
HEADER_END = 8 + 25
TEXT = chunk(b"iTXt", b"anything")


def test_a_plain_png_is_the_same_object() -> None:
    assert part_png(PNG).picture is PNG


def test_other_chunks_are_left_out_and_exif_is_handed_over() -> None:
    exif = chunk(b"eXIf", b"II*\0first") + TEXT + chunk(b"eXIf", b"II*\0second")
    parts = part_png(PNG[:HEADER_END] + TEXT + PNG[HEADER_END:-12] + exif + PNG[-12:])
    assert parts == (PNG, b"II*\0first")


def test_a_broken_checksum_of_other_chunks_does_no_harm() -> None:
    broken = TEXT[:-4] + b"\0\0\0\0"
    assert part_png(PNG[:HEADER_END] + broken + PNG[HEADER_END:]).picture == PNG


def test_from_damage_on_everything_stays() -> None:
    cut = (PNG[:HEADER_END] + TEXT + PNG[HEADER_END:])[:-20]
    assert part_png(cut).picture == PNG[:-20]
    endless = PNG[:HEADER_END] + b"\xff\xff\xff\xff" + TEXT[4:] + PNG[HEADER_END:]
    assert part_png(endless).picture == endless
