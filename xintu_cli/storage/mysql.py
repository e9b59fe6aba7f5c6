"""The cache on a MySQL or MariaDB server, shared by the runs of many machines.

READ COMMITTED, sorted keys, and a transaction that loses against another (or its
connection) is repeated: every verb is idempotent, so a commit whose reply was lost does no
harm. Writes are shielded from cancellation and end by their own time-out; a read that is
cancelled costs its connection.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import anyio
from pymysql import err

from xintu_cli.interfaces import LeaseKeeper
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.credentials import with_credentials
from xintu_cli.storage.dialect import MYSQL
from xintu_cli.storage.mysql_connection import MysqlConnections
from xintu_cli.storage.mysql_errors import is_contended, is_lost, mysql_errors
from xintu_cli.storage.mysql_schema import ensure_usable, has_tables, take_missing_steps
from xintu_cli.storage.script import Verb
from xintu_cli.storage.urls import MysqlAddress, mysql_address, no_such_cache
from xintu_cli.storage.verbs.claiming import renew
from xintu_cli.storage.verbs.clock import read_meta

T = TypeVar("T")

_CONNECTIONS = 6
"""A run has one call each of look-up, feed and persist at a time, and now and then another."""
_QUERY_SECONDS = 30.0
_RENEWAL_SECONDS = 15.0
_LONG_SECONDS = 3_600.0
"""For what reads or changes whole tables: a server of the smallest kind reads a million answers
in 2 s, and `stats` reads them six times."""
_TRIES = 4


class MysqlCache(SqlCache):
    """A `Cache` on a MySQL or MariaDB server; open it with `open_cache`."""


class MysqlConnector:
    """Runs scripts on one server."""

    def __init__(self, address: MysqlAddress, *, query_seconds: float = _QUERY_SECONDS) -> None:
        self.address = address
        self._query_seconds = query_seconds
        self._connections = MysqlConnections(address, limit=_CONNECTIONS)

    @property
    def url(self) -> str:
        """Where the database is, without any secret."""
        return self.address.url

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()

    async def read(self, verb: Verb[T], *, doing: str, is_long: bool = False) -> T:
        """Run a script statement by statement; each sees what is committed by then."""
        seconds = _LONG_SECONDS if is_long else self._query_seconds
        return await self._repeat(verb, doing, seconds, is_write=False)

    async def write(self, verb: Verb[T], *, doing: str) -> T:
        """Run a script as one transaction."""
        return await self._repeat(verb, doing, self._query_seconds, is_write=True)

    async def shrink(self) -> None:
        """Do nothing: InnoDB fills the gaps again, and a rebuild is the server's owner's affair."""

    async def _repeat(self, verb: Verb[T], doing: str, seconds: float, *, is_write: bool) -> T:
        """Run until the database lets it: deadlocks and lost connections are everyday life."""
        with mysql_errors(self.url, doing=doing):
            for attempt in range(1, _TRIES):
                try:
                    return await self._once(verb, seconds, is_write=is_write, fresh=attempt > 1)
                except err.Error as error:
                    if not is_contended(error) and not is_lost(error):
                        raise
                await anyio.sleep(random.uniform(0.0, 0.05 * 2**attempt))
            return await self._once(verb, seconds, is_write=is_write, fresh=True)

    async def _once(self, verb: Verb[T], seconds: float, *, is_write: bool, fresh: bool) -> T:
        with anyio.fail_after(seconds, shield=is_write):
            async with self._connections.connection(fresh=fresh) as connection:
                if not is_write:
                    return await connection.run(verb(MYSQL))
                await connection.begin()
                result = await connection.run(verb(MYSQL))
                await connection.commit()
                return result


@asynccontextmanager
async def open_cache(
    url: str, *, descriptions: SqlCache | None = None, must_exist: bool = False
) -> AsyncIterator[MysqlCache]:
    """Open the cache; make its tables where it has none and the user may."""
    address = with_credentials(mysql_address(url))
    connector = MysqlConnector(address)
    try:
        if must_exist and not await has_tables(connector):
            raise no_such_cache(url)
        await ensure_usable(connector)
        meta = await connector.read(read_meta, doing="open")
        yield MysqlCache(connector, meta["cache_id"], descriptions)
    finally:
        await connector.close()


async def migrate(url: str) -> int:
    """Create the tables or take them through the steps they lack; return how many those were."""
    address = with_credentials(mysql_address(url))
    connector = MysqlConnector(address, query_seconds=_LONG_SECONDS)
    try:
        return await take_missing_steps(connector)
    finally:
        await connector.close()


@contextmanager
def open_lease_keeper(url: str) -> Iterator[LeaseKeeper]:
    """Open a keeper that can be used from any thread without an event loop."""
    yield MysqlLeaseKeeper(with_credentials(mysql_address(url)))


class MysqlLeaseKeeper:
    """A `LeaseKeeper` that runs a small event loop of its own for each renewal.

    A renewal every half minute can afford a connection of its own, 5 ms on a local network,
    and then there is none that may have died in between.
    """

    def __init__(self, address: MysqlAddress) -> None:
        self._address = address

    def renew(self, run_id: str, seconds: float) -> None:
        """Extend this run's claims to `seconds` from now; blocks."""
        anyio.run(self._renew, run_id, seconds)

    async def _renew(self, run_id: str, seconds: float) -> None:
        connector = MysqlConnector(self._address, query_seconds=_RENEWAL_SECONDS)
        try:
            await connector.write(
                lambda dialect: renew(dialect, run_id, seconds), doing="renew claims in"
            )
        finally:
            await connector.close()
