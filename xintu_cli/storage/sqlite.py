"""The cache in one SQLite file: the default, shared by the runs of one machine.

Two connections, each with aiosqlite's own thread: a reader, which under WAL never waits for
a writer, and a writer. A verb's whole transaction is one function run in that thread. That
makes it one hop instead of one per statement (25 µs each way), and it makes cancellation
harmless: a cancelled caller stops waiting, the transaction runs to its end.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiosqlite
import anyio
from anyio import CapacityLimiter, to_thread

from xintu_cli.errors import CacheUnreachableError
from xintu_cli.interfaces import LeaseKeeper
from xintu_cli.storage import localfile
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.dialect import SQLITE
from xintu_cli.storage.script import Reply, Script, Verb
from xintu_cli.storage.sqlite_schema import is_there, prepare
from xintu_cli.storage.urls import no_such_cache, sqlite_path
from xintu_cli.storage.verbs.claiming import renew
from xintu_cli.storage.verbs.clock import read_meta

T = TypeVar("T")

_READ_SECONDS = 60.0
_WRITE_SECONDS = localfile.BUSY_SECONDS + 15.0
_CLOSE_SECONDS = 5.0
_LONG_SECONDS = 3_600.0
"""For what reads or rewrites the whole file, however large it is."""
_FEW_PAGES = 256
"""A megabyte is not worth rewriting a file for."""
_CACHE_KIB = 32_768
"""Each connection's page cache: hashes are random keys, so a rescan of 100 000 photos reads
all over a 26 MB cache; with SQLite's default of 2 MB look-ups take 1.5 times as long."""
_CHECKPOINT_PAGES = 4_000
"""Let the log grow to 16 MB before it is copied back: with the default of 4 MB a first pass
over known photos writes each page back several times and takes a fifth longer."""
_DAMAGED = (
    "Restore it from a backup, or move it away (with its -wal and -shm): the next run starts "
    "an empty one."
)


class SqliteCache(SqlCache):
    """A `Cache` in an SQLite file; open it with `open_cache`."""


@asynccontextmanager
async def open_cache(
    url: str, *, descriptions: SqlCache | None = None, must_exist: bool = False
) -> AsyncIterator[SqliteCache]:
    """Open the cache; create it, or bring it to the present schema, where needed."""
    path = sqlite_path(url)
    if must_exist:
        with _errors(path, "open"):
            exists = await to_thread.run_sync(is_there, path, limiter=CapacityLimiter(1))
        if not exists:
            raise no_such_cache(url)
    connector = SqliteConnector(path)
    await connector.open()
    try:
        meta = await connector.read(read_meta, doing="open")
        yield SqliteCache(connector, meta["cache_id"], descriptions)
    finally:
        await connector.close()


@contextmanager
def open_lease_keeper(url: str) -> Iterator[LeaseKeeper]:
    """Open a keeper with a blocking connection of its own."""
    keeper = SqliteLeaseKeeper(sqlite_path(url))
    try:
        yield keeper
    finally:
        keeper.close()


async def migrate(url: str) -> int:
    """Create the cache or take it through the steps it lacks; return how many those were."""
    path = sqlite_path(url)
    with _errors(path, "migrate"):
        return await to_thread.run_sync(prepare, path, limiter=CapacityLimiter(1))


class SqliteLeaseKeeper:
    """A `LeaseKeeper` over one connection that any thread may use, one at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _errors(path, "open"):
            self._connection = localfile.connect(path)

    def renew(self, run_id: str, seconds: float) -> None:
        """Extend this run's claims to `seconds` from now; blocks."""
        with _errors(self._path, "renew claims in"):
            _write(self._connection, verb=lambda dialect: renew(dialect, run_id, seconds))

    def close(self) -> None:
        """Close the connection."""
        with _errors(self._path, "close"):
            self._connection.close()


class SqliteConnector:
    """Runs scripts on one SQLite file."""

    def __init__(self, path: Path, *, busy_seconds: float = localfile.BUSY_SECONDS) -> None:
        self.path = path
        self._writer = _Connection(partial(_open_writer, path, busy_seconds))
        self._reader = _Connection(partial(_open_reader, path, busy_seconds))

    @property
    def url(self) -> str:
        """Where the database is."""
        return f"sqlite:///{self.path}"

    async def open(self) -> None:
        """Open both connections, the writer first: it makes the file what the reader needs."""
        with _errors(self.path, "open"):
            await self._writer.open()
            try:
                await self._reader.open()
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        """Close both connections; a statement that hangs is left to die with the process."""
        for connection in (self._reader, self._writer):
            with anyio.move_on_after(_CLOSE_SECONDS, shield=True), _errors(self.path, "close"):
                await connection.close()

    async def read(self, verb: Verb[T], *, doing: str, is_long: bool = False) -> T:
        """Run a script on the reader; it sees one state of the database."""
        seconds = _LONG_SECONDS if is_long else _READ_SECONDS
        return await self._run(self._reader, partial(_read, verb=verb), doing, seconds)

    async def write(self, verb: Verb[T], *, doing: str) -> T:
        """Run a script as one transaction on the writer."""
        return await self._run(self._writer, partial(_write, verb=verb), doing, _WRITE_SECONDS)

    async def shrink(self) -> None:
        """Rewrite a file that is half empty; below that the gaps are filled again soon enough."""
        await self._run(self._writer, _vacuum_if_half_empty, "shrink", _LONG_SECONDS)

    async def _run(
        self,
        connection: _Connection,
        work: Callable[[sqlite3.Connection], T],
        doing: str,
        seconds: float,
    ) -> T:
        try:
            with _errors(self.path, doing), anyio.fail_after(seconds):
                return await connection.run(work)
        except TimeoutError as error:
            raise CacheUnreachableError(
                f"cannot {doing} the cache {self.path}: no answer from its disk for "
                f"{seconds:.0f} s. Check the disk, or name another cache."
            ) from error


def _errors(path: Path, doing: str) -> AbstractContextManager[None]:
    return localfile.sqlite_errors(path, what="cache", doing=doing, mend=_DAMAGED)


class _Connection(aiosqlite.Connection):
    """aiosqlite's connection, with a call for a whole function instead of one statement.

    Its thread is a daemon: aiosqlite's own would keep a process alive that forgot to close.
    SQLite commits survive the sudden end of a thread as they survive the end of a process.
    """

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, iter_chunk_size=64)
        self._thread.daemon = True
        self._stopped: asyncio.Future[object] | None = None

    async def open(self) -> None:
        """Start the thread and connect in it; a failure ends the thread before it is raised.

        aiosqlite does not wait for that end: the thread would meet a closed event loop, and
        print a traceback.
        """
        try:
            await self
        except BaseException:
            if self._stopped is not None:
                with anyio.CancelScope(shield=True):
                    await self._stopped
            raise

    def stop(self) -> asyncio.Future[object] | None:
        """Ask the thread to close the connection and to end."""
        self._stopped = super().stop()
        return self._stopped

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in the connection's thread; cancelling the caller does not stop it."""
        result: T = await self._execute(work, self._conn)  # type: ignore[no-untyped-call]
        return result


def _write(connection: sqlite3.Connection, *, verb: Verb[T]) -> T:
    """Lock first: a reader that becomes a writer fails at once where another one writes."""
    return _transact(connection, "BEGIN IMMEDIATE", verb)


def _read(connection: sqlite3.Connection, *, verb: Verb[T]) -> T:
    """Read one state; text that is no UTF-8 (someone else wrote it) is read as well as it can."""
    try:
        return _transact(connection, "BEGIN", verb)
    except sqlite3.OperationalError as error:
        if "decode to UTF-8" not in str(error):
            raise
    connection.text_factory = _lossy_text
    try:
        return _transact(connection, "BEGIN", verb)
    finally:
        connection.text_factory = str


def _vacuum_if_half_empty(connection: sqlite3.Connection) -> None:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    if free > _FEW_PAGES and 2 * free >= pages:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _lossy_text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _transact(connection: sqlite3.Connection, begin: str, verb: Verb[T]) -> T:
    connection.execute(begin)
    try:
        result = run_script(connection, verb(SQLITE))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def run_script(connection: sqlite3.Connection, script: Script[T]) -> T:
    """Run a script to its end on a connection, and return what it returns."""
    try:
        statement = next(script)
        while True:
            execute = connection.executemany if statement.many else connection.execute
            cursor = execute(statement.sql, statement.parameters)
            statement = script.send(Reply(cursor.fetchall(), cursor.rowcount))
    except StopIteration as end:
        result: T = end.value
        return result


def _open_writer(path: Path, busy_seconds: float) -> sqlite3.Connection:
    prepare(path)
    connection = localfile.connect(path, busy_seconds=busy_seconds)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    return connection


def _open_reader(path: Path, busy_seconds: float) -> sqlite3.Connection:
    connection = localfile.connect(path, busy_seconds=busy_seconds)
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute("PRAGMA query_only = ON")
    return connection
