"""A person's word, the rows of runs, and what a cache says of itself, on every database."""

from __future__ import annotations

import pytest

from tests.support.databases import CacheDatabase
from tests.support.settlements import BIRD, CAT, DOG, OTHER_TASK, RUN, TASK, llm, local, settlement
from xintu_cli.records import CachedRow, RunRow, RunSummary
from xintu_cli.storage.cache import SqlCache

pytestmark = pytest.mark.anyio


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
