"""The run, on one screen: which stage feeds which, how many of each, over what buffers.

    walk ─▶ fingerprint ─▶ look_up ─▶ backlog ─▶ feed ─▶ classify × N ─▶ persist ─▶ report

Work can be cancelled (a second Ctrl-C); the sink (persist, report) ends when work has.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
from anyio import create_memory_object_stream as stream

from xintu_cli.errors import XintuError
from xintu_cli.interfaces import Reporter
from xintu_cli.outcomes import Outcome, Settled
from xintu_cli.records import HashedBatch, Photo, Task
from xintu_cli.stages.claiming import ClaimRules, Claims
from xintu_cli.stages.classify import Desk, classify
from xintu_cli.stages.control import Control
from xintu_cli.stages.feed import feed
from xintu_cli.stages.hashing import fingerprint
from xintu_cli.stages.lookup import Shelves, look_up
from xintu_cli.stages.persist import Store, persist
from xintu_cli.stages.reading import ReadRules
from xintu_cli.stages.report import report
from xintu_cli.stages.walk import WalkPlan, walk
from xintu_cli.tally import Tally

Stage = Callable[..., Coroutine[Any, Any, None]]

HASHERS = 2
"""Readers side by side: one alone would wait for a slow file with all the others behind it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What `bootstrap` puts together for a run."""

    plan: WalkPlan
    reading: ReadRules
    shelves: Shelves
    claims: ClaimRules
    desk: Desk
    workers: int
    store: Store
    tally: Tally
    reporter: Reporter
    control: Control


async def run(parts: Parts) -> None:
    """Bring every photo below the roots to its outcome; the counts are in `parts.tally`."""
    control, shelves, store = parts.control, parts.shelves, parts.store
    claims = Claims(parts.claims, shelves)
    found_out, found = stream[list[Photo]](2)
    hashed_out, hashed = stream[HashedBatch](2)
    tasks_out, tasks = stream[Task](0)
    outcomes_out, outcomes = stream[Outcome](64)
    settled_out, settled = stream[Sequence[Settled]](2)
    async with anyio.create_task_group() as sink:
        sink.start_soon(partial(persist, outcomes, settled_out, store=store, control=control))
        sink.start_soon(
            partial(report, settled, tally=parts.tally, reporter=parts.reporter, control=control)
        )
        with control.work, outcomes_out, found, hashed_out, tasks:
            async with anyio.create_task_group() as work:

                def start(stage: Stage, *streams: object, **needs: object) -> None:
                    bound = partial(stage, *streams, outcomes_out.clone(), **needs)
                    name = getattr(stage, "__name__", None)
                    work.start_soon(_draining, bound, control, name=name)

                start(walk, found_out, plan=parts.plan, control=control)
                for _ in range(HASHERS):
                    inward, onward = found.clone(), hashed_out.clone()
                    start(fingerprint, inward, onward, rules=parts.reading, index=store.index,
                          control=control)  # fmt: skip
                start(look_up, hashed, shelves=shelves, control=control)
                start(feed, tasks_out, shelves=shelves, claims=claims, control=control)
                for _ in range(parts.workers):
                    start(classify, tasks.clone(), desk=parts.desk, claims=claims)
                for original in (outcomes_out, found, hashed_out, tasks):
                    original.close()


async def _draining(stage: Stage, control: Control) -> None:
    """Run a stage; if it fails, let the others finish what they have: it may be paid for."""
    try:
        await stage()
    except* XintuError as group:
        control.fail(_first(group))
    except* (anyio.BrokenResourceError, anyio.ClosedResourceError):
        # Whoever this stage feeds has failed, and has said so.
        if control.error is None:
            raise


def _first(group: BaseExceptionGroup[XintuError]) -> XintuError:
    """Return the first error of a group; what follows it is its consequence."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
