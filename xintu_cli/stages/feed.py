"""Feed the workers: tasks out of the backlog, claimed, a few seconds' worth at a time.

Every batch is looked up once more after it was claimed: another run, or another file of this
one, may have had the answer stored in between. When asking is over (budget, a signal), what
is left goes to the sink as pending.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio import to_thread
from anyio.streams.memory import MemoryObjectSendStream

from xintu_cli.interfaces import Backlog, Leases
from xintu_cli.outcomes import AnsweredElsewhere, Outcome, Pending
from xintu_cli.records import Task
from xintu_cli.routing import Refresh, Verdict
from xintu_cli.stages.control import Control
from xintu_cli.stages.lookup import Shelves
from xintu_cli.stages.seen import SeenImages

LEFT_OVER_BATCH = 512


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """How photos are claimed; a policy that pays for nothing claims nothing (`needed` False)."""

    run_id: str
    host: str
    needed: bool
    lease_seconds: float = 180.0
    look_again_seconds: float = 1.0
    """How long to leave photos alone that another run has claimed."""
    batch: int = 64
    """Tasks to claim at once: what the workers send in a few seconds, so that a run that
    dies holds up little."""
    leases: Leases | None = None
    refused: dict[str, frozenset[str]] = field(default_factory=dict)
    """Filled here: image to the providers that refused it lately."""


async def feed(
    tasks: MemoryObjectSendStream[Task],
    outcomes: MemoryObjectSendStream[Outcome],
    *,
    shelves: Shelves,
    claims: ClaimRules,
    control: Control,
) -> None:
    """Send tasks to the workers until the backlog is empty and can grow no more."""
    backlog = shelves.backlog
    # Under `--refresh all` every look-up is a miss: a second file of an image that was answered
    # a minute ago must find that answer.
    refreshing = shelves.question.acceptance.refresh is Refresh.ALL
    asked = SeenImages()
    async with tasks, outcomes:
        while not control.feeding_stopped:
            # Both are read before the backlog is: what happens meanwhile is not missed.
            news = control.news
            finished = control.look_up_complete and control.in_flight == 0
            taken = await to_thread.run_sync(backlog.take, claims.batch, limiter=control.disk)
            if not taken and finished:
                break
            at_hand = {task.image_hash: task for task in taken}
            async with _accounted_for(at_hand, outcomes):
                ours = await _claim(taken, shelves, claims)
                await _answered_meanwhile(at_hand, shelves, outcomes, asked)
                for image in (image for image in ours if image in at_hand):
                    if refreshing:
                        asked.add(image)
                    await _send(at_hand[image], tasks, outcomes, control)
                    del at_hand[image]
                theirs = list(at_hand.values())
                if theirs:
                    await to_thread.run_sync(backlog.give_back, theirs, limiter=control.disk)
            if len(theirs) == len(taken):
                with anyio.move_on_after(claims.look_again_seconds if taken else None):
                    await news.wait()
        await _leave(backlog, outcomes, control)


@asynccontextmanager
async def _accounted_for(
    at_hand: Mapping[str, Task], outcomes: MemoryObjectSendStream[Outcome]
) -> AsyncIterator[None]:
    """If cancelled, tell the sink of the tasks at hand, so that their claims are released."""
    try:
        yield
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            for task in at_hand.values():
                await outcomes.send(Pending(task, "interrupted"))
        raise


async def _send(
    task: Task,
    tasks: MemoryObjectSendStream[Task],
    outcomes: MemoryObjectSendStream[Outcome],
    control: Control,
) -> None:
    if control.feeding_stopped:
        await outcomes.send(Pending(task, control.feeding_stopped))
        return
    control.in_flight += 1
    await tasks.send(task)


async def _claim(taken: Sequence[Task], shelves: Shelves, claims: ClaimRules) -> Sequence[str]:
    """Return the images this run may pay for, in the order taken; the rest another run has."""
    images = [task.image_hash for task in taken]
    if not claims.needed or not taken:
        return images
    asked_at = claims.leases.now() if claims.leases else 0.0
    ours = await shelves.cache.claim(
        shelves.question.task,
        # Sorted: two runs that lock rows in one order cannot deadlock.
        sorted(images),
        run_id=claims.run_id,
        host=claims.host,
        seconds=claims.lease_seconds,
    )
    if claims.leases:
        claims.leases.claimed(ours, asked_at=asked_at)
    if ours:
        claims.refused.update(await shelves.cache.refused(shelves.question.task, sorted(ours)))
    return [image for image in images if image in ours]


async def _answered_meanwhile(
    at_hand: dict[str, Task],
    shelves: Shelves,
    outcomes: MemoryObjectSendStream[Outcome],
    asked: SeenImages,
) -> None:
    """Send on what the cache can answer by now, and take it from the tasks at hand."""
    if not at_hand:
        return
    rulings = await shelves.rulings(at_hand, asked)
    for image, ruling in rulings.items():
        if ruling.verdict is Verdict.HIT:
            assert ruling.row is not None
            task = at_hand.pop(image)
            await outcomes.send(
                AnsweredElsewhere(task, ruling.row.category, ruling.row.source, provisional=False)
            )


async def _leave(
    backlog: Backlog, outcomes: MemoryObjectSendStream[Outcome], control: Control
) -> None:
    """Account for what nobody will be asked about in this run, until no more can come."""
    while True:
        news = control.news
        finished = control.look_up_complete and control.in_flight == 0
        left = await to_thread.run_sync(backlog.take, LEFT_OVER_BATCH, limiter=control.disk)
        for task in left:
            await outcomes.send(Pending(task, control.feeding_stopped))
        if not left:
            if finished:
                return
            await news.wait()
