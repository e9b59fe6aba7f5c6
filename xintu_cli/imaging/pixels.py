"""Turn any of Pillow's modes into a small RGB picture, in bounded memory.

In: a loaded picture of up to the pixel limit. Out: RGB without `info`, transparent parts white.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from xintu_cli.imaging.encode import shrunk

if TYPE_CHECKING:
    from PIL.Image import Image

_BAND_PIXELS = 4_000_000
"""A conversion makes up to three copies at 4 bytes a pixel: in bands that is 50 MB, for a
whole picture of 100 megapixels it would be 1.2 GB."""

_RANGE_SAMPLE_EDGE = 512

_GAP = 2.0
"""Averaging over whole pixels stops at twice the wanted size; a real filter does the rest."""


def small_rgb(image: Image, edge: int) -> Image:
    """Return the picture as RGB with its longest edge at most `edge`."""
    to_rgb = _conversion(image)
    factor = int(max(image.size) / (edge * _GAP))
    if factor > 1:
        image = _reduced(image, factor, to_rgb)
    elif to_rgb is not None:
        image = to_rgb(image)
    small = shrunk(image, edge)
    if small is image:
        small = image.copy()  # lets go of the decoder and the file's bytes
    small.info.clear()
    return small


def _reduced(image: Image, factor: int, to_rgb: Callable[[Image], Image] | None) -> Image:
    from PIL.Image import new

    if to_rgb is None:
        return image.reduce(factor)
    width, height = image.size
    reduced = new("RGB", (math.ceil(width / factor), math.ceil(height / factor)))
    rows = max(1, _BAND_PIXELS // (width * factor)) * factor
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height)))
        reduced.paste(to_rgb(band).reduce(factor), (0, top // factor))
    return reduced


def _conversion(image: Image) -> Callable[[Image], Image] | None:
    """Choose how this picture, and any band of it, becomes RGB; None if it is already."""
    if image.has_transparency_data:
        return _over_white
    if image.mode == "RGB":
        return None
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return _stretch(image)
    return lambda part: part.convert("RGB")


def _over_white(image: Image) -> Image:
    from PIL.Image import new

    # A palette with alpha per entry, a key colour and grey with alpha all become RGBA first;
    # grey that is multiplied with its alpha (TIFF) has one way out.
    if image.mode == "La":
        image = image.convert("LA")
    picture = image if image.mode == "RGBA" else image.convert("RGBA")
    canvas = new("RGB", picture.size, "white")
    canvas.paste(picture, mask=picture.getchannel("A"))
    return canvas


def _stretch(image: Image) -> Callable[[Image], Image]:
    """Map values deeper than 8 bits to 0..255 by the whole picture's range.

    Scanners write 12 bits into 16, measurements any range; Pillow's own conversion clips.
    """
    low, high = _range(image)
    scale = 255.0 / (high - low)

    def convert(part: Image) -> Image:
        values = part.convert("F")
        return values.point(lambda value: value * scale - low * scale).convert("L").convert("RGB")

    return convert


def _range(image: Image) -> tuple[float, float]:
    """Return what is to be black and white: zero and full scale where the values allow it.

    A sample tells enough, and big-endian modes can do little more than be sampled.
    """
    from PIL.Image import Resampling

    sample = (min(image.width, _RANGE_SAMPLE_EDGE), min(image.height, _RANGE_SAMPLE_EDGE))
    extrema = image.resize(sample, Resampling.NEAREST).convert("F").getextrema()
    low, high = cast("tuple[float, float]", extrema)
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 255.0
    if image.mode == "F" and low >= 0.0 and 0.0 < high <= 1.0:
        return 0.0, 1.0
    return min(low, 0.0), max(high, 255.0)
