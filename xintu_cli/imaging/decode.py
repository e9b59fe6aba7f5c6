"""Decode a photo's bytes: upright, RGB, at most `edge` pixels, or a reason why not.

In: the bytes that were hashed. Out: a `Decoded` (the `DecodedPhoto` of the interfaces).
Everything here blocks (a 12 MP JPEG: 35 to 60 ms) and lets go of the GIL meanwhile.

Colours stay as the file has them: phones' Display P3 read as sRGB is a little pale, which no
classifier minds, and a conversion would cost as much as the JPEG sent.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from xintu_cli.errors import UnreadablePhotoError
from xintu_cli.imaging.color import background_color
from xintu_cli.imaging.decoders import load_small
from xintu_cli.imaging.encode import encode_jpeg
from xintu_cli.imaging.exif import read_exif
from xintu_cli.imaging.formats import HEAD_BYTES, ImageFormat, sniff, why_not_image
from xintu_cli.records import PhotoFacts

if TYPE_CHECKING:
    from PIL.Image import Image

PIXEL_LIMIT = 100_000_000
"""More pixels than any camera takes in one go, and still 400 MB when decoded."""


class Decoded:
    """An upright RGB picture; implements `interfaces.DecodedPhoto`.

    Used by one thread at a time. Holds the pixels (3 MB at 1024 px), the last JPEG made of
    them, or after `compact` that JPEG alone.
    """

    __slots__ = ("_facts", "_image", "_image_hash", "_jpeg", "_jpeg_limits")

    def __init__(self, image: Image, *, image_hash: str, facts: PhotoFacts) -> None:
        self._image: Image | None = image
        self._image_hash = image_hash
        self._facts = facts
        self._jpeg = b""
        self._jpeg_limits = (0, 0)

    @property
    def image_hash(self) -> str:
        """The image hash of the bytes this was decoded from."""
        return self._image_hash

    @property
    def facts(self) -> PhotoFacts:
        """Width and height of the original (upright), camera time, background colour."""
        return self._facts

    def image(self) -> Image:
        """Return the picture, not to be changed; after `compact` it is decoded anew."""
        if self._image is not None:
            return self._image
        from PIL.JpegImagePlugin import JpegImageFile

        image = JpegImageFile(BytesIO(self._jpeg))
        image.load()
        return image

    def jpeg(self, *, max_edge: int, max_bytes: int) -> bytes:
        """Return the picture as a JPEG without metadata, within both limits.

        A second attempt with the same limits gets the same bytes for nothing.
        """
        if self._has_jpeg_for(max_edge, max_bytes):
            return self._jpeg
        jpeg = encode_jpeg(self.image(), max_edge=max_edge, max_bytes=max_bytes)
        if self._image is not None:  # else a smaller one must not replace all we have
            self._jpeg = jpeg
            self._jpeg_limits = (max_edge, max_bytes)
        return jpeg

    def compact(self, *, max_edge: int, max_bytes: int) -> None:
        """Keep the JPEG alone."""
        self.jpeg(max_edge=max_edge, max_bytes=max_bytes)
        self._image = None

    def _has_jpeg_for(self, max_edge: int, max_bytes: int) -> bool:
        made_edge, made_bytes = self._jpeg_limits
        if self._image is not None:
            return (made_edge, made_bytes) == (max_edge, max_bytes)
        return made_edge <= max_edge and len(self._jpeg) <= max_bytes


def decode(data: bytes, *, image_hash: str, edge: int, pixel_limit: int = PIXEL_LIMIT) -> Decoded:
    """Decode a photo for a longest edge of `edge` pixels; a smaller one keeps its size.

    Raises `UnreadablePhotoError`: not an image, damaged, truncated, or too large.
    """
    image_format = sniff(data[:HEAD_BYTES])
    if image_format is None:
        raise UnreadablePhotoError(why_not_image(data[:256]))
    loaded = load_small(data, image_format, edge=edge, pixel_limit=pixel_limit)
    if image_format is ImageFormat.TIFF:
        # The file is its own EXIF block, and Pillow has turned the picture upright already.
        exif = read_exif(data)._replace(orientation=1)
    else:
        exif = read_exif(loaded.exif_block)
    upright = _upright(loaded.small, exif.orientation)
    width, height = loaded.width, loaded.height
    if exif.orientation >= 5:
        width, height = height, width
    facts = PhotoFacts(width, height, exif.taken_at, background_color(upright))
    return Decoded(upright, image_hash=image_hash, facts=facts)


def _upright(image: Image, orientation: int) -> Image:
    """Undo the camera's rotation; the eight orientations are those of Exif 3.0, 4.6.5.1.1."""
    from PIL.Image import Transpose

    method = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(orientation)
    return image if method is None else image.transpose(method)
