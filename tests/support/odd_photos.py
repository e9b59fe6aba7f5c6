"""Odd and broken image files, each with the verdict that is right for it.

`write_odd_photos` lays them all into a folder, so that any run can be held against them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from tests.support import photos

NOT_A_PHOTO = "not a photo"
_PADDING = "nothing but padding before its picture"


class OddPhoto(NamedTuple):
    """A file's content and what must come of it.

    `reason` is "" where it must be decoded, `NOT_A_PHOTO` where the file must not even be
    found, else how the reason of its failure must begin.
    """

    name: str
    content: bytes
    reason: str = ""


def odd_photos() -> list[OddPhoto]:
    """Make all of them; no two have the same content."""
    makers: tuple[Callable[[], list[OddPhoto]], ...] = (
        _empty_ones,
        _truncated_ones,
        _bombs,
        _impostors,
        _misnamed_ones,
        _unusual_pixels,
        _odd_metadata,
        _damaged_ones,
    )
    return [odd for make in makers for odd in make()]


def write_odd_photos(directory: Path) -> list[OddPhoto]:
    """Write every odd photo into `directory`; return them."""
    odds = odd_photos()
    directory.mkdir(parents=True, exist_ok=True)
    for odd in odds:
        (directory / odd.name).write_bytes(odd.content)
    return odds


def _empty_ones() -> list[OddPhoto]:
    not_an_image = "not a supported image"
    return [
        OddPhoto("empty.jpg", b"", "empty file"),
        OddPhoto("one-byte.jpg", b"\xff", not_an_image),
        OddPhoto("nul.jpg", bytes(10_000), not_an_image),
        OddPhoto("magic-only.jpg", b"\xff\xd8\xff", "truncated"),
        OddPhoto("magic-only.png", b"\x89PNG\r\n\x1a\n", "truncated"),
        OddPhoto("magic-only.gif", b"GIF89a", "truncated"),
        OddPhoto("magic-only.tif", b"II*\0", "truncated"),
        OddPhoto("magic-only.webp", b"RIFF\0\0\0\0WEBP", "cannot decode this WEBP"),
        OddPhoto("magic-only.heic", b"\0\0\0\x10ftypheic\0\0\0\0", "cannot decode this HEIC"),
        OddPhoto("empty", b"", NOT_A_PHOTO),
        OddPhoto("notes.txt", b"Dear diary,\n", NOT_A_PHOTO),
    ]


def _truncated_ones() -> list[OddPhoto]:
    jpeg = photos.make_jpeg(101, (64, 64))
    progressive = photos.make_jpeg(102, (64, 64), progressive=True)
    png = photos.make_png(103, (64, 64))
    cut = [
        OddPhoto(f"cut-{percent}.jpg", jpeg[: len(jpeg) * percent // 100], "truncated")
        for percent in (5, 20, 40, 60, 80, 99)
    ]
    return [
        *cut,
        OddPhoto("cut.progressive.jpg", progressive[: len(progressive) // 2], "truncated"),
        OddPhoto("cut.png", png[: len(png) // 2], "truncated"),
        OddPhoto("no-end-of-image.jpg", photos.make_jpeg(104)[:-2], "truncated"),
    ]


def _bombs() -> list[OddPhoto]:
    jpeg = photos.make_jpeg(111)
    png = photos.make_png(115)
    frame = jpeg.index(b"\xff\xc0") + 5
    return [
        OddPhoto("bomb-400.png", make_flat_png(20_000, 20_000), "too large (20000×20000)"),
        OddPhoto("bomb-177.png", make_flat_png(13_300, 13_300), "too large (13300×13300)"),
        OddPhoto(
            "bomb-65500.jpg",
            jpeg[:frame] + b"\xff\xdc\xff\xdc" + jpeg[frame + 4 :],
            "too large (65500×65500)",
        ),
        OddPhoto("bomb.gif", _gif_header(65_000, 65_000), "too large"),
        OddPhoto(
            "bomb-text.png", _with_text(113, b"zTXt", b"k\0\0" + zlib.compress(bytes(80_000_000)))
        ),
        OddPhoto("all-comments.jpg", b"\xff\xd8" + b"\xff\xfe\0\2" * 30_000 + jpeg[2:], _PADDING),
        OddPhoto(
            "all-fill.jpg", b"\xff\xd8" + b"\xff" * 2_000_000 + photos.make_jpeg(117)[2:], _PADDING
        ),
        OddPhoto(
            "all-stuffed.jpg",
            b"\xff\xd8" + b"\xff\0" * 30_000 + photos.make_jpeg(118)[2:],
            _PADDING,
        ),
        OddPhoto(
            "all-chunks.png",
            png[:33] + png_chunk(b"teSt") * 200_001 + png[33:],
            "nothing but chunks without a picture",
        ),
        OddPhoto("all-strips.tif", _with_strips(500_000), "too many values in tag 273"),
        OddPhoto("long.gif", photos.make_gif(112, (8, 8), frames=300)),
        OddPhoto("pages.tif", _pages(41)),
    ]


def make_flat_png(width: int, height: int) -> bytes:
    """Make a PNG of one colour without ever holding its pixels."""
    packer = zlib.compressobj(9)
    row = bytes(1 + width // 8 + 1)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\1\0\0\0\0"
    chunks = (png_chunk(b"IHDR", header), png_chunk(b"IDAT", rows), png_chunk(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_chunk(kind: bytes, content: bytes = b"") -> bytes:
    """Make a chunk of a PNG."""
    checksum = zlib.crc32(kind + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + kind + content + checksum


def _with_text(seed: int, kind: bytes, content: bytes) -> bytes:
    png = photos.make_png(seed)
    return png[:33] + png_chunk(kind, content) + png[33:]


def _gif_header(width: int, height: int) -> bytes:
    gif = photos.make_gif(114)
    return gif[:6] + width.to_bytes(2, "little") + height.to_bytes(2, "little") + gif[10:]


def _with_strips(count: int) -> bytes:
    """Make a TIFF whose picture is said to lie in so many strips."""
    tiff = photos.make_tiff(116)
    at = tiff.index(b"\x11\x01\x04\0\x01\0\0\0")
    return tiff[: at + 4] + count.to_bytes(4, "little") + tiff[at + 8 :]


def _pages(count: int) -> bytes:
    pages = [photos.make_picture(120 + number) for number in range(count)]
    return photos.encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])


def _impostors() -> list[OddPhoto]:
    not_an_image = "not a supported image"
    return [
        OddPhoto(
            "postscript.jpg",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n%%EOF\n",
            f"{not_an_image} (looks like PostScript)",
        ),
        OddPhoto("drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", not_an_image),
        OddPhoto("not-found.jpg", b"<!DOCTYPE html><title>404</title>", not_an_image),
        OddPhoto(
            "pointer.jpg",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            f"{not_an_image} (looks like a Git LFS pointer)",
        ),
        OddPhoto(
            "resource-fork.jpg", b"\0\x05\x16\x07\0\x02\0\0Mac OS X" + bytes(60), not_an_image
        ),
        OddPhoto("video.jpg", b"\0\0\0\x18ftypisom" + bytes(90), not_an_image),
        OddPhoto("video.mp4", b"\0\0\0\x18ftypmp42" + bytes(90), NOT_A_PHOTO),
        OddPhoto("raw.dng", photos.make_tiff(115), NOT_A_PHOTO),
    ]


def _misnamed_ones() -> list[OddPhoto]:
    return [
        OddPhoto("really-a.png.jpg", photos.make_png(121)),
        OddPhoto("really-a.jpg.png", photos.make_jpeg(122)),
        OddPhoto("really-heic.jpg", photos.make_heic(123)),
        OddPhoto("no-suffix", photos.make_jpeg(124)),
        OddPhoto("LOUD.JPG", photos.make_jpeg(125)),
        OddPhoto("copy.jpg.bak", photos.make_webp(126)),
    ]


def _unusual_pixels() -> list[OddPhoto]:
    ramp = Image.linear_gradient("L")
    picture = photos.make_picture(131)
    palette = picture.convert("P")
    return [
        OddPhoto("cmyk.jpg", photos.encoded(picture.convert("CMYK"), "JPEG")),
        OddPhoto("grey.jpg", photos.encoded(ramp, "JPEG")),
        OddPhoto("16-bit.png", photos.encoded(ramp.convert("I;16"), "PNG")),
        OddPhoto("float.tif", photos.encoded(ramp.convert("F"), "TIFF")),
        OddPhoto("palette-alpha.png", photos.encoded(palette, "PNG", transparency=b"\0\x80\xff")),
        OddPhoto("grey-alpha.png", photos.encoded(ramp.convert("LA"), "PNG")),
        OddPhoto("one-bit.png", photos.encoded(picture.convert("1"), "PNG")),
        OddPhoto("fax.tif", photos.encoded(picture.convert("1"), "TIFF", compression="group4")),
        OddPhoto("lzw.tif", photos.make_tiff(132, compression="tiff_lzw")),
        OddPhoto("jpeg.tif", photos.make_tiff(133, compression="jpeg")),
        OddPhoto("big.tif", photos.make_tiff(134, big_tiff=True)),
        OddPhoto("multiplied-grey.tif", _multiplied_by_alpha(ramp.convert("LA"))),
        OddPhoto("multiplied-colour.tif", _multiplied_by_alpha(picture.convert("RGBA"))),
        OddPhoto("1x1.png", photos.make_png(135, (1, 1))),
        OddPhoto("30000x2.png", photos.make_png(136, (30000, 2))),
        OddPhoto("windows.bmp", photos.make_bmp(137)),
        OddPhoto("phone.heic", photos.make_heic(138)),
        OddPhoto("web.avif", photos.make_avif(139)),
        OddPhoto("two-eyes.mpo", photos.make_mpo(140)),
        OddPhoto("lossless.webp", photos.make_webp(141, lossless=True)),
        OddPhoto("progressive.jpg", photos.make_jpeg(142, progressive=True)),
    ]


def _multiplied_by_alpha(picture: Image.Image) -> bytes:
    """Make a TIFF that says its colours are multiplied with their alpha, as Photoshop's may."""
    extra_samples = b"\x52\x01\x03\0\x01\0\0\0"
    tiff = photos.encoded(picture, "TIFF")
    assert extra_samples + b"\x02" in tiff
    return tiff.replace(extra_samples + b"\x02", extra_samples + b"\x01")


def _odd_metadata() -> list[OddPhoto]:
    itself = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + b"\x69\x87\4\0\1\0\0\0\x08\0\0\0" + bytes(4)
    odd = [
        OddPhoto(
            f"orientation-{value}.jpg",
            photos.make_jpeg(150 + value, exif=photos.make_exif(orientation=value)),
        )
        for value in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 255)
    ]
    return [
        *odd,
        OddPhoto("exif-in-itself.jpg", photos.make_jpeg(161, exif=itself)),
        OddPhoto("exif-garbage.jpg", photos.make_jpeg(162, exif=b"Exif\0\0" + b"\xff" * 60_000)),
        OddPhoto("long-comment.jpg", photos.make_jpeg(163, comment=b"x" * 60_000)),
        OddPhoto("escapes.jpg", photos.make_jpeg(164, comment=b"\x1b[31m\x1b]0;title\x07")),
        OddPhoto("broken-profile.jpg", photos.make_jpeg(165, icc_profile=b"no profile")),
        OddPhoto("huge-text.png", _with_text(167, b"iTXt", b"k\0\0\0\0\0" + b"x" * 3_000_000)),
        OddPhoto("wrong-checksum.png", _with_text(168, b"tEXt", b"k\0v").replace(b"k\0v", b"k\0w")),
        OddPhoto("motion.jpg", photos.make_jpeg(166) + b"\0\0\0\x18ftypmp42" + bytes(5_000)),
    ]


def _damaged_ones() -> list[OddPhoto]:
    png = photos.make_png(171)
    no_palette = photos.encoded(photos.make_picture(172).convert("P"), "PNG")
    palette_at = no_palette.index(b"PLTE") - 4
    palette_size = 12 + int.from_bytes(no_palette[palette_at : palette_at + 4], "big")
    jpeg = bytearray(photos.make_jpeg(173, (256, 256)))
    jpeg[len(jpeg) // 2 : len(jpeg) // 2 + 64] = bytes(64)
    return [
        OddPhoto("bad-header-checksum.png", png[:29] + b"\0\0\0\0" + png[33:], "damaged PNG"),
        OddPhoto("bad-chunk.png", png[:37] + b"\x0f\x93\xe9." + png[41:], "damaged PNG"),
        OddPhoto(
            "no-palette.png",
            no_palette[:palette_at] + no_palette[palette_at + palette_size :],
            "damaged PNG",
        ),
        OddPhoto(
            "12-bit.jpg", _deep_jpeg(), "cannot decode this JPEG: cannot handle 12-bit layers"
        ),
        OddPhoto("zeroed-block.jpg", bytes(jpeg)),
    ]


def _deep_jpeg() -> bytes:
    jpeg = photos.make_jpeg(174)
    depth_at = jpeg.index(b"\xff\xc0") + 4
    return jpeg[:depth_at] + b"\x0c" + jpeg[depth_at + 1 :]
