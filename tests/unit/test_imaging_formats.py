"""Content decides what a file is; names only promise."""

from __future__ import annotations

import pytest

from tests.support import photos
from xintu_cli.imaging.formats import (
    HEAD_BYTES,
    ImageFormat,
    has_image_suffix,
    has_raw_suffix,
    sniff,
    why_not_image,
)


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    brands = b"".join(compatible)
    return (16 + len(brands)).to_bytes(4, "big") + b"ftyp" + major + b"\0\0\0\0" + brands


def bmp(header_size: int) -> bytes:
    return b"BM" + bytes(12) + header_size.to_bytes(4, "little") + bytes(40)


MADE = {
    "jpeg": (photos.make_jpeg(1), ImageFormat.JPEG),
    "an MPO is a JPEG": (photos.make_mpo(1), ImageFormat.JPEG),
    "png": (photos.make_png(1), ImageFormat.PNG),
    "webp": (photos.make_webp(1), ImageFormat.WEBP),
    "lossless webp": (photos.make_webp(1, lossless=True), ImageFormat.WEBP),
    "gif": (photos.make_gif(1), ImageFormat.GIF),
    "tiff": (photos.make_tiff(1), ImageFormat.TIFF),
    "big-endian tiff": (b"MM\0*\0\0\0\x08", ImageFormat.TIFF),
    "BigTIFF": (photos.make_tiff(1, big_tiff=True), ImageFormat.TIFF),
    "bmp": (photos.make_bmp(1), ImageFormat.BMP),
    "heic": (photos.make_heic(1), ImageFormat.HEIC),
    "avif": (photos.make_avif(1), ImageFormat.AVIF),
}


@pytest.mark.parametrize(("content", "expected"), MADE.values(), ids=MADE)
def test_a_made_image_is_known_by_its_head(content: bytes, expected: ImageFormat) -> None:
    assert expected == sniff(content[:HEAD_BYTES])


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (ftyp(b"heic"), ImageFormat.HEIC),
        (ftyp(b"heix", b"mif1"), ImageFormat.HEIC),
        (ftyp(b"mif1", b"heic", b"mif1"), ImageFormat.HEIC),
        (ftyp(b"mif1"), ImageFormat.HEIC),
        (ftyp(b"msf1", b"hevc"), ImageFormat.HEIC),
        (ftyp(b"MiHB", b"heic"), ImageFormat.HEIC),
        (ftyp(b"avif"), ImageFormat.AVIF),
        (ftyp(b"avis", b"msf1"), ImageFormat.AVIF),
        (ftyp(b"mif1", b"avif", b"miaf"), ImageFormat.AVIF),
        (ftyp(b"isom", b"mp41"), None),
        (ftyp(b"qt  "), None),
        (ftyp(b"crx ", b"isom"), None),
        (b"\0\0\0\x10ftypisom" + b"\0\0\0\0" + b"heic", None),  # beyond the box's end
        (bmp(40), ImageFormat.BMP),
        (bmp(124), ImageFormat.BMP),
        (bmp(77), None),
        (b"BM is how this text begins, and goes on for a while after that.", None),
        (b"RIFF\x10\0\0\0WAVEfmt ", None),
        (b"RIFF\x10\0\0\0AVI LIST", None),
        (b"GIF88a", None),
        (b"\xff\xd8", None),
        (b"\x89PNG\n", None),
        (b"%!PS-Adobe-3.0 EPSF-3.0", None),
        (b"", None),
    ],
)
def test_the_first_bytes_decide(head: bytes, expected: ImageFormat | None) -> None:
    assert expected == sniff(head)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/photos/a.jpg", True),
        (b"/photos/A.JPG", True),
        (b"/photos/a.b.jpeg", True),
        (b"/photos/\xff\xfe.HeIc", True),
        (b"/photos/a.avif", True),
        (b"/photos/a.jpg/readme", False),
        (b"/photos/a.txt", False),
        (b"/photos/jpg", False),
        (b"/photos/a.jpg~", False),
        (b"/photos/a.nef", False),
    ],
)
def test_an_image_suffix_promises_an_image(path: bytes, expected: bool) -> None:
    assert expected == has_image_suffix(path)


@pytest.mark.parametrize(
    ("path", "expected"), [(b"a.NEF", True), (b"a.dng", True), (b"a.tif", False), (b"raw", False)]
)
def test_a_raw_suffix_is_a_cameras_raw_file(path: bytes, expected: bool) -> None:
    assert expected == has_raw_suffix(path)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"\xc5\xd0\xd3\xc6\x1e\0\0\0", "PostScript"),
        (b"<?xml version='1.0'?><svg/>", "XML"),
        (b"\n <svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<!DOCTYPE html><title>404</title>", "HTML"),
        (b"\xef\xbb\xbf<html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"\0\x05\x16\x07\0\x02\0\0Mac OS X", "AppleDouble metadata"),
        (ftyp(b"isom"), "a video"),
        (ftyp(b"crx "), "a camera's raw file"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "a sound"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\0" * 64, "nothing but zeros"),
        (b"Dear diary,\n", "text"),
        ("亲爱的日记".encode()[:-1], "text"),
        (b"\xff", ""),
        (b"\x01\x02\x03\x04", ""),
    ],
)
def test_what_is_no_image_is_named_for_people(head: bytes, expected: str) -> None:
    words = (
        f"not a supported image (looks like {expected})" if expected else "not a supported image"
    )
    assert words == why_not_image(head)


def test_an_empty_file_is_called_empty() -> None:
    assert why_not_image(b"") == "empty file"
