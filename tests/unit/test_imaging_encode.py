"""What leaves the machine is a JPEG within the limits, and tells nothing but the picture."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from tests.support import photos
from xintu_cli.imaging.decode import Decoded, decode
from xintu_cli.imaging.encode import encode_jpeg
from xintu_cli.interfaces import DecodedPhoto


def decoded(data: bytes, *, edge: int = 1024) -> Decoded:
    return decode(data, image_hash="0" * 32, edge=edge)


def markers(jpeg: bytes) -> set[int]:
    """List the markers of a JPEG up to its scan."""
    found, at = set(), 2
    while jpeg[at + 1] != 0xDA:
        found.add(jpeg[at + 1])
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return found


LOADED = photos.make_jpeg(
    1,
    (640, 480),
    exif=photos.make_exif(orientation=6, taken_at="2024:05:01 12:30:00", gps=True),
    icc_profile=b"profile of a camera",
    comment=b"Zhang San, at home",
    dpi=(300, 300),
)


def test_the_jpeg_has_no_metadata() -> None:
    """APP0 is the plain JFIF header; no EXIF, no profile, no comment."""
    assert {0xE1, 0xE2, 0xFE} <= markers(LOADED)
    for edge in (100, 1024):
        jpeg = decoded(LOADED, edge=edge).jpeg(max_edge=edge, max_bytes=10**6)
        assert {marker for marker in markers(jpeg) if 0xE0 <= marker <= 0xFE} == {0xE0}
        assert b"Zhang" not in jpeg
        with Image.open(BytesIO(jpeg)) as sent:
            assert dict(sent.getexif()) == {}
            assert sent.width < sent.height


@pytest.mark.parametrize(
    ("max_edge", "max_bytes"),
    [(1024, 10**7), (1024, 20_000), (512, 10**7), (1024, 5_000), (64, 900)],
)
def test_the_jpeg_keeps_both_limits(max_edge: int, max_bytes: int) -> None:
    noise = Image.effect_noise((1024, 768), 60).convert("RGB")
    jpeg = encode_jpeg(noise, max_edge=max_edge, max_bytes=max_bytes)
    assert len(jpeg) <= max_bytes
    with Image.open(BytesIO(jpeg)) as image:
        assert max(image.size) <= max_edge


def test_a_limit_that_nothing_fits_into_is_refused() -> None:
    with pytest.raises(ValueError, match="no JPEG fits into 100 bytes"):
        encode_jpeg(Image.new("RGB", (64, 64)), max_edge=64, max_bytes=100)


def test_a_second_attempt_gets_the_same_bytes() -> None:
    photo = decoded(photos.make_jpeg(1, (640, 480)))
    first = photo.jpeg(max_edge=512, max_bytes=10**6)
    assert photo.jpeg(max_edge=512, max_bytes=10**6) is first
    smaller = photo.jpeg(max_edge=256, max_bytes=10**6)
    assert len(smaller) < len(first)


def test_a_compacted_photo_is_its_jpeg() -> None:
    photo: DecodedPhoto = decoded(photos.make_jpeg(1, (640, 480)))
    photo.compact(max_edge=512, max_bytes=10**6)
    assert photo.image().size == (512, 384)
    kept = photo.jpeg(max_edge=512, max_bytes=10**6)
    assert photo.jpeg(max_edge=4096, max_bytes=10**7) is kept
    with Image.open(BytesIO(photo.jpeg(max_edge=256, max_bytes=10**6))) as smaller:
        assert smaller.size == (256, 192)
    assert photo.jpeg(max_edge=512, max_bytes=10**6) is kept
    assert photo.image().size == (512, 384)
    photo.compact(max_edge=512, max_bytes=10**6)
    assert photo.jpeg(max_edge=512, max_bytes=10**6) is kept


def test_the_image_hash_is_handed_through() -> None:
    assert decode(photos.make_jpeg(1), image_hash="ab" * 16, edge=64).image_hash == "ab" * 16
