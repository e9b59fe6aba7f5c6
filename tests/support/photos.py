"""Photos made by seed: the same seed gives the same picture, another seed another one.

Small ones take a fraction of a millisecond, so a test can make a thousand; `make_large_jpeg`
makes what a 12 megapixel camera writes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

SMALL = (32, 32)


def make_picture(seed: int, size: tuple[int, int] = SMALL) -> Image.Image:
    """Make an RGB picture of soft random colours."""
    dots = random.Random(seed).randbytes(6 * 6 * 3)
    return Image.frombytes("RGB", (6, 6), dots).resize(size, Image.Resampling.BICUBIC)


def make_jpeg(seed: int, size: tuple[int, int] = SMALL, **options: Any) -> bytes:
    """Make a JPEG; `options` are those of Pillow's JPEG writer (`exif=`, `quality=`, …)."""
    return encoded(make_picture(seed, size), "JPEG", **{"quality": 85, **options})


def make_png(seed: int, size: tuple[int, int] = SMALL, **options: Any) -> bytes:
    """Make a PNG."""
    return encoded(make_picture(seed, size), "PNG", **options)


def make_webp(seed: int, size: tuple[int, int] = SMALL, **options: Any) -> bytes:
    """Make a WebP: lossy, unless `lossless=True`."""
    return encoded(make_picture(seed, size), "WEBP", **options)


def make_gif(seed: int, size: tuple[int, int] = SMALL, *, frames: int = 1) -> bytes:
    """Make a GIF; its frames are the pictures of `seed` and the seeds after it."""
    pictures = [make_picture(seed + number, size) for number in range(frames)]
    return encoded(pictures[0], "GIF", save_all=True, append_images=pictures[1:])


def make_tiff(seed: int, size: tuple[int, int] = SMALL, **options: Any) -> bytes:
    """Make a TIFF."""
    return encoded(make_picture(seed, size), "TIFF", **options)


def make_bmp(seed: int, size: tuple[int, int] = SMALL) -> bytes:
    """Make a BMP."""
    return encoded(make_picture(seed, size), "BMP")


def make_heic(seed: int, size: tuple[int, int] = (64, 64), **options: Any) -> bytes:
    """Make a HEIC, as phones write it."""
    import pillow_heif

    stream = BytesIO()
    pillow_heif.from_pillow(make_picture(seed, size)).save(stream, **options)
    return stream.getvalue()


def make_avif(seed: int, size: tuple[int, int] = SMALL, **options: Any) -> bytes:
    """Make an AVIF."""
    return encoded(make_picture(seed, size), "AVIF", **{"speed": 10, **options})


def make_mpo(seed: int, size: tuple[int, int] = SMALL) -> bytes:
    """Make an MPO: a JPEG with a second JPEG behind it, as phones and 3-D cameras write it."""
    second = make_picture(seed + 1, size)
    return encoded(make_picture(seed, size), "MPO", save_all=True, append_images=[second])


def make_exif(
    *, orientation: int | None = None, taken_at: str | None = None, gps: bool = False
) -> bytes:
    """Make an EXIF block; `taken_at` as cameras write it: `2024:05:01 12:30:00`."""
    exif = Image.Exif()
    exif[0x010F] = "Xintu Camera Works"
    if orientation is not None:
        exif[0x0112] = orientation
    if taken_at is not None:
        exif.get_ifd(0x8769)[0x9003] = taken_at
    if gps:
        exif.get_ifd(0x8825).update({1: "N", 2: (39.0, 54.0, 15.0), 3: "E", 4: (116.0, 24.0, 27.0)})
    return exif.tobytes()


@lru_cache(maxsize=4)
def make_large_jpeg(seed: int = 1, size: tuple[int, int] = (4000, 3000)) -> bytes:
    """Make a JPEG of 12 megapixels and about 4 MB, with a camera's noise; takes half a second.

    Noise, because a smooth picture decodes in a third of the time that a real one takes.
    """
    noise = Image.effect_noise(size, 18).convert("RGB")
    picture = Image.blend(make_picture(seed, size), noise, 0.3)
    exif = make_exif(orientation=1, taken_at="2024:05:01 12:30:00", gps=True)
    return encoded(picture, "JPEG", quality=90, exif=exif)


def encoded(picture: Image.Image, pillow_format: str, **options: Any) -> bytes:
    """Encode a picture with Pillow."""
    stream = BytesIO()
    picture.save(stream, pillow_format, **options)
    return stream.getvalue()


def make_tree(
    directory: Path,
    count: int,
    seed: int = 1,
    *,
    size: tuple[int, int] = SMALL,
    folders: Sequence[str] = ("2023", "2024/spring", "2024/夏天"),
) -> list[Path]:
    """Write `count` different JPEGs into folders below `directory`; return their paths."""
    for folder in folders:
        (directory / folder).mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        path = directory / folders[number % len(folders)] / f"IMG_{number:05}.jpg"
        path.write_bytes(make_jpeg(seed * 1_000_003 + number, size))
        paths.append(path)
    return paths
