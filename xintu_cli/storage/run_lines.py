"""The runs that a cache remembers: the latest one by one, and those of each day together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xintu_cli.storage.schema import RUN_COLUMNS, RUN_COUNTS
from xintu_cli.storage.script import Row, Script, Statement
from xintu_cli.storage.verbs.clock import as_utc

_RECENT_RUNS = 20


@dataclass(frozen=True, slots=True)
class RunLine:
    """One run; `counts` are named as in `RunSummary`."""

    run_id: str
    host: str
    version: str
    policy: str
    started_at: str
    finished_at: str | None
    status: str
    exit_code: int | None
    cost: float | None
    currency: str
    seconds: float
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class DayLine:
    """One day's runs: photos found, and how they were answered."""

    day: str
    runs: int
    found: int
    cached: int
    llm: int
    local: int
    failed: int


def recent_runs(start: str) -> Script[tuple[RunLine, ...]]:
    """Read the latest runs since a moment, the latest first."""
    columns = (
        *("run_id", "host", "version", "policy", "started_at", "finished_at", "status"),
        *("exit_code", "cost", "currency", "seconds"),
    )
    reply = yield Statement(
        f"SELECT {', '.join((*columns, *RUN_COLUMNS))} FROM run WHERE started_at >= ?"
        f" ORDER BY started_at DESC LIMIT {_RECENT_RUNS}",
        (start,),
    )
    return tuple(filter(None, (_run_line(columns, row) for row in reply.rows)))


def _run_line(columns: Sequence[str], row: Row) -> RunLine | None:
    """Build a run's line; None where a value is none that xintu writes."""
    told = dict(zip(columns, row, strict=False))
    counts = dict(zip(RUN_COUNTS, row[len(columns) :], strict=True))
    texts = (told[name] for name in ("run_id", "host", "version", "policy", "status", "currency"))
    numbers = (told["seconds"], told["cost"] or 0.0, told["exit_code"] or 0, *counts.values())
    if not all(isinstance(text, str) for text in texts) or not all(map(is_number, numbers)):
        return None
    try:
        as_utc(told["started_at"])
        as_utc(told["finished_at"] or told["started_at"])
    except (TypeError, ValueError):
        return None
    return RunLine(**told, counts=counts)


def is_number(value: object) -> bool:
    """Tell whether a value is a number; SQLite stores any type in any column."""
    return isinstance(value, int | float) and math.isfinite(value)


def daily_runs(start: str) -> Script[tuple[DayLine, ...]]:
    """Add up the runs of each day since a moment."""
    reply = yield Statement(
        "SELECT DATE(started_at), COUNT(*), SUM(found), SUM(cached), SUM(llm), SUM(local),"
        " SUM(failed) FROM run WHERE started_at >= ? GROUP BY DATE(started_at) ORDER BY 1",
        (start,),
    )
    return tuple(DayLine(str(row[0]), *map(int, row[1:])) for row in reply.rows if row[0])
