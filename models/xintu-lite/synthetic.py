"""Draw what the training photos lack: codes, papers, screens, cards, pictures of nothing.

In: a seed and some real photos. Out: (picture, category, source of the photo that is in it,
or "drawn"). Drawn pictures only train; nothing is ever measured on them. They show the head
what a QR code is when every photographed one is held out, that a sheet of text is no
screenshot and a logo no dish, and what a card with a portrait looks like without the two
collections of specimens.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import zxingcpp
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

DRAWN = "drawn"
Colour = tuple[int, int, int]
_SYLLABLES = (
    *("ka", "lo", "mi", "ten", "ra", "so", "vi", "ne", "du", "pa", "er", "in", "at"),
    *("or", "th", "es", "qu", "an", "lis", "mo", "gra", "fe", "no", "xi", "tu"),
)


class Drawing(NamedTuple):
    """A training picture; `source` is the group it belongs to in cross-validation."""

    picture: Image.Image
    category: str
    source: str


class Portrait(NamedTuple):
    """A real photo to paste, and its source."""

    picture: Image.Image
    source: str


def draw_all(
    count: int, seed: int, people: Sequence[Portrait], scenes: Sequence[Portrait]
) -> Iterator[Drawing]:
    """Yield `count` drawings of every kind."""
    for number in range(count):
        for kind, (paint, category) in enumerate(_KINDS):
            rng = random.Random((seed * 1000 + number) * 100 + kind)
            source = DRAWN
            pasted: Image.Image | None = None
            if paint in {_card, _viewer}:
                pasted, source = rng.choice(people if paint is _card else scenes)
            yield Drawing(paint(rng, pasted), category, source)


def _word(rng: random.Random) -> str:
    word = "".join(rng.choices(_SYLLABLES, k=rng.randint(1, 4)))
    return word.title() if rng.random() < 0.2 else word


def _text(rng: random.Random, words: int) -> str:
    parts = [_word(rng) if rng.random() < 0.9 else str(rng.randint(1, 9999)) for _ in range(words)]
    return " ".join(parts)


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _colour(rng: random.Random, low: int = 0, high: int = 255) -> Colour:
    return (rng.randint(low, high), rng.randint(low, high), rng.randint(low, high))


def _surface(rng: random.Random, size: tuple[int, int], low: int, high: int) -> Image.Image:
    """Return a table, a wall, cloth: a gradient between two colours with some grain."""
    mask = Image.linear_gradient("L").rotate(rng.choice((0, 90, 180, 270))).resize(size)
    plain = [Image.new("RGB", size, _colour(rng, low, high)) for _ in range(2)]
    noise = Image.effect_noise(size, rng.uniform(4, 30)).convert("RGB")
    noise = noise.filter(ImageFilter.GaussianBlur(rng.choice((0, 1, 2))))
    surface = Image.composite(plain[0], plain[1], mask)
    return ImageChops.add(surface, noise, scale=1.0, offset=-128)


def _place(
    rng: random.Random, item: Image.Image, size: tuple[int, int], *, tilt: float, low: int = 20
) -> Image.Image:
    """Photograph a flat thing: on a surface, seen a little from the side, lit unevenly."""
    surface = _surface(rng, size, low, 235)
    width, height = size
    scale = rng.uniform(0.5, 1.15) * min(width / item.width, height / item.height)
    w, h = item.width * scale, item.height * scale
    x, y = (width - w) * rng.uniform(0.2, 0.8), (height - h) * rng.uniform(0.2, 0.8)
    corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
    bend = min(w, h) * tilt
    corners = [(a + rng.uniform(-bend, bend), b + rng.uniform(-bend, bend)) for a, b in corners]
    flat = [(0, 0), (item.width, 0), (item.width, item.height), (0, item.height)]
    warp = _homography(corners, flat)
    mask = Image.new("L", item.size, 255)
    kind = Image.Transform.PERSPECTIVE
    warped = item.transform(size, kind, warp, Image.Resampling.BICUBIC)
    surface.paste(warped, (0, 0), mask.transform(size, kind, warp, Image.Resampling.BILINEAR))
    light = Image.linear_gradient("L").rotate(rng.uniform(0, 360)).resize(size)
    depth = rng.uniform(0, 0.5)
    light = light.point(lambda value: int(255 - depth * value))
    surface = ImageChops.multiply(surface, light.convert("RGB"))
    return surface.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2)))


def _homography(
    source: Sequence[tuple[float, float]], target: Sequence[tuple[float, float]]
) -> tuple[float, ...]:
    """Return Pillow's eight coefficients that map `source` corners onto `target`."""
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    wanted = np.array([n for corner in target for n in corner], float)
    return tuple(float(n) for n in np.linalg.solve(np.array(rows, float), wanted))


def _canvas(rng: random.Random) -> tuple[int, int]:
    return rng.choice(((512, 384), (384, 512), (512, 288), (288, 512), (400, 400)))


def _code(rng: random.Random, format_name: str) -> Image.Image:
    content = "".join(rng.choices("0123456789", k=12))
    if format_name == "QRCode":
        content = "https://" + _text(rng, rng.randint(2, 12)).replace(" ", "/")
    elif format_name == "Code128":
        content = _word(rng).upper() + content[:6]
    code = zxingcpp.create_barcode(content, getattr(zxingcpp.BarcodeFormat, format_name))
    picture = Image.fromarray(np.asarray(code.to_image(scale=6))).convert("RGB")
    margin = picture.width // 12
    framed = Image.new("RGB", (picture.width + 2 * margin, picture.height + 2 * margin), "white")
    framed.paste(picture, (margin, margin))
    return framed


def _qr_photo(rng: random.Random, _: Image.Image | None) -> Image.Image:
    code = _code(rng, "QRCode")
    if rng.random() < 0.4:
        logo = Image.new("RGB", (code.width // 5, code.width // 5), _colour(rng))
        code.paste(logo, (code.width * 2 // 5, code.height * 2 // 5))
    if rng.random() < 0.3:
        return _place(rng, _poster(rng, code), _canvas(rng), tilt=0.05)
    return _place(rng, code, _canvas(rng), tilt=rng.choice((0.0, 0.08)), low=rng.choice((0, 150)))


def _poster(rng: random.Random, code: Image.Image) -> Image.Image:
    """Return a payment card: a coloured sheet, a heading, the code, some words."""
    sheet = Image.new("RGB", (360, rng.randint(440, 620)), _colour(rng, 30, 220))
    draw = ImageDraw.Draw(sheet)
    draw.text((30, 25), _text(rng, 2), "white", _font(34))
    draw.rounded_rectangle((25, 90, 335, 420), 12, "white")
    edge = rng.randint(180, 290)
    sheet.paste(code.resize((edge, edge)), (180 - edge // 2, 250 - edge // 2))
    draw.text((40, sheet.height - 40), _text(rng, 4), "white", _font(16))
    return sheet


def _qr_poster(rng: random.Random, _: Image.Image | None) -> Image.Image:
    return _poster(rng, _code(rng, "QRCode"))


def _barcode_photo(rng: random.Random, _: Image.Image | None) -> Image.Image:
    code = _code(rng, rng.choice(("EAN13", "Code128")))
    label = Image.new("RGB", (code.width + 80, code.height + rng.randint(40, 240)), "white")
    draw = ImageDraw.Draw(label)
    label.paste(code, (40, label.height - code.height - 30))
    for y in range(10, label.height - code.height - 40, 26):
        draw.text((20, y), _text(rng, 4), "black", _font(rng.choice((14, 20))))
    return _place(rng, label, _canvas(rng), tilt=0.1)


def _paper(rng: random.Random) -> Image.Image:
    """Return a sheet: a letter, a form or a receipt."""
    narrow = rng.random() < 0.3
    sheet = Image.new(
        "RGB", (260 if narrow else 600, rng.randint(500, 850)), _colour(rng, 225, 255)
    )
    draw, ink = ImageDraw.Draw(sheet), _colour(rng, 0, 80)
    size, y = rng.choice((11, 14, 18)), 30
    draw.text((40, y), _text(rng, 3).title(), ink, _font(size * 1.8))
    y += size * 3
    ruled = rng.random() < 0.4
    while y < sheet.height - 40:
        if ruled:
            draw.rectangle((30, y, sheet.width - 30, y + size * 2), outline=ink)
            draw.line((sheet.width * 0.4, y, sheet.width * 0.4, y + size * 2), ink)
            draw.text((36, y + 4), _text(rng, 2), ink, _font(size))
        elif rng.random() < 0.9:
            words = rng.randint(1, 3) if narrow else rng.randint(5, 12)
            draw.text((30, y), _text(rng, words), ink, _font(size))
        y += int(size * (2 if ruled else 1.5))
    return sheet


def _paper_photo(rng: random.Random, _: Image.Image | None) -> Image.Image:
    return _place(rng, _paper(rng), _canvas(rng), tilt=0.06)


def _paper_scan(rng: random.Random, _: Image.Image | None) -> Image.Image:
    sheet = _paper(rng).rotate(rng.uniform(-1, 1), fillcolor=(255, 255, 255))
    noise = Image.effect_noise(sheet.size, rng.uniform(1, 12)).convert("RGB")
    return ImageChops.add(sheet, noise, offset=-128)


def _chart(rng: random.Random, _: Image.Image | None) -> Image.Image:
    """Return a diagram on white, or one large word on a plain ground."""
    size = _canvas(rng)
    if rng.random() < 0.4:
        picture = _surface(rng, size, 0, 255)
        ink = rng.choice(("black", "white", _colour(rng)))
        for y in range(20, size[1] - 60, 90):
            ImageDraw.Draw(picture).text((20, y), _text(rng, 2), ink, _font(rng.randint(40, 80)))
        return picture
    picture = Image.new("RGB", size, _colour(rng, 235, 255))
    draw = ImageDraw.Draw(picture)
    draw.text((size[0] * 0.3, 8), _text(rng, 3), "black", _font(18))
    left, base = 40, size[1] - 40
    draw.line((left, 30, left, base, size[0] - 20, base), "black", 2)
    colour, step = _colour(rng, 0, 220), rng.randint(18, 50)
    heights = [rng.randint(40, base) for _ in range(left + 8, size[0] - step, step)]
    points = [(left + 8 + i * step, y) for i, y in enumerate(heights)]
    if rng.random() < 0.5:
        draw.line(points, colour, 3)
    else:
        for x, y in points:
            draw.rectangle((x, y, x + step - 6, base), fill=colour)
    for x, _y in points:
        draw.text((x, base + 6), str(rng.randint(1, 99)), "black", _font(11))
    return picture


def _graphic(rng: random.Random, _: Image.Image | None) -> Image.Image:
    """Return a logo, a pattern or a drawing."""
    size = _canvas(rng)
    picture = Image.new("RGB", size, _colour(rng))
    if rng.random() < 0.4:
        picture = _surface(rng, size, 0, 255).filter(ImageFilter.GaussianBlur(3))
    draw = ImageDraw.Draw(picture)
    pattern = rng.random() < 0.5
    for _shape in range(rng.randint(20, 60) if pattern else rng.randint(1, 5)):
        x, y = rng.randint(0, size[0]), rng.randint(0, size[1])
        r = rng.randint(8, 60) if pattern else rng.randint(40, 160)
        if not pattern:
            x, y = (x + size[0]) // 3, (y + size[1]) // 3
        box = (x - r, y - r, x + r, y + r)
        rng.choice((draw.ellipse, draw.rectangle))(box, fill=_colour(rng))
    if rng.random() < 0.5:
        draw.text((size[0] * 0.2, size[1] * 0.4), _word(rng).title(), _colour(rng), _font(60))
    return picture


def _screen(rng: random.Random, _: Image.Image | None) -> Image.Image:
    """Return a telephone's screen: bars, and rows, bubbles, switches or keys between them."""
    width, height = rng.choice(((360, 780), (360, 640), (390, 844), (540, 720)))
    dark = rng.random() < 0.4
    back, ink = ((18, 18, 22), (225, 225, 230)) if dark else ((250, 250, 252), (30, 30, 34))
    accent, grey = _colour(rng, 40, 220), tuple(abs(c - 30) for c in back)
    screen = Image.new("RGB", (width, height), back)
    draw = ImageDraw.Draw(screen)
    draw.text((14, 5), f"{rng.randint(0, 23)}:{rng.randint(10, 59)}", ink, _font(13))
    draw.rectangle((width - 36, 8, width - 14, 18), outline=ink)
    draw.rectangle((0, 28, width, 80), fill=accent if rng.random() < 0.5 else grey)
    draw.text((18, 42), _text(rng, 2).title(), ink, _font(22))
    row = rng.choice((48, 64, 84))
    bottom = height - rng.choice((56, 56, 250))
    style = rng.choice(("list", "chat", "switch"))
    for y in range(92, bottom - row, row):
        if style == "chat":
            mine = rng.random() < 0.5
            left = width * (0.35 if mine else 0.05)
            box = (left, y, left + width * 0.6, y + row - 12)
            draw.rounded_rectangle(box, 12, fill=accent if mine else grey)
            draw.text((left + 12, y + 8), _text(rng, 4), ink, _font(14))
            continue
        draw.line((0, y + row - 4, width, y + row - 4), grey)
        if style == "list":
            draw.ellipse((14, y + 4, 14 + row - 20, y + row - 16), fill=_colour(rng, 60, 230))
        else:
            draw.rounded_rectangle((width - 60, y + 8, width - 20, y + 28), 10, fill=accent)
        draw.text((row + 10, y + 4), _text(rng, 2), ink, _font(17))
        draw.text((row + 10, y + 26), _text(rng, 4), accent if dark else "grey", _font(12))
    _bottom_bar(rng, draw, (width, height), top=bottom, ink=ink)
    return screen


def _bottom_bar(
    rng: random.Random, draw: ImageDraw.ImageDraw, size: tuple[int, int], *, top: int, ink: Colour
) -> None:
    """Draw a row of icons, or a keyboard where there is room for one."""
    width, height = size
    if height - top < 100:
        for x in range(width // 8, width, width // 4):
            draw.ellipse((x - 11, top + 12, x + 11, top + 34), outline=ink, width=2)
        return
    key = width // 10
    for line, y in enumerate(range(top + 20, height - 50, 50)):
        for x in range(line * key // 3, width - key, key):
            draw.rounded_rectangle((x + 3, y, x + key - 3, y + 42), 5, outline=ink)
            draw.text((x + key // 3, y + 10), rng.choice("qwertyuiopasdfghjkl"), ink, _font(18))


def _window(rng: random.Random, _: Image.Image | None) -> Image.Image:
    """Return a computer's window: a terminal, an editor or a table with a side bar."""
    size = rng.choice(((800, 500), (700, 600), (900, 420)))
    dark = rng.random() < 0.6
    back = _colour(rng, 10, 45) if dark else _colour(rng, 235, 255)
    window = Image.new("RGB", size, back)
    draw = ImageDraw.Draw(window)
    draw.rectangle((0, 0, size[0], 30), fill=tuple(abs(c - 25) for c in back))
    for x, light in ((16, "#ff5f56"), (36, "#ffbd2e"), (56, "#27c93f")):
        draw.ellipse((x - 6, 9, x + 6, 21), fill=light)
    left = 10
    if rng.random() < 0.5:
        left = 190
        draw.rectangle((0, 30, 180, size[1]), fill=tuple(abs(c - 12) for c in back))
        for y in range(45, size[1] - 20, 28):
            draw.text((16, y), _text(rng, 2), (150, 150, 160), _font(13))
    for y in range(42, size[1] - 15, 18):
        x = left + rng.choice((0, 0, 20, 40))
        for _part in range(rng.randint(0, 5)):
            words = _text(rng, rng.randint(1, 3))
            colour = _colour(rng, 120, 255) if dark else _colour(rng, 0, 140)
            draw.text((x, y), words, colour, _font(13))
            x += 8 * len(words) + 10
    return window


def _viewer(rng: random.Random, pasted: Image.Image | None) -> Image.Image:
    """Return a screen that shows a photo, as a gallery or a social network does."""
    assert pasted is not None
    screen = _screen(rng, None)
    width = screen.width
    photo = pasted.resize((width, int(width * rng.uniform(0.5, 1.0))))
    screen.paste(photo, (0, rng.randint(81, screen.height - photo.height - 60)))
    return screen


def _card(rng: random.Random, pasted: Image.Image | None) -> Image.Image:
    """Return an identity document: a portrait, fields, sometimes a machine-readable zone."""
    assert pasted is not None
    width, height = 540, rng.choice((340, 340, 380))
    card = _surface(rng, (width, height), 170, 250).filter(ImageFilter.GaussianBlur(1))
    draw = ImageDraw.Draw(card)
    tint = _colour(rng, 120, 220)
    for wave in range(-height, width, rng.choice((8, 12, 18))):  # guilloche
        draw.arc((wave, -40, wave + height, height + 40), 0, 180, tint)
    ink = _colour(rng, 0, 90)
    draw.text((20, 12), _text(rng, 3).upper(), ink, _font(24))
    w, h = 130, 165
    edge = min(pasted.width, int(pasted.height * w / h))
    top = pasted.crop(((pasted.width - edge) // 2, 0, (pasted.width + edge) // 2, edge * h // w))
    at_left = rng.random() < 0.65
    card.paste(top.resize((w, h)), (22 if at_left else width - w - 22, 60))
    x = 175 if at_left else 24
    with_zone = rng.random() < 0.5
    for y in range(60, height - (90 if with_zone else 50), 36):
        draw.text((x, y), _word(rng), tint, _font(11))
        draw.text((x, y + 12), _text(rng, 2).upper(), ink, _font(18))
    if with_zone:
        draw.rectangle((0, height - 70, width, height), fill=(245, 245, 240))
        for y in (height - 62, height - 34):
            zone = "".join(rng.choices("ABCDEFGHIKLMNO0123456789<<<<<<<<", k=36))
            draw.text((14, y), zone, (20, 20, 20), _font(21))
    else:
        number = " ".join(str(rng.randint(1000, 9999)) for _ in range(4))
        draw.text((x, height - 40), number, ink, _font(24))
    if rng.random() < 0.4:
        return card
    return _place(rng, card, _canvas(rng), tilt=0.08)


_Painter = Callable[[random.Random, Image.Image | None], Image.Image]
_KINDS: tuple[tuple[_Painter, str], ...] = (
    (_qr_photo, "qrcode"),
    (_qr_poster, "qrcode"),
    (_barcode_photo, "other"),
    (_paper_photo, "other"),
    (_paper_scan, "other"),
    (_graphic, "other"),
    (_chart, "other"),
    (_screen, "screenshot"),
    (_window, "screenshot"),
    (_viewer, "screenshot"),
    (_card, "idcard"),
)
