"""Failover: down the list of providers, and at the end the local model.

What happened on the way is not forgotten: the answer (or the error) carries the attempts of
everybody who was asked, and who refused the photo for good.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from xintu_cli.decisions import FallBack, GiveUp, Stop, after_last_attempt, reason_to_keep
from xintu_cli.errors import (
    ExitCode,
    NoProviderLeftError,
    ProviderError,
    UnansweredPhotoError,
)
from xintu_cli.interfaces import Classifier, DecodedPhoto
from xintu_cli.records import Answer, Attempt, Reason, Refusal
from xintu_cli.resilience.attempts import Abandoned, FailedPhoto, forget, handed_over

RefusedBefore = Callable[[str], frozenset[str]]
"""Image hash to the providers that are not to be asked about it: they refused it lately."""


def refused_by_nobody(_image_hash: str, /) -> frozenset[str]:
    """Know of no refusals."""
    return frozenset()


class Provider(Classifier, Protocol):
    """One provider with all its decorators."""

    @property
    def gone(self) -> ExitCode | None:
        """Why it will answer nothing more in this run; None while there is hope."""


@dataclass(slots=True)
class _Way:
    """What happened to one photo so far."""

    attempts: list[Attempt] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    said: str = "no provider is configured"

    def note(self, error: FailedPhoto) -> None:
        self.attempts += error.attempts
        self.said = str(error)


class Fallback:
    """A classifier that asks others in turn; `local` stands in where nobody answers.

    Raises `UnansweredPhotoError` where nobody is left for this photo, and
    `NoProviderLeftError` where nobody is left for any.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        local: Classifier | None,
        *,
        refused_before: RefusedBefore = refused_by_nobody,
        abandoned: Abandoned = forget,
    ) -> None:
        self._providers = tuple(providers)
        self._local = local
        self._refused_before = refused_before
        self._abandoned = abandoned

    @property
    def name(self) -> str:
        """The providers' names in failover order."""
        last = () if self._local is None else (self._local.name,)
        return " > ".join([*(provider.name for provider in self._providers), *last])

    async def classify(self, photo: DecodedPhoto) -> Answer:
        """Return the first answer there is."""
        way = _Way()
        with handed_over(way.attempts, photo, self._abandoned):
            unwilling = self._refused_before(photo.image_hash)
            for provider in self._providers:
                if provider.name in unwilling:
                    way.reasons.append(Reason.REFUSED)
                    way.said = f"{provider.name} refused it in an earlier run"
                    continue
                answer = await self._ask(provider, photo, way)
                if answer is not None:
                    return self._complete(answer, way)
            return await self._stand_in(photo, way)

    async def _ask(self, provider: Provider, photo: DecodedPhoto, way: _Way) -> Answer | None:
        try:
            return await provider.classify(photo)
        except (ProviderError, UnansweredPhotoError) as error:
            way.note(error)
            decision = after_last_attempt(error)
            match decision:
                case GiveUp():
                    error.attempts, error.refusals = tuple(way.attempts), tuple(way.refusals)
                    raise
                case FallBack(reason=reason, refused=refused):
                    way.reasons.append(reason)
                    if refused:
                        way.refusals.append(Refusal(provider.name, reason))
                case Stop(reason=reason):
                    way.reasons.append(reason)
            return None

    async def _stand_in(self, photo: DecodedPhoto, way: _Way) -> Answer:
        """Let the local model answer, provisionally."""
        if self._local is None:
            gone = [provider.gone for provider in self._providers]
            if all(code is not None for code in gone):
                error = NoProviderLeftError(
                    f"nobody is left to ask: {way.said}",
                    tuple(way.attempts),
                    exit_code=_gravest(gone),
                )
                error.refusals = tuple(way.refusals)
                raise error
            raise UnansweredPhotoError(way.said, tuple(way.attempts), tuple(way.refusals))
        try:
            answer = await self._local.classify(photo)
        except ProviderError as error:
            way.note(error)
            raise UnansweredPhotoError(
                way.said, tuple(way.attempts), tuple(way.refusals)
            ) from error
        return self._complete(replace(answer, reason=reason_to_keep(way.reasons)), way)

    @staticmethod
    def _complete(answer: Answer, way: _Way) -> Answer:
        return replace(
            answer,
            attempts=(*way.attempts, *answer.attempts),
            refusals=(*way.refusals, *answer.refusals),
        )


def _gravest(codes: Sequence[ExitCode | None]) -> ExitCode:
    for code in (ExitCode.CREDENTIALS, ExitCode.CONFIGURATION):
        if code in codes:
            return code
    return ExitCode.NO_CLASSIFIER
