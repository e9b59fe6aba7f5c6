"""What MySQL's error numbers mean to a run: one border between the driver and our tree."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from pymysql import err

from xintu_cli.errors import (
    CacheUnreachableError,
    ConfigurationError,
    CredentialsError,
    SchemaError,
    StorageError,
    XintuError,
)

LOST = frozenset((2006, 2013, 2055, 1927, 4031, 1053))
"""The connection is gone: server has gone away, lost during query, killed, idle, shutting down."""

CONTENDED = frozenset((1205, 1213, 3572))
"""The transaction lost against another: lock wait time-out, deadlock, NOWAIT."""

_AWAY = frozenset((1040, 1129, 1130, 1158, 1159, 1160, 1161, 1203, 1226, 2002, 2003, 2005, 2012))
_NO_TLS = 2026

_VERDICTS: tuple[tuple[frozenset[int], type[XintuError], str], ...] = (
    (
        frozenset((1045, 1698, 1251, 1524, 2059, 2061)),
        CredentialsError,
        "the server refuses user or password ({reason}). Check both, and XINTU_CACHE_PASSWORD.",
    ),
    (
        frozenset((1044, 1142, 1143, 1227, 1370)),
        CredentialsError,
        "the user lacks a right ({reason}). Grant SELECT, INSERT, UPDATE, DELETE on the database.",
    ),
    (
        frozenset((1049,)),
        ConfigurationError,
        "the server has no such database. Create it: CREATE DATABASE … CHARACTER SET utf8mb4.",
    ),
    (
        frozenset((_NO_TLS,)),
        ConfigurationError,
        "no TLS connection ({reason}). Check ssl-mode, ssl-ca and the server's certificate.",
    ),
    (
        frozenset((1665,)),
        ConfigurationError,
        "the server logs statements (binlog_format). Have it log rows: ROW or MIXED.",
    ),
    (
        frozenset((1146, 1054)),
        SchemaError,
        "its tables are not xintu's ({reason}). Restore them, or name a database of its own.",
    ),
    (
        frozenset((1290, 1792, 1836)),
        CacheUnreachableError,
        "the server is read-only ({reason}). Name the primary, or try later.",
    ),
    (
        frozenset((1021, 1114, 3675)),
        StorageError,
        "the server's disk is full ({reason}). Free some space there.",
    ),
    (
        LOST | CONTENDED | _AWAY,
        CacheUnreachableError,
        "{reason}. Check the address and the server, or use --cache sqlite:///…",
    ),
)
"""Error numbers, what they mean to a run, and what to tell a person."""


def number(error: BaseException) -> int:
    """Return the server's or client's error number; 0 where there is none."""
    code = error.args[0] if error.args else 0
    return code if isinstance(code, int) else 0


def is_lost(error: BaseException) -> bool:
    """Tell whether the connection was lost: on a fresh one the transaction may succeed."""
    return isinstance(error, err.InterfaceError) or number(error) in LOST


def is_contended(error: BaseException) -> bool:
    """Tell whether another transaction won: this one may succeed if it is repeated."""
    return number(error) in CONTENDED


@contextmanager
def mysql_errors(url: str, *, doing: str) -> Iterator[None]:
    """Translate what PyMySQL's tree and a time-out say into ours."""
    try:
        yield
    except (err.Error, OSError) as error:
        # TimeoutError is an OSError.
        raise _translated(url, doing, error) from error


def _translated(url: str, doing: str, error: err.Error | OSError) -> XintuError:
    failed = f"cannot {doing} the cache {url}"
    code, reason = number(error), str(error.args[-1] if error.args else error)
    if isinstance(error, err.Error) and isinstance(error.__cause__, OSError):
        # The driver says "can't connect"; what stood in the way is the cause: a refused
        # connection, an unknown host, a certificate.
        reason = str(error.__cause__)
        code = _NO_TLS if isinstance(error.__cause__, ssl.SSLError) else code
    if isinstance(error, OSError | err.InterfaceError):
        code = min(LOST)
    for codes, kind, words in _VERDICTS:
        if code in codes:
            return kind(f"{failed}: {words.format(reason=reason or 'no answer in time')}")
    return StorageError(f"{failed}: {reason}. Look at the server's log.")
