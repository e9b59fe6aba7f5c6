"""The background's colour has one of ten names, and it is the one people would say."""

from __future__ import annotations

import pytest
from PIL import Image, ImageColor, ImageDraw

from xintu_cli.imaging.color import COLOR_NAMES, background_color, color_name

SAID = {
    "orange": "orange darkorange coral #e8710a #c46210 chocolate",
    "blue": "blue navy royalblue dodgerblue deepskyblue skyblue steelblue teal #438edb #67a3d9",
    "red": "red crimson firebrick darkred maroon #d93025 #b5121b",
    "green": "green lime forestgreen seagreen olivedrab lightgreen darkgreen #34a853",
    "purple": "purple indigo darkviolet mediumpurple rebeccapurple blueviolet #6a1b9a",
    "pink": "pink hotpink deeppink lightpink palevioletred magenta #fadadd #f8bbd0",
    "yellow": "yellow gold khaki #fdd835 #fff176 #cccc00",
    "grey": "grey silver darkgrey dimgrey slategrey #5f6368 #c0c0c0 #888c8d",
    "black": "black #101010 #1a1a1a #202124 #0d1117",
    "white": "white snow ivory ghostwhite whitesmoke #f1f3f4 #e8eaed",
}


@pytest.mark.parametrize(
    ("expected", "said"), [(name, color) for name, row in SAID.items() for color in row.split()]
)
def test_a_colour_has_the_name_people_give_it(expected: str, said: str) -> None:
    assert expected == color_name(*ImageColor.getrgb(said)[:3])


def test_every_colour_has_a_name() -> None:
    steps = range(0, 256, 15)
    named = {color_name(red, green, blue) for red in steps for green in steps for blue in steps}
    assert set(COLOR_NAMES) == named


def test_the_names_are_those_of_the_taxonomy() -> None:
    expected = "橙蓝红绿紫粉黄灰黑白"
    assert expected == "".join(COLOR_NAMES.values())


@pytest.mark.parametrize("size", [(600, 800), (800, 600), (32, 32), (5, 900), (1, 1)])
def test_a_plain_picture_is_all_background(size: tuple[int, int]) -> None:
    assert background_color(Image.new("RGB", size, "seagreen")) == "green"


def test_a_portraits_background_is_behind_the_shoulders() -> None:
    portrait = Image.new("RGB", (413, 579), "#438edb")
    draw = ImageDraw.Draw(portrait)
    draw.ellipse((110, 120, 300, 380), fill="#e0ac90")
    draw.rectangle((0, 460, 413, 579), fill="#101010")
    assert background_color(portrait) == "blue"


def test_what_most_of_the_frame_shows_wins() -> None:
    picture = Image.new("RGB", (400, 300), "white")
    picture.paste("red", (0, 0, 180, 300))
    assert background_color(picture) == "white"
    picture.paste("red", (0, 0, 230, 300))
    assert background_color(picture) == "red"


def test_the_middle_does_not_count() -> None:
    picture = Image.new("RGB", (1024, 768), "#202020")
    picture.paste("yellow", (160, 120, 864, 768))
    assert background_color(picture) == "black"
