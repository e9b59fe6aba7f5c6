"""Keep a cache small and sound: prune what has served its time, check what is left.

Nothing that was paid for and nobody's word is deleted, unless a task is named.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial

from xintu_cli.errors import DamagedError
from xintu_cli.records import Source
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.dialect import Dialect
from xintu_cli.storage.schema import TABLES
from xintu_cli.storage.script import BATCH, Script, Statement
from xintu_cli.storage.verbs.absences import DAYS_TO_RETURN
from xintu_cli.storage.verbs.clock import clock, later

_DAY_SECONDS = 86_400
_KEEP_SETTLEMENTS_DAYS = 90
"""However short the log: a machine that was away may still have some of them in its spool, and
without their ids they would count twice, and undo younger answers."""
_KEEP_CLAIMS_DAYS = DAYS_TO_RETURN
"""Claims that ran out stay as long as they may be left to their run, and a day at least: a run
may report them as possibly paid."""


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
        request_log=await delete.older("request_log", "id", "created_at", before(rules.log_days)),
        settlement=await delete.older(
            "settlement",
            "settlement_id",
            "settled_at",
            before(max(rules.log_days, _KEEP_SETTLEMENTS_DAYS)),
        ),
        claim=await delete.older("claim", "image_hash", "expires_at", before(_KEEP_CLAIMS_DAYS)),
        refusal=await delete.older("refusal", "image_hash", "retry_after", now),
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

    async def older(self, table: str, key: str, column: str, moment: str) -> int:
        """Delete the rows whose `column` is before a moment, the oldest first: its index has them.

        In the order of the key each page would sort all that is left to delete.
        """
        condition = f"{column} < ?"
        if self._dry_run:
            return await self._count(table, condition, moment)
        deleted, goes_on = 0, True
        while goes_on:
            some, goes_on = await self._cache.connector.write(
                partial(_delete_oldest, table=table, key=key, column=column, moment=moment),
                doing="prune",
            )
            deleted += some
        return deleted

    async def answers(self, condition: str, value: str | None) -> int:
        """Delete classifications in the order of their images; none where no value is given."""
        if value is None:
            return 0
        if self._dry_run:
            return await self._count("classification", condition, value)
        deleted, after = 0, ""
        while True:
            some, after = await self._cache.connector.write(
                partial(_delete_answers, condition=condition, value=value, after=after),
                doing="prune",
            )
            deleted += some
            if not after:
                return deleted

    async def _count(self, table: str, condition: str, value: str) -> int:
        count = partial(_count, table=table, condition=condition, value=value)
        return await self._cache.connector.read(count, doing="read from", is_long=True)


def _count(_dialect: Dialect, *, table: str, condition: str, value: str) -> Script[int]:
    reply = yield Statement(f"SELECT COUNT(*) FROM {table} WHERE {condition}", (value,))
    return int(reply.rows[0][0])


def _delete_oldest(
    dialect: Dialect, *, table: str, key: str, column: str, moment: str
) -> Script[tuple[int, bool]]:
    """Delete the next page of old rows; return how many, and whether there may be more.

    `key` is the first column of the table's key.
    """
    reply = yield Statement(
        f"SELECT {key} FROM {table} WHERE {column} < ? ORDER BY {column} LIMIT {BATCH}", (moment,)
    )
    if not reply.rows:
        return 0, False
    goes_on = len(reply.rows) == BATCH
    among, listed = dialect.one_of(key, sorted({row[0] for row in reply.rows}))
    reply = yield Statement(
        f"DELETE FROM {table} WHERE {column} < ? AND {among}", (moment, *listed)
    )
    return reply.touched, goes_on


def _delete_answers(
    dialect: Dialect, *, condition: str, value: str, after: str
) -> Script[tuple[int, str]]:
    """Delete the answers about the next images; return how many, and the last image ("": done)."""
    reply = yield Statement(
        "SELECT DISTINCT image_hash FROM classification"
        f" WHERE image_hash > ? AND {condition} ORDER BY image_hash LIMIT {BATCH}",
        (after, value),
    )
    images = [row[0] for row in reply.rows]
    if not images:
        return 0, ""
    among, listed = dialect.one_of("image_hash", images)
    reply = yield Statement(
        f"DELETE FROM classification WHERE {condition} AND {among}", (value, *listed)
    )
    return reply.touched, images[-1] if len(images) == BATCH else ""
