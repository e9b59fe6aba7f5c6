"""Turn a picture into a model's input tensors: one way, for training and for run time.

In: an upright RGB `PIL.Image` of any size and the manifest's `InputSpec`s. Out: numpy
arrays of batch 1. The scripts that train a model import this very module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xintu_cli.providers.manifest import InputSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    Tensor = NDArray[Any]

DECODE_EDGE = 512
"""Longest edge, in pixels, that a picture should have for its views: a 260 px central crop
of the slimmest phone screenshot (9:19.5) wants 564, of a 4:3 photo 347; more is not seen.
JPEG's `draft` decodes 12 MP for this edge at a quarter of its size."""


def needed_edge(specs: Sequence[InputSpec]) -> int:
    """Return the smallest decode edge, in pixels, that loses nothing."""
    return max(DECODE_EDGE, *(max(spec.width, spec.height) for spec in specs))


def prepare(picture: Picture, specs: Sequence[InputSpec]) -> dict[str, Tensor]:
    """Return the tensor of every input by its name; each of shape `spec.shape`."""
    if picture.mode != "RGB":
        picture = picture.convert("RGB")
    return {spec.name: tensor(view(picture, spec), spec) for spec in specs}


def view(picture: Picture, spec: InputSpec) -> Picture:
    """Return the picture as `spec.width` × `spec.height` pixels.

    Hamming's filter: as sharp as bicubic when shrinking, at the cost of bilinear.
    """
    from PIL import Image

    size = (spec.width, spec.height)
    width, height = picture.size
    if spec.view == "squash":
        return picture.resize(size, Image.Resampling.HAMMING, reducing_gap=3.0)
    if spec.view == "crop":
        scale = min(width / spec.width, height / spec.height)
        left = max(0.0, (width - spec.width * scale) / 2)
        top = max(0.0, (height - spec.height * scale) / 2)
        box = (left, top, width - left, height - top)
        return picture.resize(size, Image.Resampling.HAMMING, box=box, reducing_gap=3.0)
    scale = min(spec.width / width, spec.height / height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = Image.new("RGB", size)
    resized = picture.resize(inner, Image.Resampling.HAMMING, reducing_gap=3.0)
    canvas.paste(resized, ((spec.width - inner[0]) // 2, (spec.height - inner[1]) // 2))
    return canvas


def tensor(picture: Picture, spec: InputSpec) -> Tensor:
    """Return the pixels as the input wants them: layout, dtype, mean and deviation."""
    import numpy as np

    pixels: Tensor = np.asarray(picture)[None]
    if spec.dtype != "uint8":
        mean = np.array(spec.mean, np.float32)
        pixels = (pixels.astype(np.float32) - mean) / np.array(spec.std, np.float32)
        pixels = pixels.astype(spec.dtype, copy=False)
    if spec.layout == "NCHW":
        pixels = pixels.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(pixels)
