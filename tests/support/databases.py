"""A private MariaDB for the tests, and a fresh cache URL per test on each kind of database.

The server's default character set is latin1, as Debian's was for long: what the product
needs it must say. Where MariaDB is missing the tests skip and say so; under CI=true they fail.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import anyio.abc
import pymysql
import pytest
from pymysql.constants import ER

from tests.support.machine import require_tool
from tests.support.ports import free_port
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.urls import open_cache

_START_SECONDS = 60
_databases = count(1)


class MariaDb:
    """A server of our own on a free port of the loopback; `root` without a password."""

    def __init__(self, directory: Path, program: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.certificate = directory / "cert.pem"
        # A server that starts deletes the temporary tables in its directory, whose ever they are:
        # in /tmp those of another worker's, which was just making its system tables.
        self._temporary = directory / "tmp"
        self._program = program
        self._process: subprocess.Popen[str] | None = None
        self._log: list[str] = []

    def install(self) -> None:
        """Make the system tables."""
        self._temporary.mkdir()
        subprocess.run(
            [
                "mariadb-install-db",
                "--no-defaults",
                f"--datadir={self.directory / 'data'}",
                f"--tmpdir={self._temporary}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                *_as_root(),
            ],
            check=True,
            capture_output=True,
        )

    def certify(self) -> None:
        """Make the server's certificate, for 127.0.0.1; it is its own authority."""
        subprocess.run(
            [
                *(require_tool("openssl"), "req", "-x509", "-nodes", "-days", "2"),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                *("-subj", "/CN=xintu tests", "-addext", "subjectAltName=IP:127.0.0.1"),
                *("-keyout", self.directory / "key.pem", "-out", self.certificate),
            ],
            check=True,
            capture_output=True,
        )

    def start(self) -> None:
        """Start the server, and return when it takes connections."""
        self._process = subprocess.Popen(
            [
                self._program,
                "--no-defaults",
                f"--datadir={self.directory / 'data'}",
                f"--tmpdir={self._temporary}",
                f"--socket={self.directory / 'sock'}",
                f"--port={self.port}",
                "--bind-address=127.0.0.1",
                "--character-set-server=latin1",
                "--innodb-buffer-pool-size=64M",
                "--innodb-log-file-size=32M",
                # The tests kill the server, never the machine: nothing need reach the disk.
                "--innodb-flush-method=nosync",
                "--innodb-flush-log-at-trx-commit=2",
                "--innodb-doublewrite=0",
                "--skip-name-resolve",
                f"--ssl-cert={self.certificate}",
                f"--ssl-key={self.directory / 'key.pem'}",
                *_as_root(),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        ready = threading.Event()
        threading.Thread(target=self._read_log, args=(self._process, ready), daemon=True).start()
        if not ready.wait(_START_SECONDS):
            self.kill()
            raise RuntimeError(f"MariaDB did not start: {''.join(self._log[-20:])}")

    def kill(self) -> None:
        """End the server as a power cut would, if it runs."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def execute(self, sql: str, parameters: tuple[object, ...] = (), database: str = "") -> Any:
        """Run one statement as root and return its rows."""
        with closing(
            pymysql.connect(
                host="127.0.0.1",
                port=self.port,
                user="root",
                database=database or None,
                charset="utf8mb4",
                autocommit=True,
            )
        ) as connection:
            cursor = connection.cursor()
            cursor.execute(sql, parameters or None)
            return cursor.fetchall()

    def kill_connections(self, database: str) -> None:
        """End every connection to a database from the server's side."""
        rows = self.execute(
            "SELECT id FROM information_schema.processlist WHERE db = %s", (database,)
        )
        for (connection,) in rows:
            try:
                self.execute(f"KILL {connection}")
            except pymysql.err.OperationalError as error:
                # One that its owner was just closing: it may be gone by itself by now.
                if error.args[0] != ER.NO_SUCH_THREAD:
                    raise

    def create_database(self) -> str:
        """Create an empty database and return its name."""
        name = f"xintu_{next(_databases)}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def url(self, database: str, *, user: str = "root", password: str = "") -> str:
        """Return the cache URL of a database."""
        secret = f":{password}" if password else ":"
        return f"mysql://{user}{secret}@127.0.0.1:{self.port}/{database}"

    def _read_log(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                self._log.append(line)
                if "ready for connections" in line:
                    ready.set()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """Run one server for the whole session."""
    program = require_tool("mariadbd", "mariadb-server")
    require_tool("mariadb-install-db", "mariadb-server")
    # Not below tmp_path: a socket's path must fit in 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="xintu-db-"))
    server = MariaDb(directory, program)
    try:
        server.install()
        server.certify()
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


@dataclass(frozen=True)
class CacheDatabase:
    """A database for one cache, and a way to it that is not the cache's own."""

    kind: str
    url: str
    fetch: Callable[[str], list[tuple[Any, ...]]]
    """Runs one statement and returns its rows."""


@pytest.fixture
def sqlite_database(tmp_path: Path) -> CacheDatabase:
    """Return a cache file that does not exist yet, in a directory that does not either."""
    path = tmp_path / "state" / "cache.db"

    def fetch(sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            return connection.execute(sql).fetchall()

    return CacheDatabase("sqlite", f"sqlite:///{path}", fetch)


@pytest.fixture
def mysql_name(mariadb: MariaDb) -> Iterator[str]:
    """Return the name of a fresh, empty database on MariaDB."""
    name = mariadb.create_database()
    yield name
    mariadb.execute(f"DROP DATABASE {name}")


@pytest.fixture
def mysql_database(mariadb: MariaDb, mysql_name: str) -> CacheDatabase:
    """Return a fresh, empty database on MariaDB."""

    def fetch(sql: str) -> list[tuple[Any, ...]]:
        return list(mariadb.execute(sql, database=mysql_name))

    return CacheDatabase("mysql", mariadb.url(mysql_name), fetch)


@pytest.fixture(params=["sqlite", "mysql"])
def database(request: pytest.FixtureRequest) -> CacheDatabase:
    """Return an empty database, of every kind that a cache can live in."""
    found: CacheDatabase = request.getfixturevalue(f"{request.param}_database")
    return found


@pytest.fixture
def cache_url(database: CacheDatabase) -> str:
    """Return the URL of an empty cache, on every kind of database."""
    return database.url


@pytest.fixture
async def cache(database: CacheDatabase) -> AsyncIterator[SqlCache]:
    """Open an empty cache, on every kind of database."""
    async with open_cache(database.url) as opened:
        yield opened


@pytest.fixture
async def mysql_cache(mysql_database: CacheDatabase) -> AsyncIterator[SqlCache]:
    """Open an empty cache on MariaDB."""
    async with open_cache(mysql_database.url) as opened:
        yield opened


def port_of(listener: anyio.abc.Listener[anyio.abc.SocketStream]) -> int:
    """Return the port that a server of the test listens on."""
    port: int = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - not Django's
    return port


def _as_root() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []
