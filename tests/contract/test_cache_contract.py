"""What every cache does with answers, whatever database it lives in: one body over every URL."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from tests.support.databases import CacheDatabase
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
from xintu_cli.records import Answer, CachedRow, Classification, Reason, Refusal, RunRow, Source
from xintu_cli.routing import Policy
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.urls import open_cache

pytestmark = pytest.mark.anyio


# ---- answers ---------------------------------------------------------------------------------


async def test_a_row_that_was_kept_back_says_for_what(cache: SqlCache) -> None:
    said = Classification("other", 0.5, second_category="idcard")
    kept = Answer(said, Source.LOCAL, "local", "lite@1", reason=Reason.KEPT_LOCAL)
    await cache.settle(settlement((DOG, kept)))
    told = CachedRow(DOG, "local", "other", 0.5, "lite@1", "kept_local", "", "", "idcard")
    assert await cache.look_up(TASK, "xintu", [DOG]) == {DOG: [told]}


async def test_an_empty_cache_knows_nothing(cache: SqlCache) -> None:
    assert await cache.look_up(TASK, "xintu", PHOTOS) == {}
    assert await cache.look_up(TASK, "xintu", []) == {}


async def test_what_was_settled_is_looked_up(cache: SqlCache) -> None:
    await cache.settle(settlement((CAT, llm()), (DOG, local())))
    expected = {
        CAT: [CachedRow(CAT, "llm", "pets", 0.75, "qwen3-vl-plus", "", "p1", "v1", "foods")],
        DOG: [CachedRow(DOG, "local", "other", 0.5, "lite@1", "outage", "", "")],
    }
    assert expected == await cache.look_up(TASK, "xintu", [CAT, DOG, BIRD])


async def test_an_answer_belongs_to_its_task(cache: SqlCache) -> None:
    await cache.settle(settlement((CAT, llm())))
    assert await cache.look_up(OTHER_TASK, "xintu", [CAT]) == {}


async def test_the_latest_answer_of_a_source_wins(cache: SqlCache) -> None:
    await cache.settle(settlement((CAT, llm("pets"))))
    await cache.settle(settlement((CAT, llm("foods"))))
    rows = (await cache.look_up(TASK, "xintu", [CAT]))[CAT]
    assert [row.category for row in rows] == ["foods"]


async def test_the_last_of_two_answers_in_one_settlement_wins(cache: SqlCache) -> None:
    await cache.settle(settlement((CAT, llm("pets")), (CAT, llm("foods"))))
    rows = (await cache.look_up(TASK, "xintu", [CAT]))[CAT]
    assert [row.category for row in rows] == ["foods"]


@pytest.mark.row("F7")
async def test_a_local_answer_neither_hides_nor_replaces_an_llms(cache: SqlCache) -> None:
    await cache.settle(settlement((CAT, llm("pets"))))
    await cache.settle(settlement((CAT, local("other"))))
    rows = (await cache.look_up(TASK, "xintu", [CAT]))[CAT]
    assert {("llm", "pets"), ("local", "other")} == {(row.source, row.category) for row in rows}


@pytest.mark.parametrize("confidence", [0.0, 1.0, 0.1234567890123, 1e-9])
async def test_a_confidence_is_what_it_was(cache: SqlCache, confidence: float) -> None:
    await cache.settle(settlement((CAT, llm(classification=Classification("a", confidence)))))
    (row,) = (await cache.look_up(TASK, "xintu", [CAT]))[CAT]
    assert confidence == row.confidence


@pytest.mark.parametrize("name", ['a"b\\c', "模型 🐈", "\x1b[31m\t\n", "%s ? {}"])
async def test_a_models_name_is_any_text(cache: SqlCache, name: str) -> None:
    await cache.settle(settlement((CAT, llm(model=name))))
    (row,) = (await cache.look_up(TASK, "xintu", [CAT]))[CAT]
    assert name == row.model


@pytest.mark.may_block_loop("five times as many at once as a run writes")
async def test_any_number_of_photos_goes_through_one_call(cache: SqlCache) -> None:
    await cache.settle(settlement(*((photo, llm()) for photo in PHOTOS)))
    assert set(PHOTOS) == set(await cache.look_up(TASK, "xintu", PHOTOS))


async def test_details_tell_every_column(cache: SqlCache) -> None:
    await cache.settle(settlement((CAT, llm())))
    (answer,) = (await cache.details(TASK, "xintu", [CAT, DOG]))[CAT]
    assert (
        answer.category,
        answer.confidence,
        answer.description,
        answer.second_category,
    ) == ("pets", 0.75, "a pets 🐈", "foods")
    assert (
        answer.source,
        answer.provider,
        answer.model,
        answer.reason,
        answer.prompt_version,
        answer.preparation_version,
    ) == ("llm", "qwen", "qwen3-vl-plus", "", "p1", "v1")
    assert abs(datetime.now(UTC) - answer.created_at) < timedelta(minutes=1)


async def test_all_answers_are_streamed_in_key_order(cache: SqlCache) -> None:
    await cache.settle(settlement(*((photo, llm()) for photo in PHOTOS)))
    await cache.settle(settlement((CAT, local()), task=OTHER_TASK))
    everything = [(answer.image_hash, task) async for task, answer in cache.answers()]
    assert sorted([*((photo, TASK) for photo in PHOTOS), (CAT, OTHER_TASK)]) == everything
    only = [answer.source async for _, answer in cache.answers(OTHER_TASK)]
    assert only == ["local"]


@pytest.mark.parametrize(
    "text",
    ["a'b\"c\\", "%s ? {0}", "nul\0byte", "\x1b[31m", "lone \ud800 surrogate", "🐈" * 20_000],
)
async def test_a_models_text_is_stored_whatever_it_is(cache: SqlCache, text: str) -> None:
    said = Classification("pets", 0.9, text)
    failed = attempt(outcome="unavailable", error=text)
    await cache.settle(settlement((CAT, llm(classification=said, attempts=(failed,)))))
    (answer,) = (await cache.details(TASK, "xintu", [CAT]))[CAT]
    assert text[:5].replace("\ud800", "?") == answer.description[:5]


async def test_what_is_longer_or_larger_than_its_column_is_cut_alike_everywhere(
    cache: SqlCache, database: CacheDatabase
) -> None:
    long = "é" * 3_000
    odd = attempt(provider=long, model=long, error=long, currency=long, tokens_in=10**30, cost=1e30)
    strange = llm(provider=long, model=long, attempts=(odd, attempt(tokens_out=-5, cost=math.nan)))
    refused = ((DOG, Refusal(long, long)),)
    await cache.settle(settlement((CAT, strange), refusals=refused))
    await cache.claim(TASK, [BIRD], run_id=RUN, host=long, seconds=60)
    await cache.start_run(RunRow(RUN, long, "0", Policy.CLOUD))
    await cache.set_labels("xintu", [(CAT, "pets")], who=long)
    for sql, lengths in (
        ("SELECT LENGTH(provider), LENGTH(model) FROM classification", (64, 128)),
        ("SELECT LENGTH(error), LENGTH(currency) FROM request_log WHERE cost > 1", (500, 8)),
        ("SELECT LENGTH(provider), LENGTH(reason) FROM refusal", (64, 255)),
        ("SELECT LENGTH(host), 255 FROM claim", (255, 255)),
        ("SELECT LENGTH(host), 255 FROM run", (255, 255)),
        ("SELECT LENGTH(who), 64 FROM manual_label", (64, 64)),
    ):
        spelled = sql.replace("LENGTH", "CHAR_LENGTH") if database.kind == "mysql" else sql
        assert database.fetch(spelled) == [lengths], sql
    ((tokens, money),) = database.fetch("SELECT MAX(tokens_in), MAX(cost) FROM request_log")
    assert (tokens, float(money)) == (2**31 - 1, 1_000_000.0)


# ---- settling twice --------------------------------------------------------------------------


@pytest.mark.row("D3")
async def test_writing_a_settlement_twice_leaves_what_once_leaves(
    cache: SqlCache, database: CacheDatabase
) -> None:
    await cache.settle(settlement((CAT, llm())))
    once = settlement((DOG, llm()), hits=(CAT,), attempts=((BIRD, attempt()),))
    await cache.settle(once)
    tables = {
        "classification": "image_hash, category, hit_count",
        "request_log": "image_hash, outcome",
        "daily": "attempts, ok, tokens_in",
    }
    before = {table: database.fetch(f"SELECT {c} FROM {table}") for table, c in tables.items()}
    await cache.settle(once)
    after = {table: database.fetch(f"SELECT {c} FROM {table}") for table, c in tables.items()}
    assert before == after


async def test_a_replayed_settlement_does_not_undo_a_newer_answer(cache: SqlCache) -> None:
    older = settlement((CAT, llm("pets")))
    await cache.settle(older)
    await cache.settle(settlement((CAT, llm("foods"))))
    await cache.settle(older)
    rows = (await cache.look_up(TASK, "xintu", [CAT]))[CAT]
    assert [row.category for row in rows] == ["foods"]


# ---- hits, log, totals -----------------------------------------------------------------------


async def test_a_hit_is_counted_on_the_row_that_answered(
    cache: SqlCache, database: CacheDatabase
) -> None:
    await cache.settle(settlement((CAT, llm()), (CAT, local()), (DOG, local())))
    await cache.settle(settlement(hits=(CAT, DOG, BIRD)))
    await cache.settle(settlement(hits=(CAT,)))
    await cache.settle(settlement(hits=(CAT, DOG, DOG, DOG)))
    rows = database.fetch("SELECT image_hash, source, hit_count FROM classification")
    assert {(CAT, "llm", 3), (CAT, "local", 0), (DOG, "local", 4)} == set(rows)


async def test_every_attempt_is_logged_with_its_money(
    cache: SqlCache, database: CacheDatabase
) -> None:
    answer = llm(attempts=(attempt(outcome="throttled", cost=None), attempt(number=2)))
    await cache.settle(settlement((CAT, answer), attempts=((DOG, attempt(outcome="unknown")),)))
    rows = database.fetch(
        "SELECT image_hash, outcome, attempt, cost FROM request_log ORDER BY image_hash, attempt"
    )
    assert [(*row[:3], None if row[3] is None else float(row[3])) for row in rows] == [
        (CAT, "throttled", 1, None),
        (CAT, "ok", 2, 0.25),
        (DOG, "unknown", 1, 0.25),
    ]


async def test_a_days_totals_grow_with_the_log(cache: SqlCache, database: CacheDatabase) -> None:
    await cache.settle(settlement((CAT, llm())))
    await cache.settle(settlement(attempts=((DOG, attempt(outcome="unavailable", cost=None)),)))
    rows = database.fetch(
        "SELECT provider, model, source, attempts, ok, unpriced, tokens_in, cost FROM daily"
    )
    assert [(*row[:7], float(row[7])) for row in rows] == [
        ("qwen", "qwen3-vl-plus", "llm", 2, 1, 1, 1800, 0.25)
    ]


async def test_an_answer_remembers_its_tokens_and_money(
    cache: SqlCache, database: CacheDatabase
) -> None:
    await cache.settle(settlement((CAT, llm(attempts=(attempt(), attempt(number=2))))))
    ((tokens_in, tokens_out, cost, currency),) = database.fetch(
        "SELECT tokens_in, tokens_out, cost, currency FROM classification"
    )
    assert (tokens_in, tokens_out, float(cost), currency) == (1800, 120, 0.5, "USD")


# ---- refusals --------------------------------------------------------------------------------


async def test_a_refusal_holds_for_its_provider_and_task(cache: SqlCache) -> None:
    await cache.settle(
        settlement(refusals=((CAT, Refusal("qwen", "policy")), (CAT, Refusal("gpt", "policy"))))
    )
    assert {CAT: {"qwen", "gpt"}} == await cache.refused(TASK, [CAT, DOG])
    assert await cache.refused(OTHER_TASK, [CAT]) == {}


async def test_an_answer_brings_the_refusals_on_its_way(cache: SqlCache) -> None:
    await cache.settle(settlement((CAT, llm(refusals=(Refusal("gpt", "policy"),)))))
    assert await cache.refused(TASK, [CAT]) == {CAT: {"gpt"}}


async def test_a_refusal_is_over_after_thirty_days(
    cache: SqlCache, database: CacheDatabase
) -> None:
    await cache.settle(settlement(refusals=((CAT, Refusal("qwen", "policy")),)))
    ((until,),) = database.fetch("SELECT retry_after FROM refusal")
    end = datetime.fromisoformat(str(until)).replace(tzinfo=UTC)
    assert 29.9 < (end - datetime.now(UTC)) / timedelta(days=1) < 30.1
    database.fetch("UPDATE refusal SET retry_after = '2020-01-01 00:00:00.000'")
    assert await cache.refused(TASK, [CAT]) == {}


# ---- opening ---------------------------------------------------------------------------------


async def test_a_cache_keeps_what_it_was_told_when_it_is_opened_again(
    database: CacheDatabase,
) -> None:
    async with open_cache(database.url) as cache:
        await cache.settle(settlement((CAT, llm())))
        identity = (await cache.info()).cache_id
    async with open_cache(database.url) as cache:
        assert {CAT} == set(await cache.look_up(TASK, "xintu", [CAT]))
        assert identity == (await cache.info()).cache_id


async def test_two_programs_may_create_one_cache_at_once(database: CacheDatabase) -> None:
    async def create() -> None:
        async with open_cache(database.url) as cache:
            await cache.info()

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(create)
    assert database.fetch("SELECT COUNT(*) FROM meta WHERE name = 'cache_id'") == [(1,)]


async def test_a_cancelled_call_leaves_the_cache_usable(cache: SqlCache) -> None:
    for photo in PHOTOS[:50]:
        with anyio.move_on_after(0.001):
            await cache.settle(settlement((photo, llm())))
        with anyio.move_on_after(0.0005):
            await cache.look_up(TASK, "xintu", PHOTOS)
    await cache.settle(settlement((CAT, llm())))
    assert CAT in await cache.look_up(TASK, "xintu", PHOTOS)
