"""A program that settles answers one after another until it is killed.

`python -m tests.support.settler URL COUNT [FIRST]` prints each image hash once its answer is
stored: what was printed must never be lost.
"""

from __future__ import annotations

import sys

import anyio

from xintu_cli.records import Answer, Attempt, Classification, Settlement, Source
from xintu_cli.storage.urls import open_cache

TASK = "0123456789abcdef"


def photo(number: int) -> str:
    """Return the image hash of the program's n-th photo."""
    return f"{number:032x}"


async def settle(url: str, count: int, first: int) -> None:
    """Settle `count` answers."""
    said = Attempt(Source.LLM, "qwen", "vl", "ok", 1.0, 900, 60, 0.25, "USD")
    answer = Answer(
        Classification("pets", 0.9, "x" * 500), Source.LLM, "qwen", "vl", attempts=(said,)
    )
    async with open_cache(url) as cache:
        for number in range(first, first + count):
            await cache.settle(Settlement("a" * 32, TASK, answers=((photo(number), answer),)))
            sys.stdout.write(f"{photo(number)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    anyio.run(settle, sys.argv[1], int(sys.argv[2]), int(*sys.argv[3:] or ["1"]))
