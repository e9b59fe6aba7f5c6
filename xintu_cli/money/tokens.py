"""How many tokens a photo is, before it is sent.

The formulas are those of the vendors' vision pages, checked against real usage where there was
any. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class ImageTokens(Protocol):
    """How a family of models counts a picture."""

    def count(self, width: int, height: int) -> int:
        """Return the tokens of a picture of so many pixels, as it is sent."""


@dataclass(frozen=True, slots=True)
class Patches:
    """One token per `side` x `side` patch, times a model's multiplier, capped (Claude, GPT-5+)."""

    side: int
    multiplier: float = 1.0
    most: int | None = None

    def count(self, width: int, height: int) -> int:
        """Return ceil(w/side) · ceil(h/side), capped, then multiplied."""
        patches = math.ceil(width / self.side) * math.ceil(height / self.side)
        if self.most is not None:
            patches = min(patches, self.most)
        return math.ceil(patches * self.multiplier)


@dataclass(frozen=True, slots=True)
class Tiles:
    """A base and a price per 512-pixel tile of the picture fitted to 2048 and 768 (GPT-4o)."""

    base: int
    per_tile: int

    def count(self, width: int, height: int) -> int:
        """Return base + per_tile · tiles at detail "high"."""
        scale = min(1.0, 2048 / max(width, height))
        scale = min(scale, 768 / min(width, height)) if min(width, height) else scale
        tiles = math.ceil(width * scale / 512) * math.ceil(height * scale / 512)
        return self.base + self.per_tile * tiles


@dataclass(frozen=True, slots=True)
class Grid:
    """One token per cell after each side is rounded to whole cells, and two more (Qwen-VL)."""

    side: int
    most: int

    def count(self, width: int, height: int) -> int:
        """Return the cells of the picture as the vendor resizes it, within 4..most, plus 2."""
        columns = max(1, round(width / self.side))
        rows = max(1, round(height / self.side))
        if columns * rows > self.most:
            shrink = math.sqrt(width * height / (self.most * self.side**2))
            columns = max(1, math.floor(width / shrink / self.side))
            rows = max(1, math.floor(height / shrink / self.side))
        return max(4, columns * rows) + 2


UNKNOWN_FAMILY = Patches(side=28)
"""For a model nobody described: the finest grid in use, so rather too many tokens."""


def fitted(width: int, height: int, max_edge: int) -> tuple[int, int]:
    """Return the pixels of a photo once its longest edge is at most `max_edge`."""
    scale = min(1.0, max_edge / max(width, height, 1))
    return max(1, round(width * scale)), max(1, round(height * scale))


@dataclass(frozen=True, slots=True)
class CallShape:
    """What a call to one model is made of: enough to count its tokens before it is sent."""

    image: ImageTokens
    max_edge: int
    prompt_bytes: int
    most_tokens_out: int

    def expected_tokens_in(self, width: int, height: int) -> int:
        """Return the tokens a photo of so many pixels will likely be; 3.5 bytes of text each."""
        return self.image.count(*fitted(width, height, self.max_edge)) + self.prompt_bytes * 2 // 7

    def most_tokens_in(self, width: int, height: int) -> int:
        """Return a bound: a token of text is at least a byte, a picture a quarter over its formula.

        64 more for what the vendor wraps around a message.
        """
        picture = self.image.count(*fitted(width, height, self.max_edge))
        return math.ceil(picture * 1.25) + self.prompt_bytes + 64
