"""Claims that an absence of the database cut off: who made them may hold answers paid for.

A run renews its claims several times a lease. Those of a run that dies while the database is
well run out, and whoever comes by takes them over. Those of a run that cannot reach the database
run out too; but it may have the answers in its machine's spool, and write them once it, or the
next run there, gets through. Nobody can ask it. So what is known of absences decides: the server
says since when it is up, and each machine remembers when its own runs found the database away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from xintu_cli.storage.verbs.clock import later

HOURS_TO_RETURN = 24
"""After the database is back a machine has so long to bring its answers: runs are nightly."""
DAYS_TO_RETURN = 7
"""No claim is left alone for longer after it ran out, however often the server is restarted."""

Witness = Callable[[str], str]
"""Takes the database's present time; returns when the last absence that this machine saw was
over: that very time while one lasts, "" where it saw none."""


def saw_none(_now: str, /) -> str:
    """Have seen no absence."""
    return ""


class RunOut(NamedTuple):
    """A claim that has run out; times as the database writes them."""

    image_hash: str
    host: str
    expires_at: str
    begun_at: str | None
    """When its run began; None where that is not known."""


def is_cut_off(claim: RunOut, *, now: str, back_at: str, lease_seconds: float) -> bool:
    """Tell whether a claim that has run out is still left to its run.

    `back_at`: when the database came back for the last time; "" where it has not been away.
    A run that began later, or that has renewed its claim since, was not cut off then.
    `lease_seconds` is the longest lease that any run has asked for.
    """
    return (
        back_at != ""
        and (claim.begun_at or "") < back_at
        and claim.expires_at < later(back_at, seconds=lease_seconds)
        and now < to_return_until(back_at)
        and claim.expires_at > later(now, seconds=-86_400 * DAYS_TO_RETURN)
    )


def to_return_until(back_at: str) -> str:
    """Return until when a machine may bring the answers that an absence kept from the database."""
    return later(back_at, seconds=3_600 * HOURS_TO_RETURN)
