"""Decode an image file at the smallest size that will do, with the one decoder it asks for.

In: a file's bytes and what `sniff` says they are. Out: a small RGB picture, still as it lies in
the file, with the file's full size and EXIF block; or an `UnreadablePhotoError`. Blocks.

The decoder is chosen from a closed list, by class: `Image.open` tries every plugin it knows,
and one of them runs Ghostscript. What these decoders raise on damaged and odd files is a list
too, and a broad one: no photo may end a run.
"""

from __future__ import annotations

import logging
import os
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple, cast

from xintu_cli.errors import UnreadablePhotoError
from xintu_cli.imaging.encode import size_within
from xintu_cli.imaging.formats import ImageFormat
from xintu_cli.imaging.pixels import small_rgb
from xintu_cli.imaging.png import part_png
from xintu_cli.imaging.room import Room
from xintu_cli.imaging.scans import is_in_one_scan, refuse_endless_scans
from xintu_cli.imaging.tiff import refuse_endless_directory

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

_BYTES_PER_PIXEL = {ImageFormat.WEBP: 16.0, ImageFormat.AVIF: 13.0, ImageFormat.HEIC: 7.0}
"""Measured peak of a decode where it is more than Pillow's own 4 bytes and a band's copies:
libwebp keeps two canvases and hands over a third."""
_BYTES_PER_DEEP_PIXEL = 16.0
_BYTES_PER_PLAIN_PIXEL = 4.5
_BYTES_PER_WHOLE_FRAME_PIXEL = 6.0

_MOST_BYTES = 1_000_000_000
"""What one decode may take: 100 megapixels in most formats, 62 in WebP and in HEIC with 10 bits
(cameras: 61), 76 in AVIF."""

_ROOM_BYTES = 200_000_000
"""What decodes may take together, a core: two of 500 MB, as of cameras' HEIC with 10 bits, come one
after the other, and nothing beside them."""

_NEAR_ENOUGH = 0.97
"""A JPEG is decoded at 1/2, 1/4 or 1/8 of its size while that leaves this much of `edge`.
Cameras' 4000 and 4032 px give 1000 and 1008 for a wanted 1024, in 36 ms instead of 57."""

_SHRINKING_FACTOR = 2.5
"""How many times the pixel limit a JPEG may have that is shrunk while it is decoded band by
band: phones take 108 and 200 megapixels, of which 3 are decoded, in half a second and 25 MB."""

_DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)
"""What Pillow itself takes for damage when it opens a file, what loading half a million damaged
ones brought (OSError, ValueError, and RuntimeError from libavif and libheif), and what else
foreign code raises where a file has something it never met."""

_CUT_SHORT = ("truncated", "end of file", "end of data", "broken data stream", "not enough")

_room = Room(_ROOM_BYTES * (os.cpu_count() or 1))

# Pillow tells of odd files by warnings and by logging, both of which end on stderr in the middle
# of a progress display.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())


class Loaded(NamedTuple):
    """`small` is at most the wanted edge; `width` and `height` are the full picture's."""

    small: Image
    width: int
    height: int
    exif_block: bytes


def load_small(data: bytes, image_format: ImageFormat, *, edge: int, pixel_limit: int) -> Loaded:
    """Decode to RGB with a longest edge of at most `edge`.

    Raises `UnreadablePhotoError`: damaged, truncated, more than `pixel_limit` pixels.
    """
    try:
        return _load_small(data, image_format, edge, pixel_limit)
    except MemoryError as error:
        raise UnreadablePhotoError("not enough memory to decode it", lasting=False) from error


def _load_small(data: bytes, image_format: ImageFormat, edge: int, pixel_limit: int) -> Loaded:
    is_in_bands = image_format is not ImageFormat.JPEG or is_in_one_scan(data)
    if image_format is ImageFormat.TIFF:
        refuse_endless_directory(data)
    with _translated_errors(data, image_format):
        image = _opened(data, image_format)
        width, height = image.size
        is_drafted = _draft(image, image_format, edge)
    if not is_in_bands:
        refuse_endless_scans(data, width * height)
        needed_bytes = _BYTES_PER_WHOLE_FRAME_PIXEL * width * height
    else:
        needed_bytes = _needed_bytes(image, image_format, width * height)
        if image_format is ImageFormat.JPEG and is_drafted:
            pixel_limit = int(pixel_limit * _SHRINKING_FACTOR)
    if width * height > pixel_limit or needed_bytes > _MOST_BYTES:
        raise UnreadablePhotoError(f"too large ({width}×{height})")
    with _room.taken(int(needed_bytes)):
        with _translated_errors(data, image_format):
            image.load()
        if image.mode == "P" and image.palette is None:
            raise UnreadablePhotoError(f"damaged {image_format.name}: it has no palette")
        if not is_drafted:  # Pillow may turn a TIFF only now, and HEIC may mend its size
            width, height = image.size
        with _translated_errors(data, image_format):
            small = small_rgb(image, edge)
    exif_block = image.info.get("exif")
    return Loaded(small, width, height, exif_block if isinstance(exif_block, bytes) else b"")


def _opened(data: bytes, image_format: ImageFormat) -> ImageFile:
    """Read a file's header with the one decoder that its content asks for."""
    stream = BytesIO(data)
    match image_format:
        case ImageFormat.JPEG:
            from PIL.JpegImagePlugin import JpegImageFile

            return JpegImageFile(stream)
        case ImageFormat.PNG:
            from PIL.PngImagePlugin import PngImageFile

            picture, exif_block = part_png(data)
            image = PngImageFile(BytesIO(picture))
            image.info["exif"] = exif_block
            return image
        case ImageFormat.WEBP:
            from PIL.WebPImagePlugin import WebPImageFile

            return WebPImageFile(stream)
        case ImageFormat.GIF:
            from PIL.GifImagePlugin import GifImageFile

            return GifImageFile(stream)
        case ImageFormat.TIFF:
            from PIL.TiffImagePlugin import TiffImageFile

            _silence_libtiff()
            return TiffImageFile(stream)
        case ImageFormat.BMP:
            from PIL.BmpImagePlugin import BmpImageFile

            return BmpImageFile(stream)
        case ImageFormat.HEIC:
            from pillow_heif import HeifImageFile

            return cast("ImageFile", HeifImageFile(stream))  # type: ignore[no-untyped-call]
        case ImageFormat.AVIF:
            from PIL.AvifImagePlugin import AvifImageFile

            return AvifImageFile(stream)


def _draft(image: ImageFile, image_format: ImageFormat, edge: int) -> bool:
    """Have the decoder make a smaller picture where it can; tell whether it will."""
    longest = max(image.size)
    if image_format is ImageFormat.JPEG:
        for scale in (8, 4, 2):
            if longest / scale >= edge * _NEAR_ENOUGH:
                wanted = longest // scale
                # Pillow takes the smaller of both sides' ratios: let the longest one decide.
                size = (wanted, 1) if image.width == longest else (1, wanted)
                return image.draft(None, size) is not None
        return False
    if image_format is ImageFormat.HEIC and longest > edge:
        # The thumbnail that phones embed, if it is large enough.
        return image.draft(None, size_within(image.size, edge)) is not None
    return False


def _needed_bytes(image: ImageFile, image_format: ImageFormat, pixels: int) -> float:
    """Estimate what a decode takes at most; `image` may be drafted to fewer than `pixels`."""
    if image_format is ImageFormat.HEIC and image.info.get("bit_depth", 8) > 8:
        return _BYTES_PER_DEEP_PIXEL * pixels
    per_pixel = _BYTES_PER_PIXEL.get(image_format, _BYTES_PER_PLAIN_PIXEL)
    return per_pixel * image.width * image.height


@cache
def _silence_libtiff() -> None:
    """Stop libtiff from writing about odd files to stderr, where the progress display is.

    Pillow does not offer it, but looking a symbol up in its module finds the libtiff it is
    linked with. Where that is not so (Windows), libtiff keeps talking.
    """
    import ctypes

    from PIL import _imaging

    library = ctypes.CDLL(_imaging.__file__)
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        set_handler = getattr(library, name, None)
        if set_handler is not None:
            set_handler(ctypes.c_void_p(None))


@contextmanager
def _translated_errors(data: bytes, image_format: ImageFormat) -> Iterator[None]:
    """Turn what Pillow and its decoders raise into a reason that people can read."""
    from PIL.Image import DecompressionBombError

    try:
        yield
    except DecompressionBombError as error:
        pixels = re.search(r"(\d+) pixels", str(error))
        size = f" ({int(pixels[1]) // 1_000_000} megapixels)" if pixels else ""
        raise UnreadablePhotoError(f"too large{size}") from error
    except _DAMAGED as error:
        reason = "truncated" if _ends_early(data, image_format) else _damage(error, image_format)
        raise UnreadablePhotoError(reason) from error


def _ends_early(data: bytes, image_format: ImageFormat) -> bool:
    """Tell whether a WebP or AVIF says that it is longer: their decoders only say they fail."""
    if image_format is ImageFormat.WEBP:
        return 8 + int.from_bytes(data[4:8], "little") > len(data) + 1
    at = 0
    while image_format is ImageFormat.AVIF and at + 8 <= len(data):
        box_size = int.from_bytes(data[at : at + 4], "big")
        if box_size < 8:  # up to the end, or of more than 4 GB, or no box at all
            return False
        at += box_size
    return at > len(data)


def _damage(error: Exception, image_format: ImageFormat) -> str:
    said = "".join(char if char.isprintable() else " " for char in str(error)).strip()
    ends_early = isinstance(error.__cause__, (EOFError, IndexError, struct.error))
    if ends_early or any(sign in said.lower() for sign in _CUT_SHORT):
        return "truncated"
    if said.startswith("broken PNG file"):
        return "damaged PNG"  # what follows is for programmers: b'\x0f\x93…'
    is_unidentified = "not identified" in said
    if image_format is ImageFormat.JPEG and (is_unidentified or "cannot load" in said):
        return "truncated"  # Pillow came to the end before a frame or a scan
    # A bare number, a decoder's "not mine" or "0-bit layers" tells people nothing.
    if (
        is_unidentified
        or said.startswith("cannot handle 0-")
        or not any(char.isalpha() for char in said)
    ):
        return f"damaged {image_format.name}"
    return f"cannot decode this {image_format.name}: {said[:120]}"
