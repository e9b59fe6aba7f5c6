"""The backlog: the queue of what one run still has to classify, on disk in flat memory.

A private SQLite file of the state directory that is unlinked before anything is written to
it: it ends with the process, however that ends. A million tasks take 130 MB there and 16 MB
of memory.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from xintu_cli.records import Task
from xintu_cli.storage import localfile

_CACHE_KIB = 16_384
_WAITING, _TAKEN = 0, 1

_CREATE = (
    # Rows are appended; only the index on the hashes is written at random places, which at a
    # million tasks is 9 s instead of the 16 s of a table kept in hash order.
    """CREATE TABLE task (
        place INTEGER PRIMARY KEY, image_hash TEXT NOT NULL UNIQUE, path BLOB NOT NULL,
        size_bytes INTEGER NOT NULL, provisional INTEGER NOT NULL, state INTEGER NOT NULL,
        category TEXT NOT NULL
    )""",
    # The queue: the waiting tasks alone, in the order (provisional, place).
    f"CREATE INDEX queue ON task (provisional) WHERE state = {_WAITING}",
    """CREATE TABLE copy (
        image_hash TEXT NOT NULL, path BLOB NOT NULL,
        PRIMARY KEY (image_hash, path)
    ) WITHOUT ROWID""",
)
_MEND = "Start the run again."


class SqliteBacklog:
    """A `Backlog` in an unlinked SQLite file under `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._place = 0
        self._unsettled = 0
        with self._errors():
            self._connection = _open_unlinked(directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the queue."""
        with self._lock:
            self._connection.close()

    def add(self, tasks: Sequence[Task]) -> Sequence[bool]:
        """Queue tasks; True where the image was new, False where it became a copy.

        A taken task that is added again under its own path came back from the classifiers
        (its file changed, and changed back): it waits again.
        """
        with self._transaction() as connection:
            return [self._add(connection, task) for task in tasks]

    def take(self, limit: int) -> Sequence[Task]:
        """Take up to `limit` waiting tasks, misses first, then provisional photos, oldest first."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT image_hash, path, size_bytes, provisional, category"
                f" FROM task INDEXED BY queue WHERE state = {_WAITING}"
                " ORDER BY provisional, place LIMIT ?",
                (limit,),
            ).fetchall()
            connection.executemany(
                f"UPDATE task SET state = {_TAKEN} WHERE image_hash = ?",
                [(row[0],) for row in rows],
            )
        return [
            Task(image_hash, path, size, bool(provisional), category)
            for image_hash, path, size, provisional, category in rows
        ]

    def give_back(self, tasks: Sequence[Task]) -> None:
        """Put taken tasks back to the end of the queue."""
        with self._transaction() as connection:
            for task in tasks:
                self._put_back(connection, task.image_hash)

    def settle(self, image_hashes: Sequence[str]) -> Mapping[str, Sequence[bytes]]:
        """Remove images; return the paths of their copies (absent where there are none)."""
        copies: dict[str, list[bytes]] = {}
        with self._transaction() as connection:
            for image_hash in image_hashes:
                removed = connection.execute(
                    "DELETE FROM task WHERE image_hash = ?", (image_hash,)
                ).rowcount
                self._unsettled -= removed
                paths = connection.execute(
                    "SELECT path FROM copy WHERE image_hash = ? ORDER BY path", (image_hash,)
                ).fetchall()
                if paths:
                    copies[image_hash] = [row[0] for row in paths]
                    connection.execute("DELETE FROM copy WHERE image_hash = ?", (image_hash,))
        return copies

    def waiting(self) -> int:
        """Return how many images wait or are taken."""
        return self._unsettled

    def _add(self, connection: sqlite3.Connection, task: Task) -> bool:
        image_hash, path, size_bytes, provisional, category = task
        added = connection.execute(
            "INSERT INTO task VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                self._next_place(),
                image_hash,
                path,
                size_bytes,
                int(provisional),
                _WAITING,
                category,
            ),
        )
        if added.rowcount:
            self._unsettled += 1
            return True
        first, state = connection.execute(
            "SELECT path, state FROM task WHERE image_hash = ?", (image_hash,)
        ).fetchone()
        if first != path:
            connection.execute(
                "INSERT INTO copy VALUES (?, ?) ON CONFLICT DO NOTHING", (image_hash, path)
            )
            return False
        if state == _TAKEN:
            self._put_back(connection, image_hash)
        return bool(state == _TAKEN)

    def _put_back(self, connection: sqlite3.Connection, image_hash: str) -> None:
        connection.execute(
            f"UPDATE task SET state = {_WAITING}, place = ?"
            f" WHERE image_hash = ? AND state = {_TAKEN}",
            (self._next_place(), image_hash),
        )

    def _next_place(self) -> int:
        self._place += 1
        return self._place

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Make many statements one write.

        There is no way back: a backlog that failed once fails from then on, and ends the run.
        """
        with self._lock, self._errors():
            self._connection.execute("BEGIN")
            yield self._connection
            self._connection.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with localfile.sqlite_errors(self._directory, what="backlog in", doing="use", mend=_MEND):
            yield


def _open_unlinked(directory: Path) -> sqlite3.Connection:
    """Open a database file and unlink it before its first page is written.

    Without a journal: a quarter of the time, and nobody will ever recover this file.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix="backlog-", dir=directory)
    os.close(handle)
    try:
        connection = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute("SELECT count(*) FROM sqlite_master")
    finally:
        Path(name).unlink()
    for statement in _CREATE:
        connection.execute(statement)
    return connection
