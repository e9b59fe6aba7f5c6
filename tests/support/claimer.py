"""A program that claims the first COUNT photos, and prints those it got.

`python -m tests.support.claimer URL RUN_ID COUNT`
"""

from __future__ import annotations

import sys

import anyio

from tests.support.settlements import PHOTOS, TASK
from xintu_cli.storage.urls import open_cache

_AT_ONCE = 16


async def claim(url: str, run_id: str, count: int) -> None:
    """Claim a few at a time, as a feeder does."""
    async with open_cache(url) as cache:
        for start in range(0, count, _AT_ONCE):
            some = PHOTOS[start : min(start + _AT_ONCE, count)]
            ours = await cache.claim(TASK, some, run_id=run_id, host=run_id, seconds=60)
            sys.stdout.write("".join(f"{photo}\n" for photo in sorted(ours)))
            sys.stdout.flush()


if __name__ == "__main__":
    anyio.run(claim, sys.argv[1], sys.argv[2], int(sys.argv[3]))
