"""Answer every photo of a folder in a cache, without classifying: `seed FOLDER CACHE-URL`.

A program of its own: what it imports must not count as the memory of what is measured.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import anyio

from xintu_cli.imaging.identity import image_hash
from xintu_cli.providers.manifest import load_manifest
from xintu_cli.records import Answer, Classification, RunRow, Settlement, Source
from xintu_cli.resources import data_directory
from xintu_cli.storage.urls import open_cache
from xintu_cli.taxonomy import load_taxonomy

_BATCH = 2000


async def seed(hashes: Iterator[str], cache_url: str) -> None:
    """Store a `local` answer of the present model for every image."""
    task = load_taxonomy("xintu").task
    model = load_manifest(data_directory("models") / "xintu-lite").fingerprint
    answer = Answer(Classification("pets", 0.9), Source.LOCAL, "local", model)
    async with open_cache(cache_url) as cache:
        await cache.start_run(RunRow("seed", "bench", "0", "local"))
        while batch := dict.fromkeys(islice(hashes, _BATCH), answer):
            await cache.settle(Settlement("seed", task, answers=tuple(batch.items())))


if __name__ == "__main__":
    photos = Path(sys.argv[1]).rglob("*.jpg")
    anyio.run(seed, (image_hash(photo.read_bytes()) for photo in photos), sys.argv[2])
