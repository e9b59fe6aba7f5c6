"""What a JPEG's layout costs is told from its segments alone."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from tests.support import photos
from xintu_cli.imaging.scans import is_in_one_scan

BASELINE = photos.make_jpeg(1)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (BASELINE, True),
        (photos.encoded(Image.new("L", (8, 8)), "JPEG"), True),
        (photos.encoded(Image.new("CMYK", (8, 8)), "JPEG"), True),
        (photos.make_jpeg(1, exif=photos.make_exif(orientation=6)), True),
        (BASELINE[:2] + b"\xff\xff\xff" + BASELINE[2:], True),
        (photos.make_mpo(1), True),
        (photos.make_jpeg(1, progressive=True), False),
        (b"\xff\xd8\xff", False),
        (BASELINE[: BASELINE.index(b"\xff\xda") + 3], False),
        (BASELINE[:2] + b"\xff\xe0\0\0" + BASELINE[2:], False),
        (b"", False),
    ],
    ids=[
        "baseline", "grey", "four colours", "with exif", "fill bytes", "mpo",
        "progressive", "magic alone", "cut", "segment without a length", "empty",
    ],
)  # fmt: skip
def test_one_scan_is_told_from_several(data: bytes, expected: bool) -> None:
    assert is_in_one_scan(data) is expected


def test_a_scan_per_colour_is_several() -> None:
    at = BASELINE.index(b"\xff\xda")
    alone = BASELINE[:at] + b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" + BASELINE[at + 14 :]
    assert not is_in_one_scan(alone)


def test_a_phones_photo_has_one_scan() -> None:
    stream = BytesIO()
    photos.make_picture(3, (640, 480)).save(stream, "JPEG", quality=95, subsampling="4:2:0")
    assert is_in_one_scan(stream.getvalue())
