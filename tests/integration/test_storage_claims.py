"""Claims between real processes: no photo has two payers, whatever their clocks say."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import anyio
import pytest

from tests.support.databases import CacheDatabase
from tests.support.settlements import PHOTOS, RUN, TASK, llm, settlement
from xintu_cli.storage.cache import SqlCache

pytestmark = pytest.mark.anyio


def claimer(url: str, run_id: str, count: int) -> list[str]:
    return [sys.executable, "-m", "tests.support.claimer", url, run_id, str(count)]


@pytest.mark.row("F4")
async def test_processes_that_start_together_share_the_photos(database: CacheDatabase) -> None:
    got: dict[str, list[str]] = {}

    async def run(run_id: str) -> None:
        ended = await anyio.run_process(claimer(database.url, run_id, 640))
        got[run_id] = ended.stdout.decode().split()

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(run, f"run-{number}")
    everything = [photo for photos in got.values() for photo in photos]
    assert sorted(everything) == sorted(PHOTOS[:640])


@pytest.mark.row("D17")
async def test_a_killed_run_leaves_claims_that_another_takes_over_when_they_run_out(
    cache: SqlCache, database: CacheDatabase
) -> None:
    async with await anyio.open_process(claimer(database.url, "killed", 2_000)) as process:
        assert process.stdout is not None
        await process.stdout.receive()
        process.send_signal(signal.SIGKILL)
        await process.wait()
    left = (await cache.info()).rows["claim"]
    some = PHOTOS[:16]
    assert await cache.claim(TASK, some, run_id=RUN, host="here", seconds=60) == frozenset()
    database.fetch("UPDATE claim SET expires_at = '2020-01-01 00:00:00.000'")
    assert await cache.expired_claims() == left, "calls that may have been paid for"
    assert await cache.claim(TASK, some, run_id=RUN, host="here", seconds=60) == set(some)


@pytest.mark.row("F8")
async def test_a_machine_whose_clock_is_ahead_takes_nothing_from_anybody(
    mysql_database: CacheDatabase,
    mysql_cache: SqlCache,
    other_clock: Callable[[str], list[str]],
) -> None:
    await mysql_cache.claim(TASK, PHOTOS[:16], run_id=RUN, host="here", seconds=60)
    ahead = [*other_clock("+1h"), *claimer(mysql_database.url, "ahead", 32)]
    ended = await anyio.run_process(ahead)
    assert ended.stdout.decode().split() == PHOTOS[16:32]
    behind = [*other_clock("-1h"), *claimer(mysql_database.url, "behind", 48)]
    ended = await anyio.run_process(behind)
    assert ended.stdout.decode().split() == PHOTOS[32:48]
    await mysql_cache.settle(settlement((PHOTOS[0], llm())))
    assert (await mysql_cache.info()).rows["claim"] == 47
