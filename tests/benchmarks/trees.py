"""Make folders of many photos, every one a valid JPEG that no other one equals.

The picture is encoded once; each file differs in entries of its first quantisation table,
which belong to the image-bearing bytes. A hundred thousand files take a few seconds.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

_PER_DIRECTORY = 500
_DIGITS = 200
"""A table's entry is a byte that may not be 0; 200 of its values are digits enough."""


def encode(width: int, height: int, quality: int = 80) -> bytes:
    """Return a JPEG with detail everywhere, like a photo and unlike a plain colour."""
    gradient = Image.linear_gradient("L").resize((width, height))
    detail = Image.effect_mandelbrot((width, height), (-2.2, -1.2, 0.9, 1.2), 60)
    noise = Image.effect_noise((width, height), 24)
    buffer = io.BytesIO()
    Image.merge("RGB", (gradient, detail, noise)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def variants(jpeg: bytes, count: int) -> Iterator[bytes]:
    """Yield `count` JPEGs that decode to nearly the same picture but are all different."""
    # Marker, length, precision and number of the table: its 64 entries begin 5 bytes on.
    table = jpeg.index(b"\xff\xdb") + 5
    # The entries of the highest frequencies come last, where a change is not seen.
    changed = bytearray(jpeg)
    for number in range(count):
        for place, digit in enumerate(
            (number % _DIGITS, number // _DIGITS % _DIGITS, number // _DIGITS**2)
        ):
            changed[table + 63 - place] = digit + 1
        yield bytes(changed)


def small_photos(root: Path, count: int) -> Path:
    """Fill `root` with `count` different photos of a few hundred bytes."""
    for number, content in enumerate(variants(encode(24, 18, quality=30), count)):
        directory = root / f"{number // _PER_DIRECTORY:05d}"
        if number % _PER_DIRECTORY == 0:
            directory.mkdir(parents=True)
        (directory / f"photo-{number:07d}.jpg").write_bytes(content)
    return root


def large_photos(root: Path, count: int) -> Path:
    """Fill `root` with `count` different photos of 12 megapixels, 3 MB each."""
    root.mkdir(parents=True)
    for number, content in enumerate(variants(encode(4032, 3024, quality=92), count)):
        (root / f"photo-{number:04d}.jpg").write_bytes(content)
    return root


def linked_photos(root: Path, count: int, originals: int) -> Path:
    """Fill `root` with `count` names of `originals` different photos, by hard links."""
    contents = list(variants(encode(24, 18, quality=30), originals))
    sources = [root / "originals" / f"photo-{number:05d}.jpg" for number in range(originals)]
    sources[0].parent.mkdir(parents=True)
    for source, content in zip(sources, contents, strict=True):
        source.write_bytes(content)
    for number in range(originals, count):
        directory = root / f"{number // _PER_DIRECTORY:05d}"
        directory.mkdir(exist_ok=True)
        (directory / f"photo-{number:07d}.jpg").hardlink_to(sources[number % originals])
    return root
