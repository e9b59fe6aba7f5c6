"""The image hash keeps what makes the picture, leaves out metadata, and doubts everything else.

The files here are structures without meaning: no decoder would take them, and the hash must not
care. Real files under a real metadata editor: `tests/integration/test_identity_exiftool.py`.
"""

from __future__ import annotations

import zlib

import pytest
import xxhash

from tests.support import photos
from xintu_cli.imaging.identity import image_hash


def of_whole_file(data: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(b"xintu:file:" + data)


# ---- JPEG ----


def segment(marker: int, content: bytes = b"") -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


SOI = b"\xff\xd8"
DQT = segment(0xDB, b"\0" + bytes(range(64)))
SOF = segment(0xC0, b"\x08\0\x20\0\x20\x01\x01\x11\0")
DHT = segment(0xC4, b"\0" + bytes(16))
DRI = segment(0xDD, b"\0\x08")
ADOBE = segment(0xEE, b"Adobe\0\x64\0\0\0\0\x01")
SCAN = segment(0xDA, b"\x01\x01\0\0\x3f\0") + b"\x12\x34\xff\0\x56"
EOI = b"\xff\xd9"
JPEG = SOI + DQT + SOF + DHT + SCAN + EOI

EXIF = segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0")

SAME_JPEG = {
    **{
        f"APP{number} before everything": SOI + segment(0xE0 + number, b"anything") + JPEG[2:]
        for number in range(16)
        if number != 14
    },
    "a comment": SOI + segment(0xFE, b"hello") + JPEG[2:],
    "an empty comment": SOI + segment(0xFE) + JPEG[2:],
    "metadata between the tables": SOI + DQT + EXIF + SOF + segment(0xFE, b"x") + DHT + SCAN + EOI,
    "metadata right before the scan": SOI + DQT + SOF + DHT + EXIF + EXIF + SCAN + EOI,
    "the largest segment": SOI + segment(0xED, bytes(65533)) + JPEG[2:],
    "fill bytes before a marker": SOI + b"\xff\xff" + DQT + b"\xff" + SOF + DHT + SCAN + EOI,
    "fill bytes before metadata": SOI + b"\xff" + EXIF + JPEG[2:],
    "fill bytes before the scan": SOI + DQT + SOF + DHT + b"\xff" + SCAN + EOI,
}
OTHER_JPEG = {
    "a colour transform": SOI + ADOBE + JPEG[2:],
    "another table": SOI + DQT[:-1] + b"\x07" + SOF + DHT + SCAN + EOI,
    "another order": SOI + DHT + DQT + SOF + SCAN + EOI,
    "a restart interval": SOI + DQT + SOF + DHT + DRI + SCAN + EOI,
    "another byte in the scan": SOI + DQT + SOF + DHT + SCAN[:-1] + b"\x57" + EOI,
    "metadata behind the scan": SOI + DQT + SOF + DHT + SCAN + EXIF + EOI,
    "a second scan": SOI + DQT + SOF + DHT + SCAN + SCAN + EOI,
    "no end": SOI + DQT + SOF + DHT + SCAN,
    "something behind the end": JPEG + b"the other eye's picture, or a video",
}
NO_EXACT_JPEG = {
    "nothing behind the start": SOI + b"\xff",
    "no scan": SOI + DQT + SOF + EOI,
    "a segment longer than the file": SOI + DQT + b"\xff\xe1\xff\xff" + b"short",
    "a length below two": SOI + b"\xff\xe1\0\x01" + JPEG[2:],
    "a scan header longer than the file": SOI + DQT + SOF + b"\xff\xda\x10\0\x01",
    "a byte between segments": SOI + DQT + b"\0" + SOF + DHT + SCAN + EOI,
    "a restart marker before the scan": SOI + b"\xff\xd0\0\x04ab" + JPEG[2:],
    "a second start": SOI + SOI + JPEG[2:],
    "a reserved marker": SOI + segment(0x02, b"ab") + JPEG[2:],
    "nothing but fill": SOI + b"\xff" * 100_000,
}


@pytest.mark.parametrize("data", SAME_JPEG.values(), ids=SAME_JPEG)
def test_a_jpegs_metadata_is_not_its_identity(data: bytes) -> None:
    assert image_hash(JPEG) == image_hash(data)


@pytest.mark.parametrize("data", OTHER_JPEG.values(), ids=OTHER_JPEG)
def test_all_else_of_a_jpeg_is_its_identity(data: bytes) -> None:
    assert image_hash(JPEG) != image_hash(data)
    assert of_whole_file(data) != image_hash(data)


@pytest.mark.parametrize("data", NO_EXACT_JPEG.values(), ids=NO_EXACT_JPEG)
def test_what_is_no_exact_jpeg_is_hashed_whole(data: bytes) -> None:
    assert of_whole_file(data) == image_hash(data)


def test_app14_is_kept_wherever_metadata_stands_around_it() -> None:
    assert image_hash(SOI + ADOBE + JPEG[2:]) == image_hash(SOI + EXIF + ADOBE + EXIF + JPEG[2:])


# ---- PNG ----


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    checksum = zlib.crc32(kind + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + kind + content + checksum


SIGNATURE = b"\x89PNG\r\n\x1a\n"
IHDR = chunk(b"IHDR", b"\0\0\0\x20\0\0\0\x20\x08\x03\0\0\0")
PLTE = chunk(b"PLTE", bytes(range(30)))
TRNS = chunk(b"tRNS", b"\x80")
IDAT = chunk(b"IDAT", b"pixels")
IEND = chunk(b"IEND")
ACTL = chunk(b"acTL", b"\0\0\0\x02\0\0\0\0")
FCTL = chunk(b"fcTL", bytes(26))
FDAT = chunk(b"fdAT", b"\0\0\0\x01more pixels")
PNG = SIGNATURE + IHDR + PLTE + IDAT + IEND

SAME_PNG = {
    kind.decode(): SIGNATURE + IHDR + chunk(kind, b"anything") + PLTE + IDAT + IEND
    for kind in (b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"iCCP", b"gAMA", b"pHYs", b"tIME", b"prVt")
} | {
    "text behind the pixels": SIGNATURE + IHDR + PLTE + IDAT + chunk(b"tEXt", b"x") + IEND,
    "text twice in a row": SIGNATURE + IHDR + chunk(b"tEXt") * 2 + PLTE + IDAT + IEND,
}
OTHER_PNG = {
    "another palette": SIGNATURE + IHDR + chunk(b"PLTE", bytes(30)) + IDAT + IEND,
    "transparency": SIGNATURE + IHDR + PLTE + TRNS + IDAT + IEND,
    "other pixels": SIGNATURE + IHDR + PLTE + chunk(b"IDAT", b"pixelz") + IEND,
    "more pixels": SIGNATURE + IHDR + PLTE + IDAT + IDAT + IEND,
    "an animation": SIGNATURE + IHDR + ACTL + PLTE + FCTL + IDAT + IEND,
    "a frame": SIGNATURE + IHDR + PLTE + IDAT + FDAT + IEND,
}
NO_EXACT_PNG = {
    "the signature alone": SIGNATURE,
    "no end": SIGNATURE + IHDR + PLTE + IDAT,
    "no pixels": SIGNATURE + IHDR + PLTE + IEND,
    "no header": SIGNATURE + PLTE + IDAT + IEND,
    "two headers": SIGNATURE + IHDR + IHDR + PLTE + IDAT + IEND,
    "cut short": PNG[:-3],
    "a chunk longer than the file": SIGNATURE + IHDR + b"\xff\xff\xff\xff" + IDAT[4:] + IEND,
    "something behind the end": PNG + b"what a cropping tool forgot to cut off",
    "an end with content": SIGNATURE + IHDR + PLTE + IDAT + chunk(b"IEND", b"x"),
}


@pytest.mark.parametrize("data", SAME_PNG.values(), ids=SAME_PNG)
def test_a_pngs_metadata_is_not_its_identity(data: bytes) -> None:
    assert image_hash(PNG) == image_hash(data)


@pytest.mark.parametrize("data", OTHER_PNG.values(), ids=OTHER_PNG)
def test_a_pngs_picture_is_its_identity(data: bytes) -> None:
    assert image_hash(PNG) != image_hash(data)
    assert of_whole_file(data) != image_hash(data)


@pytest.mark.parametrize("data", NO_EXACT_PNG.values(), ids=NO_EXACT_PNG)
def test_what_is_no_exact_png_is_hashed_whole(data: bytes) -> None:
    assert of_whole_file(data) == image_hash(data)


# ---- WebP ----


def riff(kind: bytes, content: bytes) -> bytes:
    padding = b"\0" * (len(content) & 1)
    return kind + len(content).to_bytes(4, "little") + content + padding


def webp(*chunks: bytes) -> bytes:
    content = b"WEBP" + b"".join(chunks)
    return b"RIFF" + len(content).to_bytes(4, "little") + content


VP8 = riff(b"VP8 ", b"a lossy frame")
VP8L = riff(b"VP8L", b"a lossless frame")
ALPH = riff(b"ALPH", b"alpha")
ANIM = riff(b"ANIM", b"\xff\xff\xff\xff\0\0")
ANMF = riff(b"ANMF", bytes(16) + VP8)
CANVAS = b"\x1f\0\0\x1f\0\0"
WIDER = b"\x2f\0\0\x1f\0\0"


def vp8x(flags: int, canvas: bytes = CANVAS) -> bytes:
    return riff(b"VP8X", bytes((flags, 0, 0, 0)) + canvas)


WEBP = webp(VP8)
ANIMATED = webp(vp8x(0x02), ANIM, ANMF, ANMF)

SAME_WEBP = {
    "exif, and VP8X that announces it": (WEBP, webp(vp8x(0x08), VP8, riff(b"EXIF", b"II*\0"))),
    "xmp": (WEBP, webp(vp8x(0x04), VP8, riff(b"XMP ", b"<x:xmpmeta/>"))),
    "a profile": (WEBP, webp(vp8x(0x20), riff(b"ICCP", b"profile"), VP8)),
    "an unknown chunk": (WEBP, webp(VP8, riff(b"junk", b"?"))),
    "lossless, too": (webp(VP8L), webp(vp8x(0x0C), VP8L, riff(b"EXIF", b"x"))),
    "the canvas of a still picture": (
        webp(vp8x(0x10), ALPH, VP8),
        webp(vp8x(0x18, WIDER), ALPH, VP8),
    ),
    "flags of an animation": (ANIMATED, webp(vp8x(0x0E), ANIM, ANMF, ANMF, riff(b"EXIF", b"x"))),
    "no padding at the end": (WEBP, WEBP[:4] + (len(WEBP) - 9).to_bytes(4, "little") + WEBP[8:-1]),
    "padding that is not counted": (
        WEBP,
        WEBP[:4] + (len(WEBP) - 9).to_bytes(4, "little") + WEBP[8:],
    ),
}
OTHER_WEBP = {
    "another frame": (WEBP, webp(riff(b"VP8 ", b"a lossy fram3"))),
    "lossless": (WEBP, webp(VP8L)),
    "alpha": (WEBP, webp(vp8x(0x10), ALPH, VP8)),
    "an animation's canvas": (ANIMATED, webp(vp8x(0x02, WIDER), ANIM, ANMF, ANMF)),
    "an animation's background": (
        ANIMATED,
        webp(vp8x(0x02), riff(b"ANIM", bytes(6)), ANMF, ANMF),
    ),
    "fewer frames": (ANIMATED, webp(vp8x(0x02), ANIM, ANMF)),
}
NO_EXACT_WEBP = {
    "no chunk": webp(),
    "no picture": webp(vp8x(0x08), riff(b"EXIF", b"x")),
    "alpha alone": webp(vp8x(0x10), ALPH),
    "cut short": WEBP[:-4],
    "something behind the end": WEBP + b"??",
    "a chunk longer than the file": webp(b"VP8 \xff\xff\xff\xff", b"x"),
    "a chunk longer than its container": WEBP[:4] + b"\x0e\0\0\0" + WEBP[8:],
    "a late VP8X": webp(VP8, vp8x(0x08)),
    "half a chunk header": webp(VP8, b"EXI"),
}


@pytest.mark.parametrize(("plain", "edited"), SAME_WEBP.values(), ids=SAME_WEBP)
def test_a_webps_metadata_is_not_its_identity(plain: bytes, edited: bytes) -> None:
    assert image_hash(plain) == image_hash(edited)
    assert of_whole_file(plain) != image_hash(plain)


@pytest.mark.parametrize(("plain", "changed"), OTHER_WEBP.values(), ids=OTHER_WEBP)
def test_a_webps_picture_is_its_identity(plain: bytes, changed: bytes) -> None:
    assert image_hash(plain) != image_hash(changed)
    assert of_whole_file(changed) != image_hash(changed)


@pytest.mark.parametrize("data", NO_EXACT_WEBP.values(), ids=NO_EXACT_WEBP)
def test_what_is_no_exact_webp_is_hashed_whole(data: bytes) -> None:
    assert of_whole_file(data) == image_hash(data)


# ---- everything else ----


@pytest.mark.parametrize(
    "data",
    [
        photos.make_gif(1),
        photos.make_tiff(1),
        photos.make_bmp(1),
        photos.make_heic(1),
        b"text",
        b"",
    ],
    ids=["gif", "tiff", "bmp", "heic", "text", "empty"],
)
def test_any_other_file_is_hashed_whole(data: bytes) -> None:
    assert of_whole_file(data) == image_hash(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (JPEG, "866e3abb61f2ce6fef085c035e91cecc"),
        (PNG, "b94a92124f6a49cf1f3a08437e8d7824"),
        (WEBP, "74cc2dee6651f6bec6913db6ac75e3aa"),
        (ANIMATED, "68a779837b9637690aa279b0afa063c6"),
        (b"GIF89a", "c36dd8cb13c5afaeaf93b816cd733fc7"),
    ],
    ids=["jpeg", "png", "webp", "animated webp", "other"],
)
def test_identities_outlive_releases(data: bytes, expected: str) -> None:
    """Whoever changes one of these makes every cache worthless: raise `HASH_VERSION` then."""
    assert expected == image_hash(data)
