"""Report: stored outcomes in; counts, and whoever shows them to a person.

It follows persist: nothing is counted that is not stored.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from xintu_cli.interfaces import Reporter
from xintu_cli.outcomes import (
    AnsweredElsewhere,
    Classified,
    Failed,
    Hits,
    Outcome,
    Pending,
    Settled,
    Skipped,
)
from xintu_cli.stages.control import Control
from xintu_cli.tally import Tally


async def report(
    settled: MemoryObjectReceiveStream[Sequence[Settled]],
    *,
    tally: Tally,
    reporter: Reporter,
    control: Control,
) -> None:
    """Count and show stored outcomes until the sink is empty."""
    started = time.monotonic()
    walked = False
    with anyio.CancelScope(shield=True):
        async with settled:
            async for batch in settled:
                for one in batch:
                    tally.add(one)
                running = tally.summary("running", 0, time.monotonic() - started)
                if control.look_up_complete and not walked:
                    walked = True
                    reporter.walked()
                if where := _place(batch[-1].outcome):
                    reporter.doing(where)
                reporter.settled(batch, running, waiting=running.pending)


def _place(outcome: Outcome) -> str:
    """Return the folder and name of the photo an outcome is about, "" if of none."""
    match outcome:
        case Hits():
            path = outcome.photos[-1].path
        case Classified() | Pending() | AnsweredElsewhere():
            path = outcome.task.path
        case Failed() | Skipped():
            path = outcome.path
        case _:
            return ""
    return os.fsdecode(os.sep.encode().join(path.split(os.sep.encode())[-2:]))
