"""Statistics, pruning, copying, checking: the same on every database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from tests.support.databases import CacheDatabase, MariaDb
from tests.support.settlements import (
    BIRD,
    CAT,
    DOG,
    OTHER_TASK,
    PHOTOS,
    RUN,
    TASK,
    attempt,
    llm,
    local,
    settlement,
)
from xintu_cli.records import (
    Classification,
    Refusal,
    RunRow,
    RunSummary,
)
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.copying import copy_cache
from xintu_cli.storage.statistics import Agreement, Saved, Usage, mean_usage, read_statistics
from xintu_cli.storage.totals import read_periods
from xintu_cli.storage.upkeep import PruneRules, check, prune
from xintu_cli.storage.urls import migrate_cache, open_cache
from xintu_cli.tally import Tally

pytestmark = pytest.mark.anyio

LONG_AGO = "2020-01-01 00:00:00.000"


# ---- statistics ------------------------------------------------------------------------------


async def test_an_empty_cache_has_empty_statistics(cache: SqlCache) -> None:
    statistics = await read_statistics(cache, TASK)
    assert statistics.runs == 0
    assert statistics.hit_rate is None
    shown = (statistics.providers, statistics.recent_runs, statistics.categories)
    assert shown == ((), (), ())
    assert await mean_usage(cache, "qwen", "qwen3-vl-plus") is None


async def test_runs_add_up(cache: SqlCache) -> None:
    for number in range(2):
        run_id = f"{number:032x}"
        await cache.start_run(RunRow(run_id, "here", "1.0", "hybrid"))
        await cache.finish_run(
            RunSummary(run_id, "done", 0, 10, 6, 3, 0, 1, 0, 0, cost=0.5, seconds=2.0)
        )
    statistics = await read_statistics(cache, TASK, days=7)
    assert (statistics.runs, statistics.seconds) == (2, 4.0)
    assert statistics.counts["found"] == 20
    assert statistics.hit_rate == 12 / 18
    assert [(d.runs, d.found, d.cached, d.llm, d.failed) for d in statistics.days] == [
        (2, 20, 12, 6, 2)
    ]
    (latest, _) = statistics.recent_runs
    assert (latest.host, latest.status, latest.counts["cached"], latest.cost) == (
        "here",
        "done",
        6,
        0.5,
    )


async def test_old_runs_are_outside_the_last_days(cache: SqlCache, database: CacheDatabase) -> None:
    await cache.start_run(RunRow(RUN, "here", "1.0", "hybrid"))
    database.fetch(f"UPDATE run SET started_at = '{LONG_AGO}'")
    assert (await read_statistics(cache, TASK, days=30)).runs == 0
    assert (await read_statistics(cache, TASK)).runs == 1


async def test_categories_tell_count_and_mean_confidence_by_source(cache: SqlCache) -> None:
    await cache.settle(settlement((CAT, llm()), (DOG, llm()), (BIRD, local("foods"))))
    lines = (await read_statistics(cache, TASK)).categories
    assert [(c.category, c.source, c.photos, c.mean_confidence) for c in lines] == [
        ("pets", "llm", 2, 0.75),
        ("foods", "local", 1, 0.5),
    ]


async def test_providers_tell_money_failures_and_latencies(cache: SqlCache) -> None:
    calls = tuple(attempt(latency_ms=float(latency)) for latency in range(1, 101))
    refused = attempt(latency_ms=5_000.0, outcome="throttled", cost=None)
    await cache.settle(settlement((CAT, llm(attempts=calls)), attempts=((DOG, refused),)))
    statistics = await read_statistics(cache, TASK)
    (line,) = statistics.providers
    assert (line.provider, line.model, line.source, line.currency) == (
        "qwen",
        "qwen3-vl-plus",
        "llm",
        "USD",
    )
    assert (line.attempts, line.ok, line.unpriced, line.cost) == (101, 100, 1, 25.0)
    assert (line.p50_ms, line.p90_ms, line.p99_ms) == (50.0, 90.0, 99.0)
    assert [(f.provider, f.outcome, f.attempts) for f in statistics.failures] == [
        ("qwen", "throttled", 1)
    ]


async def test_savings_are_what_the_reused_answers_had_cost(cache: SqlCache) -> None:
    await cache.settle(settlement((CAT, llm()), (DOG, llm()), (BIRD, local())))
    await cache.settle(settlement(hits=(CAT, DOG, BIRD)))
    await cache.settle(settlement(hits=(CAT,)))
    statistics = await read_statistics(cache, TASK)
    assert statistics.saved == (Saved(3, 0.75, "USD"),)
    assert [(line.image_hash, line.hits) for line in statistics.most_hit] == [
        (CAT, 2),
        (DOG, 1),
        (BIRD, 1),
    ]


async def test_agreement_compares_both_answers_of_one_image(cache: SqlCache) -> None:
    await cache.settle(settlement((CAT, llm()), (DOG, llm("foods")), (BIRD, llm())))
    await cache.settle(settlement((CAT, local("pets")), (DOG, local("pets"))))
    assert (await read_statistics(cache, TASK)).agreement == Agreement(both=2, alike=1)


async def test_usage_is_the_mean_of_real_calls(cache: SqlCache) -> None:
    calls = (attempt(), attempt(tokens_in=100, tokens_out=20), attempt(outcome="unknown"))
    await cache.settle(settlement((CAT, llm(attempts=calls))))
    assert await mean_usage(cache, "qwen", "qwen3-vl-plus") == Usage(2, 500.0, 40.0)
    assert await mean_usage(cache, "qwen", "another") is None


# ---- pruning ---------------------------------------------------------------------------------


async def test_pruning_the_log_keeps_answers_and_totals(
    cache: SqlCache, database: CacheDatabase
) -> None:
    await cache.settle(settlement(*((photo, llm()) for photo in PHOTOS)))
    database.fetch(f"UPDATE request_log SET created_at = '{LONG_AGO}'")
    await cache.settle(settlement((CAT, llm())))
    before = (await read_statistics(cache, TASK)).providers[0]
    counted = await prune(cache, PruneRules(), dry_run=True)
    pruned = await prune(cache, PruneRules())
    assert counted == pruned
    assert (pruned.request_log, pruned.total) == (2_500, 2_500)
    rows = (await cache.info()).rows
    assert (rows["request_log"], rows["classification"]) == (1, 2_500)
    after = (await read_statistics(cache, TASK)).providers[0]
    assert (after.attempts, after.cost) == (before.attempts, before.cost) == (2_501, 625.25)


async def test_pruning_changes_no_total_of_any_period(
    cache: SqlCache, database: CacheDatabase
) -> None:
    """Today, the last days and all time are told from what prune never deletes."""
    for number in range(3):
        run = RunRow(f"{number:032x}", "host", "1.0", "cloud")
        await cache.start_run(run)
        await cache.settle(settlement(*((photo, llm()) for photo in PHOTOS[:50])))
        done = Tally(run.run_id).summary("done", 0, 2.0)
        await cache.finish_run(replace(done, found=50, llm=50, calls=50, cost=1.5, currency="USD"))
    database.fetch(f"UPDATE request_log SET created_at = '{LONG_AGO}'")
    database.fetch(f"UPDATE run SET started_at = '{LONG_AGO}' WHERE run_id = '{0:032x}'")
    database.fetch(f"UPDATE daily SET day = '{LONG_AGO[:10]}'")

    async def totals() -> list[object]:
        periods = await read_periods(cache, days=30, utc_offset_seconds=0.0)
        told = await read_statistics(cache, TASK)
        kept = [(p.provider, p.model, p.attempts, p.ok, p.cost) for p in told.providers]
        three = (periods.today, periods.last_days, periods.all_time)
        return [*(replace(period, since="") for period in three), told.counts, told.days, kept]

    before = await totals()
    assert (await prune(cache, PruneRules(log_days=0))).request_log == 150
    assert await totals() == before


async def test_what_is_over_is_pruned(cache: SqlCache, database: CacheDatabase) -> None:
    await cache.settle(settlement(refusals=((CAT, Refusal("qwen", "policy")),)))
    await cache.claim(TASK, [CAT, DOG], run_id=RUN, host="here", seconds=60)
    database.fetch(f"UPDATE refusal SET retry_after = '{LONG_AGO}'")
    database.fetch(f"UPDATE claim SET expires_at = '{LONG_AGO}' WHERE image_hash = '{CAT}'")
    database.fetch(f"UPDATE settlement SET settled_at = '{LONG_AGO}'")
    pruned = await prune(cache, PruneRules())
    assert (pruned.refusal, pruned.claim, pruned.settlement) == (1, 1, 1)
    assert (await cache.info()).rows["claim"] == 1


async def test_answers_go_only_when_they_are_named(cache: SqlCache) -> None:
    await cache.settle(settlement((CAT, llm()), (CAT, local(model="lite@1"))))
    await cache.settle(settlement((DOG, local(model="lite@2"))))
    await cache.settle(settlement((CAT, llm()), task=OTHER_TASK))
    await cache.set_labels("xintu", [(CAT, "pets")], who="me")
    assert (await prune(cache, PruneRules())).total == 0
    assert (await prune(cache, PruneRules(local_model="lite@2"))).local_answers == 1
    assert (await prune(cache, PruneRules(task=OTHER_TASK))).task_answers == 1
    left = {(task, a.image_hash, a.source) async for task, a in cache.answers()}
    assert left == {(TASK, CAT, "llm"), (TASK, DOG, "local")}
    assert (await cache.info()).rows["manual_label"] == 1


async def test_the_ids_of_settlements_outlive_a_short_log(
    cache: SqlCache, database: CacheDatabase
) -> None:
    """A machine that was away may have them in its spool: replayed, they must count once."""
    once = settlement((CAT, llm()))
    await cache.settle(once)
    database.fetch("UPDATE request_log SET created_at = '2000-01-01 00:00:00.000'")
    assert (await prune(cache, PruneRules(log_days=0))).request_log == 1
    await cache.settle(once)
    assert (await cache.info()).rows["request_log"] == 0
    assert (await read_statistics(cache, TASK)).providers[0].attempts == 1


# ---- checking --------------------------------------------------------------------------------


async def test_a_sound_cache_has_no_problems(cache: SqlCache) -> None:
    await cache.settle(settlement((CAT, llm())))
    assert await check(cache) == []


async def test_rows_that_xintu_would_not_write_are_told(
    cache: SqlCache, database: CacheDatabase
) -> None:
    await cache.settle(settlement((CAT, llm()), (DOG, llm())))
    database.fetch(f"UPDATE classification SET confidence = 7 WHERE image_hash = '{CAT}'")
    (problem,) = await check(cache)
    assert "1 rows are none that xintu writes" in problem


# ---- copying ---------------------------------------------------------------------------------


@pytest.fixture
def other_url(database: CacheDatabase, mariadb: MariaDb, tmp_path: Path) -> str:
    """Return the URL of an empty cache of the other kind."""
    if database.kind == "mysql":
        return f"sqlite:///{tmp_path / 'other.db'}"
    return mariadb.url(mariadb.create_database())


async def everything(cache: SqlCache) -> list[tuple[object, ...]]:
    return [
        (task, a.image_hash, a.source, a.category, a.description, a.model, a.created_at)
        async for task, a in cache.answers()
    ]


async def test_a_copy_holds_answers_labels_and_refusals(cache: SqlCache, other_url: str) -> None:
    await cache.settle(settlement(*((photo, llm()) for photo in PHOTOS)))
    await cache.settle(settlement((CAT, local()), refusals=((DOG, Refusal("gpt", "policy")),)))
    await cache.set_labels("xintu", [(CAT, "照片")], who="me")
    steps: list[tuple[int, int]] = []
    async with open_cache(other_url) as target:
        done = await copy_cache(cache, target, progress=lambda *step: steps.append(step))
        assert done == 2_503
        assert steps[-1] == (2_503, 2_503)
        assert await everything(target) == await everything(cache)
        assert await target.refused(TASK, [DOG]) == {DOG: {"gpt"}}
        (label,) = [
            row
            for row in (await target.look_up(TASK, "xintu", [CAT]))[CAT]
            if row.source == "manual"
        ]
        assert label.category == "照片"


async def test_copying_again_changes_nothing(cache: SqlCache, other_url: str) -> None:
    await cache.settle(settlement((CAT, llm())))
    async with open_cache(other_url) as target:
        await copy_cache(cache, target, progress=lambda *_: None)
        once = await everything(target)
        await copy_cache(cache, target, progress=lambda *_: None)
        assert await everything(target) == once


async def test_the_younger_of_two_answers_stays(
    cache: SqlCache, database: CacheDatabase, other_url: str
) -> None:
    await cache.settle(settlement((CAT, llm("pets")), (DOG, llm("pets"))))
    async with open_cache(other_url) as target:
        await target.settle(settlement((CAT, llm("foods")), (DOG, llm("foods"))))
        database.fetch(
            f"UPDATE classification SET created_at = '{LONG_AGO}' WHERE image_hash = '{CAT}'"
        )
        database.fetch(
            "UPDATE classification SET created_at = '2100-01-01 00:00:00.000'"
            f" WHERE image_hash = '{DOG}'"
        )
        await copy_cache(cache, target, progress=lambda *_: None)
        rows = await target.look_up(TASK, "xintu", [CAT, DOG])
        assert {photo: row.category for photo, (row,) in rows.items()} == {
            CAT: "foods",
            DOG: "pets",
        }


async def test_an_interrupted_copy_goes_on_where_it_stopped(
    cache: SqlCache, other_url: str
) -> None:
    await cache.settle(settlement(*((photo, llm()) for photo in PHOTOS)))

    async with open_cache(other_url) as target:
        with pytest.raises(RuntimeError):
            await copy_cache(cache, target, progress=interrupted)
        first, last = sorted(PHOTOS)[:: len(PHOTOS) - 1]
        await cache.settle(settlement((first, llm("foods")), (last, llm("foods"))))
        assert await copy_cache(cache, target, progress=lambda *_: None) == 1_500
        assert await everything(target) == await everything(cache)


def interrupted(done: int, _total: int) -> None:
    if done >= 1_000:
        raise RuntimeError("interrupted")


# ---- privacy and schema ----------------------------------------------------------------------


async def test_descriptions_may_stay_at_home(database: CacheDatabase, tmp_path: Path) -> None:
    async with (
        open_cache(f"sqlite:///{tmp_path / 'home.db'}") as home,
        open_cache(database.url, descriptions=home) as cache,
    ):
        await cache.settle(settlement((CAT, llm()), (DOG, llm())))
        await cache.settle(settlement((DOG, llm("foods"))))
        found = await cache.details(TASK, "xintu", [CAT, DOG])
        assert [found[photo][0].description for photo in (CAT, DOG)] == ["a pets 🐈", "a foods 🐈"]
        assert (await home.info()).rows["request_log"] == 0
    assert database.fetch("SELECT DISTINCT description FROM classification") == [("",)]


async def test_another_machines_answer_gets_no_description_of_ours(
    database: CacheDatabase, tmp_path: Path
) -> None:
    async with (
        open_cache(f"sqlite:///{tmp_path / 'home.db'}") as home,
        open_cache(database.url, descriptions=home) as ours,
        open_cache(database.url) as theirs,
    ):
        await ours.settle(settlement((CAT, llm())))
        other = llm(classification=Classification("foods", 0.9))
        await theirs.settle(settlement((CAT, other)))
        assert (await ours.details(TASK, "xintu", [CAT]))[CAT][0].description == ""


async def test_migrating_makes_the_tables_once(database: CacheDatabase) -> None:
    assert await migrate_cache(database.url) == 1
    assert await migrate_cache(database.url) == 0
    async with open_cache(database.url) as cache:
        assert (await cache.info()).schema_version == 1


@pytest.mark.row("D11")
async def test_migrations_at_once_do_not_disturb_each_other(database: CacheDatabase) -> None:
    steps: list[int] = []

    async def migrate() -> None:
        steps.append(await migrate_cache(database.url))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(migrate)
    assert sorted(steps) == [0, 0, 1]
