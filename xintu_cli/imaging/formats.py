"""Tell what a file is from its first bytes; names decide only what is worth a word.

In: the first `HEAD_BYTES` of a file, or its path. Out: an `ImageFormat`, or a few words about
what the content looks like instead. Content decides (design, section 5): a JPEG named `.png`
is a JPEG, an EPS named `.jpg` is a failure.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from enum import StrEnum
from typing import NamedTuple

HEAD_BYTES = 64
"""Enough for every signature here; a `ftyp` box with more brands than fit names the usual
ones first."""


class ImageFormat(StrEnum):
    """The formats that are decoded; an MPO is a JPEG with more JPEGs behind it."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    GIF = "gif"
    TIFF = "tiff"
    BMP = "bmp"
    HEIC = "heic"
    AVIF = "avif"


_IMAGE_SUFFIXES = frozenset(
    b"jpg jpeg jpe jfif jif mpo png apng webp gif tif tiff bmp dib"
    b" heic heif hif heics heifs avif avifs".split()
)
_RAW_SUFFIXES = frozenset(
    b"3fr arw cr2 cr3 crw dcr dng erf fff iiq kdc mef mos mrw nef nrw orf"
    b" pef raf raw rw2 rwl sr2 srf srw x3f".split()
)

_HEIC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_HEIF_CONTAINER_BRANDS = frozenset((b"mif1", b"mif2", b"msf1"))

_BMP_HEADER_SIZES = frozenset((12, 16, 40, 52, 56, 64, 108, 124))
"""Sizes of the second header of a BMP: `BM` alone begins many a text."""


def sniff(head: bytes) -> ImageFormat | None:
    """Return the format that the first `HEAD_BYTES` of a file announce, None for no image."""
    if head.startswith(b"\xff\xd8\xff"):
        return ImageFormat.JPEG
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return ImageFormat.PNG
    if head.startswith(b"RIFF"):
        return ImageFormat.WEBP if head[8:12] == b"WEBP" else None
    if head[4:8] == b"ftyp":
        return _sniff_brands(head)
    if head.startswith((b"GIF87a", b"GIF89a")):
        return ImageFormat.GIF
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return ImageFormat.TIFF
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return ImageFormat.BMP
    return None


def _sniff_brands(head: bytes) -> ImageFormat | None:
    """Read an ISO base media file's `ftyp` box: the major brand, else the compatible ones."""
    major = head[8:12]
    if major in _AVIF_BRANDS:
        return ImageFormat.AVIF
    if major in _HEIC_BRANDS:
        return ImageFormat.HEIC
    box_end = min(int.from_bytes(head[:4], "big"), len(head))
    compatible = {head[at : at + 4] for at in range(16, box_end - 3, 4)}
    if compatible & _AVIF_BRANDS:
        return ImageFormat.AVIF
    if compatible & _HEIC_BRANDS or major in _HEIF_CONTAINER_BRANDS:
        return ImageFormat.HEIC
    return None


def has_image_suffix(path: bytes) -> bool:
    """Tell whether the name promises an image that we read."""
    return _suffix(path) in _IMAGE_SUFFIXES


def has_raw_suffix(path: bytes) -> bool:
    """Tell whether the name is that of a camera's raw file.

    Most are TIFFs by content, and what a TIFF decoder finds there is a thumbnail of 160 pixels
    or nothing. They are not photos to us, like any other file without an image suffix.
    """
    return _suffix(path) in _RAW_SUFFIXES


def _suffix(path: bytes) -> bytes:
    _, dot, suffix = path.rpartition(b".")
    return suffix.lower() if dot else b""


class _Signature(NamedTuple):
    offset: int
    magic: bytes
    what: str


_OTHERS = (
    _Signature(0, b"%!PS", "PostScript"),
    _Signature(0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    _Signature(0, b"%PDF", "PDF"),
    _Signature(0, b"8BPS", "a Photoshop document"),
    _Signature(0, b"version https://git-lfs", "a Git LFS pointer"),
    _Signature(0, b"\x00\x05\x16\x07", "AppleDouble metadata"),
    _Signature(0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    _Signature(0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    _Signature(0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    _Signature(0, b"\xff\x0a", "JPEG XL"),
    _Signature(0, b"\x00\x00\x01\x00", "an icon"),
    _Signature(0, b"FUJIFILMCCD-RAW", "a camera's raw file"),
    _Signature(0, b"IIRO", "a camera's raw file"),
    _Signature(0, b"IIU\x00", "a camera's raw file"),
    _Signature(4, b"ftypcrx ", "a camera's raw file"),
    _Signature(4, b"ftyp", "a video"),
    _Signature(4, b"moov", "a video"),
    _Signature(4, b"mdat", "a video"),
    _Signature(0, b"\x1a\x45\xdf\xa3", "a video"),
    _Signature(8, b"AVI ", "a video"),
    _Signature(8, b"WAVE", "a sound"),
    _Signature(0, b"ID3", "a sound"),
    _Signature(0, b"OggS", "a sound"),
    _Signature(0, b"PK\x03\x04", "a ZIP archive"),
    _Signature(0, b"\x1f\x8b", "a gzip archive"),
    _Signature(0, b"Rar!", "a RAR archive"),
    _Signature(0, b"7z\xbc\xaf", "a 7z archive"),
    _Signature(0, b"\x7fELF", "a program"),
    _Signature(0, b"MZ", "a program"),
    _Signature(128, b"DICM", "DICOM"),
)
_MARKUP = ((b"<!doctype html", "HTML"), (b"<html", "HTML"), (b"<svg", "SVG"), (b"<?xml", "XML"))


def why_not_image(head: bytes) -> str:
    """Say why a file that should be an image is none, and what it looks like instead.

    256 bytes of it are enough.
    """
    if not head:
        return "empty file"
    look = _looks_like(head)
    return f"not a supported image (looks like {look})" if look else "not a supported image"


def _looks_like(head: bytes) -> str:
    for offset, magic, what in _OTHERS:
        if head.startswith(magic, offset):
            return what
    if not head.strip(b"\0"):
        return "nothing but zeros"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for magic, what in _MARKUP:
        if text.startswith(magic):
            return what
    return "text" if _is_text(head) else ""


def _is_text(head: bytes) -> bool:
    try:
        text = getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char in "\t\n\f\r" for char in text)
