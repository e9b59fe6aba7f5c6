"""What `stats` and `prune --task` ask of a cache: the same answer from every database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.databases import CacheDatabase
from xintu_cli.records import (
    Answer,
    Attempt,
    Classification,
    Reason,
    RunRow,
    RunSummary,
    Settlement,
    Source,
)
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.statistics import StandInLine, read_statistics
from xintu_cli.storage.totals import read_periods, since_midnight
from xintu_cli.storage.upkeep import TaskLine, read_tasks
from xintu_cli.storage.urls import open_cache

pytestmark = pytest.mark.anyio

TASK = "0123456789abcdef"
OTHER_TASK = "fedcba9876543210"
CAT, DOG, BIRD, FISH = (f"{number:032x}" for number in range(1, 5))


@pytest.fixture
async def cache(database: CacheDatabase) -> AsyncIterator[SqlCache]:
    """Open an empty cache."""
    async with open_cache(database.url) as opened:
        yield opened


def llm(category: str, confidence: float = 0.8) -> Answer:
    paid = Attempt(Source.LLM, "qwen", "vl", "ok", 100.0, 900, 60, 0.25, "CNY")
    said = Classification(category, confidence)
    return Answer(said, Source.LLM, "qwen", "vl", attempts=(paid,))


def local(category: str, confidence: float = 0.4, reason: Reason = Reason.ASKED) -> Answer:
    return Answer(
        Classification(category, confidence), Source.LOCAL, "local", "lite@1", reason=reason
    )


async def settle(cache: SqlCache, *answers: tuple[str, Answer], task: str = TASK) -> None:
    await cache.settle(Settlement("r", task, answers=answers))


async def run(cache: SqlCache, summary: RunSummary) -> None:
    await cache.start_run(RunRow(summary.run_id, "here", "1.0", "hybrid"))
    await cache.finish_run(summary)


async def test_an_image_counts_once_under_whoever_is_believed(cache: SqlCache) -> None:
    await settle(cache, (CAT, llm("pets")), (DOG, llm("pets", 0.6)), (BIRD, local("foods")))
    await settle(cache, (CAT, local("other")), (FISH, local("foods", 0.6)))
    await cache.set_labels("xintu", [(DOG, "other")], who="me")
    await cache.set_labels("another", [(CAT, "other")], who="me")
    lines = (await read_statistics(cache, TASK, taxonomy="xintu")).categories
    assert [(c.category, c.source, c.photos, round(c.mean_confidence, 6)) for c in lines] == [
        ("foods", "local", 2, 0.5),
        ("other", "manual", 1, 1.0),
        ("pets", "llm", 1, 0.8),
    ]


async def test_a_stand_in_is_one_until_an_llm_has_answered(cache: SqlCache) -> None:
    await settle(
        cache,
        (CAT, local("pets", reason=Reason.OUTAGE)),
        (DOG, local("pets", reason=Reason.OUTAGE)),
        (BIRD, local("pets", reason=Reason.KEPT_LOCAL)),
        (FISH, local("pets", reason=Reason.BUDGET)),
    )
    await settle(cache, (DOG, llm("pets")))
    assert (await read_statistics(cache, TASK)).stand_ins == (
        StandInLine("budget", 1),
        StandInLine("outage", 1),
    )


async def test_periods_add_up_what_began_in_them(cache: SqlCache, database: CacheDatabase) -> None:
    moments = ("2020-01-01 00:00:00.000", "", "")
    for number, moment in enumerate(moments):
        run_id = f"{number:032x}"
        summary = RunSummary(
            run_id, "done", 0, 10, 6, 3, 0, 0, 0, 1, calls=3, cost=0.5, currency="CNY", seconds=2.0
        )
        await run(cache, summary)
        if moment:
            database.fetch(f"UPDATE run SET started_at = '{moment}' WHERE run_id = '{run_id}'")
    periods = await read_periods(cache, days=7, utc_offset_seconds=0.0)
    assert [p.runs for p in (periods.last_days, periods.all_time)] == [2, 3]
    # A run may have begun just before midnight, and the question come just after.
    assert periods.today.runs <= 2
    everything = periods.all_time
    assert (everything.counts["found"], everything.answered, everything.hit_rate) == (
        30,
        27,
        18 / 27,
    )
    assert everything.photos_per_second == 27 / 6
    assert (dict(everything.spent), everything.unpriced) == ({"CNY": 1.5}, 0)


async def test_unknown_prices_and_two_currencies_are_told_apart(cache: SqlCache) -> None:
    for number, (cost, currency) in enumerate(((0.5, "CNY"), (0.25, "USD"), (None, ""))):
        summary = RunSummary(
            f"{number:032x}", "done", 0, 1, 0, 1, 0, 0, 0, 0, calls=1, cost=cost, currency=currency
        )
        await run(cache, summary)
    totals = (await read_periods(cache, days=1, utc_offset_seconds=0.0)).all_time
    assert (dict(totals.spent), totals.unpriced) == ({"CNY": 0.5, "USD": 0.25}, 1)


async def test_what_a_killed_run_called_for_and_spent_is_not_left_out(cache: SqlCache) -> None:
    finished = RunSummary(
        "f" * 32, "done", 0, 1, 0, 1, 0, 0, 0, 0, calls=1, tokens_in=900, tokens_out=60,
        cost=0.25, currency="CNY",
    )  # fmt: skip
    await run(cache, finished)
    await cache.settle(Settlement(finished.run_id, TASK, answers=((CAT, llm("pets")),)))
    killed = "e" * 32
    await cache.start_run(RunRow(killed, "here", "1.0", "hybrid"))
    unpriced = Attempt(Source.LLM, "own", "vl", "unavailable", 5.0)
    await cache.settle(
        Settlement(
            killed,
            TASK,
            answers=((DOG, llm("pets")), (BIRD, local("other"))),
            attempts=((FISH, unpriced),),
        )
    )
    totals = (await read_periods(cache, days=1, utc_offset_seconds=0.0)).all_time
    assert [totals.counts[name] for name in ("calls", "tokens_in", "tokens_out", "llm")] == [
        *(3, 1800, 120),
        1,
    ]
    assert (totals.runs, dict(totals.spent), totals.unpriced) == (2, {"CNY": 0.5}, 1)


async def test_an_empty_cache_has_no_rates(cache: SqlCache) -> None:
    totals = (await read_periods(cache, days=1, utc_offset_seconds=0.0)).all_time
    assert (totals.runs, totals.hit_rate, totals.photos_per_second) == (0, None, None)
    assert dict(totals.spent) == {}


async def test_tasks_tell_how_much_was_paid_for_them(cache: SqlCache) -> None:
    await settle(cache, (CAT, llm("pets")), (DOG, llm("pets")), (BIRD, local("pets")))
    await settle(cache, (CAT, local("pets")), task=OTHER_TASK)
    assert await read_tasks(cache) == [
        TaskLine(TASK, 3, 0.5, "CNY"),
        TaskLine(OTHER_TASK, 1, 0.0, ""),
    ]


@pytest.mark.parametrize(
    ("now", "offset_hours", "midnight"),
    [
        ("2026-11-24 10:00:00.000", 0, "2026-11-24 00:00:00.000"),
        ("2026-11-24 10:00:00.000", 8, "2026-11-23 16:00:00.000"),
        ("2026-11-24 17:00:00.000", 8, "2026-11-24 16:00:00.000"),
        ("2026-11-24 03:00:00.000", -5, "2026-11-23 05:00:00.000"),
        ("2026-03-01 02:00:00.000", 5.75, "2026-02-28 18:15:00.000"),
    ],
)
async def test_today_begins_at_the_askers_midnight(
    now: str, offset_hours: float, midnight: str
) -> None:
    assert since_midnight(now, offset_hours * 3600) == midnight
