"""Bulk look-up and upsert through the cache and through its bare driver: `bare_mysql URL`.

Both sides send the same keys in batches of the same size over one connection of aiomysql, and
take turns; prints the best seconds of each as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

import aiomysql
import anyio

from xintu_cli.records import Answer, Classification, Settlement, Source
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.urls import mysql_address, open_cache

PHOTOS = 50_000
_BATCH = 1000
_ROUNDS = 3
_TASK = "0123456789abcdef"
_RUN = "a" * 32
_COLUMNS = (
    *("image_hash", "task", "source", "category", "confidence", "description"),
    *("second_category", "provider", "model", "prompt_version", "preparation_version", "reason"),
    *("tokens_in", "tokens_out", "cost", "currency", "created_at", "run_id"),
)


def _batches() -> Iterator[list[str]]:
    for start in range(0, PHOTOS, _BATCH):
        yield [f"{number * 2654435761 % 2**32:032x}" for number in range(start, start + _BATCH)]


async def _store(cache: SqlCache) -> None:
    answer = Answer(Classification("pets", 0.9, "A cat on a sofa."), Source.LLM, "qwen", "vl")
    for batch in _batches():
        answers = tuple((image_hash, answer) for image_hash in batch)
        await cache.settle(Settlement(_RUN, _TASK, answers=answers, has_claims=False))


async def _store_bare(connection: aiomysql.Connection) -> None:
    changed = ", ".join(f"{column} = VALUES({column})" for column in _COLUMNS[3:])
    marks = ", ".join(["%s"] * len(_COLUMNS))
    sql = (
        f"INSERT INTO classification ({', '.join(_COLUMNS)}) VALUES ({marks})"
        f" ON DUPLICATE KEY UPDATE {changed}"
    )
    for batch in _batches():
        said = ("llm", "pets", 0.9, "A cat on a sofa.", None, "qwen", "vl", "", "", "")
        paid = (None, None, None, "", "2026-01-01 00:00:00.000", _RUN)
        rows = [(image, _TASK, *said, *paid) for image in sorted(batch)]
        await connection.begin()
        async with connection.cursor() as cursor:
            await cursor.executemany(sql, rows)
        await connection.commit()


async def _read(cache: SqlCache) -> None:
    for batch in _batches():
        found = await cache.look_up(_TASK, "xintu", batch)
        assert len(found) == _BATCH


async def _read_bare(connection: aiomysql.Connection) -> None:
    columns = "image_hash, source, category, confidence, model, reason, prompt_version"
    sql = (
        f"SELECT {columns}, preparation_version FROM classification"
        f" WHERE task = %s AND image_hash IN ({', '.join(['%s'] * _BATCH)})"
    )
    for batch in _batches():
        async with connection.cursor() as cursor:
            await cursor.execute(sql, (_TASK, *batch))
            rows = await cursor.fetchall()
        assert len({row[0]: row for row in rows}) == _BATCH


async def _seconds(work: Callable[[], Awaitable[None]]) -> float:
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


async def measure(url: str) -> dict[str, tuple[float, float]]:
    """Return (through the cache, bare) of every kind of work, in seconds."""
    address = mysql_address(url)
    async with open_cache(url) as cache:
        connection = await aiomysql.connect(
            host=address.host, port=address.port, user="root", db=address.database, autocommit=True
        )
        turns: dict[str, tuple[Callable[[], Awaitable[None]], Callable[[], Awaitable[None]]]] = {
            "upsert": (lambda: _store(cache), lambda: _store_bare(connection)),
            "look_up": (lambda: _read(cache), lambda: _read_bare(connection)),
        }
        await _store(cache)
        best = {}
        for name, (ours, bare) in turns.items():
            pairs = [(await _seconds(ours), await _seconds(bare)) for _ in range(_ROUNDS)]
            best[name] = (min(a for a, _ in pairs), min(b for _, b in pairs))
        await connection.ensure_closed()
    return best


if __name__ == "__main__":
    print(json.dumps(anyio.run(measure, sys.argv[1])))
