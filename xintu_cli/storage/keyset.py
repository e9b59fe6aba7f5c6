"""Read a table page by page in the order of its key, without holding anything in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xintu_cli.storage.script import BATCH, Row, Script, Statement


def page(
    table: str,
    columns: Sequence[str],
    key: Sequence[str],
    after: Sequence[str],
    *,
    only: Mapping[str, str],
) -> Script[Sequence[Row]]:
    """Read the next `BATCH` rows whose key follows `after` and that meet `only`'s conditions.

    Each of those has one `?`, and its value beside it.

    Spelled out, because MySQL does not use the index for `(a, b) > (?, ?)`; the first
    comparison repeats what follows from the rest, for the same reason.
    """
    condition, values = _follows(key, after)
    further = "".join(f" AND {each}" for each in only)
    reply = yield Statement(
        f"SELECT {', '.join(columns)} FROM {table} WHERE {key[0]} >= ? AND ({condition}){further}"
        f" ORDER BY {', '.join(key)} LIMIT {BATCH}",
        (after[0], *values, *only.values()),
    )
    return reply.rows


def start(key: Sequence[str]) -> tuple[str, ...]:
    """Return what every key follows."""
    return ("",) * len(key)


def _follows(key: Sequence[str], after: Sequence[str]) -> tuple[str, list[str]]:
    """Return the condition that the key is greater, column by column, and its values."""
    if len(key) == 1:
        return f"{key[0]} > ?", [after[0]]
    rest, values = _follows(key[1:], after[1:])
    return f"{key[0]} > ? OR ({key[0]} = ? AND ({rest}))", [after[0], after[0], *values]
