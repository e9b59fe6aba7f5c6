"""`make demo`: the three jobs on made-up photos, each command shown before it runs.

Everything happens in a temporary directory; nothing of yours is read, nothing is left.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import zxingcpp
from PIL import Image, ImageDraw, ImageFilter

from tests.support.command import clean_environment, installed_command

SIZE = (800, 600)


def main() -> None:
    """Make photos, classify them, rescan them, export them."""
    with tempfile.TemporaryDirectory(prefix="xintu-demo-") as directory:
        place = Path(directory)
        make_album(place / "Pictures")
        for words in (
            ["classify", "Pictures"],
            ["classify", "Pictures"],
            ["export", "Pictures", "-o", "labels.csv"],
        ):
            sys.stdout.write(f"\n$ xintu {' '.join(words)}\n")
            sys.stdout.flush()
            environment = clean_environment(place, {"TERM": os.environ.get("TERM", "dumb")})
            subprocess.run([*installed_command(), *words], cwd=place, env=environment, check=True)
        lines = (place / "labels.csv").read_text(encoding="utf-8-sig").splitlines()
        sys.stdout.write("\n$ head -n 4 labels.csv\n" + "\n".join(lines[:4]) + "\n")


def make_album(folder: Path, count: int = 60) -> None:
    """Draw pictures of four kinds that the local model can tell from each other."""
    folder.mkdir(parents=True)
    for number in range(count):
        chance = random.Random(number)
        draw = (_landscape, _screen, _code, _blur)[number % 4]
        draw(chance).save(folder / f"IMG_{number:04}.jpg", quality=88)


def _landscape(chance: random.Random) -> Image.Image:
    """Draw a sky that fades, a sun, a line of mountains."""
    image = Image.linear_gradient("L").resize(SIZE).convert("RGB")
    sky = Image.new("RGB", SIZE, (90 + chance.randrange(60), 150, 235))
    image = Image.blend(image, sky, 0.6)
    draw = ImageDraw.Draw(image)
    x = chance.randrange(100, 700)
    draw.ellipse((x, 60, x + 70, 130), fill=(255, 240, 190))
    ridge = [(step * 50, 330 + chance.randrange(120)) for step in range(17)]
    draw.polygon([(0, 600), *ridge, (800, 600)], fill=(40, 90 + chance.randrange(50), 60))
    return image.filter(ImageFilter.GaussianBlur(1.5))


def _screen(chance: random.Random) -> Image.Image:
    """Draw a telephone's screen: a bar, the bubbles of a chat."""
    image = Image.new("RGB", (540, 1170), (237, 237, 237))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 540, 96), fill=(250, 250, 250))
    draw.text(
        (24, 60), f"{chance.randrange(24):02}:{chance.randrange(60):02}   Family", fill="black"
    )
    for line in range(7):
        mine = chance.random() < 0.5
        left, top = (180, 130 + line * 130) if mine else (30, 130 + line * 130)
        colour = (149, 236, 105) if mine else (255, 255, 255)
        draw.rounded_rectangle((left, top, left + 320, top + 90), 16, fill=colour)
        draw.text((left + 20, top + 36), "See you at the station at eight.", fill="black")
    return image


def _code(chance: random.Random) -> Image.Image:
    """Draw a QR code with white around it."""
    barcode = zxingcpp.create_barcode(
        f"https://example.org/{chance.randrange(10**9)}", zxingcpp.BarcodeFormat.QRCode
    )
    code = Image.fromarray(barcode.to_image(scale=14)).convert("RGB")
    image = Image.new("RGB", (code.width + 160, code.height + 160), "white")
    image.paste(code, (80, 80))
    return image


def _blur(chance: random.Random) -> Image.Image:
    """Draw coloured nothing: what falls through to `other`."""
    dots = chance.randbytes(5 * 4 * 3)
    return Image.frombytes("RGB", (5, 4), dots).resize(SIZE, Image.Resampling.BICUBIC)


if __name__ == "__main__":
    main()
