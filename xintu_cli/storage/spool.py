"""The spool: answers that were paid for while the cache was away, safe on this machine's disk.

Every settlement is kept for the cache it was meant for, and is written there, oldest first,
before the next run does anything else. Writing one twice does no harm: settlements carry
their identity.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from anyio import CapacityLimiter, to_thread

from xintu_cli.errors import SchemaError
from xintu_cli.interfaces import Cache
from xintu_cli.records import Settlement
from xintu_cli.storage import localfile
from xintu_cli.storage.settlements import FORMAT, decode, encode

_CREATE = """
    CREATE TABLE IF NOT EXISTS spooled (
        number INTEGER PRIMARY KEY, settlement_id TEXT NOT NULL UNIQUE, cache_id TEXT NOT NULL,
        format INTEGER NOT NULL, body TEXT NOT NULL
    )
"""
_MEND = "It may hold answers that were paid for: restore it, or move it away to give them up."


class LocalSpool:
    """A `Spool` in an SQLite file that exists only once something had to be kept."""

    def __init__(self, path: Path, cache_id: str) -> None:
        self.path = path
        self.cache_id = cache_id

    def append(self, settlement: Settlement) -> None:
        """Keep a settlement until it can be written; durable when this returns. Blocks."""
        with self._connection("write") as connection:
            connection.execute(
                "INSERT INTO spooled (settlement_id, cache_id, format, body) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (settlement.settlement_id, self.cache_id, FORMAT, encode(settlement)),
            )

    def waiting(self) -> int:
        """Return how many settlements wait for this cache. Blocks."""
        return self._count("cache_id = ?")

    def waiting_elsewhere(self) -> int:
        """Return how many settlements wait for other caches. Blocks."""
        return self._count("cache_id <> ?")

    async def replay(self, cache: Cache) -> int:
        """Write what waits into the cache; return how many settlements that were.

        Raises what the cache raises; the rest then waits on.
        """
        disk = CapacityLimiter(1)
        replayed = 0
        while (first := await to_thread.run_sync(self._first, limiter=disk)) is not None:
            await cache.settle(first)
            await to_thread.run_sync(self._remove, first.settlement_id, limiter=disk)
            replayed += 1
        return replayed

    def _count(self, condition: str) -> int:
        if not self.path.exists():
            return 0
        with self._connection("read") as connection:
            (number,) = connection.execute(
                f"SELECT count(*) FROM spooled WHERE {condition}", (self.cache_id,)
            ).fetchone()
        return int(number)

    def _first(self) -> Settlement | None:
        if not self.path.exists():
            return None
        with self._connection("read") as connection:
            row = connection.execute(
                "SELECT format, body FROM spooled WHERE cache_id = ? ORDER BY number LIMIT 1",
                (self.cache_id,),
            ).fetchone()
        if row is None:
            return None
        if row[0] > FORMAT:
            raise SchemaError(
                f"the spool {self.path} was written by a newer xintu. Upgrade xintu: it may hold "
                "answers that were paid for."
            )
        return decode(row[1])

    def _remove(self, settlement_id: str) -> None:
        with self._connection("write") as connection:
            connection.execute("DELETE FROM spooled WHERE settlement_id = ?", (settlement_id,))

    @contextmanager
    def _connection(self, doing: str) -> Iterator[sqlite3.Connection]:
        """Open the file for one call: it is needed so rarely that nothing is kept open."""
        localfile.create_private(self.path)
        with (
            localfile.sqlite_errors(self.path, what="spool", doing=doing, mend=_MEND),
            closing(localfile.connect(self.path)) as connection,
        ):
            localfile.write_ahead(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(_CREATE)
            yield connection
