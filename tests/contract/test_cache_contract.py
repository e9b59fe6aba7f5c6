"""What every cache does, whatever database it lives in: one body over every URL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from tests.support.databases import CacheDatabase
from xintu_cli.records import (
    Answer,
    Attempt,
    CachedRow,
    Classification,
    Refusal,
    RunRow,
    RunSummary,
    Settlement,
    Source,
)
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.urls import open_cache, open_lease_keeper

pytestmark = pytest.mark.anyio

TASK = "0123456789abcdef"
OTHER_TASK = "fedcba9876543210"
RUN = "a" * 32
OTHER_RUN = "b" * 32
PHOTOS = [f"{number:032x}" for number in range(1, 2_501)]
CAT, DOG, BIRD = PHOTOS[:3]


@pytest.fixture
async def cache(database: CacheDatabase) -> AsyncIterator[SqlCache]:
    """Open an empty cache."""
    async with open_cache(database.url) as opened:
        yield opened


def attempt(**changes: object) -> Attempt:
    made = Attempt(Source.LLM, "qwen", "qwen3-vl-plus", "ok", 1200.0, 900, 60, 0.25, "USD")
    return replace(made, **changes)  # type: ignore[arg-type]


def llm(category: str = "pets", **changes: object) -> Answer:
    answer = Answer(
        Classification(category, 0.9, "一只猫 on a sofa 🐈", "foods"),
        Source.LLM,
        "qwen",
        "qwen3-vl-plus",
        prompt_version="p1",
        preparation_version="v1",
        attempts=(attempt(),),
    )
    return replace(answer, **changes)  # type: ignore[arg-type]


def local(category: str = "other", reason: str = "outage") -> Answer:
    return Answer(Classification(category, 0.5), Source.LOCAL, "local", "lite@1", reason)


def settlement(*answers: tuple[str, Answer], **changes: object) -> Settlement:
    made = Settlement(RUN, TASK, answers=answers)
    return replace(made, **changes) if changes else made  # type: ignore[arg-type]


# ---- answers ---------------------------------------------------------------------------------


async def test_an_empty_cache_knows_nothing(cache: SqlCache) -> None:
    assert await cache.look_up(TASK, "xintu", PHOTOS) == {}
    assert await cache.look_up(TASK, "xintu", []) == {}


async def test_what_was_settled_is_looked_up(cache: SqlCache) -> None:
    await cache.settle(settlement((CAT, llm()), (DOG, local())))
    expected = {
        CAT: [CachedRow(CAT, "llm", "pets", 0.9, "qwen3-vl-plus", "", "p1", "v1")],
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


async def test_a_local_answer_neither_hides_nor_replaces_an_llms(cache: SqlCache) -> None:
    await cache.settle(settlement((CAT, llm("pets"))))
    await cache.settle(settlement((CAT, local("other"))))
    rows = (await cache.look_up(TASK, "xintu", [CAT]))[CAT]
    assert {("llm", "pets"), ("local", "other")} == {(row.source, row.category) for row in rows}


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
    ) == ("pets", 0.9, "一只猫 on a sofa 🐈", "foods")
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


# ---- settling twice --------------------------------------------------------------------------


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
    rows = database.fetch("SELECT image_hash, source, hit_count FROM classification")
    assert {(CAT, "llm", 2), (CAT, "local", 0), (DOG, "local", 1)} == set(rows)


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


async def test_a_refusal_is_over_after_thirty_days(
    cache: SqlCache, database: CacheDatabase
) -> None:
    await cache.settle(settlement(refusals=((CAT, Refusal("qwen", "policy")),)))
    ((until,),) = database.fetch("SELECT retry_after FROM refusal")
    end = datetime.fromisoformat(str(until)).replace(tzinfo=UTC)
    assert 29.9 < (end - datetime.now(UTC)) / timedelta(days=1) < 30.1
    database.fetch("UPDATE refusal SET retry_after = '2020-01-01 00:00:00.000'")
    assert await cache.refused(TASK, [CAT]) == {}


# ---- claims ----------------------------------------------------------------------------------


async def claim(cache: SqlCache, photos: list[str], run: str, seconds: float = 60) -> set[str]:
    return set(await cache.claim(TASK, photos, run_id=run, host="here", seconds=seconds))


def let_claims_expire(database: CacheDatabase) -> None:
    database.fetch("UPDATE claim SET expires_at = '2020-01-01 00:00:00.000'")


async def test_a_photo_is_claimed_by_one_run(cache: SqlCache) -> None:
    assert {CAT, DOG} == await claim(cache, [CAT, DOG], RUN)
    assert {BIRD} == await claim(cache, [DOG, BIRD], OTHER_RUN)


async def test_a_run_may_claim_again_what_it_has(cache: SqlCache) -> None:
    await claim(cache, [CAT], RUN)
    assert {CAT, DOG} == await claim(cache, [CAT, DOG], RUN)


async def test_an_expired_claim_is_taken_over_and_its_owner_loses_it(
    cache: SqlCache, database: CacheDatabase
) -> None:
    await claim(cache, [CAT], RUN)
    let_claims_expire(database)
    assert await cache.expired_claims() == 1
    assert {CAT} == await claim(cache, [CAT], OTHER_RUN)
    assert set() == await claim(cache, [CAT], RUN)
    assert await cache.expired_claims() == 0


async def test_a_released_claim_is_free(cache: SqlCache) -> None:
    await claim(cache, [CAT, DOG], RUN)
    await cache.release(TASK, [CAT], run_id=RUN)
    assert {CAT} == await claim(cache, [CAT, DOG], OTHER_RUN)


async def test_a_run_cannot_release_anothers_claim(cache: SqlCache) -> None:
    await claim(cache, [CAT], RUN)
    await cache.release(TASK, [CAT], run_id=OTHER_RUN)
    assert set() == await claim(cache, [CAT], OTHER_RUN)


async def test_settling_releases_claims_of_answered_and_given_up_photos(cache: SqlCache) -> None:
    await claim(cache, [CAT, DOG, BIRD], RUN)
    await cache.settle(settlement((CAT, llm()), released=(DOG,)))
    assert {CAT, DOG} == await claim(cache, [CAT, DOG, BIRD], OTHER_RUN)


async def test_a_settlement_written_again_still_releases(cache: SqlCache) -> None:
    once = settlement((CAT, llm()))
    await cache.settle(once)
    await claim(cache, [CAT], RUN)
    await cache.settle(once)
    assert {CAT} == await claim(cache, [CAT], OTHER_RUN)


async def test_an_answer_is_stored_although_the_claim_was_lost(cache: SqlCache) -> None:
    await claim(cache, [CAT], OTHER_RUN)
    await cache.settle(settlement((CAT, llm())))
    assert {CAT} == set(await cache.look_up(TASK, "xintu", [CAT]))
    assert set() == await claim(cache, [CAT], RUN), "the other run's claim stands"


async def test_a_kept_lease_does_not_expire(cache: SqlCache, database: CacheDatabase) -> None:
    await claim(cache, [CAT], RUN, seconds=5)
    await claim(cache, [DOG], OTHER_RUN, seconds=5)
    with open_lease_keeper(database.url) as keeper:
        await anyio.to_thread.run_sync(keeper.renew, RUN, 3600.0)
    ends = dict(database.fetch("SELECT image_hash, expires_at FROM claim"))
    gained = datetime.fromisoformat(str(ends[CAT])) - datetime.fromisoformat(str(ends[DOG]))
    assert timedelta(minutes=59) < gained < timedelta(minutes=61)


async def test_a_lease_that_ran_out_is_not_renewed(
    cache: SqlCache, database: CacheDatabase
) -> None:
    await claim(cache, [CAT], RUN)
    let_claims_expire(database)
    with open_lease_keeper(database.url) as keeper:
        await anyio.to_thread.run_sync(keeper.renew, RUN, 3600.0)
    assert {CAT} == await claim(cache, [CAT], OTHER_RUN)


async def test_two_runs_that_claim_at_once_never_share_a_photo(database: CacheDatabase) -> None:
    async with open_cache(database.url) as one, open_cache(database.url) as two:
        ours: list[set[str]] = []

        async def take(cache: SqlCache, run: str) -> None:
            for start in range(0, 640, 64):
                mine = await claim(cache, PHOTOS[start : start + 64], run)
                ours.append(mine)

        async with anyio.create_task_group() as group:
            group.start_soon(take, one, RUN)
            group.start_soon(take, two, OTHER_RUN)
    assert 640 == sum(map(len, ours)) == len(set().union(*ours))


# ---- labels and runs -------------------------------------------------------------------------


async def test_a_persons_word_is_found_under_every_task(cache: SqlCache) -> None:
    await cache.set_labels("xintu", [(CAT, "pets")], who="me")
    expected = {CAT: [CachedRow(CAT, "manual", "pets", 1.0, "", "", "", "")]}
    assert expected == await cache.look_up(TASK, "xintu", [CAT, DOG])
    assert expected == await cache.look_up(OTHER_TASK, "xintu", [CAT])
    assert await cache.look_up(TASK, "another taxonomy", [CAT]) == {}
    (answer,) = (await cache.details(TASK, "xintu", [CAT]))[CAT]
    assert (answer.source, answer.category, answer.who) == ("manual", "pets", "me")


async def test_a_person_may_change_and_take_back_their_word(cache: SqlCache) -> None:
    await cache.set_labels("xintu", [(CAT, "pets"), (DOG, "pets")], who="me")
    await cache.set_labels("xintu", [(CAT, "foods")], who="you")
    (row,) = (await cache.look_up(TASK, "xintu", [CAT]))[CAT]
    assert row.category == "foods"
    assert await cache.clear_labels("xintu", [CAT, BIRD]) == 1
    assert {DOG} == set(await cache.look_up(TASK, "xintu", [CAT, DOG]))


async def test_a_runs_row_gets_its_counts(cache: SqlCache, database: CacheDatabase) -> None:
    await cache.start_run(RunRow(RUN, "here", "1.0", "hybrid"))
    assert database.fetch("SELECT host, status, finished_at FROM run") == [
        ("here", "running", None)
    ]
    summary = RunSummary(RUN, "done", 0, 10, 5, 4, 1, 0, 0, 0, unchanged=5, calls=4, cost=0.5)
    await cache.finish_run(summary)
    await cache.finish_run(summary)
    assert database.fetch(
        "SELECT host, policy, status, exit_code, found, cached, llm, local, unchanged, calls"
        " FROM run"
    ) == [("here", "hybrid", "done", 0, 10, 5, 4, 1, 5, 4)]


async def test_a_run_whose_start_was_not_written_still_gets_its_row(
    cache: SqlCache, database: CacheDatabase
) -> None:
    await cache.finish_run(RunSummary(RUN, "interrupted", 130, 1, 1, 0, 0, 0, 0, 0))
    assert database.fetch("SELECT status, exit_code FROM run") == [("interrupted", 130)]


async def test_info_counts_what_is_there(cache: SqlCache) -> None:
    await cache.settle(settlement((CAT, llm()), (DOG, local())))
    await cache.set_labels("xintu", [(CAT, "pets")], who="me")
    info = await cache.info()
    assert info.sources == {"llm": 1, "local": 1, "manual": 1}
    assert (
        info.rows["classification"],
        info.rows["manual_label"],
        info.rows["request_log"],
    ) == (2, 1, 1)
    assert info.schema_version == 1
    assert len(info.cache_id) == 32
    assert ":@" not in info.url


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
