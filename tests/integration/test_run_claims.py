"""A run and its claims: renewed while it lasts, let go at once, never spent on when lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Semaphore

import anyio
import pytest
from anyio import to_thread

from tests.support.classifiers import answer, attempt
from tests.support.photos import make_jpeg, make_tree
from tests.support.runs import FaultyCache, Lab, Oracle, counts, hash_of, open_lab
from xintu_cli import pipeline
from xintu_cli.errors import LeaseLostError, ModelFileError
from xintu_cli.interfaces import DecodedPhoto
from xintu_cli.records import Answer, Refusal, RunRow, Settlement
from xintu_cli.resilience.lease import LeaseBook, Leased
from xintu_cli.resilience.renewal import renewed_leases
from xintu_cli.routing import Policy
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.urls import open_lease_keeper

pytestmark = pytest.mark.anyio

OTHER = "e" * 32
LEASE = 180.0


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """Return a machine that has seen nothing yet."""
    async with open_lab(tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Return the one photo of an album."""
    path = tmp_path / "album" / "a.jpg"
    path.parent.mkdir()
    path.write_bytes(make_jpeg(1))
    return path


@dataclass(slots=True)
class Asleep:
    """A laptop that is closed for an hour when a photo is about to be sent for the first time.

    By then its leases are over, by its own clock and by the database's.
    """

    lab: Lab
    hours: float = 0.0
    taken_over: bool = False
    carries: tuple[Refusal, ...] = ()

    def boottime(self) -> float:
        return 3600 * self.hours

    async def sleep(self, image_hash: str) -> None:
        self.hours = 1.0
        self.lab.execute("UPDATE claim SET expires_at = '2020-01-01 00:00:00.000'")
        if self.taken_over:
            task = self.lab.taxonomy.task
            claimed = self.lab.cache.claim
            assert await claimed(task, [image_hash], run_id=OTHER, host="b", seconds=60)


class Sleeper:
    """The innermost decorator on a machine that falls asleep once."""

    name = "qwen"

    def __init__(self, machine: Asleep, oracle: Oracle, book: LeaseBook) -> None:
        self._machine = machine
        self._leased = Leased(oracle, book)

    async def classify(self, photo: DecodedPhoto) -> Answer:
        if self._machine.hours:
            return await self._leased.classify(photo)
        await self._machine.sleep(photo.image_hash)
        try:
            return await self._leased.classify(photo)
        except LeaseLostError as error:
            if self._machine.carries:
                error.attempts, error.refusals = (attempt("rejected"),), self._machine.carries
            raise


# ---- lost ------------------------------------------------------------------------------------


async def test_a_photo_whose_claim_ran_out_while_the_machine_slept_is_claimed_anew_and_sent_once(
    lab: Lab, photo: Path
) -> None:
    machine, oracle = Asleep(lab), Oracle()
    book = LeaseBook(seconds=LEASE, boottime=machine.boottime)
    sleeper = Sleeper(machine, oracle, book)
    summary = await lab.run(photo.parent, classifier=sleeper, claims=True, leases=book)
    assert counts(summary, "calls") == {"found": 1, "llm": 1, "calls": 1}
    assert oracle.asked == [hash_of(photo)]
    assert lab.rows("SELECT * FROM claim") == []


async def test_a_photo_that_another_run_took_over_comes_back_with_that_runs_answer(
    lab: Lab, photo: Path
) -> None:
    machine, oracle = Asleep(lab, taken_over=True), Oracle()
    book = LeaseBook(seconds=LEASE, boottime=machine.boottime)
    sleeper = Sleeper(machine, oracle, book)
    lab.cache = cache = FaultyCache(lab.cache)

    async def answer_elsewhere() -> None:
        """End the other run when this one has found the photo taken."""
        while cache.calls["claim"] < 3:
            await cache.news.wait()
        await lab.store(**{hash_of(photo): answer(category="foods")})
        await cache.release(lab.taxonomy.task, [hash_of(photo)], run_id=OTHER)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answer_elsewhere)
        summary = await lab.run(photo.parent, classifier=sleeper, claims=True, leases=book)
    assert counts(summary, "calls") == {"found": 1, "cached": 1}
    assert oracle.asked == []
    assert summary.categories == {"foods": 1}


async def test_a_run_that_is_stopped_while_it_waits_for_another_leaves_the_photo_pending(
    lab: Lab, photo: Path
) -> None:
    machine = Asleep(lab, taken_over=True)
    book = LeaseBook(seconds=LEASE, boottime=machine.boottime)
    lab.cache = cache = FaultyCache(lab.cache)
    sleeper = Sleeper(machine, Oracle(), book)
    async with lab.parts(photo.parent, classifier=sleeper, claims=True, leases=book) as parts:

        async def stop() -> None:
            while cache.calls["claim"] < 3:
                await cache.news.wait()
            parts.control.stop("interrupted")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stop)
            await pipeline.run(parts)
        assert counts(parts.tally.summary("interrupted", 130, 1.0)) == {"found": 1, "pending": 1}
    assert lab.rows("SELECT owner FROM claim") == [(OTHER,)]


async def test_a_run_that_can_only_wait_for_another_says_so_once(lab: Lab, photo: Path) -> None:
    hashes, task = [hash_of(photo)], lab.taxonomy.task
    await lab.cache.claim(task, hashes, run_id=OTHER, host="b", seconds=60)
    lab.cache = cache = FaultyCache(lab.cache)
    told: list[int] = []

    async with lab.parts(photo.parent, classifier=Oracle(), claims=True) as parts:
        rules = replace(parts.claims, waiting=lambda: told.append(cache.calls["claim"]))

        async def give_back() -> None:
            while cache.calls["claim"] < 6:
                await cache.news.wait()
            await cache.release(task, hashes, run_id=OTHER)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(give_back)
            await pipeline.run(replace(parts, claims=rules))
        assert counts(parts.tally.summary("done", 0, 1.0)) == {"found": 1, "llm": 1}
    assert told == [3]


class CacheOfTwo(FaultyCache):
    """A cache that this run shares with another, which ends once this one has waited for it."""

    def __init__(self, real: SqlCache, end: Callable[[], Awaitable[None]]) -> None:
        super().__init__(real)
        self._end = end

    async def claim(
        self, task: str, hashes: Sequence[str], *, run_id: str, host: str, seconds: float
    ) -> frozenset[str]:
        ours = await super().claim(task, hashes, run_id=run_id, host=host, seconds=seconds)
        if self.calls["claim"] == 2:
            await self._end()
        return ours


@pytest.mark.parametrize("died", [True, False])
async def test_photos_of_a_run_that_died_while_it_was_waited_for_are_told(
    lab: Lab, photo: Path, died: bool
) -> None:
    """What it gave back itself was not in flight there."""
    hashes, task, cache = [hash_of(photo)], lab.taxonomy.task, lab.cache
    await cache.claim(task, hashes, run_id=OTHER, host="b", seconds=60)
    told: list[int] = []

    async def end() -> None:
        if died:
            lab.execute("UPDATE claim SET expires_at = '2020-01-01 00:00:00.000'")
        else:
            await cache.release(task, hashes, run_id=OTHER)

    lab.cache = CacheOfTwo(cache, end)
    async with lab.parts(photo.parent, classifier=Oracle(), claims=True) as parts:
        rules = replace(parts.claims, taken_over=told.append)
        await pipeline.run(replace(parts, claims=rules))
        assert counts(parts.tally.summary("done", 0, 1.0)) == {"found": 1, "llm": 1}
    assert told == ([1] if died else [])


# ---- left to its run -------------------------------------------------------------------------


async def cut_off(lab: Lab, photo: Path) -> None:
    """Claim a photo for a run of another machine, and let that run out while it cannot renew."""
    await lab.cache.start_run(RunRow(OTHER, "anna", "0", Policy.CLOUD))
    await lab.cache.note_lease(LEASE)
    await lab.cache.claim(
        lab.taxonomy.task, [hash_of(photo)], run_id=OTHER, host="anna", seconds=-1
    )
    lab.execute("UPDATE run SET started_at = '2020-01-01 00:00:00.000'")
    lab.cache.saw = lambda now: now


async def test_a_photo_whose_answer_another_machine_may_bring_is_pending_and_says_so(
    lab: Lab, photo: Path
) -> None:
    await cut_off(lab, photo)
    oracle = Oracle()
    make_tree(photo.parent, 3)
    async with lab.parts(photo.parent, classifier=oracle, claims=True) as parts:
        rules = replace(parts.claims, left_alone_seconds=0.05)
        await pipeline.run(replace(parts, claims=rules))
        summary = parts.tally.summary("partial", 4, 1.0)
    assert counts(summary) == {"found": 4, "llm": 3, "pending": 1}
    assert hash_of(photo) not in oracle.asked
    assert "a run on anna may hold the answer" in summary.pending_reason
    assert lab.rows("SELECT owner FROM claim") == [(OTHER,)]


async def test_an_answer_that_is_brought_while_it_is_waited_for_is_a_hit(
    lab: Lab, photo: Path
) -> None:
    await cut_off(lab, photo)
    lab.cache = cache = FaultyCache(lab.cache)
    cache.saw = lambda now: now

    async def bring() -> None:
        while cache.calls["claim"] < 3:
            await cache.news.wait()
        brought = Settlement(OTHER, lab.taxonomy.task, answers=((hash_of(photo), answer()),))
        await cache.settle(brought)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bring)
        summary = await lab.run(photo.parent, classifier=Oracle(), claims=True)
    assert counts(summary) == {"found": 1, "cached": 1}
    assert lab.rows("SELECT * FROM claim") == []


async def test_photos_of_a_run_of_this_machine_that_dies_meanwhile_are_inherited_at_once(
    lab: Lab, photo: Path
) -> None:
    hashes, task = [hash_of(photo)], lab.taxonomy.task
    await lab.cache.claim(task, hashes, run_id=OTHER, host="here", seconds=3600)
    told: list[int] = []

    async def inherit() -> int:
        return await lab.cache.bury(OTHER)

    async with lab.parts(photo.parent, classifier=Oracle(), claims=True) as parts:
        rules = replace(parts.claims, inherit=inherit, taken_over=told.append)
        await pipeline.run(replace(parts, claims=rules))
        assert counts(parts.tally.summary("done", 0, 1.0)) == {"found": 1, "llm": 1}
    assert told == [1]


async def test_what_was_sent_before_a_claim_was_lost_is_logged_and_its_refusal_remembered(
    lab: Lab, photo: Path
) -> None:
    machine = Asleep(lab, carries=(Refusal("first", "refused"),))
    book = LeaseBook(seconds=LEASE, boottime=machine.boottime)
    sleeper = Sleeper(machine, Oracle(), book)
    summary = await lab.run(photo.parent, classifier=sleeper, claims=True, leases=book)
    assert counts(summary, "calls") == {"found": 1, "llm": 1, "calls": 2}
    assert lab.rows("SELECT outcome FROM request_log ORDER BY id") == [("rejected",), ("ok",)]
    assert lab.rows("SELECT provider FROM refusal") == [("first",)]


# ---- renewed ---------------------------------------------------------------------------------


class WatchedBook(LeaseBook):
    """A book that lets one wait for the next renewal."""

    def __init__(self, *, seconds: float) -> None:
        super().__init__(seconds=seconds)
        self._renewals = Semaphore(0)

    def renewed(self, *, asked_at: float) -> None:
        super().renewed(asked_at=asked_at)
        self._renewals.release()

    async def next_renewal(self) -> None:
        assert await to_thread.run_sync(partial(self._renewals.acquire, timeout=30))


async def test_the_claims_of_a_slow_run_are_renewed_for_as_long_as_it_lasts(
    lab: Lab, photo: Path
) -> None:
    """With a lease of three seconds, and a call that lasts for longer."""
    seconds, task = 3.0, lab.taxonomy.task
    book = WatchedBook(seconds=seconds)
    tried: list[frozenset[str]] = []

    async def take_long(_number: int, shown: DecodedPhoto) -> None:
        for _ in range(5):  # four renewals to a lease
            await book.next_renewal()
            image = shown.image_hash
            tried.append(await lab.cache.claim(task, [image], run_id=OTHER, host="b", seconds=60))
            assert book(image)

    leased = Leased(Oracle(before=take_long), book)
    keeper = partial(open_lease_keeper, lab.cache.url)
    async with lab.parts(
        photo.parent, classifier=leased, claims=True, leases=book, lease_seconds=seconds
    ) as parts:
        with renewed_leases(keeper, book, run_id=parts.store.run_id, seconds=seconds):
            await pipeline.run(parts)
        assert parts.tally.summary("done", 0, 1.0).llm == 1
    assert tried == [frozenset()] * 5
    assert lab.rows("SELECT * FROM claim") == []


# ---- paid and not stored yet -----------------------------------------------------------------


class SlowCache(FaultyCache):
    """A cache that takes its time to write, as a server far away does."""

    stored: int = 0

    async def settle(self, settlement: Settlement) -> None:
        await anyio.sleep(0.02)
        await super().settle(settlement)
        self.stored += len(settlement.answers)


async def test_no_more_answers_wait_to_be_stored_than_there_may_be_calls_in_flight(
    lab: Lab, photo: Path
) -> None:
    """So a power cut costs no more than the calls in flight, however slow the cache is."""
    make_tree(photo.parent, 30)
    lab.cache = cache = SlowCache(lab.cache)
    at_stake: list[int] = []

    async def count(number: int, _photo: DecodedPhoto) -> None:
        at_stake.append(number - cache.stored)

    summary = await lab.run(photo.parent, classifier=Oracle(before=count), workers=3, claims=True)
    assert summary.llm == 31
    assert max(at_stake) <= 3


# ---- let go ----------------------------------------------------------------------------------


async def test_a_run_that_fails_in_mid_photo_lets_its_claims_go(lab: Lab, photo: Path) -> None:
    """Else the next run, with the model mended, would wait for a lease that nobody holds."""
    make_tree(photo.parent, 9)
    broken = ModelFileError("the local model is damaged")
    summary, error = await lab.classify(
        photo.parent, classifier=Oracle(usually=broken), claims=True, workers=3
    )
    assert error is broken
    assert counts(summary) == {"found": 10, "pending": 10}
    assert lab.rows("SELECT * FROM claim") == []


async def test_a_cache_that_fails_between_claim_and_look_up_leaves_no_claim(
    lab: Lab, photo: Path
) -> None:
    make_tree(photo.parent, 9)
    lab.cache = cache = FaultyCache(lab.cache)
    cache.fails_from["look_up"] = 2  # the first is the walk's, the second follows the claims
    summary, error = await lab.classify(photo.parent, classifier=Oracle(), claims=True)
    assert str(error) == "the cache is away (look_up)"
    assert counts(summary) == {"found": 10, "pending": 10}
    assert lab.rows("SELECT * FROM claim") == []


async def test_the_copy_of_a_photo_that_vanished_is_claimed_before_it_is_sent(
    lab: Lab, photo: Path
) -> None:
    """The claim that is let go is the vanished file's; its copy's is a new one."""
    folder = photo.parent
    (folder / "b.jpg").write_bytes(make_jpeg(2))
    (folder / "c.jpg").write_bytes(make_jpeg(2))
    book = LeaseBook(seconds=LEASE)
    held: list[bool] = []

    async def watch(number: int, shown: DecodedPhoto) -> None:
        if number == 1:
            (folder / "b.jpg").unlink()
        held.append((shown.image_hash,) in lab.rows("SELECT image_hash FROM claim"))

    oracle = Oracle(before=watch)
    leased = Leased(oracle, book)
    summary = await lab.run(folder, classifier=leased, workers=1, claims=True, leases=book)
    assert counts(summary) == {"found": 3, "llm": 2, "skipped": 1}
    assert held == [True, True]
    assert lab.rows("SELECT * FROM claim") == []
