"""Keep a cache small and sound: prune what has served its time, check what is left.

Nothing that was paid for and nobody's word is deleted, unless a task is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from xintu_cli.errors import DamagedError
from xintu_cli.records import Source
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.dialect import Dialect
from xintu_cli.storage.schema import TABLES
from xintu_cli.storage.script import BATCH, Script, Statement
from xintu_cli.storage.verbs.clock import clock, later

_DAY_SECONDS = 86_400
_KEEP_SETTLEMENTS_DAYS = 90
"""However short the log: a machine that was away may still have some of them in its spool, and
without their ids they would count twice, and undo younger answers."""
_KEEP_CLAIMS_DAYS = 1
"""Claims that ran out stay a day: until then a run may report them as possibly paid."""


@dataclass(frozen=True, slots=True)
class PruneRules:
    """What to prune.

    `log_days`: log rows older than that; the daily totals keep what they add up to.
    `local_model`: local answers of every other model (None: keep them).
    `task`: every classification of this task, paid ones too (None: keep them).
    """

    log_days: int = 90
    local_model: str | None = None
    task: str | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows were deleted, or would be."""

    request_log: int = 0
    settlement: int = 0
    claim: int = 0
    refusal: int = 0
    local_answers: int = 0
    task_answers: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(getattr(self, each.name) for each in fields(self))


@dataclass(frozen=True, slots=True)
class TaskLine:
    """One task's classifications: how many, and what they had cost (of one currency)."""

    task: str
    photos: int
    cost: float
    currency: str


async def read_tasks(cache: SqlCache) -> list[TaskLine]:
    """Return the tasks that the cache has answers to, the fullest first."""
    return await cache.connector.read(_tasks, doing="read from", is_long=True)


def _tasks(_dialect: Dialect) -> Script[list[TaskLine]]:
    reply = yield Statement(
        "SELECT task, COUNT(*), COALESCE(SUM(cost), 0), MAX(currency) FROM classification"
        " GROUP BY task ORDER BY COUNT(*) DESC, task"
    )
    return [TaskLine(str(t), int(n), float(cost), str(c)) for t, n, cost, c in reply.rows]


async def prune(cache: SqlCache, rules: PruneRules, *, dry_run: bool = False) -> Pruned:
    """Delete what the rules say, a thousand rows a transaction; `dry_run` only counts.

    A file whose larger part is free space then gives that back.
    """
    now = await cache.connector.read(clock, doing="read from")

    def before(days: int) -> str:
        return later(now, seconds=-days * _DAY_SECONDS)

    delete = _Sweep(cache, dry_run=dry_run)
    pruned = Pruned(
        request_log=await delete.rows(
            "request_log", "id", "created_at < ?", (before(rules.log_days),), first=-1
        ),
        settlement=await delete.rows(
            "settlement",
            "settlement_id",
            "settled_at < ?",
            (before(max(rules.log_days, _KEEP_SETTLEMENTS_DAYS)),),
        ),
        claim=await delete.rows(
            "claim", "image_hash", "expires_at < ?", (before(_KEEP_CLAIMS_DAYS),)
        ),
        refusal=await delete.rows("refusal", "image_hash", "retry_after < ?", (now,)),
        local_answers=await delete.answers(
            f"source = '{Source.LOCAL}' AND model <> ?", rules.local_model
        ),
        task_answers=await delete.answers("task = ?", rules.task),
    )
    if pruned.total and not dry_run:
        await cache.connector.shrink()
    return pruned


async def check(cache: SqlCache) -> list[str]:
    """Return what is odd about the database's rows; empty where all is well.

    Raises `DamagedError` where a file is damaged: what a run reads there, or misses, is chance.
    """
    damage, odd = await cache.connector.read(_check, doing="check", is_long=True)
    if damage:
        told = "; ".join(line for text in damage for line in text.splitlines()[:3])
        raise DamagedError(
            f"the cache {cache.url} is damaged: {told[:300]}. Restore it from a backup."
        )
    return odd


def _check(dialect: Dialect) -> Script[tuple[list[str], list[str]]]:
    damage = yield from (_check_sqlite() if dialect.name == "sqlite" else _check_mysql())
    odd = []
    reply = yield Statement(
        "SELECT COUNT(*) FROM classification WHERE confidence < 0 OR confidence > 1"
        f" OR source NOT IN ('{Source.LLM}', '{Source.LOCAL}') OR category = ''"
    )
    if reply.rows[0][0]:
        odd.append(
            f"classification: {reply.rows[0][0]} rows are none that xintu writes; "
            "they count as misses"
        )
    return damage, odd


def _check_sqlite() -> Script[list[str]]:
    reply = yield Statement("PRAGMA quick_check")
    return [str(row[0]) for row in reply.rows if row[0] != "ok"]


def _check_mysql() -> Script[list[str]]:
    reply = yield Statement(f"CHECK TABLE {', '.join(TABLES)}")
    return [
        f"{table}: {text}"
        for table, _operation, kind, text in reply.rows
        if kind != "status" or text not in ("OK", "Table is already up to date")
    ]


class _Sweep:
    """Deletes rows of one cache page by page, so that no other program waits for long."""

    def __init__(self, cache: SqlCache, *, dry_run: bool) -> None:
        self._cache = cache
        self._dry_run = dry_run

    async def answers(self, condition: str, value: str | None) -> int:
        """Delete classifications; none where the rule is not given."""
        if value is None:
            return 0
        return await self.rows("classification", "image_hash", condition, (value,))

    async def rows(
        self, table: str, key: str, condition: str, values: Sequence[str] = (), *, first: Any = ""
    ) -> int:
        """Delete the rows of a table that meet a condition; return how many.

        `key` is the first column of the table's key, `first` what all its values follow.
        """
        if self._dry_run:
            count = partial(_count, table=table, condition=condition, values=values)
            return await self._cache.connector.read(count, doing="read from", is_long=True)
        deleted, after = 0, first
        while after is not None:
            some, after = await self._cache.connector.write(
                partial(
                    _delete_page,
                    table=table,
                    key=key,
                    condition=condition,
                    values=values,
                    after=after,
                ),
                doing="prune",
            )
            deleted += some
        return deleted


def _count(_dialect: Dialect, *, table: str, condition: str, values: Sequence[str]) -> Script[int]:
    reply = yield Statement(f"SELECT COUNT(*) FROM {table} WHERE {condition}", values)
    return int(reply.rows[0][0])


def _delete_page(
    dialect: Dialect, *, table: str, key: str, condition: str, values: Sequence[str], after: Any
) -> Script[tuple[int, Any]]:
    """Delete the next page of rows; return how many, and the key to go on from (None: done)."""
    reply = yield Statement(
        f"SELECT DISTINCT {key} FROM {table} WHERE {key} > ? AND {condition}"
        f" ORDER BY {key} LIMIT {BATCH}",
        (after, *values),
    )
    keys = [row[0] for row in reply.rows]
    if not keys:
        return 0, None
    among, listed = dialect.one_of(key, keys)
    reply = yield Statement(
        f"DELETE FROM {table} WHERE {condition} AND {among}", (*values, *listed)
    )
    return reply.touched, keys[-1] if len(keys) == BATCH else None
