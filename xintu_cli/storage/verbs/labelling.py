"""A person's word: stored, changed, taken back."""

from __future__ import annotations

from collections.abc import Sequence

from xintu_cli.storage.dialect import Dialect
from xintu_cli.storage.script import Script, Statement, batches
from xintu_cli.storage.verbs.clock import clock
from xintu_cli.storage.verbs.texts import NAME_LENGTH, storable


def set_labels(
    dialect: Dialect, taxonomy: str, labels: Sequence[tuple[str, str]], who: str
) -> Script[None]:
    """Store a person's word for each image."""
    if not labels:
        return
    now = yield from clock(dialect)
    key = ("image_hash", "taxonomy")
    yield Statement(
        dialect.upsert(
            "manual_label",
            (*key, "category", "who", "labelled_at"),
            key,
            replace=("category", "who", "labelled_at"),
        ),
        [
            (h, taxonomy, category, storable(who, NAME_LENGTH), now)
            for h, category in sorted(dict(labels).items())
        ],
        many=True,
    )


def clear_labels(dialect: Dialect, taxonomy: str, hashes: Sequence[str]) -> Script[int]:
    """Delete labels; return how many there were."""
    cleared = 0
    for batch in batches(sorted(set(hashes))):
        condition, values = dialect.one_of("image_hash", batch)
        reply = yield Statement(
            f"DELETE FROM manual_label WHERE taxonomy = ? AND {condition}", (taxonomy, *values)
        )
        cleared += reply.touched
    return cleared
