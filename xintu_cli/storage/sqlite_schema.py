"""Bring an SQLite file to the present schema before it is used; never touch a newer one."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from xintu_cli.errors import ConfigurationError, SchemaError
from xintu_cli.storage import localfile
from xintu_cli.storage.filesystems import network_file_system
from xintu_cli.storage.schema import META_SQLITE, STEPS, Step, usable_version


def prepare(path: Path, steps: Sequence[Step] = STEPS) -> int:
    """Create the file, or take it through the steps it lacks, keeping a backup; blocks.

    Returns how many steps it took.

    Raises `ConfigurationError` on a network file system, `SchemaError` where the file is
    newer or none of ours; sqlite3's own errors pass through.
    """
    refuse_network(path)
    localfile.create_private(path)
    version = read_version(path, steps)
    if version == steps[-1].number:
        return 0
    if version:
        back_up(path, version)
    with closing(localfile.connect(path)) as connection:
        localfile.write_ahead(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            taken = _take_steps(connection, steps)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return taken


def refuse_network(path: Path) -> None:
    """Raise where the file would lie on a file system that SQLite cannot be trusted to."""
    kind = network_file_system(path.parent)
    if kind is not None:
        raise ConfigurationError(
            f"cannot keep the cache {path} there: {kind} is a network file system, on which "
            "SQLite loses data. Use a local directory, or a mysql:// cache to share it."
        )


def is_there(path: Path) -> bool:
    """Tell whether the file is there and not empty; blocks."""
    return path.exists() and read_version(path) > 0


def read_version(path: Path, steps: Sequence[Step] = STEPS) -> int:
    """Return the file's schema (0: empty), reading only; raise if this xintu must not use it.

    A newer schema whose `oldest_reader` is known here counts as the present one.
    """
    if path.stat().st_size == 0:
        return 0
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=localfile.BUSY_SECONDS)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        if not tables:
            return 0
        if "meta" not in tables or "classification" not in tables:
            raise SchemaError(
                f"{path} is an SQLite file, but not a xintu cache. Name another path."
            )
        meta = dict(connection.execute("SELECT name, value FROM meta"))
    return usable_version(f"the cache {path}", meta, steps)


def back_up(path: Path, version: int) -> Path:
    """Copy the database beside itself before its schema changes; return the copy's path."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    backup = path.with_name(f"{path.name}.schema{version}-{stamp}-{os.getpid()}.bak")
    localfile.create_private(backup)
    with closing(localfile.connect(path)) as connection:
        connection.execute("VACUUM INTO ?", (str(backup),))
    return backup


def _take_steps(connection: sqlite3.Connection, steps: Sequence[Step]) -> int:
    """Take the steps that are missing; another process may have taken them meanwhile."""
    connection.execute(META_SQLITE)
    meta = dict(connection.execute("SELECT name, value FROM meta"))
    version = int(meta.get("schema", "0"))
    missing = [step for step in steps if step.number > version]
    for step in missing:
        for statement in step.sqlite:
            connection.execute(statement)
        written = {
            "schema": str(step.number),
            "oldest_reader": str(step.oldest_reader),
            "cache_id": meta.setdefault("cache_id", secrets.token_hex(16)),
        }
        connection.executemany(
            "INSERT INTO meta VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            sorted(written.items()),
        )
    return len(missing)
