import numpy as np
import pytest
from PIL import Image

from xintu_cli.providers.manifest import InputSpec, View
from xintu_cli.providers.onnx_views import prepare, view


def stripes(width: int, height: int, colours: tuple[str, ...]) -> Image.Image:
    """Return vertical stripes of equal width."""
    picture = Image.new("RGB", (width, height))
    edge = width // len(colours)
    for number, colour in enumerate(colours):
        picture.paste(colour, (number * edge, 0, (number + 1) * edge, height))
    return picture


WIDE = stripes(300, 100, ("red", "lime", "blue"))


def test_a_crop_shows_the_middle_undistorted() -> None:
    picture = view(WIDE, InputSpec("image", "crop", 20, 20))
    assert {picture.getpixel((x, 10)) for x in range(1, 19)} == {(0, 255, 0)}


def test_squashing_shows_everything() -> None:
    picture = view(WIDE, InputSpec("image", "squash", 30, 30))
    assert [picture.getpixel((x, 15)) for x in (4, 15, 25)] == [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
    ]


def test_padding_shows_everything_undistorted_on_black() -> None:
    picture = view(WIDE, InputSpec("image", "pad", 30, 30))
    assert picture.getpixel((4, 15)) == (255, 0, 0)
    assert picture.getpixel((25, 15)) == (0, 0, 255)
    assert {picture.getpixel((x, 2)) for x in range(30)} == {(0, 0, 0)}


@pytest.mark.parametrize("kind", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (4001, 2), (33, 57), (260, 260)])
def test_every_shape_of_picture_becomes_the_size_asked_for(
    kind: View, size: tuple[int, int]
) -> None:
    assert view(Image.new("RGB", size), InputSpec("i", kind, 26, 13)).size == (26, 13)


def test_bytes_are_handed_over_as_they_are() -> None:
    tensors = prepare(Image.new("RGB", (9, 9), (1, 2, 3)), [InputSpec("image", "crop", 4, 2)])
    assert tensors["image"].dtype == np.uint8
    assert tensors["image"].shape == (1, 2, 4, 3)
    assert tensors["image"][0, 0, 0].tolist() == [1, 2, 3]


def test_floats_are_normalised_by_channel_and_laid_out_as_asked() -> None:
    spec = InputSpec(
        "image", "crop", 4, 2, "NCHW", "float32", mean=(10, 20, 30), std=(1.0, 2.0, 4.0)
    )
    tensor = prepare(Image.new("RGB", (9, 9), (11, 24, 38)), [spec])["image"]
    assert tensor.dtype == np.float32
    assert tensor.shape == spec.shape == (1, 3, 2, 4)
    assert tensor[0, :, 0, 0].tolist() == [1.0, 2.0, 2.0]
    assert tensor.flags["C_CONTIGUOUS"]


def test_any_mode_is_taken() -> None:
    assert prepare(Image.new("L", (5, 5), 7), [InputSpec("i", "pad", 3, 3)])["i"][0, 1, 1, 0] == 7
