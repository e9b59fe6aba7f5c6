"""The identity of a photo: XXH3-128 of its image-bearing bytes (design, section 5).

In: a whole file. Out: 32 hex digits that stay when another program writes keywords, ratings
or GPS into the file, and change when the picture does.

One principle: no byte is left out unless it is known to be metadata. A file whose structure
does not account for every byte is hashed whole. What is hashed is prefixed by a tag, so that
no JPEG can have the hash of some PNG. Changing anything here makes new identities: raise
`taxonomy.HASH_VERSION` then.

Pure Python on purpose: the walk over a camera's dozen segments takes 4 µs, and only slices of
a memoryview are made, so a large file is never copied.
"""

from __future__ import annotations

import re
from struct import Struct
from struct import error as StructError  # noqa: N812 - its own name says nothing here

from xxhash import xxh3_128

_WHOLE_FILE = b"xintu:file:"
_JPEG = b"xintu:jpeg:"
_PNG = b"xintu:png:"
_WEBP = b"xintu:webp:"

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_IMAGE_CHUNKS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"acTL", b"fcTL", b"fdAT"))
_WEBP_IMAGE_CHUNKS = frozenset((b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"))
_WEBP_PIXEL_CHUNKS = frozenset((b"VP8 ", b"VP8L", b"ANMF"))

_segment = Struct(">HH").unpack_from
_png_chunk = Struct(">I4s").unpack_from
_riff_chunk = Struct("<4sI").unpack_from
_fill = re.compile(rb"\xff*").match

_SOF0 = 0xFFC0
_RST0 = 0xFFD0
_EOI = 0xFFD9
_SOS = 0xFFDA
_APP0 = 0xFFE0
_APP14 = 0xFFEE
_APP15 = 0xFFEF
_COM = 0xFFFE
_FILLED = 0xFFFF


def image_hash(data: bytes) -> str:
    """Return the image hash of a file's bytes, 32 hex digits."""
    digest = None
    if data.startswith(b"\xff\xd8\xff"):
        digest = _digest_jpeg(data)
    elif data.startswith(_PNG_SIGNATURE):
        digest = _digest_png(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        digest = _digest_webp(data)
    if digest is None:
        digest = xxh3_128(_WHOLE_FILE)
        digest.update(data)
    return digest.hexdigest()


def _digest_jpeg(data: bytes) -> xxh3_128 | None:
    """Digest all but APP0–APP13, APP15, COM and fill bytes; None if it is no exact JPEG.

    APP14 stays: it says how the colours were transformed. From the first SOS on everything
    stays: the scans, and whatever a phone appends (the other pictures of an MPO, a video).
    """
    digest = xxh3_128(_JPEG)
    view = memoryview(data)
    size = len(data)
    kept_from = 0
    at = 2
    try:
        while True:
            marker, length = _segment(data, at)
            if marker == _FILLED:  # a marker may be preceded by any number of 0xFF
                digest.update(view[kept_from:at])
                at = kept_from = _end_of_fill(data, at) - 1
                continue
            end = at + 2 + length
            has_length = _SOF0 <= marker < _RST0 or _EOI < marker <= _COM
            if not has_length or length < 2 or end > size:
                return None
            if marker == _SOS:
                digest.update(view[kept_from:])
                return digest
            if marker == _COM or (_APP0 <= marker <= _APP15 and marker != _APP14):
                if kept_from < at:
                    digest.update(view[kept_from:at])
                kept_from = end
            at = end
    except StructError:
        return None


def _end_of_fill(data: bytes, at: int) -> int:
    match = _fill(data, at)
    assert match  # a star matches anywhere
    return match.end()


def _digest_png(data: bytes) -> xxh3_128 | None:
    """Digest the signature and the chunks that make the picture; None if it is no exact PNG.

    Exact: chunks without a gap from IHDR to IEND, pixels among them, nothing after IEND.
    """
    digest = xxh3_128(_PNG)
    view = memoryview(data)
    size = len(data)
    kept_from = 0
    at = 8
    has_pixels = False
    try:
        while True:
            length, kind = _png_chunk(data, at)
            end = at + 12 + length
            if end > size or (at == 8) != (kind == b"IHDR"):
                return None
            if kind not in _PNG_IMAGE_CHUNKS:
                if kept_from < at:
                    digest.update(view[kept_from:at])
                kept_from = end
                if kind == b"IEND":
                    return digest if has_pixels and length == 0 and end == size else None
            elif kind == b"IDAT":
                has_pixels = True
            at = end
    except StructError:
        return None


def _digest_webp(data: bytes) -> xxh3_128 | None:
    """Digest the chunks that make the picture; None if it is no exact WebP.

    Tools add VP8X to hold metadata and set flags there: of it the canvas (6 bytes) counts, and
    only in an animation, whose frames are placed upon it.
    """
    digest = xxh3_128(_WEBP)
    view = memoryview(data)
    size = len(data)
    riff_end = 8 + int.from_bytes(data[4:8], "little")
    canvas = view[:0]
    has_pixels = False
    at = 12
    try:
        while at < riff_end:
            kind, length = _riff_chunk(data, at)
            end = at + 8 + length
            if end > min(size, riff_end):
                return None
            if kind in _WEBP_IMAGE_CHUNKS:
                digest.update(view[at:end])
                has_pixels = has_pixels or kind in _WEBP_PIXEL_CHUNKS
                if kind == b"ANIM":
                    digest.update(canvas)
            elif kind == b"VP8X":
                if at != 12 or length != 10:
                    return None
                canvas = view[at + 12 : end]
            at = end + (length & 1)
    except StructError:
        return None
    # Some writers leave out the padding byte of the last chunk, or do not count it.
    return digest if has_pixels and riff_end in (at, at - 1) and size in (at, riff_end) else None
