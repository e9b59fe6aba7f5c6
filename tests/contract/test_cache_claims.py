"""Claims on every database: one photo, one payer."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import anyio
import pytest

from tests.support.databases import CacheDatabase
from tests.support.settlements import (
    BIRD,
    CAT,
    DOG,
    OTHER_RUN,
    PHOTOS,
    RUN,
    TASK,
    llm,
    settlement,
)
from xintu_cli.records import RunRow
from xintu_cli.routing import Policy
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.urls import open_cache, open_lease_keeper
from xintu_cli.storage.verbs.clock import later

pytestmark = pytest.mark.anyio


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
    assert await cache.run_out(TASK, [CAT, DOG]) == {CAT}
    assert {CAT} == await claim(cache, [CAT], OTHER_RUN)
    assert set() == await claim(cache, [CAT], RUN)
    assert await cache.expired_claims() == 0
    assert await cache.run_out(TASK, [CAT, DOG]) == frozenset()


async def test_a_claim_that_would_never_end_is_taken_over(
    cache: SqlCache, database: CacheDatabase
) -> None:
    """The database's clock was wrong, or somebody else wrote it: nobody could wait for it."""
    await claim(cache, [CAT, DOG], OTHER_RUN, seconds=86_400)
    database.fetch(
        f"UPDATE claim SET expires_at = '9999-12-31 00:00:00.000' WHERE image_hash = '{CAT}'"
    )
    assert {CAT} == await claim(cache, [CAT, DOG], RUN)


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


async def test_a_settlement_of_a_run_without_claims_looks_for_none(cache: SqlCache) -> None:
    await claim(cache, [CAT], RUN)
    await cache.settle(replace(settlement((CAT, llm())), has_claims=False))
    assert {CAT} == set(await cache.look_up(TASK, "xintu", [CAT]))
    assert set() == await claim(cache, [CAT], OTHER_RUN)


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


# ---- cut off by an absence of the database -----------------------------------------------------


async def begin(cache: SqlCache, run: str) -> None:
    await cache.start_run(RunRow(run, "anna", "0", Policy.CLOUD))


def move(database: CacheDatabase, table: str, column: str, seconds: int) -> None:
    """Move a moment of every row of a table."""
    for key, moment in database.fetch(f"SELECT {KEYS[table]}, {column} FROM {table}"):
        then = datetime.fromisoformat(str(moment)) + timedelta(seconds=seconds)
        text = then.isoformat(" ", "milliseconds")
        database.fetch(f"UPDATE {table} SET {column} = '{text}' WHERE {KEYS[table]} = '{key}'")


KEYS = {"claim": "image_hash", "run": "run_id"}


@pytest.fixture
async def cut_off(cache: SqlCache, database: CacheDatabase) -> SqlCache:
    """Return a cache with a claim of a second that ran out, of a run that began an hour ago.

    If there is a server, it had been up for longer than the claim.
    """
    if database.kind == "mysql":
        [(_, uptime)] = database.fetch("SHOW GLOBAL STATUS LIKE 'Uptime'")
        database.fetch(f"SELECT SLEEP({max(0, 6 - int(uptime))})")
    await begin(cache, RUN)
    await cache.note_lease(1)
    assert {CAT} == await claim(cache, [CAT], RUN, seconds=1)
    move(database, "run", "started_at", -3600)
    move(database, "claim", "expires_at", -2)
    return cache


@pytest.mark.parametrize("ended", [False, True], ids=["lasts", "is over"])
async def test_what_an_absence_cut_off_is_left_to_its_run(cut_off: SqlCache, ended: bool) -> None:
    cache = cut_off
    assert await cache.expired_claims() == 1
    back_at: list[str] = []

    def saw(now: str) -> str:
        back_at.append(now)
        return back_at[0] if ended else now

    cache.saw = saw
    assert {DOG} == await claim(cache, [CAT, DOG], OTHER_RUN)
    assert await cache.expired_claims() == 0
    left = await cache.left_to(TASK, [CAT, DOG, BIRD])
    assert {image: to.host for image, to in left.items()} == {CAT: "here"}
    assert left[CAT].until > back_at[0]
    # Its own run may go on with it.
    assert {CAT} == await claim(cache, [CAT], RUN)
    assert await cache.left_to(TASK, [CAT]) == {}


async def test_what_ran_out_while_the_database_was_well_is_taken_over(cut_off: SqlCache) -> None:
    """The database was away for the last time before the claim was last renewed."""
    cut_off.saw = lambda now: later(now, seconds=-120)
    assert {CAT} == await claim(cut_off, [CAT], OTHER_RUN)


async def test_the_longest_lease_of_any_machine_counts(cut_off: SqlCache) -> None:
    """A claim of such a run may have been renewed for the last time long before it ran out."""
    cut_off.saw = lambda now: later(now, seconds=-120)
    await cut_off.note_lease(3600)
    await cut_off.note_lease(10)
    assert {CAT} == set(await cut_off.left_to(TASK, [CAT]))
    assert set() == await claim(cut_off, [CAT], OTHER_RUN)


@pytest.mark.parametrize("value", ["long", "nan", "inf", "-1", "1e300"])
async def test_a_note_of_leases_that_makes_no_sense_is_none(
    cut_off: SqlCache, database: CacheDatabase, value: str
) -> None:
    database.fetch(f"UPDATE meta SET value = '{value}' WHERE name = 'longest_lease_seconds'")
    assert {CAT} == await claim(cut_off, [CAT], OTHER_RUN)
    await cut_off.note_lease(60.5)
    note = "SELECT value FROM meta WHERE name = 'longest_lease_seconds'"
    assert database.fetch(note) == [("60.5",)]


async def test_a_server_that_was_started_since_is_witness_enough(
    mysql_database: CacheDatabase, mysql_cache: SqlCache
) -> None:
    cache = mysql_cache
    await begin(cache, RUN)
    await cache.note_lease(60)
    assert {CAT, DOG} == await claim(cache, [CAT, DOG], RUN)
    [(_, uptime)] = mysql_database.fetch("SHOW GLOBAL STATUS LIKE 'Uptime'")
    move(mysql_database, "claim", "expires_at", -62 - int(uptime))
    move(mysql_database, "run", "started_at", -3600 - int(uptime))
    assert set() == await claim(cache, [CAT, DOG], OTHER_RUN)
    assert {CAT, DOG} == set(await cache.left_to(TASK, [CAT, DOG]))
    assert await cache.expired_claims() == 0


async def test_an_answer_that_comes_late_after_all_ends_the_claim(cut_off: SqlCache) -> None:
    cut_off.saw = lambda now: now
    await cut_off.settle(settlement((CAT, llm())))
    assert await cut_off.left_to(TASK, [CAT]) == {}
    assert {CAT} == set(await cut_off.look_up(TASK, "xintu", [CAT]))


async def test_the_claims_of_a_run_that_is_known_to_be_dead_end_at_once(cache: SqlCache) -> None:
    await claim(cache, [CAT, DOG], RUN)
    await claim(cache, [BIRD], OTHER_RUN)
    await cache.settle(settlement((CAT, llm()), has_claims=False))
    assert await cache.bury(RUN) == 1, "of the other one there is an answer"
    assert await cache.bury(RUN) == 0
    assert {CAT, DOG} == await claim(cache, [CAT, DOG, BIRD], "c" * 32)
