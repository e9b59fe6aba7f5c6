"""The database's own clock and what it says of itself; no machine's clock decides anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from xintu_cli.storage.dialect import Dialect
from xintu_cli.storage.script import Script, Statement


def clock(dialect: Dialect) -> Script[str]:
    """Fetch the database's UTC time, as text that sorts."""
    reply = yield Statement(dialect.clock)
    return str(reply.rows[0][0])


def server_start(dialect: Dialect) -> Script[str]:
    """Tell when the database's server was started, by its clock; "" where there is no server.

    It counts whole seconds: it was started in the second before the moment returned.
    """
    if not dialect.uptime:
        return ""
    reply = yield Statement(dialect.uptime)
    if not reply.rows:
        return ""
    # After the uptime: should a second end in between, the moment is too late, never too early.
    now = yield from clock(dialect)
    return later(now[: len("2026-01-01 00:00:00")], seconds=1 - int(reply.rows[0][1]))


def read_meta(_dialect: Dialect) -> Script[dict[str, str]]:
    """Read what the database says of itself: `schema`, `oldest_reader`, `cache_id`."""
    reply = yield Statement("SELECT name, value FROM meta")
    return dict(reply.rows)


def later(moment: str, *, seconds: float) -> str:
    """Return the database time `seconds` after `moment`."""
    end = datetime.fromisoformat(moment) + timedelta(seconds=seconds)
    return end.isoformat(" ", "milliseconds")


def as_utc(moment: str) -> datetime:
    """Read a database time."""
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)
