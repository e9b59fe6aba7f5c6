"""The local model before the providers: what it keeps back, and what it is sure of."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import replace
from typing import Protocol

from xintu_cli.errors import (
    ModelFileError,
    NoProviderLeftError,
    ProviderError,
    UnansweredPhotoError,
)
from xintu_cli.interfaces import Classifier, DecodedPhoto
from xintu_cli.records import Answer, Reason
from xintu_cli.resilience.attempts import Abandoned, forget, handed_over


class Assessment(Protocol):
    """The local model's word on a photo."""

    @property
    def answer(self) -> Answer:
        """Its answer."""

    @property
    def protected(self) -> tuple[str, ...]:
        """The categories it cannot rule out, by the thresholds of its manifest."""


class LocalModel(Classifier, Protocol):
    """A classifier that also tells what its answer rests on."""

    async def assess(self, photo: DecodedPhoto) -> Assessment:
        """Answer one photo, or raise a `ProviderError`."""


class RememberedAnswers:
    """The local model, asked once a photo, however often its word is needed on the way.

    A photo that passes the gate and meets an outage needs the same answer twice. Its attempt
    is told the first time only: it was made once. `most` bounds the answers kept: more than
    there are photos in flight.
    """

    def __init__(self, inner: LocalModel, *, most: int) -> None:
        self._inner = inner
        self._most = most
        self._answers: OrderedDict[str, tuple[Answer, tuple[str, ...]]] = OrderedDict()

    @property
    def name(self) -> str:
        """The local model's name."""
        return self._inner.name

    async def classify(self, photo: DecodedPhoto) -> Answer:
        """Answer one photo."""
        return (await self.look(photo))[0]

    async def look(self, photo: DecodedPhoto) -> tuple[Answer, tuple[str, ...]]:
        """Return the answer and the protected categories that cannot be ruled out."""
        known = self._answers.get(photo.image_hash)
        if known is not None:
            return known
        assessment = await self._inner.assess(photo)
        answer, protected = assessment.answer, assessment.protected
        self._answers[photo.image_hash] = (replace(answer, attempts=()), protected)
        while len(self._answers) > self._most:
            self._answers.popitem(last=False)
        return answer, protected


class LocalFirst:
    """Asks the local model first, and the providers about what may and needs to be sent.

    The gate: what the local model takes for one of the `keep` categories stays here, its local
    answer is final. A photo that it cannot judge is not sent either. The cascade: an answer
    that is at least `sure_from` confident is enough (None: providers are asked anyway).
    """

    def __init__(
        self,
        inner: Classifier,
        local: RememberedAnswers,
        *,
        keep: Collection[str] = (),
        sure_from: float | None = None,
        abandoned: Abandoned = forget,
    ) -> None:
        self._inner = inner
        self._local = local
        self._keep = frozenset(keep)
        self._sure_from = sure_from
        self._abandoned = abandoned

    @property
    def name(self) -> str:
        """The inner classifier's name."""
        return self._inner.name

    async def classify(self, photo: DecodedPhoto) -> Answer:
        """Answer locally, or let the providers answer."""
        try:
            local, protected = await self._local.look(photo)
        except ProviderError as error:
            raise UnansweredPhotoError(
                f"not sent: the local model could not judge it: {error}", error.attempts
            ) from error
        except ModelFileError as error:
            # Its files were sound when the run began, and yet it cannot be loaded here.
            raise NoProviderLeftError(
                f"nothing is sent that the local model has not judged: {error}",
                exit_code=error.exit_code,
            ) from error
        said = local.classification
        if said.category in self._keep:
            return replace(local, reason=Reason.KEPT_LOCAL)
        if kept_for := [category for category in protected if category in self._keep]:
            # Stored with what kept it: later runs know by that whether it is kept still.
            said = replace(said, second_category=kept_for[0])
            return replace(local, classification=said, reason=Reason.KEPT_LOCAL)
        if self._sure_from is not None and local.classification.confidence >= self._sure_from:
            return local
        with handed_over(local.attempts, photo, self._abandoned):
            try:
                answer = await self._inner.classify(photo)
            except (ProviderError, UnansweredPhotoError) as error:
                error.attempts = (*local.attempts, *error.attempts)
                raise
        return replace(answer, attempts=(*local.attempts, *answer.attempts))
