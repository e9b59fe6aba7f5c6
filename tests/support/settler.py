"""A program that settles answers one after another until it is killed.

`python -m tests.support.settler URL COUNT [FIRST]` prints each image hash once its answer is
stored: what was printed must never be lost.
"""

from __future__ import annotations

import sys

import anyio

from tests.support.settlements import llm, photo, settlement
from xintu_cli.storage.urls import open_cache


async def settle(url: str, count: int, first: int) -> None:
    """Settle `count` answers."""
    async with open_cache(url) as cache:
        for number in range(first, first + count):
            await cache.settle(settlement((photo(number), llm())))
            sys.stdout.write(f"{photo(number)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    anyio.run(settle, sys.argv[1], int(sys.argv[2]), int(*sys.argv[3:] or ["1"]))
