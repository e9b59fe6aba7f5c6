"""What the runs of a period came to: photos, answers, calls, money.

A period begins at a moment of the database's clock ("" for all time). Runs that were killed, or
are at work, have written no counts; what they called for and spent is in the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from xintu_cli.records import Source
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.dialect import Dialect
from xintu_cli.storage.schema import RUN_COLUMNS, RUN_COUNTS
from xintu_cli.storage.script import Script, Statement
from xintu_cli.storage.verbs.clock import clock, later

DAY_SECONDS = 86_400

ALL_TIME = "1000-01-01 00:00:00.000"
"""MySQL compares a DATETIME with no empty text: all time begins before photography."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a period's runs; `counts` are named as in `RunSummary`.

    `spent` is by currency; `unpriced` runs made calls whose cost nobody knows.
    """

    since: str
    runs: int
    seconds: float
    counts: Mapping[str, int]
    spent: Mapping[str, float]
    unpriced: int

    @property
    def answered(self) -> int:
        """Photos that have an answer, wherever it came from."""
        return sum(self.counts[source] for source in ("cached", "llm", "local"))

    @property
    def hit_rate(self) -> float | None:
        """The share of answered photos that the cache answered; None without any."""
        return self.counts["cached"] / self.answered if self.answered else None

    @property
    def photos_per_second(self) -> float | None:
        """Photos brought to an end per second of the runs; None without any run."""
        done = self.counts["found"] - self.counts["pending"]
        return done / self.seconds if self.seconds > 0 else None


@dataclass(frozen=True, slots=True)
class Periods:
    """Today (since midnight where the asker is), the last days, all time."""

    today: Totals
    last_days: Totals
    all_time: Totals


async def read_periods(cache: SqlCache, *, days: int, utc_offset_seconds: float) -> Periods:
    """Add up the runs of today, of the last `days` days, and of all time."""
    return await cache.connector.read(
        partial(_periods, days=days, utc_offset_seconds=utc_offset_seconds), doing="read from"
    )


def since_days(now: str, days: int | None) -> str:
    """Return the moment `days` days before `now`; "" (all time) for None."""
    return "" if days is None else later(now, seconds=-days * DAY_SECONDS)


def since_midnight(now: str, utc_offset_seconds: float) -> str:
    """Return the last midnight, in UTC, of somebody whose clock is so far ahead of it."""
    here = later(now, seconds=utc_offset_seconds)
    return later(f"{here[:10]} 00:00:00.000", seconds=-utc_offset_seconds)


def first_moment(since: str) -> str:
    """Return a moment that every database can compare with."""
    return since or ALL_TIME


def run_totals(since: str) -> Script[Totals]:
    """Add up the runs that started since a moment."""
    sums = ", ".join(f"COALESCE(SUM({count}), 0)" for count in RUN_COLUMNS)
    reply = yield Statement(
        f"SELECT COUNT(*), COALESCE(SUM(seconds), 0),"
        f" COALESCE(SUM(calls > 0 AND cost IS NULL), 0), {sums}"
        " FROM run WHERE started_at >= ?",
        (first_moment(since),),
    )
    runs, seconds, unpriced, *counted = reply.rows[0]
    counts = Counter(dict(zip(RUN_COUNTS, map(int, counted), strict=True)))
    reply = yield Statement(
        "SELECT currency, SUM(cost) FROM run WHERE started_at >= ? AND cost > 0"
        " GROUP BY currency ORDER BY currency",
        (first_moment(since),),
    )
    spent = {str(currency): float(cost) for currency, cost in reply.rows}
    unfinished = yield from _unfinished(since)
    counts.update(unfinished.counts)
    for currency, cost in unfinished.spent.items():
        spent[currency] = spent.get(currency, 0.0) + cost
    return Totals(
        since=since,
        runs=int(runs),
        seconds=float(seconds),
        counts=dict(counts),
        spent=spent,
        unpriced=int(unpriced) + unfinished.unpriced,
    )


class _Unfinished(NamedTuple):
    """What the log knows of runs that have not told how they ended."""

    counts: Mapping[str, int]
    spent: Mapping[str, float]
    unpriced: int


def _unfinished(since: str) -> Script[_Unfinished]:
    """Add up the calls of runs without an end."""
    of_them = (
        f"FROM request_log WHERE source = '{Source.LLM}' AND run_id IN"
        " (SELECT run_id FROM run WHERE started_at >= ? AND finished_at IS NULL)"
    )
    values = (first_moment(since),)
    reply = yield Statement(
        f"SELECT COUNT(*), COALESCE(SUM(tokens_in), 0), COALESCE(SUM(tokens_out), 0) {of_them}",
        values,
    )
    counts = dict(zip(("calls", "tokens_in", "tokens_out"), map(int, reply.rows[0]), strict=True))
    reply = yield Statement(
        f"SELECT currency, SUM(cost) {of_them} AND cost > 0 GROUP BY currency", values
    )
    spent = {str(currency): float(cost) for currency, cost in reply.rows}
    reply = yield Statement(f"SELECT COUNT(DISTINCT run_id) {of_them} AND cost IS NULL", values)
    return _Unfinished(counts, spent, int(reply.rows[0][0]))


def _periods(dialect: Dialect, *, days: int, utc_offset_seconds: float) -> Script[Periods]:
    now = yield from clock(dialect)
    return Periods(
        today=(yield from run_totals(since_midnight(now, utc_offset_seconds))),
        last_days=(yield from run_totals(since_days(now, days))),
        all_time=(yield from run_totals("")),
    )
