"""Classifiers with behaviour and without any wire: for tests of whatever wraps classifiers."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import anyio

from xintu_cli.errors import ProviderError, ProviderUnavailableError, UnansweredPhotoError
from xintu_cli.interfaces import DecodedPhoto
from xintu_cli.records import Answer, Attempt, Classification, PhotoFacts, Source

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class PaperPhoto:
    """A photo that is only a name and a size; asked for its pixels, it tells the limits."""

    image_hash: str = "0" * 32
    width: int = 4000
    height: int = 3000

    @property
    def facts(self) -> PhotoFacts:
        return PhotoFacts(self.width, self.height, None, "blue")

    def image(self) -> Image:
        raise NotImplementedError("a paper photo has no pixels")

    def jpeg(self, *, max_edge: int, max_bytes: int) -> bytes:
        return f"{max_edge} px, {max_bytes} bytes".encode()

    def compact(self, *, max_edge: int, max_bytes: int) -> None:
        pass


def photos(count: int) -> Iterator[PaperPhoto]:
    """Name so many different photos."""
    return (PaperPhoto(f"{number:032x}") for number in range(count))


def attempt(outcome: str = "ok", provider: str = "qwen", tokens: int | None = None) -> Attempt:
    """Return one attempt; with `tokens`, so many in and a tenth out."""
    return Attempt(
        source=Source.LLM,
        provider=provider,
        model="vl",
        outcome=outcome,
        latency_ms=1.0,
        tokens_in=tokens,
        tokens_out=None if tokens is None else tokens // 10,
    )


def answer(provider: str = "qwen", category: str = "pets", tokens: int | None = None) -> Answer:
    """Return an LLM's answer with its one attempt."""
    return Answer(
        classification=Classification(category, 0.9),
        source=Source.LLM,
        provider=provider,
        model="vl",
        attempts=(attempt("ok", provider, tokens),),
    )


E = TypeVar("E", bound=ProviderError | UnansweredPhotoError)


def failed(error: E, outcome: str = "unavailable") -> E:
    """Return the error with the attempt of one call."""
    error.attempts = (attempt(outcome),)
    return error


Behaviour = Answer | Exception | Callable[[DecodedPhoto], Answer | Exception]


@dataclass(slots=True)
class ScriptedProvider:
    """Answers with one behaviour after the other, the last one for ever."""

    behaviours: Sequence[Behaviour] = ()
    name: str = "qwen"
    seconds: float = 0.0
    received: list[DecodedPhoto] = field(default_factory=list)
    sent_at: list[float] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def classify(self, photo: DecodedPhoto) -> Answer:
        self.received.append(photo)
        self.sent_at.append(anyio.current_time())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await anyio.sleep(self.seconds)
        finally:
            self.in_flight -= 1
        behaviours = self.behaviours or (answer(self.name),)
        behaviour = behaviours[min(len(self.received), len(behaviours)) - 1]
        result = behaviour(photo) if callable(behaviour) else behaviour
        if isinstance(result, Exception):
            raise copy.copy(result)  # whoever catches it adds to its attempts
        return result


@dataclass(frozen=True, slots=True)
class LocalWord:
    """What the local model says of a photo."""

    answer: Answer
    protected: tuple[str, ...] = ()


@dataclass(slots=True)
class PaperLocalModel:
    """A local model that says the same of every photo, or fails at each."""

    category: str = "other"
    confidence: float = 0.5
    protected: tuple[str, ...] = ()
    error: Exception | None = None
    seconds: float = 0.0
    asked: int = 0
    name: str = "local"

    async def classify(self, photo: DecodedPhoto) -> Answer:
        return (await self.assess(photo)).answer

    async def assess(self, photo: DecodedPhoto) -> LocalWord:
        await anyio.sleep(self.seconds)
        self.asked += 1
        if self.error is not None:
            raise self.error
        made = Attempt(Source.LOCAL, "local", "lite", "ok", 5.0)
        said = Classification(self.category, self.confidence)
        return LocalWord(
            Answer(said, Source.LOCAL, "local", "lite", attempts=(made,)), self.protected
        )


@dataclass(slots=True)
class BucketVendor:
    """A vendor with a token bucket: `rate` calls a second, `burst` at once; it may go down.

    What is refused or fails is told after `refusal_seconds`; the rest is answered after a random
    time out of `seconds`.
    """

    rate: float = 20.0
    burst: float = 20.0
    seconds: tuple[float, float] = (1.0, 2.0)
    refusal_seconds: float = 0.05
    retry_after_seconds: float | None = None
    fills_every_seconds: float = 0.0
    """The bucket is filled to the brim so often, and not in between; 0: all the time."""
    down: tuple[float, float] = (-1.0, -1.0)
    hangs_seconds: float = 0.0
    """While it is down calls hang for so long and then time out; 0: they fail at once."""
    breaks: str = ""
    """What calls fail with while it is down: "reset" after the body, or "refused" before it."""
    down_retry_after_seconds: float | None = None
    flaw: float = 0.0
    """The share of calls that fail without a reason."""
    poison: str = ""
    """Image hash of a photo that always makes it fail."""
    name: str = "qwen"
    answered: int = 0
    refused_at: list[float] = field(default_factory=list)
    failed_at: list[float] = field(default_factory=list)
    sent_at: list[float] = field(default_factory=list)
    last_answer_at: float = 0.0
    _level: float = -1.0
    _filled_at: float = 0.0
    _random: random.Random = field(default_factory=lambda: random.Random(1))

    async def classify(self, photo: DecodedPhoto) -> Answer:
        now = anyio.current_time()
        self.sent_at.append(now)
        if self._fails(now, photo):
            self.failed_at.append(now)
            await anyio.sleep(self.hangs_seconds or self.refusal_seconds)
            raise self._failure()
        if not self._has_room(now):
            self.refused_at.append(now)
            await anyio.sleep(self.refusal_seconds)
            raise failed(
                ProviderUnavailableError(
                    "429 Too Many Requests",
                    throttled=True,
                    retry_after_seconds=self.retry_after_seconds,
                ),
                "throttled",
            )
        await anyio.sleep(self._random.uniform(*self.seconds))
        self.answered += 1
        self.last_answer_at = anyio.current_time()
        return answer(self.name)

    def _fails(self, now: float, photo: DecodedPhoto) -> bool:
        down = self.down[0] <= now < self.down[1]
        return down or photo.image_hash == self.poison or self._random.random() < self.flaw

    def _failure(self) -> ProviderUnavailableError:
        if self.hangs_seconds or self.breaks == "reset":
            return failed(ProviderUnavailableError("no reply", outcome_unknown=True), "unknown")
        if self.breaks == "refused":
            return ProviderUnavailableError("connection refused", unreachable=True)
        told = self.down_retry_after_seconds
        return failed(ProviderUnavailableError("503", retry_after_seconds=told))

    def _has_room(self, now: float) -> bool:
        level = self.burst if self._level < 0 else self._level
        if self.fills_every_seconds:
            periods = now // self.fills_every_seconds - self._filled_at // self.fills_every_seconds
            level = self.burst if periods else level
        else:
            level = min(self.burst, level + (now - self._filled_at) * self.rate)
        self._filled_at = now
        self._level = level - (level >= 1)
        return level >= 1
