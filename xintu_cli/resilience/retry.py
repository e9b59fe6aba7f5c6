"""Ask again, where the table of decisions says so: the one layer of retries there is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from xintu_cli.decisions import (
    AwaitVerdict,
    Decision,
    Random,
    Retry,
    Standing,
    Tried,
    decide,
)
from xintu_cli.errors import (
    AnswerError,
    ProviderError,
    ProviderUnavailableError,
    UnansweredPhotoError,
)
from xintu_cli.interfaces import Classifier, DecodedPhoto
from xintu_cli.prompt import AskedAgain
from xintu_cli.records import Answer, Attempt, PhotoFacts
from xintu_cli.resilience.admission import Admission
from xintu_cli.resilience.attempts import Abandoned, FailedPhoto, forget, handed_over
from xintu_cli.resilience.breaker import Breaker
from xintu_cli.resilience.clock import Clock

if TYPE_CHECKING:
    from PIL.Image import Image


class RetryBudget:
    """How many retries a provider is worth: a tenth of the sends, and ten to begin with.

    Without it, retries triple the load on a vendor that fails under its load.
    """

    _SENDS_PER_RETRY = 10
    _TO_BEGIN_WITH = 10

    def __init__(self) -> None:
        self._sends = self._TO_BEGIN_WITH * self._SENDS_PER_RETRY

    @property
    def has_one_left(self) -> bool:
        """True if a retry may be made."""
        return self._sends >= self._SENDS_PER_RETRY

    def note_sends(self, sends: int) -> None:
        """Earn a tenth of a retry with each."""
        self._sends += sends

    def spend(self) -> None:
        """Make a retry."""
        self._sends -= self._SENDS_PER_RETRY


@dataclass(frozen=True, slots=True)
class SmallerPhoto:
    """The same photo at half the edge and half the bytes, after "too large"."""

    photo: DecodedPhoto

    @property
    def image_hash(self) -> str:
        """Return the photo's image hash."""
        return self.photo.image_hash

    @property
    def facts(self) -> PhotoFacts:
        """Return the photo's facts."""
        return self.photo.facts

    def image(self) -> Image:
        """Return the photo's picture, as large as it is."""
        return self.photo.image()

    def jpeg(self, *, max_edge: int, max_bytes: int) -> bytes:
        """Return the photo's JPEG within half of both limits; blocks."""
        return self.photo.jpeg(max_edge=max_edge // 2, max_bytes=max_bytes // 2)

    def compact(self, *, max_edge: int, max_bytes: int) -> None:
        """Drop the photo's pixels, for a JPEG of the size that everybody else gets."""
        self.photo.compact(max_edge=max_edge, max_bytes=max_bytes)


class _Course:
    """One photo's way through one provider: what was sent, and what to show next."""

    def __init__(self, photo: DecodedPhoto) -> None:
        self.attempts: list[Attempt] = []
        self.tried = Tried()
        self._photo = photo
        self._off_list: bool | None = None
        self._waiting_since = math.inf
        self.failing_since = math.inf

    @property
    def shown(self) -> DecodedPhoto:
        """The photo as it is sent: smaller, or with a word on what was wrong with the answer."""
        photo = SmallerPhoto(self._photo) if self.tried.smaller else self._photo
        return photo if self._off_list is None else AskedAgain(photo, self._off_list)

    def note(self, attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
        """Add a send's attempts; return all of them, numbered."""
        for attempt in attempts:
            self.attempts.append(replace(attempt, number=len(self.attempts) + 1))
        return tuple(self.attempts)

    def fail(self, error: FailedPhoto, now: float, breaker: Breaker) -> None:
        """Count a failure."""
        self.failing_since = min(self.failing_since, now)
        if not isinstance(error, ProviderError):
            return
        if isinstance(error, ProviderUnavailableError) and error.outcome_unknown:
            self.failing_since = now  # only what was answered after this vouches for a second send
        before = self.tried
        self.tried = before.and_failed(error, provider_down=breaker.is_down)
        if self.tried.attempts == before.attempts:
            self._waiting_since = min(self._waiting_since, now)
            since = max(self._waiting_since, breaker.last_answered_send)
            self.tried = replace(self.tried, waited_seconds=max(0.0, now - since))

    def adapt(self, error: FailedPhoto, retry: Retry) -> None:
        """Change what is shown next, where that may help."""
        self.tried = replace(self.tried, smaller=self.tried.smaller or retry.smaller)
        if isinstance(error, AnswerError):
            self._off_list = error.off_list


class Retrying:
    """A classifier that decides after every failure; each send goes through `inner` anew."""

    def __init__(
        self,
        inner: Classifier,
        *,
        admission: Admission,
        budget: RetryBudget,
        clock: Clock,
        random: Random,
        abandoned: Abandoned = forget,
    ) -> None:
        self._inner = inner
        self._admission = admission
        self._budget = budget
        self._clock = clock
        self._random = random
        self._abandoned = abandoned
        self._trying = 0
        self._exhausted = 0

    @property
    def name(self) -> str:
        """The provider's name."""
        return self._inner.name

    async def classify(self, photo: DecodedPhoto) -> Answer:
        """Answer a photo, or raise its last error; both carry the attempts of all sends."""
        course = _Course(photo)
        self._trying += 1
        try:
            with handed_over(course.attempts, photo, self._abandoned):
                return await self._try(course)
        finally:
            self._trying -= 1
            self._admission.perhaps_billed.discard(photo.image_hash)
            if self._exhausted:
                self._admission.tell()

    async def _try(self, course: _Course) -> Answer:
        while True:
            try:
                answer = await self._inner.classify(course.shown)
            except (ProviderError, UnansweredPhotoError) as error:
                retry = await self._after(error, course)
                if retry is None:
                    raise
            else:
                self._budget.note_sends(len(answer.attempts))
                return replace(answer, attempts=course.note(answer.attempts))
            await self._clock.sleep(retry.after_seconds)

    async def _after(self, error: FailedPhoto, course: _Course) -> Retry | None:
        """Decide; None: the error is the photo's end here, and carries all its attempts."""
        self._budget.note_sends(len(error.attempts))
        error.attempts = course.note(error.attempts)
        course.fail(error, self._clock.monotonic(), self._admission.breaker)
        if course.tried.unknown_outcomes:
            self._admission.perhaps_billed.add(course.shown.image_hash)
        while isinstance(decision := self._decide(error, course), AwaitVerdict):
            await self._verdict(course)
        if not isinstance(decision, Retry):
            return None
        if decision.from_budget:
            self._budget.spend()
        course.adapt(error, decision)
        return decision

    async def _verdict(self, course: _Course) -> None:
        """Wait for news of the others; if all who try have used up their attempts, open."""
        if self._trying == self._exhausted + 1:
            self._admission.breaker.open_now(self._clock.monotonic(), course.failing_since)
            self._admission.tell()
            return
        self._exhausted += 1
        try:
            await self._admission.news()
        finally:
            self._exhausted -= 1

    def _decide(self, error: FailedPhoto, course: _Course) -> Decision:
        breaker = self._admission.breaker
        standing = Standing(
            down=breaker.is_down,
            budget_left=self._budget.has_one_left,
            patience_seconds=breaker.rules.max_wait_seconds,
            vouched_for=breaker.last_answered_send >= course.failing_since,
            others_try=self._trying > 1,
        )
        return decide(error, course.tried, standing, self._random)
