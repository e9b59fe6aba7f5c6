"""Classify: a worker takes a task, reads and decodes its photo, asks the classifier.

N workers run this over clones of one stream, so N bounds what is in flight, and what is paid
for and not stored yet.
"""

from __future__ import annotations

from collections import Counter

import anyio
from anyio import to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from xintu_cli.errors import (
    BudgetReachedError,
    LeaseLostError,
    NoProviderLeftError,
    PhotoError,
    ProviderError,
    UnansweredPhotoError,
    UnreadablePhotoError,
    VanishedPhotoError,
    XintuError,
)
from xintu_cli.interfaces import Backlog, Classifier, FileIndex
from xintu_cli.outcomes import Classified, Failed, Outcome, Pending, Returned, Skipped
from xintu_cli.records import Attempt, FileStatus, Photo, Source, Task
from xintu_cli.stages.claiming import Claims
from xintu_cli.stages.control import Control
from xintu_cli.stages.preparing import Changed, Encoding, Preparation, prepare
from xintu_cli.stages.reading import NEVER, ReadRules, new_entry

__all__ = ["Desk", "Encoding", "classify"]

MOST_CHANGES = 3
"""How often a photo may change under our hands before it is left to a later run."""
MOST_LOST_CLAIMS = 3
"""How often a photo's claim may run out before it is left to a later run."""


class Desk:
    """What a worker needs: how to read, whom to ask, where changed photos go back to."""

    def __init__(
        self,
        *,
        classifier: Classifier,
        index: FileIndex,
        backlog: Backlog,
        rules: ReadRules,
        edge: int,
        to_send: Encoding | None,
        control: Control,
        abandoned: dict[str, tuple[Attempt, ...]] | None = None,
    ) -> None:
        """Take the parts; `abandoned` has what was sent about images that are cancelled."""
        self.classifier = classifier
        self.index = index
        self.backlog = backlog
        self.preparation = Preparation(rules, edge, to_send)
        self.control = control
        self.changes: Counter[bytes] = Counter()
        self.lost_claims: Counter[str] = Counter()
        self.abandoned = {} if abandoned is None else abandoned


async def classify(
    tasks: MemoryObjectReceiveStream[Task],
    outcomes: MemoryObjectSendStream[Outcome],
    *,
    desk: Desk,
    claims: Claims,
) -> None:
    """Settle tasks one by one; handing an outcome over is never cancelled: it may be paid for.

    The next photo is taken when an answer that was paid for is stored: what a power cut can cost
    is then bounded by the calls in flight, however slow the cache is.
    """
    async with tasks, outcomes:
        async for task in tasks:
            try:
                outcome = await _settled_or_cut_short(task, outcomes, desk, claims)
                receipt = _receipt(outcome, desk.control)
                with anyio.CancelScope(shield=True):
                    if outcome is not None:
                        await outcomes.send(outcome)
                if receipt is not None:
                    await receipt.wait()
            finally:
                desk.control.task_done()


def _receipt(outcome: Outcome | None, control: Control) -> anyio.Event | None:
    """Return what to wait for before another call may be paid for; None: nothing was."""
    if isinstance(outcome, Classified) and outcome.answer.source is Source.LLM:
        return control.receipt(outcome.task.image_hash)
    return None


async def _settled_or_cut_short(
    task: Task, outcomes: MemoryObjectSendStream[Outcome], desk: Desk, claims: Claims
) -> Outcome | None:
    """Settle a task; cancelled or failing, say so to the sink: what was sent may be billed."""
    try:
        return await _settle(task, desk, claims)
    except BaseException as error:
        reason = str(error) if isinstance(error, XintuError) else "interrupted"
        sent = desk.abandoned.pop(task.image_hash, ())
        with anyio.CancelScope(shield=True):
            await outcomes.send(Pending(task, reason, sent))
        raise


async def _settle(task: Task, desk: Desk, claims: Claims) -> Outcome | None:
    """Bring one task to its outcome; None: it went back to the backlog with nothing to tell."""
    control = desk.control
    try:
        if over := _asking_is_over(task, control):
            return over
        photo = await prepare(task, desk.preparation, control)
        if isinstance(photo, Changed):
            return await _send_back(task, photo, desk, claims)
        control.disk_answered()
        # Dozens may have waited for their turn to be prepared when the signal came.
        if over := _asking_is_over(task, control):
            return over
        answer = await desk.classifier.classify(photo)
    except LeaseLostError as error:
        return await _wait_for_the_other_run(task, error, desk, claims)
    except PhotoError as error:
        return await _without_photo(task, error, desk, claims)
    except ProviderError as error:
        if isinstance(error, BudgetReachedError):
            control.stop_feeding(str(error))
        elif isinstance(error, NoProviderLeftError):
            control.fail_feeding(error)
        return Pending(task, str(error), error.attempts, error.refusals)
    return Classified(task, answer, photo.facts)


async def _wait_for_the_other_run(
    task: Task, error: LeaseLostError, desk: Desk, claims: Claims
) -> Outcome | None:
    """Queue the photo again: whoever took it over is waited for, else it is claimed anew."""
    desk.lost_claims[task.image_hash] += 1
    if desk.lost_claims[task.image_hash] > MOST_LOST_CLAIMS:
        return Pending(task, str(error), error.attempts, error.refusals)
    claims.lost(task.image_hash)
    await to_thread.run_sync(desk.backlog.give_back, [task], limiter=desk.control.disk)
    if error.attempts or error.refusals:
        return Returned(task, error.attempts, error.refusals)
    return None


def _asking_is_over(task: Task, control: Control) -> Pending | None:
    return Pending(task, control.feeding_stopped) if control.feeding_stopped else None


async def _without_photo(task: Task, error: PhotoError, desk: Desk, claims: Claims) -> Outcome:
    """Tell what becomes of a task whose photo cannot go on."""
    match error:
        case VanishedPhotoError():
            await claims.let_go(task.image_hash)
            await to_thread.run_sync(_queue_copies, task, desk, limiter=desk.control.disk)
            return Skipped(task.path, "vanished before it could be classified")
        case UnansweredPhotoError():
            return Pending(task, str(error), error.attempts, error.refusals)
        case UnreadablePhotoError(root_gone=True):
            desk.control.disk_silent(task.path, str(error))
            return Pending(task, str(error))
        case UnreadablePhotoError(lasting=False):
            # This file's trouble, not the image's: another file of it may be well.
            await claims.let_go(task.image_hash)
            await to_thread.run_sync(_queue_copies, task, desk, limiter=desk.control.disk)
            return Failed(task.path, str(error))
        case UnreadablePhotoError():
            await _remember_unreadable(task, str(error), desk)
            return Failed(task.path, str(error), task.image_hash)
        case _:
            return Pending(task, str(error))


async def _send_back(task: Task, changed: Changed, desk: Desk, claims: Claims) -> Outcome | None:
    """Queue the file under its present hash; other files of the old image keep their place."""
    desk.changes[task.path] += 1
    if desk.changes[task.path] > MOST_CHANGES:
        return Pending(task, "it keeps changing while it is read")
    # Before its copies are queued: they are claimed anew, and that claim must not be let go.
    await claims.let_go(task.image_hash)
    await to_thread.run_sync(_requeue, task, changed, desk, limiter=desk.control.disk)
    return None


def _requeue(task: Task, changed: Changed, desk: Desk) -> None:
    entry = new_entry(
        changed.photo,
        FileStatus.PHOTO,
        image_hash=changed.image_hash,
        hashed_at_ns=NEVER,
    )
    desk.index.remember([entry])
    _queue_copies(task, desk)
    fresh = Task(changed.image_hash, task.path, changed.photo.size_bytes, provisional=False)
    desk.backlog.add([fresh])


def _queue_copies(task: Task, desk: Desk) -> None:
    """Let other files of the image stand for it: this one is gone, or another picture now."""
    copies = desk.backlog.settle([task.image_hash]).get(task.image_hash, ())
    desk.backlog.add([task._replace(path=path) for path in copies])


async def _remember_unreadable(task: Task, reason: str, desk: Desk) -> None:
    """Keep the verdict in the index: the file is not decoded again until it changes."""

    def remember() -> None:
        known = desk.index.known([task.path]).get(task.path)
        if known is not None and known.image_hash == task.image_hash:
            stamp = known.hashed_at_ns
            entry = new_entry(Photo(*known[:5]), FileStatus.UNREADABLE, reason, hashed_at_ns=stamp)
            desk.index.remember([entry])

    await to_thread.run_sync(remember, limiter=desk.control.disk)
