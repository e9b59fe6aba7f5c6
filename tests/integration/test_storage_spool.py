"""The spool on a real disk: what was paid for waits there for its own cache."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from tests.support.settlements import CAT, DOG, TASK, llm, settlement
from xintu_cli.errors import CacheUnreachableError, SchemaError, StorageError
from xintu_cli.records import Settlement
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.spool import LocalSpool
from xintu_cli.storage.urls import open_cache

pytestmark = pytest.mark.anyio


@pytest.fixture
def spool(cache: SqlCache, tmp_path: Path) -> LocalSpool:
    """Return an empty spool for that cache."""
    return LocalSpool(tmp_path / "state" / "spool.db", cache.cache_id)


async def test_an_empty_spool_has_no_file(cache: SqlCache, spool: LocalSpool) -> None:
    assert await spool.replay(cache) == 0
    assert spool.waiting() == 0
    assert not spool.path.exists()


async def test_what_waited_is_written_in_its_order(cache: SqlCache, spool: LocalSpool) -> None:
    spool.append(settlement((CAT, llm("pets"))))
    spool.append(settlement((DOG, llm())))
    spool.append(settlement((CAT, llm("foods"))))
    assert spool.waiting() == 3
    assert await spool.replay(cache) == 3
    rows = await cache.look_up(TASK, "xintu", [CAT, DOG])
    assert {h: row.category for h, (row,) in rows.items()} == {CAT: "foods", DOG: "pets"}
    assert (await spool.replay(cache), spool.waiting()) == (0, 0)


async def test_what_had_been_written_after_all_counts_once(
    cache: SqlCache, spool: LocalSpool
) -> None:
    once = settlement((CAT, llm()))
    await cache.settle(once)
    spool.append(once)
    spool.append(once)
    assert spool.waiting() == 1
    await spool.replay(cache)
    assert (await cache.info()).rows["request_log"] == 1


async def test_answers_wait_for_the_cache_they_were_meant_for(
    cache: SqlCache, spool: LocalSpool, tmp_path: Path
) -> None:
    spool.append(settlement((CAT, llm())))
    async with open_cache(f"sqlite:///{tmp_path / 'another.db'}") as another:
        assert await LocalSpool(spool.path, another.cache_id).replay(another) == 0
        assert await another.look_up(TASK, "xintu", [CAT]) == {}
    assert await spool.replay(cache) == 1


async def test_what_the_cache_cannot_take_goes_on_waiting(
    cache: SqlCache, spool: LocalSpool
) -> None:
    class Away(SqlCache):
        """A cache whose server is gone."""

        async def settle(self, settlement: Settlement) -> None:
            raise CacheUnreachableError("cannot write to the cache: it is away. Try later.")

    spool.append(settlement((CAT, llm())))
    with pytest.raises(CacheUnreachableError):
        await spool.replay(Away(cache.connector, cache.cache_id))
    assert spool.waiting() == 1
    assert await spool.replay(cache) == 1


async def test_only_its_owner_can_read_it(spool: LocalSpool) -> None:
    spool.append(settlement((CAT, llm())))
    assert stat.S_IMODE(spool.path.stat().st_mode) == 0o600


async def test_a_newer_programs_answers_are_not_misread(cache: SqlCache, spool: LocalSpool) -> None:
    spool.append(settlement((CAT, llm())))
    with closing(sqlite3.connect(spool.path, isolation_level=None)) as connection:
        connection.execute("UPDATE spooled SET format = 99")
    with pytest.raises(SchemaError, match="Upgrade xintu"):
        await spool.replay(cache)
    assert spool.waiting() == 1


async def test_a_damaged_spool_is_told_and_kept(cache: SqlCache, spool: LocalSpool) -> None:
    spool.path.parent.mkdir(exist_ok=True)
    spool.path.write_bytes(b"not a spool" * 1000)
    with pytest.raises(StorageError, match="may hold answers that were paid for"):
        await spool.replay(cache)
    with pytest.raises(StorageError, match="damaged"):
        spool.append(settlement((CAT, llm())))
    assert spool.path.read_bytes() == b"not a spool" * 1000


@pytest.mark.parametrize("number", [2, 9, 14, 21])
async def test_what_was_spooled_survives_a_kill_at_any_write(
    spool: LocalSpool, strace: Callable[..., list[str]], number: int
) -> None:
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from xintu_cli.records import Settlement
        from xintu_cli.storage.spool import LocalSpool
        spool = LocalSpool(Path(sys.argv[1]), sys.argv[2])
        for number in range(20):
            spool.append(Settlement("a" * 32, "0" * 16, released=("x" * 2000,)))
            sys.stdout.write(f"{number}\\n")
            sys.stdout.flush()
    """)
    kill = strace("-e", "trace=pwrite64", "-e", f"inject=pwrite64:signal=KILL:when={number}")
    ended = await anyio.run_process(
        [*kill, sys.executable, "-c", program, str(spool.path), spool.cache_id],
        stderr=subprocess.DEVNULL,
        check=False,
    )
    assert ended.returncode != 0
    stored = len(ended.stdout.split())
    assert stored <= spool.waiting() <= stored + 1
