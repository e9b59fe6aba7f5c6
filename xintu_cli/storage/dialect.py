"""The few places where SQLite's and MySQL's SQL must differ.

MySQL's side keeps to what MySQL 8 and MariaDB 10.6 share: no RETURNING, no row alias after
VALUES; and bulk statements are plain `INSERT … VALUES (?, …) [ON DUPLICATE KEY UPDATE …]`,
the only form that aiomysql sends as one statement.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol


class Dialect(Protocol):
    """SQL fragments by database."""

    @property
    def name(self) -> str:
        """`sqlite` or `mysql`."""

    @property
    def clock(self) -> str:
        """A query for the database's UTC time, `YYYY-MM-DD HH:MM:SS.mmm`."""

    @property
    def uptime(self) -> str:
        """A query for (name, seconds since the server was started); "" where there is none."""

    @property
    def size(self) -> str:
        """A query for the database's size in bytes."""

    def one_of(self, column: str, values: Sequence[Any]) -> tuple[str, Sequence[Any]]:
        """Return the condition that `column` is one of `values`, and its parameters."""

    def packed(self, columns: Sequence[str]) -> str:
        """Return an aggregate of all rows: a JSON array of arrays, NULL or "[]" without any."""

    def insert_new(self, table: str, columns: Sequence[str]) -> str:
        """Return an insert that leaves a row alone whose key is there already."""

    def upsert(
        self,
        table: str,
        columns: Sequence[str],
        key: Sequence[str],
        *,
        replace: Sequence[str] = (),
        add: Sequence[str] = (),
        only_if: str = "",
    ) -> str:
        """Return an insert that, where the key is there, replaces and adds to columns.

        `only_if` is a condition on the stored row (`old.`) and the offered one (`new.`).
        """


class SqliteDialect:
    """SQLite 3.24 and later."""

    name = "sqlite"
    clock = "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')"
    uptime = ""
    size = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"

    def one_of(self, column: str, values: Sequence[Any]) -> tuple[str, Sequence[Any]]:
        """Bind one JSON array: the text stays the same, so its compiled form is reused."""
        return f"{column} IN (SELECT value FROM json_each(?))", (json.dumps(list(values)),)

    def packed(self, columns: Sequence[str]) -> str:
        """Return json_group_array; a row that was damaged into holding a BLOB is left out."""
        types = ", ".join(f"typeof({column})" for column in columns)
        return (
            f"json_group_array(json_array({', '.join(columns)}))"
            f" FILTER (WHERE 'blob' NOT IN ({types}))"
        )

    def insert_new(self, table: str, columns: Sequence[str]) -> str:
        """Return INSERT … ON CONFLICT DO NOTHING."""
        return f"{_insert(table, columns)} ON CONFLICT DO NOTHING"

    def upsert(
        self,
        table: str,
        columns: Sequence[str],
        key: Sequence[str],
        *,
        replace: Sequence[str] = (),
        add: Sequence[str] = (),
        only_if: str = "",
    ) -> str:
        """Return INSERT … ON CONFLICT (key) DO UPDATE."""
        changes = [f"{column} = excluded.{column}" for column in replace]
        changes += [f"{column} = {table}.{column} + excluded.{column}" for column in add]
        condition = only_if.replace("old.", f"{table}.").replace("new.", "excluded.")
        return (
            f"{_insert(table, columns)} ON CONFLICT ({', '.join(key)}) "
            f"DO UPDATE SET {', '.join(changes)}" + (f" WHERE {condition}" if condition else "")
        )


class MysqlDialect:
    """MySQL 8 and MariaDB 10.6 and later."""

    name = "mysql"
    clock = "SELECT CAST(UTC_TIMESTAMP(3) AS CHAR)"
    uptime = "SHOW GLOBAL STATUS LIKE 'Uptime'"
    size = (
        "SELECT SUM(data_length + index_length) FROM information_schema.tables"
        " WHERE table_schema = DATABASE()"
    )

    def one_of(self, column: str, values: Sequence[Any]) -> tuple[str, Sequence[Any]]:
        """Return an IN list with one placeholder a value."""
        return f"{column} IN ({', '.join('?' * len(values))})", values

    def packed(self, columns: Sequence[str]) -> str:
        """Return JSON_ARRAYAGG, which MySQL has since 5.7.22 and MariaDB since 10.5."""
        return f"JSON_ARRAYAGG(JSON_ARRAY({', '.join(columns)}))"

    def insert_new(self, table: str, columns: Sequence[str]) -> str:
        """Return an upsert that changes nothing: INSERT IGNORE would forgive other errors too."""
        return f"{_insert(table, columns)} ON DUPLICATE KEY UPDATE {columns[0]} = {columns[0]}"

    def upsert(
        self,
        table: str,
        columns: Sequence[str],
        key: Sequence[str],
        *,
        replace: Sequence[str] = (),
        add: Sequence[str] = (),
        only_if: str = "",
    ) -> str:
        """Return INSERT … ON DUPLICATE KEY UPDATE; the condition is repeated per column.

        MySQL assigns from left to right, and later conditions see earlier assignments:
        `only_if` must still hold once each of `replace` has been assigned in turn.
        """
        condition = _qualified(only_if, table)
        changes = [(column, f"VALUES({column})") for column in replace]
        changes += [(column, f"{column} + VALUES({column})") for column in add]
        if condition:
            changes = [(c, f"IF({condition}, {value}, {c})") for c, value in changes]
        assignments = ", ".join(f"{column} = {value}" for column, value in changes)
        return f"{_insert(table, columns)} ON DUPLICATE KEY UPDATE {assignments}"


def _insert(table: str, columns: Sequence[str]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"


def _qualified(condition: str, table: str) -> str:
    """`new.x` is VALUES(x) to MySQL, `old.x` the table's own column."""
    words = condition.split()
    return " ".join(
        f"VALUES({word.removeprefix('new.')})"
        if word.startswith("new.")
        else word.replace("old.", f"{table}.")
        for word in words
    )


SQLITE = SqliteDialect()
MYSQL = MysqlDialect()
