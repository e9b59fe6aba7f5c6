"""Copy what was answered from one cache to another: results, labels and refusals.

Idempotent: of two rows with one key the younger stays. Resumable: each page is written with
a note of how far it went, in one transaction. The log, runs and daily totals stay where they
were earned; claims are of the moment.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from xintu_cli.storage import keyset
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.dialect import Dialect
from xintu_cli.storage.schema import CLASSIFICATION_KEY
from xintu_cli.storage.script import Row, Script, Statement
from xintu_cli.storage.verbs.clock import clock, later

_LATE_SECONDS = 60.0
"""How long before it is seen a row may have got its time: a transaction's is that of its start."""


@dataclass(frozen=True, slots=True)
class _Table:
    """What is copied of one table; `moment` tells the younger of two rows."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    moment: str


_TABLES = (
    _Table(
        "classification",
        CLASSIFICATION_KEY,
        (
            *("category", "confidence", "description", "second_category", "provider", "model"),
            *("prompt_version", "preparation_version", "reason", "tokens_in", "tokens_out"),
            *("cost", "currency", "run_id"),
        ),
        "created_at",
    ),
    _Table("manual_label", ("image_hash", "taxonomy"), ("category", "who"), "labelled_at"),
    _Table("refusal", ("image_hash", "task", "provider"), ("reason",), "retry_after"),
)


async def copy_cache(
    source: SqlCache,
    target: SqlCache,
    *,
    progress: Callable[[int, int], None],
    with_descriptions: bool = True,
) -> int:
    """Copy every row; `progress(done, total)` after each page; return how many were read.

    A copy that was interrupted goes on where it stopped. Without descriptions they stay where
    they are: see `copy_descriptions`.
    """
    info = await source.info()
    total = sum(info.rows[table.name] for table in _TABLES)
    done = 0

    def tell(rows: int) -> None:
        nonlocal done
        done += rows
        progress(done, max(done, total))

    for table in _TABLES:
        await _copy_table(table, source, target, tell, with_descriptions=with_descriptions)
    return done


async def copy_descriptions(source: SqlCache, home: SqlCache) -> None:
    """Copy the answers alone into the cache on this machine that keeps their descriptions."""
    await _copy_table(_TABLES[0], source, home, lambda _rows: None, with_descriptions=True)


@dataclass(frozen=True, slots=True)
class _Place:
    """How far a copy of a table has come, and when it was begun, by the source's clock."""

    begun: str
    after: tuple[str, ...]


async def _copy_table(
    table: _Table,
    source: SqlCache,
    target: SqlCache,
    tell: Callable[[int], None],
    *,
    with_descriptions: bool,
) -> None:
    note = f"copy:{source.cache_id}:{table.name}"

    async def pages(place: _Place, only: Mapping[str, str]) -> None:
        while page := await source.connector.read(
            partial(_read_page, table=table, after=place.after, only=only),
            doing="read from",
            is_long=True,
        ):
            place = replace(place, after=page[-1][: len(table.key)])
            rows = page if with_descriptions else _without_descriptions(table, page)
            await target.connector.write(
                partial(_write_page, table=table, page=rows, note=note, place=place),
                doing="write to",
            )
            tell(len(page))

    start = keyset.start(table.key)
    left = await target.connector.read(
        partial(_read_note, table=table, note=note), doing="read from"
    )
    begun = (
        left.begun
        if left
        else later(await source.connector.read(clock, doing="read from"), seconds=-_LATE_SECONDS)
    )
    await pages(left or _Place(begun, start), {})
    if left:
        # What was written meanwhile on the near side of the place where it had stopped.
        await pages(_Place(begun, start), {f"{table.moment} >= ?": begun})
    await target.connector.write(partial(_drop_note, note=note), doing="write to")


def _without_descriptions(table: _Table, page: Sequence[Row]) -> Sequence[Row]:
    columns = (*table.key, *table.columns)
    if "description" not in columns:
        return page
    place = columns.index("description")
    return [(*row[:place], "", *row[place + 1 :]) for row in page]


def _read_page(
    _dialect: Dialect, *, table: _Table, after: Sequence[str], only: Mapping[str, str]
) -> Script[Sequence[Row]]:
    columns = (*table.key, *table.columns, table.moment)
    return keyset.page(table.name, columns, table.key, after, only=only)


def _write_page(
    dialect: Dialect, *, table: _Table, page: Sequence[Row], note: str, place: _Place
) -> Script[None]:
    yield Statement(
        dialect.upsert(
            table.name,
            (*table.key, *table.columns, table.moment),
            table.key,
            # The moment last: until it is assigned, the condition holds what it held.
            replace=(*table.columns, table.moment),
            only_if=f"old.{table.moment} < new.{table.moment}",
        ),
        page,
        many=True,
    )
    # Not escaped: a key of any letters fits into `meta`.
    reached = json.dumps((place.begun, *place.after), ensure_ascii=False)
    yield Statement(
        dialect.upsert("meta", ("name", "value"), ("name",), replace=("value",)), (note, reached)
    )


def _read_note(_dialect: Dialect, *, table: _Table, note: str) -> Script[_Place | None]:
    """Read where an earlier copy stopped; None where none did, or a xintu before this one."""
    reply = yield Statement("SELECT value FROM meta WHERE name = ?", (note,))
    begun, *after = json.loads(reply.rows[0][0]) if reply.rows else [""]
    return _Place(begun, tuple(after)) if len(after) == len(table.key) else None


def _drop_note(_dialect: Dialect, *, note: str) -> Script[None]:
    yield Statement("DELETE FROM meta WHERE name = ?", (note,))
