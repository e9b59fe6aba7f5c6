"""One connection to MySQL or MariaDB, and the few of them that a cache shares.

aiomysql's own pool loses wake-ups when a task that waits for a connection or holds one is
cancelled, and connects while everybody waits. Here a semaphore bounds the connections, and a
connection that saw any error or cancellation is closed instead of being given back.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
from aiomysql.connection import Connection
from aiomysql.cursors import Cursor
from pymysql.constants import CLIENT, FIELD_TYPE
from pymysql.converters import decoders
from pymysql.err import OperationalError

from xintu_cli.errors import ConfigurationError
from xintu_cli.storage.script import Reply, Script, Statement, T
from xintu_cli.storage.urls import MysqlAddress, TlsMode

_CONNECT_SECONDS = 10.0
_CLOSE_SECONDS = 2.0
_IDLE_SECONDS = 20
"""After so long the server hangs up on a client that says nothing: one that fell asleep in
mid-transaction (a laptop's lid) would else hold its locks against everybody for eight hours."""
_RECYCLE_SECONDS = _IDLE_SECONDS - 5.0
"""Idle connections are dropped before the server does it."""

_PLAIN = "mysql_clear_password"
_SQL_MODE = (
    "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', group_concat_max_len = 16777216,"
    f" wait_timeout = {_IDLE_SECONDS}"
)
"""The driver puts it after `SET sql_mode=`, where further variables may follow for the price
of none. MariaDB bounds JSON_ARRAYAGG by `group_concat_max_len`, 1 MB by default."""
_ISOLATION = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"

_CONVERTERS: dict[Any, Any] = {
    kind: convert
    for kind, convert in decoders.items()
    if kind not in (FIELD_TYPE.DATE, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP, FIELD_TYPE.NEWDATE)
} | {FIELD_TYPE.DECIMAL: float, FIELD_TYPE.NEWDECIMAL: float}
"""Times come as the text SQLite gives too, and sums of money as floats."""


class _Cursor(Cursor):  # type: ignore[misc]
    """aiomysql's cursor without its SHOW WARNINGS after every statement that caused one.

    In strict mode whatever matters is an error. What is left is MySQL's remark, on every
    upsert, that VALUES() is deprecated; its successor is a syntax error to MariaDB.
    """

    async def _show_warnings(self, conn: Connection) -> None:
        return


class MysqlConnection(Connection):  # type: ignore[misc]
    """aiomysql's connection, which does not let a server talk it out of TLS.

    aiomysql goes on in plain text when the server does not offer TLS, and sends the password
    itself when the server asks for it.
    """

    async def _get_server_information(self) -> None:
        await super()._get_server_information()
        if self._ssl_context and not self.server_capabilities & CLIENT.SSL:
            raise OperationalError(2026, "the server offers no TLS, which the URL requires")
        if self._server_auth_plugin == _PLAIN and not self._ssl_context:
            raise OperationalError(2061, "the server asks for the password in plain text")

    async def _process_auth(self, plugin_name: bytes, auth_packet: Any) -> Any:
        if plugin_name.decode() == _PLAIN and not self._secure:
            raise OperationalError(2061, "the server asks for the password in plain text")
        return await super()._process_auth(plugin_name, auth_packet)

    def close(self) -> None:
        """Hang up: a TLS connection would else say goodbye in a loop that may be gone by then."""
        if self._writer is not None:
            self._writer.transport.abort()
        super().close()

    async def leave(self) -> None:
        """Say goodbye, so that the server does not count an aborted connection."""
        writer = self._writer
        await self.ensure_closed()
        await writer.wait_closed()

    def is_usable(self) -> bool:
        """Tell whether the connection may still be alive: open, not ended, not idle too long."""
        return (
            not self.closed
            and not self._reader.at_eof()
            and not self._reader.eof_received
            and self._reader.exception() is None
            and self._loop.time() - self.last_usage < _RECYCLE_SECONDS
        )

    async def run(self, script: Script[T]) -> T:
        """Await a script's statements one by one, and return what it returns."""
        try:
            statement = next(script)
            while True:
                statement = script.send(await self._reply(statement))
        except StopIteration as end:
            result: T = end.value
            return result

    async def _reply(self, statement: Statement) -> Reply:
        cursor = await self.cursor()
        sql = statement.sql.replace("?", "%s")
        if statement.many:
            await cursor.executemany(sql, statement.parameters)
        else:
            await cursor.execute(sql, tuple(statement.parameters))
        rows: Sequence[tuple[Any, ...]] = await cursor.fetchall()
        return Reply(rows, cursor.rowcount)


class MysqlConnections:
    """At most `limit` connections to one address, opened when they are needed."""

    def __init__(self, address: MysqlAddress, *, limit: int) -> None:
        self._address = address
        self._tls = _tls_context(address)
        self._slots = anyio.Semaphore(limit)
        self._free: list[MysqlConnection] = []

    @asynccontextmanager
    async def connection(self, *, fresh: bool = False) -> AsyncIterator[MysqlConnection]:
        """Lend a connection; `fresh`: one that was opened just now."""
        async with self._slots:
            connection = None if fresh else self._take()
            if connection is None:
                connection = await self._connect()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            if connection.get_transaction_status():
                connection.close()
            else:
                self._free.append(connection)

    async def close(self) -> None:
        """Say goodbye on every free connection."""
        while self._free:
            connection = self._free.pop()
            with anyio.move_on_after(_CLOSE_SECONDS, shield=True), suppress(OSError):
                await connection.leave()
            connection.close()

    def _take(self) -> MysqlConnection | None:
        while self._free:
            connection = self._free.pop()
            if connection.is_usable():
                return connection
            connection.close()
        return None

    async def _connect(self) -> MysqlConnection:
        address = self._address
        connection = MysqlConnection(
            host=address.host,
            port=address.port,
            user=address.user,
            # The driver encodes it as Latin-1; servers keep the hash of its UTF-8.
            password=(address.password or "").encode().decode("latin-1"),
            db=address.database,
            unix_socket=address.unix_socket or None,
            charset="utf8mb4",
            sql_mode=_SQL_MODE,
            init_command=_ISOLATION,
            conv=_CONVERTERS,
            connect_timeout=_CONNECT_SECONDS,
            autocommit=True,
            ssl=self._tls,
            program_name="xintu",
            cursorclass=_Cursor,
        )
        # The driver's own time-out ends with the TCP handshake.
        try:
            with anyio.fail_after(_CONNECT_SECONDS):
                # What aiomysql.connect() calls, which would make a connection of its own class.
                await connection._connect()  # noqa: SLF001
        except BaseException:
            connection.close()
            raise
        return connection


def _tls_context(address: MysqlAddress) -> ssl.SSLContext | None:
    """Return what the URL's ssl options ask for; None for plain text."""
    if address.tls is TlsMode.DISABLED:
        return None
    try:
        context = ssl.create_default_context(cafile=address.ca or None)
        if address.certificate:
            context.load_cert_chain(address.certificate, address.key or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"cannot use the TLS files of the cache {address.url}: {error}. "
            "Check ssl-ca, ssl-cert and ssl-key."
        ) from error
    context.check_hostname = address.tls is TlsMode.VERIFY_IDENTITY
    if address.tls is TlsMode.REQUIRED:
        context.verify_mode = ssl.CERT_NONE
    return context
