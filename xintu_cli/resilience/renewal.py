"""Keep a run's claims alive: a thread that renews them, whatever the event loop is busy with.

A renewal that fails is not told to the book, so the leases run out there and nothing more is
sent on them. The connection is opened for each renewal: between two of them it may have died.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Event, Thread

from xintu_cli.errors import XintuError
from xintu_cli.interfaces import LeaseKeeper, Leases

_RENEWALS = 4
"""Renewals in the time of one lease: two may fail before a claim may not be sent any more."""


@contextmanager
def renewed_leases(
    open_keeper: Callable[[], AbstractContextManager[LeaseKeeper]],
    leases: Leases,
    *,
    run_id: str,
    seconds: float,
) -> Iterator[None]:
    """Renew the claims of `run_id` for `seconds` each time, until the block is left."""
    ended = Event()

    def renew() -> None:
        while not ended.wait(seconds / _RENEWALS):
            asked_at = leases.now()
            try:
                with open_keeper() as keeper:
                    keeper.renew(run_id, seconds)
            except XintuError:
                continue
            leases.renewed(asked_at=asked_at)

    # A daemon, not joined: a database that hangs must not hold up the end of the run.
    Thread(target=renew, name="xintu-leases", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
