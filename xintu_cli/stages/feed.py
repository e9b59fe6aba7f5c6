"""Feed the workers: tasks out of the backlog, claimed, a few seconds' worth at a time.

Every batch is looked up once more after it was claimed: another run, or another file of this
one, may have had the answer stored in between. When asking is over (budget, a signal), what
is left goes to the sink as pending.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
from anyio import to_thread
from anyio.streams.memory import MemoryObjectSendStream

from xintu_cli.errors import XintuError
from xintu_cli.interfaces import Backlog
from xintu_cli.outcomes import AnsweredElsewhere, Outcome, Pending
from xintu_cli.records import Task
from xintu_cli.routing import Refresh, Verdict
from xintu_cli.stages.claiming import Claims
from xintu_cli.stages.control import Control
from xintu_cli.stages.lookup import Shelves
from xintu_cli.stages.seen import SeenImages

LEFT_OVER_BATCH = 512
_LOOKS_IN_VAIN = 3
"""How often only photos of other runs are found before a person is told of it."""


async def feed(
    tasks: MemoryObjectSendStream[Task],
    outcomes: MemoryObjectSendStream[Outcome],
    *,
    shelves: Shelves,
    claims: Claims,
    control: Control,
) -> None:
    """Send tasks to the workers until the backlog is empty and can grow no more."""
    backlog = shelves.backlog
    # Under `--refresh all` every look-up is a miss: a second file of an image that was answered
    # a minute ago must find that answer.
    refreshing = shelves.question.acceptance.refresh is Refresh.ALL
    asked = SeenImages()
    in_vain = 0
    async with tasks, outcomes:
        while not control.feeding_stopped:
            # Both are read before the backlog is: what happens meanwhile is not missed.
            news = control.news
            finished = control.look_up_complete and control.in_flight == 0
            taken = await to_thread.run_sync(backlog.take, claims.rules.batch, limiter=control.disk)
            if not taken and finished:
                break
            at_hand = {task.image_hash: task for task in taken}
            async with _accounted_for(at_hand, outcomes):
                ours = await claims.take(taken)
                await _answered_meanwhile(at_hand, shelves, outcomes, asked)
                for image in (image for image in ours if image in at_hand):
                    if refreshing:
                        asked.add(image)
                    await _send(at_hand[image], tasks, outcomes, control)
                    del at_hand[image]
                is_idle = len(at_hand) == len(taken) > 0 == control.in_flight
                patient = not (is_idle and control.look_up_complete)
                await _give_up(at_hand, claims, outcomes, patient=patient)
                theirs = list(at_hand.values())
                if theirs:
                    await to_thread.run_sync(backlog.give_back, theirs, limiter=control.disk)
            in_vain += is_idle
            if is_idle and in_vain == _LOOKS_IN_VAIN:
                claims.rules.waiting()
            if len(theirs) == len(taken):
                with anyio.move_on_after(claims.rules.look_again_seconds if taken else None):
                    await news.wait()
        await _leave(backlog, outcomes, control)


@asynccontextmanager
async def _accounted_for(
    at_hand: Mapping[str, Task], outcomes: MemoryObjectSendStream[Outcome]
) -> AsyncIterator[None]:
    """However it is cut short, tell the sink of the tasks at hand: it releases their claims."""
    try:
        yield
    except BaseException as error:
        reason = str(error) if isinstance(error, XintuError) else "interrupted"
        with anyio.CancelScope(shield=True):
            for task in at_hand.values():
                await outcomes.send(Pending(task, reason))
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


async def _give_up(
    at_hand: dict[str, Task],
    claims: Claims,
    outcomes: MemoryObjectSendStream[Outcome],
    *,
    patient: bool,
) -> None:
    """Leave to a later run what other runs may bring the answers of, however long that takes.

    Only with nothing else to do: else one is `patient`.
    """
    given_up = {} if patient else await claims.given_up(list(at_hand))
    if patient:
        claims.busy()
    for image, reason in given_up.items():
        await outcomes.send(Pending(at_hand.pop(image), reason))


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
