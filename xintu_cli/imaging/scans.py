"""How a JPEG is laid out: that decides what opening and decoding it cost.

In: a JPEG's bytes. Out: whether it can be decoded band by band; an `UnreadablePhotoError` where
it asks for minutes.
"""

from __future__ import annotations

import re
from struct import Struct

from xintu_cli.errors import UnreadablePhotoError

_MOST_SCANNED_PIXELS = 2_000_000_000
"""Each scan of a progressive JPEG is a pass over all its pixels. There are about ten; a file
of 1 MB can ask for a thousand, and for minutes."""

_SCAN = re.compile(rb"\xff\xda\x00[\x08\x0a\x0c\x0e]")
_MOST_SEGMENTS = 20_000
"""Pillow keeps them all: of a file of 50 MB that is nothing but comments it makes 860 MB. The
depth maps that phones write take some hundreds."""
_MOST_FILL_BYTES = 1_000_000
"""Pillow reads them one by one: 50 MB of them in 16 seconds."""

_ALL_PADDING = "nothing but padding before its picture"

_IN_ONE_SCAN_FRAMES = frozenset((0xFFC0, 0xFFC1, 0xFFC9))
_SOS = 0xFFDA
_FILLED = 0xFFFF
_STUFFED = 0xFF00

_segment = Struct(">HH").unpack_from
_fill = re.compile(rb"\xff+").match


def is_in_one_scan(data: bytes) -> bool:
    """Tell whether one scan holds all colours, so that no decoder keeps the whole frame.

    A progressive JPEG, or a baseline one with a scan per colour, costs 6 bytes a pixel at any
    size it is decoded at. A JPEG that is not understood is taken for one of those.
    Raises `UnreadablePhotoError` for one that is all segments or fill bytes.
    """
    at = 2
    colours = segments = fill = 0
    while at + 5 <= len(data):
        marker, length = _segment(data, at)
        segments += 1
        if segments > _MOST_SEGMENTS:
            raise UnreadablePhotoError(_ALL_PADDING)
        if marker == _STUFFED:  # decoders pass over it
            at += 2
            continue
        if marker == _FILLED:  # a marker may be preceded by any number of 0xFF
            end = _end_of_fill(data, at)
            fill += end - at
            if fill > _MOST_FILL_BYTES:
                raise UnreadablePhotoError(_ALL_PADDING)
            at = end
            continue
        if marker in _IN_ONE_SCAN_FRAMES and at + 10 <= len(data):
            colours = data[at + 9]
        elif marker == _SOS:
            return data[at + 4] == colours > 0
        at += 2 + length
    return False


def _end_of_fill(data: bytes, at: int) -> int:
    """Return where the marker begins that follows any number of 0xFF."""
    match = _fill(data, at)
    assert match  # there is one at least
    return match.end() - 1


def refuse_endless_scans(data: bytes, pixels: int) -> None:
    """Raise `UnreadablePhotoError` where a progressive JPEG has more scans than anybody needs."""
    scans = len(_SCAN.findall(data))
    if scans * pixels > _MOST_SCANNED_PIXELS:
        raise UnreadablePhotoError(
            f"too many scans ({scans} over {pixels // 1_000_000} megapixels)"
        )
