"""Claims: lease rows that say which run is about to pay for a photo."""

from __future__ import annotations

from collections.abc import Sequence

from xintu_cli.records import Source
from xintu_cli.storage.dialect import Dialect
from xintu_cli.storage.script import Script, Statement, batches
from xintu_cli.storage.verbs.clock import clock, later
from xintu_cli.storage.verbs.texts import HOST_LENGTH, storable

_NO_LLM_ANSWERED = (
    "NOT EXISTS (SELECT 1 FROM classification WHERE classification.image_hash = claim.image_hash"
    f" AND classification.task = claim.task AND source = '{Source.LLM}')"
)
_LONGEST_SECONDS = 2 * 86_400.0
"""No lease is longer: a claim beyond was made while the database's clock was wrong, or by somebody
else. Nobody waits for its end."""


def claim(
    dialect: Dialect, task: str, hashes: Sequence[str], run_id: str, host: str, seconds: float
) -> Script[frozenset[str]]:
    """Claim images: insert, or take over what has run out or is ours; return what is ours.

    One upsert instead of an insert and an update: it locks each row exclusively at once,
    where INSERT IGNORE first takes shared locks, over which two runs can deadlock.
    """
    now = yield from clock(dialect)
    until = later(now, seconds=seconds)
    never = later(now, seconds=_LONGEST_SECONDS)
    name = storable(host, HOST_LENGTH)
    ours: set[str] = set()
    for batch in batches(sorted(set(hashes))):
        yield Statement(
            dialect.upsert(
                "claim",
                ("image_hash", "task", "owner", "host", "expires_at"),
                ("image_hash", "task"),
                replace=("host", "owner", "expires_at"),
                only_if=(
                    f"old.owner = new.owner OR old.expires_at < '{now}'"
                    f" OR old.expires_at > '{never}'"
                ),
            ),
            [(image_hash, task, run_id, name, until) for image_hash in batch],
            many=True,
        )
        condition, values = dialect.one_of("image_hash", batch)
        reply = yield Statement(
            f"SELECT image_hash FROM claim WHERE task = ? AND owner = ? AND {condition}",
            (task, run_id, *values),
        )
        ours.update(row[0] for row in reply.rows)
    return frozenset(ours)


def release(dialect: Dialect, task: str, hashes: Sequence[str], run_id: str) -> Script[None]:
    """Delete claims, where they are still this run's."""
    for batch in batches(sorted(hashes)):
        condition, values = dialect.one_of("image_hash", batch)
        yield Statement(
            f"DELETE FROM claim WHERE task = ? AND owner = ? AND {condition}",
            (task, run_id, *values),
        )


def release_all(_dialect: Dialect, run_id: str) -> Script[None]:
    """Delete every claim of a run that is over."""
    yield Statement("DELETE FROM claim WHERE owner = ?", (run_id,))


def renew(dialect: Dialect, run_id: str, seconds: float) -> Script[None]:
    """Extend a run's claims that have not run out; those that have must be claimed again."""
    now = yield from clock(dialect)
    yield Statement(
        "UPDATE claim SET expires_at = ? WHERE owner = ? AND expires_at >= ?",
        (later(now, seconds=seconds), run_id, now),
    )


def run_out(dialect: Dialect, task: str, hashes: Sequence[str]) -> Script[frozenset[str]]:
    """Find the images whose claims ran out without a result."""
    now = yield from clock(dialect)
    found: set[str] = set()
    for batch in batches(sorted(hashes)):
        condition, values = dialect.one_of("image_hash", batch)
        reply = yield Statement(
            f"SELECT image_hash FROM claim WHERE task = ? AND expires_at < ? AND {condition}"
            f" AND {_NO_LLM_ANSWERED}",
            (task, now, *values),
        )
        found.update(row[0] for row in reply.rows)
    return frozenset(found)


def expired_claims(dialect: Dialect) -> Script[int]:
    """Count claims that ran out without a result: calls that may have been paid for.

    A run that dies between claiming a photo and seeing that it was answered meanwhile leaves
    a claim behind that means nothing.
    """
    now = yield from clock(dialect)
    reply = yield Statement(
        f"SELECT COUNT(*) FROM claim WHERE expires_at < ? AND {_NO_LLM_ANSWERED}", (now,)
    )
    return int(reply.rows[0][0])
