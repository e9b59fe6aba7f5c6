"""Copy what was answered from one cache to another: results, labels and refusals.

Idempotent: of two rows with one key the younger stays. Resumable: each page is written with
a note of how far it went, in one transaction. The log, runs and daily totals stay where they
were earned; claims are of the moment.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from xintu_cli.storage import keyset
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.dialect import Dialect
from xintu_cli.storage.schema import CLASSIFICATION_KEY
from xintu_cli.storage.script import Row, Script, Statement
from xintu_cli.storage.sound_rows import is_sound
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

    @property
    def all_columns(self) -> tuple[str, ...]:
        """The columns of a row as it is copied."""
        return (*self.key, *self.columns, self.moment)


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
    left_out: Callable[[int], None] = lambda _rows: None,
) -> int:
    """Copy every row; `progress(done, total)` after each page; return how many were read.

    `left_out` hears how many of a page are none that xintu writes: those are not copied. A
    copy that was interrupted goes on where it stopped. Without descriptions they stay where
    they are: see `copy_descriptions`.
    """
    info = await source.info()
    total = sum(info.rows[table.name] for table in _TABLES)
    done = 0

    def tell(rows: int) -> None:
        nonlocal done
        done += rows
        progress(done, max(done, total))

    transfer = _Transfer(source, target, with_descriptions, tell, left_out)
    for table in _TABLES:
        await transfer.copy(table)
    return done


async def copy_descriptions(source: SqlCache, home: SqlCache) -> None:
    """Copy the answers alone into the cache on this machine that keeps their descriptions."""

    def ignore(_rows: int) -> None:
        """Leave it to the other half of the copy to tell."""

    await _Transfer(source, home, with_descriptions=True, tell=ignore, left_out=ignore).copy(
        _TABLES[0]
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """How far a copy of a table has come, and when it was begun, by the source's clock."""

    begun: str
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Transfer:
    """From where to where, and who hears of it."""

    source: SqlCache
    target: SqlCache
    with_descriptions: bool
    tell: Callable[[int], None]
    left_out: Callable[[int], None]

    async def copy(self, table: _Table) -> None:
        """Copy a table, from the place where an earlier copy stopped."""
        note = f"copy:{self.source.cache_id}:{table.name}"
        start = keyset.start(table.key)
        left = await self.target.connector.read(
            partial(_read_note, table=table, note=note), doing="read from"
        )
        begun = left.begun if left else await self._moment()
        async for rows, left_out in self._pages(table, note, left or _Place(begun, start), {}):
            self.tell(rows)
            if left_out:
                self.left_out(left_out)
        if left:
            # What was written meanwhile on the near side of the place where it had stopped; most
            # of it is there already, and is not told again.
            since = {f"{table.moment} >= ?": begun, f"{table.key[0]} <= ?": left.after[0]}
            async for _ in self._pages(table, note, _Place(begun, start), since):
                pass
        await self.target.connector.write(partial(_drop_note, note=note), doing="write to")

    async def _moment(self) -> str:
        now = await self.source.connector.read(clock, doing="read from")
        return later(now, seconds=-_LATE_SECONDS)

    async def _pages(
        self, table: _Table, note: str, place: _Place, only: Mapping[str, str]
    ) -> AsyncIterator[tuple[int, int]]:
        """Copy page by page; yield how many rows of each, and how many were left out."""
        while page := await self.source.connector.read(
            partial(_read_page, table=table, after=place.after, only=only),
            doing="read from",
            is_long=True,
        ):
            place = replace(place, after=page[-1][: len(table.key)])
            rows = page if self.with_descriptions else _without_descriptions(table, page)
            sound = [row for row in rows if is_sound(table.all_columns, row)]
            if sound:
                reached = replace(place, after=sound[-1][: len(table.key)])
                await self.target.connector.write(
                    partial(_write_page, table=table, page=sound, note=note, place=reached),
                    doing="write to",
                )
            yield len(sound), len(page) - len(sound)


def _without_descriptions(table: _Table, page: Sequence[Row]) -> Sequence[Row]:
    if "description" not in table.columns:
        return page
    place = table.all_columns.index("description")
    return [(*row[:place], "", *row[place + 1 :]) for row in page]


def _read_page(
    _dialect: Dialect, *, table: _Table, after: Sequence[str], only: Mapping[str, str]
) -> Script[Sequence[Row]]:
    return keyset.page(table.name, table.all_columns, table.key, after, only=only)


def _write_page(
    dialect: Dialect, *, table: _Table, page: Sequence[Row], note: str, place: _Place
) -> Script[None]:
    yield Statement(
        dialect.upsert(
            table.name,
            table.all_columns,
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
