"""Name the colour of a picture's background: one of ten names.

In: an RGB picture. Out: a key of `COLOR_NAMES`.

Method: the picture is shrunk to 32 × 32; the frame of its outermost four pixels is the
background, but for the bottom, where a portrait has its shoulders. Every pixel of the frame
votes for the name of its colour; the name with most votes wins, the earlier of the table in a
tie. Colours are named by lightness and saturation first (black, white, grey), then by hue,
with bounds set where people change the word: dark yellow is still yellow, pale red is pink.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

COLOR_NAMES = {
    "orange": "橙",
    "blue": "蓝",
    "red": "红",
    "green": "绿",
    "purple": "紫",
    "pink": "粉",
    "yellow": "黄",
    "grey": "灰",
    "black": "黑",
    "white": "白",
}
"""Every background colour: what is stored, and its Chinese name."""

_EDGE = 32
_FRAME = 4
_SAMPLE_EDGE = 128
"""Picked without filtering before the exact shrink: a vote does not need all pixels, and a
1024 px picture takes 0.3 ms instead of 3."""

# Upper bounds of hue in degrees; red begins again where pink ends.
_HUES = (
    (14, "red"),
    (45, "orange"),
    (70, "yellow"),
    (165, "green"),
    (258, "blue"),
    (298, "purple"),
    (342, "pink"),
    (360, "red"),
)

_LEAST_SATURATION = 0.24
_LEAST_SATURATION_PALE = 0.115


def background_color(image: Image) -> str:
    """Return the name of the background's colour."""
    from PIL.Image import Resampling

    sample = (min(image.width, _SAMPLE_EDGE), min(image.height, _SAMPLE_EDGE))
    tiny = image.resize(sample, Resampling.NEAREST).resize((_EDGE, _EDGE), Resampling.BOX)
    pixels = tiny.tobytes()
    votes: Counter[str] = Counter()
    for row in range(_EDGE - _FRAME):
        start, end = row * _EDGE * 3, (row + 1) * _EDGE * 3
        if row < _FRAME:
            spans: tuple[tuple[int, int], ...] = ((start, end),)
        else:
            spans = ((start, start + _FRAME * 3), (end - _FRAME * 3, end))
        for first, last in spans:
            for at in range(first, last, 3):
                # Sixteen levels a channel: few enough colours that almost all are remembered.
                votes[_name(pixels[at] >> 4, pixels[at + 1] >> 4, pixels[at + 2] >> 4)] += 1
    return max(COLOR_NAMES, key=votes.__getitem__)


@lru_cache(maxsize=4096)
def _name(red: int, green: int, blue: int) -> str:
    return color_name(red * 17, green * 17, blue * 17)


def color_name(red: int, green: int, blue: int) -> str:
    """Name one colour; channels are 0 to 255 (sRGB)."""
    high, low = max(red, green, blue), min(red, green, blue)
    chroma = high - low
    if high < 48:
        return "black"
    # Saturation means little in the dark, and much in a pale colour: a shadow of chroma 20 is
    # black, slate is called grey, but the faintest pink is pink.
    least_saturation = _LEAST_SATURATION_PALE if high >= 224 else _LEAST_SATURATION
    if chroma < 24 or chroma / high < least_saturation:
        return "black" if high < 64 else "white" if low >= 208 else "grey"
    hue = _hue_degrees(red, green, blue)
    name = next(name for bound, name in _HUES if hue <= bound)
    if name == "red" and low >= 144 and high >= 208:
        return "pink"
    if name == "pink" and high < 168:  # nobody calls plum or burgundy pink
        return "purple" if hue < 320 else "red"
    return name


def _hue_degrees(red: int, green: int, blue: int) -> float:
    """Return the hue of HSV, 0 (red) to 360; the colour must not be a grey."""
    high, low = max(red, green, blue), min(red, green, blue)
    chroma = high - low
    if high == red:
        return (60 * (green - blue) / chroma) % 360
    if high == green:
        return 60 * (blue - red) / chroma + 120
    return 60 * (red - green) / chroma + 240
