"""Look into a TIFF's first directory before Pillow does: it believes whatever counts stand there.

In: a TIFF. Out: nothing, or an `UnreadablePhotoError` where a file of some megabytes would be
taken for millions of strips or values: of 24 MB Pillow makes a gigabyte before it knows the size.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError  # noqa: N812 - its own name says nothing here

from xintu_cli.errors import UnreadablePhotoError

_MOST_VALUES = 400_000
"""Enough for 100 megapixels in tiles of 16 by 16, or in strips of a row each."""

_FIRST_PRIVATE = 700

_KEPT_AS_BYTES = frozenset((1, 2, 7))
"""BYTE, ASCII and UNDEFINED: profiles, XMP and thumbnails, of which no numbers are made."""


def refuse_endless_directory(data: bytes) -> None:
    """Raise `UnreadablePhotoError` where a tag of the first directory has too many values."""
    order = "<" if data.startswith(b"II") else ">"
    is_big = data[2:4] in (b"+\0", b"\0+")
    offset, count = (
        (Struct(order + "Q"), Struct(order + "Q"))
        if is_big
        else (
            Struct(order + "I"),
            Struct(order + "H"),
        )
    )
    entry = Struct(order + ("HHQ8s" if is_big else "HHI4s"))
    try:
        (at,) = offset.unpack_from(data, 8 if is_big else 4)
        (entries,) = count.unpack_from(data, at)
        at += count.size
        for number in range(min(entries, _MOST_VALUES)):
            tag, kind, values, _where = entry.unpack_from(data, at + number * entry.size)
            # Tags beyond are not read to open a file, and measurements may have many values.
            if tag < _FIRST_PRIVATE and kind not in _KEPT_AS_BYTES and values > _MOST_VALUES:
                raise UnreadablePhotoError(f"too many values in tag {tag} ({values:,})")
    except (OverflowError, StructError):
        return  # Pillow says what is wrong
