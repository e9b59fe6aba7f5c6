"""Evaluate: ask a classifier about photos whose category is known. The cache is not touched.

In: labelled photos and whoever is to answer. Out: the figures, what it took, and the mistakes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import anyio
from anyio import to_thread

from xintu_cli.errors import (
    BudgetReachedError,
    NoProviderLeftError,
    PhotoError,
    ProviderError,
    UnansweredPhotoError,
    UnreadablePhotoError,
)
from xintu_cli.imaging.decode import Decoded, decode
from xintu_cli.imaging.identity import image_hash
from xintu_cli.interfaces import Classifier
from xintu_cli.jobs.labelled import LabelledPhoto
from xintu_cli.jobs.scoring import Judged, Score, score
from xintu_cli.records import Answer, Attempt, Source
from xintu_cli.stages.classify import Encoding
from xintu_cli.stages.control import Control
from xintu_cli.stages.reading import ReadRules, read_in_time

Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Examiner:
    """Whoever answers, and how pictures are prepared: `edge` in pixels, `to_send` for an LLM."""

    classifier: Classifier
    reading: ReadRules
    edge: int
    to_send: Encoding | None
    workers: int


class Mistake(NamedTuple):
    """A photo that was taken for something else."""

    path: bytes
    truth: str
    said: str
    confidence: float


@dataclass(slots=True)
class Evaluation:
    """What came of it; `latencies_ms` is the time each answer took, waiting for a turn left out."""

    judged: list[Judged] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    failures: list[tuple[bytes, str]] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    sources: dict[str, int] = field(default_factory=dict)
    provisional: int = 0
    """Answers of the local model that stand in for an LLM's (outage, refusal)."""
    stopped: str = ""
    """Why the rest was not asked about, "" where all were."""

    def score(self, categories: Sequence[str]) -> Score:
        """Return the figures."""
        return score(self.judged, categories)

    @property
    def calls(self) -> list[Attempt]:
        """The attempts that were sent to somebody: the local model's cost nothing."""
        return [attempt for attempt in self.attempts if attempt.source is Source.LLM]

    @property
    def cost(self) -> float | None:
        """What the calls cost; None where a price is unknown or currencies mix."""
        costs = [call.cost for call in self.calls]
        if None in costs or len(self.currencies) > 1:
            return None
        return sum(cost for cost in costs if cost is not None)

    @property
    def currencies(self) -> set[str]:
        """The currencies that calls were paid in."""
        return {call.currency for call in self.calls if call.currency}

    def worst(self) -> list[Mistake]:
        """Return the mistakes, the most confident first."""
        return sorted(self.mistakes, key=lambda mistake: (-mistake.confidence, mistake.path))

    def add(self, photo: LabelledPhoto, answer: Answer) -> None:
        """Take an answer down."""
        said = answer.classification
        judged = Judged(photo.category, said.category, said.confidence)
        self.judged.append(judged)
        if not judged.right:
            self.mistakes.append(
                Mistake(photo.path, photo.category, said.category, said.confidence)
            )
        self.attempts += answer.attempts
        self.latencies_ms.append(sum(attempt.latency_ms for attempt in answer.attempts))
        self.sources[answer.source] = self.sources.get(answer.source, 0) + 1
        self.provisional += answer.stands_in


async def evaluate(
    photos: Sequence[LabelledPhoto], examiner: Examiner, *, advance: Advance
) -> Evaluation:
    """Ask about every photo, `workers` at a time; `advance(done, total)` after each.

    A spent budget ends the asking, not the evaluation; what is left is told in `stopped`. What
    was asked until then is of every category in its proportion.
    Raises `NoProviderLeftError` where nobody is left to ask.
    """
    found = Evaluation()
    waiting = iter(_spread(photos))
    control = Control()
    done = 0

    async def work() -> None:
        nonlocal done
        for photo in waiting:
            if found.stopped:
                return
            await _ask(photo, examiner, control, found)
            done += 1
            advance(done, len(photos))

    async with anyio.create_task_group() as group:
        for _ in range(examiner.workers):
            group.start_soon(work)
    return found


def _spread(photos: Sequence[LabelledPhoto]) -> list[LabelledPhoto]:
    """Order photos so that any first part of them has of every category its share."""
    counts = Counter(photo.category for photo in photos)
    seen = Counter[str]()
    places = []
    for photo in photos:
        places.append((seen[photo.category] + 0.5) / counts[photo.category])
        seen[photo.category] += 1
    return [photos[n] for n in sorted(range(len(photos)), key=places.__getitem__)]


async def _ask(
    photo: LabelledPhoto, examiner: Examiner, control: Control, found: Evaluation
) -> None:
    try:
        async with control.preparing:
            decoded = await _prepared(photo.path, examiner, control)
        answer = await examiner.classifier.classify(decoded)
    except BudgetReachedError as error:
        found.stopped = str(error)
        found.attempts += error.attempts
    except NoProviderLeftError:
        raise
    except (ProviderError, UnansweredPhotoError) as error:
        found.failures.append((photo.path, str(error)))
        found.attempts += error.attempts
    except PhotoError as error:
        found.failures.append((photo.path, str(error)))
    else:
        found.add(photo, answer)


async def _prepared(path: bytes, examiner: Examiner, control: Control) -> Decoded:
    """Read and decode a photo as a run does; raise a `PhotoError`."""
    file = await read_in_time(path, examiner.reading, control)
    if file is None:
        raise UnreadablePhotoError("it is no photo")
    return await to_thread.run_sync(_decoded, file.data, examiner, limiter=control.decoding)


def _decoded(data: bytes, examiner: Examiner) -> Decoded:
    decoded = decode(data, image_hash=image_hash(data), edge=examiner.edge)
    if examiner.to_send is not None:
        decoded.compact(max_edge=examiner.to_send.max_edge, max_bytes=examiner.to_send.max_bytes)
    return decoded
