"""Renew claims on a server from a thread: PyMySQL's blocking connection, one of its own.

The event loop renews nothing: it may be late by more than a lease when the machine is busy.
"""

from __future__ import annotations

import pymysql
from pymysql import err

from xintu_cli.storage.dialect import MYSQL
from xintu_cli.storage.mysql_connection import (
    CONNECT_SECONDS,
    CONVERTERS,
    ISOLATION,
    SQL_MODE,
    tls_context,
)
from xintu_cli.storage.mysql_errors import is_contended, is_lost, mysql_errors
from xintu_cli.storage.script import Reply, Script
from xintu_cli.storage.urls import MysqlAddress
from xintu_cli.storage.verbs.claiming import renew

_QUERY_SECONDS = 15


class MysqlLeaseKeeper:
    """A `LeaseKeeper` over one blocking connection, made again when it is lost."""

    def __init__(self, address: MysqlAddress) -> None:
        self._address = address
        self._connection: pymysql.Connection | None = None

    def renew(self, run_id: str, seconds: float) -> None:
        """Extend this run's claims to `seconds` from now; blocks."""
        with mysql_errors(self._address.url, doing="renew claims in"):
            try:
                self._run(renew(MYSQL, run_id, seconds))
            except err.Error as error:
                self.close()
                if not is_lost(error) and not is_contended(error):
                    raise
                self._run(renew(MYSQL, run_id, seconds))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None and self._connection.open:
            self._connection.close()
        self._connection = None

    def _run(self, script: Script[None]) -> None:
        if self._connection is None:
            self._connection = self._connect()
        with self._connection.cursor() as cursor:
            try:
                statement = next(script)
                while True:
                    cursor.execute(statement.sql.replace("?", "%s"), tuple(statement.parameters))
                    statement = script.send(Reply(cursor.fetchall(), cursor.rowcount))
            except StopIteration:
                return

    def _connect(self) -> pymysql.Connection:
        address = self._address
        tls = tls_context(address)
        return pymysql.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password or "",
            database=address.database,
            unix_socket=address.unix_socket or None,
            charset="utf8mb4",
            sql_mode=SQL_MODE,
            init_command=ISOLATION,
            conv=dict(CONVERTERS),
            connect_timeout=int(CONNECT_SECONDS),
            read_timeout=_QUERY_SECONDS,
            write_timeout=_QUERY_SECONDS,
            autocommit=True,
            ssl=tls,
            ssl_disabled=tls is None,
            program_name="xintu",
        )
