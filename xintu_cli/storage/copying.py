"""Copy what was answered from one cache to another: results, labels and refusals.

Idempotent: of two rows with one key the younger stays. Resumable: each page is written with
a note of how far it went, in one transaction. The log, runs and daily totals stay where they
were earned; claims are of the moment.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from xintu_cli.storage import keyset
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.dialect import Dialect
from xintu_cli.storage.schema import CLASSIFICATION_KEY
from xintu_cli.storage.script import Row, Script, Statement


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
    source: SqlCache, target: SqlCache, *, progress: Callable[[int, int], None]
) -> int:
    """Copy every row; `progress(done, total)` after each page; return how many were read.

    A copy that was interrupted goes on where it stopped.
    """
    info = await source.info()
    total = sum(info.rows[table.name] for table in _TABLES)
    done = 0
    for table in _TABLES:
        note = f"copy:{source.cache_id}:{table.name}"
        after = await target.connector.read(partial(_read_note, note=note), doing="read from")
        while page := await source.connector.read(
            partial(_read_page, table=table, after=after or keyset.start(table.key)),
            doing="read from",
        ):
            await target.connector.write(
                partial(_write_page, table=table, page=page, note=note), doing="write to"
            )
            after = page[-1][: len(table.key)]
            done += len(page)
            progress(done, total)
        if after is not None:
            await target.connector.write(partial(_drop_note, note=note), doing="write to")
    return done


def _read_page(_dialect: Dialect, *, table: _Table, after: Sequence[str]) -> Script[Sequence[Row]]:
    columns = (*table.key, *table.columns, table.moment)
    return keyset.page(table.name, columns, table.key, after, only={})


def _write_page(dialect: Dialect, *, table: _Table, page: Sequence[Row], note: str) -> Script[None]:
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
    reached = json.dumps(page[-1][: len(table.key)])
    yield Statement(
        dialect.upsert("meta", ("name", "value"), ("name",), replace=("value",)), (note, reached)
    )


def _read_note(_dialect: Dialect, *, note: str) -> Script[tuple[str, ...] | None]:
    reply = yield Statement("SELECT value FROM meta WHERE name = ?", (note,))
    return tuple(json.loads(reply.rows[0][0])) if reply.rows else None


def _drop_note(_dialect: Dialect, *, note: str) -> Script[None]:
    yield Statement("DELETE FROM meta WHERE name = ?", (note,))
