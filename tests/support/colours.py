"""A local model of three colours, and photos of them: what learning is tested with in seconds.

The network tells red, green and blue by the mean colour, which is its embedding too.
"""

from __future__ import annotations

import hashlib
import random
from io import BytesIO
from pathlib import Path

from PIL import Image

from tests.support import tiny_onnx

SIZE = (40, 30)
SHADES = {"red": (220, 60, 60), "green": (60, 220, 60), "blue": (60, 60, 220)}

MANIFEST = """
name = "{name}"
version = "1"
licence = "MIT"
file = "model.onnx"
sha256 = "{sha256}"
taxonomy = "colours"
labels = ["red", "green", "blue"]
[[input]]
name = "image"
view = "squash"
width = 8
height = 8
[output]
probabilities = "answer"
{embedding}
[thresholds]
cascade = 0.95
keep_local = {{ red = 0.3 }}
"""

COLOURS = """
name = "colours"
fallback = "blue"
keep_local = ["red"]
"""


def make_model(directory: Path, *, name: str = "tiny", embedding: bool = True) -> Path:
    """Write the model; return its directory. Its `scale` makes it unsure of dull colours."""
    content = tiny_onnx.brightness(scale=0.02)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "model.onnx").write_bytes(content)
    text = MANIFEST.format(
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        embedding='embedding = "embedding"' if embedding else "",
    )
    (directory / "model.toml").write_text(text, encoding="utf-8")
    return directory


def make_taxonomy(path: Path, *keys: str, head: str = COLOURS) -> Path:
    """Write a taxonomy of these categories; return its path."""
    rows = "".join(f'[[category]]\nkey = "{key}"\n' for key in keys or SHADES)
    path.write_text(head + rows, encoding="utf-8")
    return path


def make_colour(path: Path, colour: tuple[int, int, int], seed: int, spread: int = 12) -> Path:
    """Write a photo of about a colour: everything varies by `spread` of 255 at most."""
    chance = random.Random(seed)
    shade = tuple(min(255, max(0, value + chance.randint(-spread, spread))) for value in colour)
    picture = Image.new("RGB", SIZE, shade)
    for _ in range(6):  # no two are the same picture
        dot = (chance.randrange(SIZE[0]), chance.randrange(SIZE[1]))
        picture.putpixel(dot, (chance.randrange(256), 128, 128))
    stream = BytesIO()
    picture.save(stream, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stream.getvalue())
    return path
