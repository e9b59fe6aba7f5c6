"""The file index: what this machine knows of each file, so that a rescan opens none of them.

One SQLite file, used from several worker threads: reads borrow one of a few connections,
writes share one behind a lock. `synchronous=NORMAL`: a power cut may take the last entries
with it, which costs hashing those files again and never a call; WAL keeps the file whole.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from operator import itemgetter
from pathlib import Path
from queue import LifoQueue
from types import TracebackType
from typing import Any, Self

from xintu_cli.errors import SchemaError
from xintu_cli.records import FileStatus, IndexEntry, PhotoFacts
from xintu_cli.storage import localfile

_SCHEMA = 1
_READERS = 4
"""Reading threads at a time; more wait for a connection."""
_READER_CACHE_KIB = 8_192
_PAGE = 1_000

_CREATE = """
    CREATE TABLE file (
        path BLOB NOT NULL PRIMARY KEY,
        size_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
        inode INTEGER NOT NULL, image_hash TEXT NOT NULL, hash_version INTEGER NOT NULL,
        hashed_at_ns INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL,
        width INTEGER, height INTEGER, taken_at TEXT, background_color TEXT
    ) WITHOUT ROWID
"""
_path = itemgetter(IndexEntry._fields.index("path"))
_COLUMNS = ", ".join(IndexEntry._fields)
_FACTS = PhotoFacts._fields
_WITHOUT_FACTS = ", ".join((*IndexEntry._fields[: -len(_FACTS)], *["NULL"] * len(_FACTS)))
_OTHERS = [name for name in IndexEntry._fields if name not in ("path", *_FACTS)]
_MEND = (
    "It holds nothing that cannot be found out again: move it away (with its -wal and -shm), "
    "and the next run hashes every file once more; nothing is paid for again."
)

_SAME_FILE = " AND ".join(
    f"{name} = excluded.{name}" for name in ("image_hash", "size_bytes", "mtime_ns", "inode")
)
_REMEMBER = (
    f"INSERT INTO file ({_COLUMNS}) VALUES ({', '.join('?' * len(IndexEntry._fields))})"
    " ON CONFLICT (path) DO UPDATE SET "
    + ", ".join(
        [f"{name} = excluded.{name}" for name in _OTHERS]
        + [
            f"{name} = CASE WHEN {_SAME_FILE}"
            f" THEN coalesce(excluded.{name}, {name}) ELSE excluded.{name} END"
            for name in _FACTS
        ]
    )
)
"""A file whose rights, owner or links alone have changed keeps what its decode told.

One that was written to may say another time or orientation of the same picture: the image hash
knows no metadata. Every right-hand side of an UPDATE sees the row as it was."""

_DESCRIBE = (
    f"UPDATE file SET {', '.join(f'{name} = ?' for name in _FACTS)}"
    " WHERE path = ? AND image_hash = ?"
)


class SqliteFileIndex:
    """A `FileIndex` in one SQLite file. Raises `StorageError` or `SchemaError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._write_lock = threading.Lock()
        self._readers: LifoQueue[sqlite3.Connection | None] = LifoQueue()
        localfile.create_private(path)
        with self._errors("open"):
            self._writer = _open_writer(path)
        for _ in range(_READERS):
            self._readers.put(None)

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
        """Close every connection; the index cannot be used afterwards."""
        with self._errors("close"):
            for _ in range(_READERS):
                reader = self._readers.get()
                if reader is not None:
                    reader.close()
            with self._write_lock:
                self._writer.close()

    def known(self, paths: Sequence[bytes]) -> Mapping[bytes, IndexEntry]:
        """Return the entries of these paths without their facts; unknown ones are absent.

        A walk asks for neighbours, which one range reads at a quarter of the cost of as many
        look-ups. The facts stay unread because a rescan has no use for them and they are
        a third of what is left.
        """
        entries: dict[bytes, IndexEntry] = {}
        with self._reading() as reader:
            for start in range(0, len(paths), _PAGE):
                wanted = sorted(paths[start : start + _PAGE])
                rows = _read_range(reader, wanted[0], wanted[-1], most=2 * len(wanted))
                if len(rows) == 2 * len(wanted):
                    rows = _read_each(reader, wanted)
                entries.update(zip(map(_path, rows), map(IndexEntry._make, rows), strict=True))
        for neighbour in entries.keys() - set(paths):
            del entries[neighbour]
        return entries

    def facts(self, paths: Sequence[bytes]) -> Mapping[bytes, PhotoFacts]:
        """Return what decoding told of these paths; those not decoded yet are absent."""
        found: dict[bytes, PhotoFacts] = {}
        with self._reading() as reader:
            for start in range(0, len(paths), _PAGE):
                page = paths[start : start + _PAGE]
                rows = reader.execute(
                    f"SELECT path, {', '.join(_FACTS)} FROM file"
                    f" WHERE path IN ({', '.join('?' * len(page))})"
                    " AND width IS NOT NULL AND background_color IS NOT NULL",
                    page,
                )
                found.update((row[0], PhotoFacts._make(row[1:])) for row in rows)
        return found

    def remember(self, entries: Sequence[IndexEntry]) -> None:
        """Insert or replace entries, in one transaction."""
        with self._writing() as writer:
            writer.executemany(_REMEMBER, entries)

    def describe(self, facts: Sequence[tuple[bytes, str, PhotoFacts]]) -> None:
        """Store (path, image hash, facts) where path still has that image hash."""
        with self._writing() as writer:
            writer.executemany(_DESCRIBE, [(*known, path, h) for path, h, known in facts])

    def under(self, root: bytes) -> Iterator[IndexEntry]:
        """Stream the entries at or below a directory (or of one file), in path order.

        Page by page, so that no connection is held between two of them.
        """
        yield from self._page("path = ?", (root,))
        below, end = _range(root)
        after = below
        while True:
            page = self._page("path > ? AND path < ?", (after, end))
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].path

    def count_under(self, root: bytes) -> int:
        """Return how many entries are at or below `root`."""
        with self._reading() as reader:
            row = reader.execute(
                "SELECT (SELECT count(*) FROM file WHERE path >= ? AND path < ?)"
                " + (SELECT count(*) FROM file WHERE path = ?)",
                (*_range(root), root),
            ).fetchone()
        return int(row[0])

    def paths_of(self, image_hashes: Sequence[str]) -> Mapping[str, bytes]:
        """Return a path of each of these images; reads the whole index."""
        marks = ",".join("?" * len(image_hashes))
        with self._reading() as reader:
            rows = reader.execute(
                f"SELECT image_hash, min(path) FROM file WHERE image_hash IN ({marks})"
                " GROUP BY image_hash",
                image_hashes,
            ).fetchall()
        return dict(rows)

    def unreadable_reasons(self) -> Mapping[str, int]:
        """Return how many files cannot be read, by reason; reads the whole index."""
        with self._reading() as reader:
            rows = reader.execute(
                "SELECT reason, count(*) FROM file WHERE status = ? GROUP BY reason",
                (FileStatus.UNREADABLE,),
            ).fetchall()
        return dict(rows)

    def forget(self, paths: Sequence[bytes]) -> None:
        """Delete entries."""
        with self._writing() as writer:
            writer.executemany("DELETE FROM file WHERE path = ?", [(path,) for path in paths])

    def _page(self, condition: str, parameters: tuple[bytes, ...]) -> list[IndexEntry]:
        with self._reading() as reader:
            rows = reader.execute(
                f"SELECT {_COLUMNS} FROM file WHERE {condition} ORDER BY path LIMIT {_PAGE}",
                parameters,
            ).fetchall()
        return [IndexEntry._make(row) for row in rows]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        reader = self._readers.get()
        try:
            with self._errors("read"):
                if reader is None:
                    reader = _open_reader(self._path)
                yield reader
        finally:
            self._readers.put(reader)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._write_lock, self._errors("write"):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        with localfile.sqlite_errors(self._path, what="file index", doing=doing, mend=_MEND):
            yield


def _range(root: bytes) -> tuple[bytes, bytes]:
    """Return the half-open range of the paths below a directory: "0" follows "/"."""
    stem = root.rstrip(b"/")
    return stem + b"/", stem + b"0"


def _read_range(
    reader: sqlite3.Connection, first: bytes, last: bytes, *, most: int
) -> list[tuple[Any, ...]]:
    return reader.execute(
        f"SELECT {_WITHOUT_FACTS} FROM file WHERE path BETWEEN ? AND ? LIMIT ?",
        (first, last, most),
    ).fetchall()


def _read_each(reader: sqlite3.Connection, paths: Sequence[bytes]) -> list[tuple[Any, ...]]:
    marks = ",".join("?" * len(paths))
    return reader.execute(
        f"SELECT {_WITHOUT_FACTS} FROM file WHERE path IN ({marks})", paths
    ).fetchall()


def _open_writer(path: Path) -> sqlite3.Connection:
    connection = localfile.connect(path)
    try:
        localfile.write_ahead(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    with closing(connection.cursor()) as cursor:
        (version,) = cursor.execute("PRAGMA user_version").fetchone()
        if version > _SCHEMA:
            cursor.execute("ROLLBACK")
            raise SchemaError(
                f"the file index {path} has schema {version}, this xintu knows {_SCHEMA}: a newer "
                "xintu wrote it. Upgrade xintu, or set XINTU_HOME to another directory."
            )
        if version == 0:
            cursor.execute(_CREATE)
            cursor.execute(f"PRAGMA user_version = {_SCHEMA}")
        cursor.execute("COMMIT")


def _open_reader(path: Path) -> sqlite3.Connection:
    connection = localfile.connect(path)
    connection.execute(f"PRAGMA cache_size = -{_READER_CACHE_KIB}")
    connection.execute("PRAGMA query_only = ON")
    return connection
