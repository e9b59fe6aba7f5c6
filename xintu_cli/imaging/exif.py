"""Read the two things we want of EXIF: which way is up, and when the picture was taken.

In: an EXIF block (a small TIFF; the `Exif` marker before it is skipped) or a TIFF file. Out: an
`Exif`; whatever is wrong with the block, the fields just stay at their defaults.

Not Pillow's reader: that one parses every tag, reads what offsets point to wherever that is,
and speaks through `warnings`, which worker threads share.
Layout and tag numbers: TIFF 6.0, section 2; CIPA DC-008 (Exif 3.0), 4.6.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

_ORIENTATION = 0x0112
_EXIF_IFD = 0x8769
_DATE_TIME_ORIGINAL = 0x9003

_SHORT = 3
_MOST_ENTRIES = 1024
"""No camera writes a tenth of it; a damaged count can claim 65 535."""

_TIME = re.compile(rb"(\d{4})[:/.-](\d\d)[:/.-](\d\d)[ T](\d\d):(\d\d):(\d\d)")


class Exif(NamedTuple):
    """`orientation` is 1 to 8 (1: upright); `taken_at` naive ISO 8601, the camera's own time."""

    orientation: int = 1
    taken_at: str | None = None


class _Entry(NamedTuple):
    tag: int
    kind: int
    length: int
    value: bytes
    """Four bytes: the value itself, or its offset if it is longer."""


def read_exif(block: bytes) -> Exif:
    """Return orientation and time of an EXIF block; bad or missing ones are as if not there."""
    block = block.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return Exif()
    orientation, taken_at = 1, None
    try:
        (first,) = struct.unpack_from(f"{order}I", block, 4)
        for entry in _entries(block, order, first):
            if entry.tag == _ORIENTATION and entry.kind == _SHORT:
                (value,) = struct.unpack_from(f"{order}H", entry.value)
                orientation = value if 1 <= value <= 8 else 1
            elif entry.tag == _EXIF_IFD:
                (offset,) = struct.unpack(f"{order}I", entry.value)
                taken_at = _taken_at(block, order, offset)
    except struct.error:  # the block ends before its directory does
        pass
    return Exif(orientation, taken_at)


def _taken_at(block: bytes, order: str, offset: int) -> str | None:
    for entry in _entries(block, order, offset):
        if entry.tag == _DATE_TIME_ORIGINAL and entry.length >= 19:
            (at,) = struct.unpack(f"{order}I", entry.value)
            return _iso_time(block[at : at + 19])
    return None


def _entries(block: bytes, order: str, offset: int) -> Iterator[_Entry]:
    (count,) = struct.unpack_from(f"{order}H", block, offset)
    layout = struct.Struct(f"{order}HHI4s")
    for number in range(min(count, _MOST_ENTRIES)):
        yield _Entry(*layout.unpack_from(block, offset + 2 + 12 * number))


def _iso_time(text: bytes) -> str | None:
    """Turn `2024:05:01 12:30:00` into ISO 8601; None for zeros, blanks and impossible dates."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    try:
        return datetime(*map(int, match.groups())).isoformat()  # type: ignore[arg-type] # noqa: DTZ001
    except ValueError:
        return None
