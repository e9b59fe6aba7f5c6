"""A run's cache while its database is away: who waits, who does not, what is kept."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from tests.support.databases import CacheDatabase
from tests.support.settlements import RUN, TASK, llm, photo, settlement
from xintu_cli.errors import CacheUnreachableError
from xintu_cli.records import RunRow, RunSummary
from xintu_cli.routing import Policy
from xintu_cli.storage.absence_note import AbsenceNote
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.outage import Outage, OutlastingCache
from xintu_cli.storage.script import Connector, T, Verb
from xintu_cli.storage.spool import LocalSpool
from xintu_cli.storage.sqlite import SqliteConnector
from xintu_cli.storage.urls import open_cache
from xintu_cli.tally import Tally

pytestmark = pytest.mark.anyio


@dataclass
class Line:
    """A connector whose database can be away; it counts the calls that found it so."""

    inner: Connector
    is_cut: bool = False
    failures: int = 0

    @property
    def url(self) -> str:
        return self.inner.url

    async def read(self, verb: Verb[T], *, doing: str, is_long: bool = False) -> T:
        self._maybe_fail(doing)
        return await self.inner.read(verb, doing=doing, is_long=is_long)

    async def write(self, verb: Verb[T], *, doing: str) -> T:
        self._maybe_fail(doing)
        return await self.inner.write(verb, doing=doing)

    async def shrink(self) -> None:
        await self.inner.shrink()

    def _maybe_fail(self, doing: str) -> None:
        if self.is_cut:
            self.failures += 1
            raise CacheUnreachableError(f"cannot {doing} the cache.")


@dataclass
class Lab:
    """A run's cache, the line to its database, its spool, and what it told."""

    cache: OutlastingCache
    line: Line
    spool: LocalSpool
    outage: Outage
    real: SqlCache
    notices: list[str]
    hurry: list[bool] = field(default_factory=list)
    note: AbsenceNote | None = None

    def next_run(self) -> OutlastingCache:
        """Return the cache as this machine's next run has it."""
        outage = Outage(patience_seconds=30.0, notice=self.notices.append, hurried=lambda: False)
        inner = SqlCache(self.line, self.real.cache_id)
        return OutlastingCache(inner, self.spool, outage, self.note)


@pytest.fixture
async def lab(database: CacheDatabase, tmp_path: Path) -> AsyncIterator[Lab]:
    notices: list[str] = []
    hurry: list[bool] = []
    async with open_cache(database.url) as real:
        line = Line(real.connector)
        spool = LocalSpool(tmp_path / "spool.db", real.cache_id)
        outage = Outage(patience_seconds=30.0, notice=notices.append, hurried=lambda: bool(hurry))
        note = AbsenceNote(tmp_path / "absences", database.url)
        cache = OutlastingCache(SqlCache(line, real.cache_id), spool, outage, note)
        yield Lab(cache, line, spool, outage, real, notices, hurry, note)


async def begin(lab: Lab) -> None:
    await lab.cache.start_run(RunRow(RUN, "here", "0", Policy.CLOUD))


def finished() -> RunSummary:
    return Tally(RUN).summary("done", 0, 1.0)


async def test_before_a_run_has_begun_nothing_is_waited_for_and_nothing_spooled(lab: Lab) -> None:
    lab.line.is_cut = True
    with pytest.raises(CacheUnreachableError):
        await begin(lab)
    with pytest.raises(CacheUnreachableError):
        await lab.cache.look_up(TASK, "xintu", [photo(1)])
    lab.spool.append(settlement((photo(1), llm())))
    with pytest.raises(CacheUnreachableError):
        await lab.spool.replay(lab.cache)
    assert lab.spool.waiting() == 1
    assert lab.notices == []


async def test_readers_wait_and_find_what_was_spooled_meanwhile(lab: Lab) -> None:
    await begin(lab)
    lab.line.is_cut = True
    await lab.cache.settle(settlement((photo(1), llm())))
    assert lab.outage.is_on
    assert lab.spool.waiting() == 1
    found: list[str] = []

    async def read() -> None:
        found.extend(await lab.cache.look_up(TASK, "xintu", [photo(1), photo(2)]))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            assert found == []
            await lab.cache.settle(settlement((photo(2), llm())))
            lab.line.is_cut = False
    assert set(found) == {photo(1), photo(2)}
    assert lab.spool.waiting() == 0
    assert [notice.split()[0] for notice in lab.notices] == ["cannot", "the"], "said once each"


async def test_settlements_go_the_straight_way_again_once_the_database_is_back(lab: Lab) -> None:
    await begin(lab)
    lab.line.is_cut = True
    await lab.cache.settle(settlement((photo(1), llm())))
    lab.line.is_cut = False
    await lab.cache.settle(settlement((photo(2), llm())))
    assert lab.spool.waiting() == 2, "nobody has looked whether it is back"
    await lab.cache.look_up(TASK, "xintu", [photo(1)])
    await lab.cache.settle(settlement((photo(3), llm())))
    assert lab.spool.waiting() == 0
    assert (await lab.real.info()).rows["classification"] == 3


async def test_a_run_that_wants_to_end_waits_no_longer(lab: Lab) -> None:
    await begin(lab)
    lab.line.is_cut = True
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:

            async def read() -> None:
                with pytest.raises(CacheUnreachableError):
                    await lab.cache.look_up(TASK, "xintu", [photo(1)])

            group.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            lab.hurry.append(True)


async def test_the_claims_of_a_run_that_ends_in_an_outage_do_not_outlast_it(lab: Lab) -> None:
    await begin(lab)
    assert await lab.cache.claim(TASK, [photo(1)], run_id=RUN, host="here", seconds=600)
    lab.line.is_cut = True
    lab.hurry.append(True)
    with pytest.raises(CacheUnreachableError):
        await lab.cache.finish_run(finished())
    assert lab.spool.waiting() == 1
    assert await lab.spool.replay(lab.real) == 1
    other = "b" * 32
    assert await lab.real.claim(TASK, [photo(1)], run_id=other, host="there", seconds=60)


async def test_a_run_that_ends_gives_all_its_claims_back(lab: Lab) -> None:
    await begin(lab)
    assert await lab.cache.claim(TASK, [photo(1)], run_id=RUN, host="here", seconds=600)
    await lab.cache.finish_run(finished())
    assert (await lab.real.info()).rows["claim"] == 0


NOW = "2026-05-04 12:00:00.000"


async def test_a_run_sees_an_absence_and_leaves_word_of_it(lab: Lab) -> None:
    assert lab.note is not None
    await begin(lab)
    assert (lab.outage.saw(NOW), lab.note.read()) == ("", None)
    lab.line.is_cut = True
    await lab.cache.settle(settlement((photo(1), llm())))
    assert (lab.outage.saw(NOW), lab.note.read()) == (NOW, "")
    lab.line.is_cut = False
    await lab.cache.look_up(TASK, "xintu", [photo(1)])
    back_at = lab.outage.saw(NOW)
    assert back_at > NOW, "the database's own clock"
    assert lab.note.read() == back_at
    following = lab.next_run()
    await following.start_run(RunRow("b" * 32, "here", "0", Policy.CLOUD))
    assert following.saw(NOW) == back_at


async def test_an_absence_that_a_run_did_not_see_the_end_of_ended_when_the_next_one_began(
    lab: Lab,
) -> None:
    assert lab.note is not None
    lab.note.write()
    await begin(lab)
    assert lab.outage.saw(NOW) > NOW
    assert lab.note.read() == lab.outage.saw(NOW)


async def test_an_absence_of_long_ago_is_forgotten(lab: Lab) -> None:
    assert lab.note is not None
    lab.note.write("2020-01-01 00:00:00.000")
    await begin(lab)
    assert (lab.outage.saw(NOW), lab.note.read()) == ("", None)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"back_at": "soon"}', '{"back_at": 7}'])
async def test_a_note_that_says_nothing_sensible_is_one_of_an_absence(lab: Lab, text: str) -> None:
    assert lab.note is not None
    lab.note.write()
    [file] = (lab.spool.path.parent / "absences").iterdir()
    file.write_text(text)
    assert lab.note.read() == ""


async def test_a_note_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    (tmp_path / "absences").write_bytes(b"")
    note = AbsenceNote(tmp_path / "absences", "mysql://db.lan/xintu")
    note.write()
    note.remove()
    assert note.read() == "", "who cannot tell is careful"


async def test_a_run_has_claims_from_its_beginning_to_an_end_that_gives_them_back(
    lab: Lab,
) -> None:
    moments = [lab.cache.may_have_claims]
    await begin(lab)
    moments.append(lab.cache.may_have_claims)
    lab.line.is_cut = True
    lab.hurry.append(True)
    with pytest.raises(CacheUnreachableError):
        await lab.cache.finish_run(finished())
    moments.append(lab.cache.may_have_claims)
    assert moments == [False, True, False], "the spool will give them back"


@pytest.mark.row("D7")
async def test_a_file_that_another_program_keeps_locked_is_waited_for_and_spooled_over(
    tmp_path: Path,
) -> None:
    path = tmp_path / "cache.db"
    async with open_cache(f"sqlite:///{path}"):
        pass
    connector = SqliteConnector(path, busy_seconds=0.05)
    await connector.open()
    spool = LocalSpool(tmp_path / "spool.db", "id")
    outage = Outage(patience_seconds=30.0, notice=lambda _: None, hurried=lambda: False)
    cache = OutlastingCache(SqlCache(connector, "id"), spool, outage)
    try:
        await cache.start_run(RunRow(RUN, "here", "0", Policy.CLOUD))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            await cache.settle(settlement((photo(1), llm())))
            assert spool.waiting() == 1
            async with anyio.create_task_group() as group:

                async def claim() -> None:
                    assert await cache.claim(TASK, [photo(2)], run_id=RUN, host="h", seconds=60)

                group.start_soon(claim)
                await anyio.wait_all_tasks_blocked()
                other.execute("ROLLBACK")
        assert spool.waiting() == 0
        assert set(await cache.look_up(TASK, "xintu", [photo(1)])) == {photo(1)}
    finally:
        await connector.close()
