"""Tell rows that every database takes from those that somebody else put into an SQLite file.

SQLite stores a value of any type and length in any column; a server in strict mode refuses the
whole page for one of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from xintu_cli.storage.verbs.clock import as_utc
from xintu_cli.storage.verbs.texts import (
    CURRENCY_LENGTH,
    DESCRIPTION_LENGTH,
    MODEL_LENGTH,
    NAME_LENGTH,
    REASON_LENGTH,
)

_CODES = {"image_hash": 32, "task": 16, "source": 16, "run_id": 32}
"""ASCII, and at most so long."""
_TEXTS = {
    **dict.fromkeys(("category", "second_category", "provider", "taxonomy", "who"), NAME_LENGTH),
    **dict.fromkeys(("prompt_version", "preparation_version"), 32),
    "description": DESCRIPTION_LENGTH,
    "model": MODEL_LENGTH,
    "reason": REASON_LENGTH,
    "currency": CURRENCY_LENGTH,
}
_NUMBERS = {
    "confidence": (0.0, 1.0),
    "tokens_in": (0, 2**31 - 1),
    "tokens_out": (0, 2**31 - 1),
    "cost": (-1e6, 1e6),
}
_MOMENTS = frozenset(("created_at", "labelled_at", "retry_after"))
_NULLABLE = frozenset(("second_category", "tokens_in", "tokens_out", "cost"))


def is_sound(columns: Sequence[str], row: Sequence[object]) -> bool:
    """Tell whether each value is one that xintu may have written into its column."""
    return all(map(_fits, columns, row))


def _fits(column: str, value: object) -> bool:
    if value is None:
        return column in _NULLABLE
    if column in _NUMBERS:
        least, most = _NUMBERS[column]
        return isinstance(value, int | float) and math.isfinite(value) and least <= value <= most
    if not isinstance(value, str):
        return False
    if column in _MOMENTS:
        return _is_moment(value)
    if column in _CODES:
        return value.isascii() and len(value) <= _CODES[column]
    return len(value) <= _TEXTS[column]


def _is_moment(text: str) -> bool:
    try:
        as_utc(text)
    except ValueError:
        return False
    return True
