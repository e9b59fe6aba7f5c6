"""The SQLite cache on real disks: damaged, full, locked, killed, older, newer, none of ours."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from tests.support.next_schema import NEXT_STEPS
from tests.support.settlements import TASK, llm, photo, settlement
from xintu_cli.errors import (
    CacheUnreachableError,
    ConfigurationError,
    DamagedError,
    SchemaError,
    StorageError,
)
from xintu_cli.records import Settlement
from xintu_cli.storage import filesystems
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.index import SqliteFileIndex
from xintu_cli.storage.schema import STEPS
from xintu_cli.storage.spool import LocalSpool
from xintu_cli.storage.sqlite import SqliteConnector
from xintu_cli.storage.sqlite_schema import prepare, read_version
from xintu_cli.storage.upkeep import PruneRules, check, prune
from xintu_cli.storage.urls import open_cache, open_lease_keeper

pytestmark = pytest.mark.anyio


def one(number: int) -> Settlement:
    return settlement((photo(number), llm()))


def url(path: Path) -> str:
    return f"sqlite:///{path}"


async def filled(path: Path, count: int) -> Path:
    """Make a cache with so many answers."""
    async with open_cache(url(path)) as cache:
        for start in range(0, count, 500):  # as many as a run writes at once
            numbers = range(start, min(start + 500, count))
            await cache.settle(settlement(*((photo(number), llm()) for number in numbers)))
    return path


def sql(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()


def backups(directory: Path) -> list[Path]:
    return list(directory.glob("*.bak"))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---- where it lies ---------------------------------------------------------------------------


def open_index(path: Path) -> None:
    SqliteFileIndex(path).close()


def use_spool(path: Path) -> None:
    LocalSpool(path, "0" * 32).append(settlement((photo(1), llm())))


async def test_only_its_owner_can_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with open_cache(url(tmp_path / "new" / "state" / "cache.db")) as cache:
            await cache.settle(one(1))
            state = tmp_path / "new" / "state"
            modes = {stat.S_IMODE(file.stat().st_mode) for file in state.iterdir()}
            assert modes == {0o600}
            assert stat.S_IMODE(state.stat().st_mode) == 0o700
    finally:
        os.umask(before)


async def test_a_relative_path_is_taken_from_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_cache("sqlite:///here.db") as cache:
        assert cache.url == url(tmp_path / "here.db")


@pytest.mark.row("D9")
async def test_a_network_file_system_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"36 1 0:30 / {tmp_path} rw - nfs4 nas:/photos rw\n")
    monkeypatch.setattr(filesystems, "_MOUNTS", mounts)
    with pytest.raises(ConfigurationError, match=r"nfs4 is a network file system.*mysql://"):
        async with open_cache(url(tmp_path / "state" / "cache.db")):
            pass
    assert not (tmp_path / "state").exists()


async def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="Check the path"):
        async with open_cache(url(tmp_path / "file" / "cache.db")):
            pass


# ---- what it holds ---------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"no database at all\n" * 500, b"SQLite format 3\0" * 512])
async def test_a_file_that_is_no_database_is_refused_and_kept(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(content)
    with pytest.raises(StorageError, match="left as it is"):
        async with open_cache(url(path)):
            pass
    assert path.read_bytes() == content


async def test_another_programs_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    sql(path, "CREATE TABLE photos (name TEXT)")
    before = digest(path)
    with pytest.raises(SchemaError, match="not a xintu cache"):
        async with open_cache(url(path)):
            pass
    assert digest(path) == before


async def test_an_empty_file_becomes_a_cache(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    path.touch()
    async with open_cache(url(path)) as cache:
        assert (await cache.info()).schema_version == STEPS[-1].number


@pytest.mark.row("D8")
async def test_damage_in_the_middle_is_told_and_the_file_is_kept(tmp_path: Path) -> None:
    path = await filled(tmp_path / "cache.db", 5_000)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 65_536] = b"\xee" * 65_536
    path.write_bytes(content)
    hashes = [photo(number) for number in range(5_000)]
    async with open_cache(url(path)) as cache:
        with pytest.raises(StorageError, match="is damaged"):
            await cache.look_up(TASK, "xintu", hashes)
        with pytest.raises(DamagedError):
            await check(cache)
    assert path.read_bytes() == bytes(content)


@pytest.mark.row("D8")
async def test_a_truncated_file_is_told(tmp_path: Path) -> None:
    path = await filled(tmp_path / "cache.db", 5_000)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(StorageError, match="is damaged"):
        async with open_cache(url(path)) as cache:
            await cache.look_up(TASK, "xintu", [photo(number) for number in range(5_000)])


@pytest.mark.row("D13")
async def test_rows_that_do_not_parse_are_left_out(tmp_path: Path) -> None:
    path = await filled(tmp_path / "cache.db", 6)
    for number, wrong in enumerate(
        (
            "confidence = 'very'",
            "category = x'ff00'",
            "category = 7, confidence = 'NaN'",
            "created_at = 'yesterday'",
            "description = CAST(x'ffe4bda0' AS TEXT)",
        )
    ):
        sql(path, f"UPDATE classification SET {wrong} WHERE image_hash = '{photo(number)}'")
    hashes = [photo(number) for number in range(6)]
    async with open_cache(url(path)) as cache:
        found = await cache.look_up(TASK, "xintu", hashes)
        assert set(found) == {photo(3), photo(4), photo(5)}
        told = await cache.details(TASK, "xintu", hashes)
        assert set(told) == {photo(4), photo(5)}
        assert told[photo(4)][0].description == "\ufffd你"
        streamed = [answer.image_hash async for _, answer in cache.answers()]
        assert streamed == [photo(4), photo(5)]


# ---- schema ----------------------------------------------------------------------------------


@pytest.mark.row("D10")
async def test_a_newer_cache_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = await filled(tmp_path / "cache.db", 10)
    sql(path, "UPDATE meta SET value = '99' WHERE name IN ('schema', 'oldest_reader')")
    before = digest(path)
    with pytest.raises(SchemaError, match=r"schema 99.*newer xintu"):
        async with open_cache(url(path)):
            pass
    assert digest(path) == before


@pytest.mark.row("D12")
async def test_a_newer_cache_that_still_suits_us_is_used(tmp_path: Path) -> None:
    path = await filled(tmp_path / "cache.db", 10)
    prepare(path, NEXT_STEPS)
    async with open_cache(url(path)) as cache:
        await cache.settle(one(99))
        assert len(await cache.look_up(TASK, "xintu", [photo(1), photo(99)])) == 2


async def test_a_cache_that_does_not_know_its_schema_is_refused(tmp_path: Path) -> None:
    path = await filled(tmp_path / "cache.db", 1)
    sql(path, "DELETE FROM meta WHERE name = 'schema'")
    with pytest.raises(SchemaError, match="does not say which schema"):
        async with open_cache(url(path)):
            pass


@pytest.mark.row("D11")
async def test_an_older_cache_is_backed_up_and_upgraded(tmp_path: Path) -> None:
    path = await filled(tmp_path / "cache.db", 10)
    assert prepare(path, NEXT_STEPS) == 1
    assert sql(path, "SELECT DISTINCT mood FROM classification") == [("",)]
    (backup,) = backups(tmp_path)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert read_version(backup) == 1
    assert sql(backup, "SELECT count(*) FROM classification") == [(10,)]
    assert prepare(path, NEXT_STEPS) == 0


@pytest.mark.row("D11")
def test_an_upgrade_may_be_killed_at_any_write(
    tmp_path: Path, strace: Callable[..., list[str]]
) -> None:
    original = anyio.run(filled, tmp_path / "original.db", 100)
    killed = 0
    for number in range(1, 60, 6):
        path = tmp_path / f"cache{number}.db"
        path.write_bytes(original.read_bytes())
        kill = strace("-e", "trace=pwrite64", "-e", f"inject=pwrite64:signal=KILL:when={number}")
        ended = subprocess.run(
            [*kill, sys.executable, "-m", "tests.support.next_schema", path],
            stderr=subprocess.DEVNULL,
            check=False,
        )
        killed += ended.returncode != 0
        prepare(path, NEXT_STEPS)
        assert read_version(path, NEXT_STEPS) == 2
        assert sql(path, "SELECT count(*) FROM classification WHERE mood = ''") == [(100,)]
        assert sql(path, "PRAGMA integrity_check") == [("ok",)]
    assert killed > 3


# ---- trouble while it is used ----------------------------------------------------------------


@pytest.mark.row("D7")
async def test_a_writer_waits_for_another_program_and_then_gives_up(tmp_path: Path) -> None:
    path = await filled(tmp_path / "cache.db", 1)
    connector = SqliteConnector(path, busy_seconds=0.05)
    await connector.open()
    cache = SqlCache(connector, "")
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(CacheUnreachableError, match="another program has locked it"):
                await cache.settle(one(2))
            assert len(await cache.look_up(TASK, "xintu", [photo(0)])) == 1, "readers never wait"
        await cache.settle(one(2))
        assert len(await cache.look_up(TASK, "xintu", [photo(2)])) == 1
    finally:
        await connector.close()


@pytest.mark.parametrize("made", [prepare, open_index, use_spool])
def test_programs_that_begin_at_the_same_moment_all_go_on(
    tmp_path: Path, made: Callable[[Path], object]
) -> None:
    """SQLite calls a file locked at once, without waiting, while another one turns to WAL."""
    for number in range(60):
        path = tmp_path / str(number) / "file.db"
        together = threading.Barrier(4)

        def make(path: Path = path, together: threading.Barrier = together) -> object:
            together.wait()
            return made(path)

        with ThreadPoolExecutor(4) as threads:
            for begun in [threads.submit(make) for _ in range(4)]:
                begun.result()


async def test_a_file_that_pruning_leaves_half_empty_shrinks(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    async with open_cache(f"sqlite:///{path}") as cache:
        for start in range(0, 8_000, 2_000):
            answers = ((photo(number), llm()) for number in range(start, start + 2_000))
            await cache.settle(settlement(*answers))
        before = (await cache.info()).size_bytes
        await prune(cache, PruneRules(log_days=0, task=TASK))
        after = (await cache.info()).size_bytes
        assert before is not None
        assert after is not None
        assert after < before / 4
        assert path.stat().st_size == after
        await cache.settle(settlement((photo(1), llm())))


async def test_a_full_disk_loses_nothing_that_was_stored(
    small_disk: Callable[[str], Path],
) -> None:
    path = small_disk("2m") / "cache.db"
    stored: list[str] = []

    async def fill(cache: SqlCache) -> None:
        for number in range(5_000):
            await cache.settle(one(number))
            stored.append(photo(number))

    async with open_cache(url(path)) as cache:
        with pytest.raises(StorageError, match="the disk is full"):
            await fill(cache)
        assert set(stored) == set(await cache.look_up(TASK, "xintu", stored))
    async with open_cache(url(path)) as cache:
        assert set(stored) == set(await cache.look_up(TASK, "xintu", stored))
        assert await check(cache) == []
    assert len(stored) > 20


@pytest.mark.parametrize("number", [30, 101, 202, 303])
async def test_what_was_stored_survives_a_kill_at_any_write(
    tmp_path: Path, strace: Callable[..., list[str]], number: int
) -> None:
    path = tmp_path / "cache.db"
    kill = strace("-e", "trace=pwrite64", "-e", f"inject=pwrite64:signal=KILL:when={number}")
    settler = [sys.executable, "-m", "tests.support.settler", url(path), "200"]
    ended = await anyio.run_process([*kill, *settler], check=False, stderr=subprocess.DEVNULL)
    assert ended.returncode != 0
    stored = ended.stdout.decode().split()
    async with open_cache(url(path)) as cache:
        assert set(stored) == set(await cache.look_up(TASK, "xintu", stored))
        rows = (await cache.info()).rows
        assert rows["classification"] == rows["request_log"] == rows["settlement"]
        assert len(stored) <= rows["classification"] <= len(stored) + 1
        assert await check(cache) == []


async def test_a_process_that_forgets_to_close_its_cache_ends(tmp_path: Path) -> None:
    forgetful = textwrap.dedent("""
        import sys, warnings
        from pathlib import Path
        import anyio
        from xintu_cli.storage.sqlite import SqliteConnector
        kept = []
        async def main():
            kept.append(SqliteConnector(Path(sys.argv[1])))
            await kept[0].open()
            raise SystemExit(3)
        warnings.simplefilter("ignore")
        anyio.run(main)
    """)
    with anyio.fail_after(30):
        ended = await anyio.run_process(
            [sys.executable, "-c", forgetful, str(tmp_path / "cache.db")], check=False
        )
    assert ended.returncode == 3


async def test_a_stopped_process_ends_a_settlement_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    settler = [sys.executable, "-m", "tests.support.settler", url(path), "100000"]
    async with await anyio.open_process(settler) as process:
        assert process.stdout is not None
        told = b""
        while told.count(b"\n") < 25:
            told += await process.stdout.receive()
        process.send_signal(signal.SIGKILL)
        async for more in process.stdout:
            told += more
    stored = told.decode().split()
    async with open_cache(url(path)) as cache:
        assert set(stored) == set(await cache.look_up(TASK, "xintu", stored))
        rows = (await cache.info()).rows
        assert rows["classification"] == rows["request_log"] == rows["settlement"]


def test_a_lease_keeper_tells_in_words_that_it_cannot_open_the_cache(tmp_path: Path) -> None:
    """The thread that renews goes on after such an error, and ends at any other."""
    opening = open_lease_keeper(url(tmp_path / "gone" / "cache.db"))
    with pytest.raises(StorageError, match=r"cannot open .*cache\.db"), opening:
        raise AssertionError("nothing is there to renew claims in")
