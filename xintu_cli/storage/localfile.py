"""What every SQLite file of xintu has in common: private modes, one border for its errors."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xintu_cli.errors import CacheUnreachableError, DamagedError, StorageError

BUSY_SECONDS = 30.0
"""How long a writer waits for another program's transaction."""

_TRY_AGAIN_SECONDS = 0.01

_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PRIMARY = 0xFF
"""SQLite's extended result codes carry the primary one in their lowest byte."""


def engine_version() -> str:
    """Return the version of SQLite that Python is linked with."""
    return sqlite3.sqlite_version


def create_private(path: Path) -> None:
    """Create an empty file only its owner can read, and its directory; keep what is there.

    SQLite gives `-wal` and `-shm` the modes of the file they belong to.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StorageError(
            f"cannot open {path}: {error.strerror}. "
            "Check the path and its permissions, or name another place."
        ) from error


def connect(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Connect to a file that exists; transactions are begun and ended by our own statements."""
    return sqlite3.connect(
        path, timeout=busy_seconds, isolation_level=None, check_same_thread=False
    )


def write_ahead(connection: sqlite3.Connection, *, busy_seconds: float = BUSY_SECONDS) -> None:
    """Have readers and a writer not wait for each other (WAL); the file remembers it. Blocks.

    For this one change SQLite does not wait while another connection is making it: it says
    "locked" at once. Two programs that begin in the same moment must both go on.
    """
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY not in _LOCKED or time.monotonic() > deadline:
                raise
            time.sleep(_TRY_AGAIN_SECONDS)
        else:
            return


@contextmanager
def sqlite_errors(path: Path, *, what: str, doing: str, mend: str) -> Iterator[None]:
    """Translate what sqlite3 raises: "cannot `doing` the `what` `path`: … ".

    `mend` says what to do about a damaged file.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
        failed = f"cannot {doing} the {what} {path}"
        if code in _LOCKED:
            raise CacheUnreachableError(
                f"{failed}: another program has locked it for {BUSY_SECONDS:.0f} s. "
                "Wait for that program, or end it."
            ) from error
        if code in _DAMAGED:
            raise DamagedError(
                f"{failed}: the file is damaged ({error}). It is left as it is. {mend}"
            ) from error
        if code == sqlite3.SQLITE_FULL:
            raise StorageError(f"{failed}: the disk is full. Free some space there.") from error
        raise StorageError(
            f"{failed}: {error}. Check the disk and the permissions of {path.parent}."
        ) from error
