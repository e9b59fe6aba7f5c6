"""Part a PNG into what makes its first picture and its EXIF block.

In: a PNG. Out: the same picture as a PNG without the rest, which would only do harm: texts of
any size (1 MB of XMP and decompression bombs alike stop Pillow), ancillary chunks with a broken
checksum (every viewer skips them), animation chunks that contradict each other.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from xintu_cli.errors import UnreadablePhotoError

_PICTURE = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))
_MOST_CHUNKS = 200_000
"""Some writers make IDAT chunks of 8 kB: enough for 1.6 GB."""

_chunk = Struct(">I4s").unpack_from


class PngParts(NamedTuple):
    """The PNG a decoder is to see, and the content of the first eXIf chunk."""

    picture: bytes
    exif_block: bytes


def part_png(data: bytes) -> PngParts:
    """Part a PNG; from the first damaged chunk on, the picture has everything as it was.

    Raises `UnreadablePhotoError` for one of more chunks than anybody writes: Pillow would keep
    them all, 520 MB for a file of 50 MB.
    """
    kept = [data[:8]]
    exif_block = b""
    kept_from = at = 8
    for _ in range(_MOST_CHUNKS):
        if at + 12 > len(data):
            break
        length, kind = _chunk(data, at)
        end = at + 12 + length
        if end > len(data) or not kind.isalpha():
            break
        if kind not in _PICTURE:
            kept.append(data[kept_from:at])
            kept_from = end
            if kind == b"eXIf":
                exif_block = exif_block or data[at + 8 : end - 4]
        at = end
    else:
        raise UnreadablePhotoError("nothing but chunks without a picture")
    kept.append(data[kept_from:])
    return PngParts(b"".join(kept) if len(kept) > 2 else data, exif_block)
