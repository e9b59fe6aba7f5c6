"""Claims: lease rows that say which run is about to pay for a photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xintu_cli.records import LeftTo, Source
from xintu_cli.storage.dialect import Dialect
from xintu_cli.storage.script import Row, Script, Statement, batches
from xintu_cli.storage.verbs.absences import RunOut, Witness, is_cut_off, saw_none, to_return_until
from xintu_cli.storage.verbs.clock import clock, later, server_start
from xintu_cli.storage.verbs.texts import HOST_LENGTH, storable

_NO_LLM_ANSWERED = (
    "NOT EXISTS (SELECT 1 FROM classification WHERE classification.image_hash = claim.image_hash"
    f" AND classification.task = claim.task AND source = '{Source.LLM}')"
)
_LONGEST_SECONDS = 2 * 86_400.0
"""No lease is longer: a claim beyond was made while the database's clock was wrong, or by somebody
else. Nobody waits for its end."""
_READ_RUN_OUT = (
    "SELECT claim.image_hash, claim.host, claim.expires_at, run.started_at"
    " FROM claim LEFT JOIN run ON run.run_id = claim.owner"
)
_LEASE_NOTE = "longest_lease_seconds"
"""In `meta`."""


def claim(
    dialect: Dialect,
    task: str,
    hashes: Sequence[str],
    run_id: str,
    host: str,
    seconds: float,
    *,
    saw: Witness = saw_none,
) -> Script[frozenset[str]]:
    """Claim images: those that are free or ours, and what has run out and is left to nobody.

    Return what is ours. One upsert instead of an insert and an update: it locks each row
    exclusively at once, where INSERT IGNORE first takes shared locks, over which two runs
    can deadlock.
    """
    now = yield from clock(dialect)
    offer = (run_id, storable(host, HOST_LENGTH), later(now, seconds=seconds))
    ours: set[str] = set()
    for batch in batches(sorted(set(hashes))):
        ours |= yield from _claim(dialect, task, batch, offer, only_if="old.owner = new.owner")
        theirs = [image_hash for image_hash in batch if image_hash not in ours]
        if not theirs:
            continue
        lost = yield from _run_out(dialect, task, theirs, now)
        cut_off = yield from _cut_off(dialect, lost, now, saw)
        free = sorted(claim.image_hash for claim in lost if claim not in cut_off)
        if free:
            # Again on condition: another run may have been quicker.
            run_out = f"old.owner = new.owner OR {_has_run_out('old.', now)}"
            ours |= yield from _claim(dialect, task, free, offer, only_if=run_out)
    return frozenset(ours)


def _claim(
    dialect: Dialect, task: str, batch: Sequence[str], offer: tuple[str, str, str], *, only_if: str
) -> Script[set[str]]:
    """Claim images that are free, or whose claim is as `only_if` says; return what is ours."""
    run_id, host, until = offer
    yield Statement(
        dialect.upsert(
            "claim",
            ("image_hash", "task", "owner", "host", "expires_at"),
            ("image_hash", "task"),
            replace=("host", "owner", "expires_at"),
            only_if=only_if,
        ),
        [(image_hash, task, run_id, host, until) for image_hash in batch],
        many=True,
    )
    condition, values = dialect.one_of("image_hash", batch)
    reply = yield Statement(
        f"SELECT image_hash FROM claim WHERE task = ? AND owner = ? AND {condition}",
        (task, run_id, *values),
    )
    return {row[0] for row in reply.rows}


def _has_run_out(table: str, now: str) -> str:
    never = later(now, seconds=_LONGEST_SECONDS)
    return f"{table}expires_at < '{now}' OR {table}expires_at > '{never}'"


def _run_out(dialect: Dialect, task: str, hashes: Sequence[str], now: str) -> Script[list[RunOut]]:
    """Read the claims of these images that have run out."""
    condition, values = dialect.one_of("claim.image_hash", hashes)
    reply = yield Statement(
        f"{_READ_RUN_OUT} WHERE claim.task = ? AND ({_has_run_out('claim.', now)}) AND {condition}",
        (task, *values),
    )
    return [_claim_of(row) for row in reply.rows]


def _claim_of(row: Row) -> RunOut:
    """Take what somebody else may have written for the text that it should be."""
    image_hash, host, expires_at, begun_at = row
    begun = None if begun_at is None else str(begun_at)
    return RunOut(str(image_hash), str(host), str(expires_at), begun)


def _cut_off(
    dialect: Dialect, lost: Sequence[RunOut], now: str, saw: Witness
) -> Script[dict[RunOut, LeftTo]]:
    """Return which of these claims are left to their runs, to whose and until when."""
    if not lost:
        return {}
    back_at = max(saw(now), (yield from server_start(dialect)))
    longest = yield from _longest_lease(dialect)
    return {
        claim: LeftTo(claim.host, to_return_until(back_at))
        for claim in lost
        if is_cut_off(claim, now=now, back_at=back_at, lease_seconds=longest)
    }


def _longest_lease(_dialect: Dialect) -> Script[float]:
    reply = yield Statement("SELECT value FROM meta WHERE name = ?", (_LEASE_NOTE,))
    try:
        seconds = float(reply.rows[0][0]) if reply.rows else 0.0
    except ValueError:
        return 0.0
    return seconds if 0 < seconds < _LONGEST_SECONDS else 0.0


def note_lease(dialect: Dialect, seconds: float) -> Script[None]:
    """Note how long this run's leases are, where no run's were longer.

    A claim says when it ends; from this others learn when it was renewed at the latest.
    """
    if seconds > (yield from _longest_lease(dialect)):
        yield Statement(
            dialect.upsert("meta", ("name", "value"), ("name",), replace=("value",)),
            (_LEASE_NOTE, f"{seconds:g}"),
        )


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


def left_to(
    dialect: Dialect, task: str, hashes: Sequence[str], saw: Witness = saw_none
) -> Script[Mapping[str, LeftTo]]:
    """Tell which of these images an absence of the database leaves to other runs."""
    now = yield from clock(dialect)
    found: dict[str, LeftTo] = {}
    for batch in batches(sorted(hashes)):
        lost = yield from _run_out(dialect, task, batch, now)
        cut_off = yield from _cut_off(dialect, lost, now, saw)
        found |= {claim.image_hash: left_to for claim, left_to in cut_off.items()}
    return found


def expired_claims(dialect: Dialect, saw: Witness = saw_none) -> Script[int]:
    """Count claims that ran out without a result: calls that may have been paid for.

    A run that dies between claiming a photo and seeing that it was answered meanwhile leaves
    a claim behind that means nothing. Those that are left to their runs are not lost yet.
    """
    now = yield from clock(dialect)
    reply = yield Statement(
        f"{_READ_RUN_OUT} WHERE claim.expires_at < ? AND {_NO_LLM_ANSWERED}", (now,)
    )
    lost = [_claim_of(row) for row in reply.rows]
    cut_off = yield from _cut_off(dialect, lost, now, saw)
    return sum(claim not in cut_off for claim in lost)


def bury(_dialect: Dialect, run_id: str) -> Script[int]:
    """Delete every claim of a run that died; return how many had no result."""
    reply = yield Statement(
        f"SELECT COUNT(*) FROM claim WHERE owner = ? AND {_NO_LLM_ANSWERED}", (run_id,)
    )
    yield Statement("DELETE FROM claim WHERE owner = ?", (run_id,))
    return int(reply.rows[0][0])
