"""Persist: outcomes in, stored outcomes out; whatever waits goes into one transaction.

The sink of the run. It ends by end-of-stream, never by cancellation, so what was paid for is
written whatever happens upstream; what the cache cannot take goes to the spool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import anyio
from anyio import to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from xintu_cli.errors import XintuError
from xintu_cli.interfaces import Backlog, Cache, FileIndex, Leases, Spool
from xintu_cli.outcomes import (
    AnsweredElsewhere,
    Classified,
    Failed,
    Hits,
    Outcome,
    Pending,
    Returned,
    Settled,
)
from xintu_cli.records import Answer, Attempt, PhotoFacts, Refusal, Settlement, Source
from xintu_cli.stages.control import Control

MOST_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Store:
    """Where outcomes are kept, and in whose name."""

    cache: Cache
    index: FileIndex
    backlog: Backlog
    spool: Spool
    run_id: str
    task: str
    leases: Leases | None = None
    has_claims: bool = True
    """False where the run pays for nothing, and so claims nothing."""
    is_dry_run: bool = False


async def persist(
    outcomes: MemoryObjectReceiveStream[Outcome],
    settled: MemoryObjectSendStream[Sequence[Settled]],
    *,
    store: Store,
    control: Control,
) -> None:
    """Store outcomes until no stage can send any more."""
    cache_lost = False
    with anyio.CancelScope(shield=True):
        async with outcomes, settled:
            async for first in outcomes:
                batch = [first, *_waiting(outcomes)]
                settlement = settlement_of(batch, store)
                if store.is_dry_run:
                    await _count_hits(settlement, store)
                elif not settlement.is_empty:
                    if not cache_lost:
                        cache_lost = not await _is_written(settlement, store, control)
                    if cache_lost:
                        await to_thread.run_sync(
                            store.spool.append, settlement, limiter=control.disk
                        )
                images = [image for image in map(_image_of, batch) if image]
                control.stored(images)
                if store.leases:
                    store.leases.ended(images)
                copies = await _keep_here(batch, store, control)
                await settled.send([_settled(outcome, copies) for outcome in batch])


def _waiting(outcomes: MemoryObjectReceiveStream[Outcome]) -> list[Outcome]:
    """Take what already waits, without waiting for more."""
    taken: list[Outcome] = []
    while len(taken) < MOST_AT_ONCE:
        try:
            taken.append(outcomes.receive_nowait())
        except (anyio.WouldBlock, anyio.EndOfStream):
            break
    return taken


async def _is_written(settlement: Settlement, store: Store, control: Control) -> bool:
    """Write to the cache; if it cannot take it, say so and ask nobody any more."""
    try:
        await store.cache.settle(settlement)
    except XintuError as error:
        control.fail(error)
        return False
    return True


async def _count_hits(settlement: Settlement, store: Store) -> None:
    """Write what a dry run has to write, where that may be: photos that the next run will know.

    It claimed nothing, so there is nothing to release; and a cache that may only be read is
    enough for it.
    """
    if settlement.hits:
        with suppress(XintuError):
            await store.cache.settle(replace(settlement, released=()))


def settlement_of(batch: Sequence[Outcome], store: Store) -> Settlement:
    """Return what the cache has to hear of these outcomes; unchanged photos say nothing."""
    answers: list[tuple[str, Answer]] = []
    attempts: list[tuple[str, Attempt]] = []
    refusals: list[tuple[str, Refusal]] = []
    hits: list[str] = []
    released: list[str] = []
    for outcome in batch:
        match outcome:
            case Hits() if outcome.new_here:
                hits.extend(
                    photo.image_hash
                    for photo, row in zip(outcome.photos, outcome.rows, strict=True)
                    if photo.path in outcome.new_here and row.source != Source.MANUAL
                )
            case Classified(task=photo):
                answers.append((photo.image_hash, outcome.answer))
                refusals.extend((photo.image_hash, r) for r in outcome.answer.refusals)
            case Pending(task=photo):
                released.append(photo.image_hash)
                attempts.extend((photo.image_hash, attempt) for attempt in outcome.attempts)
                refusals.extend((photo.image_hash, refusal) for refusal in outcome.refusals)
            case Returned(task=photo):
                attempts.extend((photo.image_hash, attempt) for attempt in outcome.attempts)
                refusals.extend((photo.image_hash, refusal) for refusal in outcome.refusals)
            case AnsweredElsewhere(task=photo):
                released.append(photo.image_hash)
            case Failed() if outcome.image_hash:
                released.append(outcome.image_hash)
            case _:
                pass
    return Settlement(
        run_id=store.run_id,
        task=store.task,
        answers=tuple(answers),
        attempts=tuple(attempts),
        refusals=tuple(refusals),
        hits=tuple(hits),
        released=tuple(released) if store.has_claims else (),
        has_claims=store.has_claims,
    )


def _image_of(outcome: Outcome) -> str:
    """Return the image that an outcome takes out of the backlog, "" if none."""
    match outcome:
        case Classified(task=task) | Pending(task=task) | AnsweredElsewhere(task=task):
            return task.image_hash
        case Failed(image_hash=image_hash):
            return image_hash
        case _:
            return ""


async def _keep_here(
    batch: Sequence[Outcome], store: Store, control: Control
) -> Mapping[str, Sequence[bytes]]:
    """Write this machine's share; failing in that ends the run, but loses no answer."""
    try:
        return await to_thread.run_sync(_write_here, batch, store, limiter=control.disk)
    except XintuError as error:
        control.fail(error)
        return {}


def _write_here(batch: Sequence[Outcome], store: Store) -> Mapping[str, Sequence[bytes]]:
    """Write facts into the index, take images out of the backlog; blocks."""
    facts: list[tuple[bytes, str, PhotoFacts]] = [
        (outcome.task.path, outcome.task.image_hash, outcome.facts)
        for outcome in batch
        if isinstance(outcome, Classified) and outcome.facts is not None
    ]
    if facts:
        store.index.describe(facts)
    images = [image for image in map(_image_of, batch) if image]
    if not images:
        return {}
    return store.backlog.settle(images)


def _settled(outcome: Outcome, copies: Mapping[str, Sequence[bytes]]) -> Settled:
    return Settled(outcome, tuple(copies.get(_image_of(outcome), ())))
