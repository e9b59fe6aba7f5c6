"""A classifier over any vendor: encode, ask once, read the answer, account for what was sent.

What the vendors have in common lives here; a `Vendor` is only the wire. One `classify` is one
request, always: a server that does not know a part of it (`dialect`) ends in `RequestFormError`,
and the next request is without that part.
"""

from __future__ import annotations

import base64
import io
import os
import time
from dataclasses import dataclass
from typing import Protocol

from anyio import CapacityLimiter, fail_after, to_thread

from xintu_cli.errors import (
    AnswerError,
    ProviderError,
    ProviderRejectedError,
    ProviderStoppedError,
    ProviderUnavailableError,
    RequestFormError,
)
from xintu_cli.imaging.encode import PREPARATION_VERSION
from xintu_cli.interfaces import DecodedPhoto
from xintu_cli.prompt import PROMPT_VERSION, AskedAgain, Question, question, read_answer
from xintu_cli.providers.dialect import Dialect, Negotiation
from xintu_cli.providers.endpoint import host_of
from xintu_cli.providers.profile import ApiKey, ProviderProfile
from xintu_cli.records import NOT_SENT, Answer, Attempt, Source
from xintu_cli.taxonomy import Taxonomy

_REFUSED_BEFORE_STOPPING = 3
"""Requests refused for their form, none ever answered: then it is not the photos."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the model's text, and what it took to write it.

    `cut`: the model ran into its limit of output tokens.
    """

    text: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None
    cut: bool = False


_NOTHING = Reply()


class CallFailedError(Exception):
    """A request without an answer: the `ProviderError` to raise, and what it took nonetheless.

    `complaint` is set where the server refused the form of the request, and may say which part.
    """

    def __init__(self, error: ProviderError, reply: Reply = _NOTHING, complaint: str = "") -> None:
        super().__init__(str(error))
        self.error = error
        self.reply = reply
        self.complaint = complaint


class Vendor(Protocol):
    """The wire to one vendor."""

    @property
    def first_dialect(self) -> Dialect:
        """What to try first."""

    @property
    def dialect_known(self) -> bool:
        """True where `first_dialect` is known to be understood."""

    async def ask(self, question: Question, picture: str, dialect: Dialect) -> Reply:
        """Send one request with one picture (base64 of a JPEG); raise `CallFailedError`.

        Cancelled, it ends at once and leaves no thread and no connection in use.
        """


class LLMClassifier:
    """A vision model behind a vendor's interface."""

    def __init__(
        self,
        profile: ProviderProfile,
        vendor: Vendor,
        taxonomy: Taxonomy,
        *,
        encoders: CapacityLimiter | None = None,
    ) -> None:
        """Take a vendor that is open; `encoders` limits the threads that encode JPEGs."""
        self._profile = profile
        self._vendor = vendor
        self._taxonomy = taxonomy
        self._encoders = encoders or CapacityLimiter(os.cpu_count() or 1)
        self._negotiation = Negotiation(vendor.first_dialect, known=vendor.dialect_known)
        self._questions = {
            off_list: question(taxonomy, language=profile.language, off_list=off_list)
            for off_list in (None, False, True)
        }
        self._has_answered = False
        self._refused_forms = 0

    @property
    def name(self) -> str:
        """The provider's name, as configured."""
        return self._profile.name

    @property
    def model(self) -> str:
        """The model that is asked."""
        return self._profile.model

    @property
    def most_output_tokens(self) -> int:
        """The most output tokens one call can be billed for now; it can grow during a run."""
        return self._negotiation.dialect.most_output_tokens

    @property
    def head_start_seconds(self) -> float:
        """How long the first call should go ahead of all others, to find out the dialect."""
        return self._negotiation.head_start_seconds

    @property
    def prompt_bytes(self) -> int:
        """The bytes of text in a request, for a bound of its tokens."""
        return max(asked.size_bytes for asked in self._questions.values())

    async def classify(self, photo: DecodedPhoto) -> Answer:
        """Ask about one photo, once; `AskedAgain` says what was wrong with an earlier answer."""
        asked = self._questions[photo.off_list if isinstance(photo, AskedAgain) else None]
        picture = await to_thread.run_sync(self._encode, photo, limiter=self._encoders)
        return await self._ask(asked, picture)

    async def check(self) -> str:
        """Make one tiny real call; say how it went, or raise what `classify` would."""
        picture = await to_thread.run_sync(_grey_picture, limiter=self._encoders)
        while True:
            try:
                answer = await self._ask(self._questions[None], picture)
            except RequestFormError:
                continue  # as often as a request has parts, at most
            break
        attempt = answer.attempts[-1]
        tokens = f"{attempt.tokens_in or '?'} tokens in, {attempt.tokens_out or '?'} out"
        host = host_of(self._profile.base_url)
        return f"{self.model} at {host} answered in {attempt.latency_ms:.0f} ms ({tokens})"

    def _encode(self, photo: DecodedPhoto) -> str:
        limits = {"max_edge": self._profile.max_edge, "max_bytes": self._profile.max_bytes}
        photo.compact(**limits)
        return base64.b64encode(photo.jpeg(**limits)).decode("ascii")

    async def _ask(self, asked: Question, picture: str) -> Answer:
        async with self._negotiation.turn():
            dialect = self._negotiation.dialect
            started = time.monotonic()
            try:
                with fail_after(self._profile.timeout_seconds):
                    reply = await self._vendor.ask(asked, picture, dialect)
            except TimeoutError as error:
                raise self._failed(self._too_late(), started) from error
            except CallFailedError as error:
                failure = error
            else:
                return self._answer(reply, started)
            # Raised here and not in the handler: an SDK's error may hold the key in its text, so
            # ours must not drag it along as its context.
            raise self._failed(self._judged(failure, dialect), started, failure.reply)

    def _answer(self, reply: Reply, started: float) -> Answer:
        """Read the reply, or raise `AnswerError` with what it took."""
        self._has_answered = True
        self._negotiation.understood()
        try:
            classification = read_answer(self._without_key(reply.text), self._taxonomy)
        except AnswerError as error:
            problem = error
        else:
            return Answer(
                classification=classification,
                source=Source.LLM,
                provider=self._profile.name,
                model=self._profile.model,
                prompt_version=PROMPT_VERSION,
                preparation_version=PREPARATION_VERSION,
                attempts=(self._attempt("ok", started, reply),),
            )
        if reply.cut:
            self._negotiation.give_room()
            problem = AnswerError(f"the reply was cut off at {reply.tokens_out or '?'} tokens")
        message = f"{self.name} gave no usable answer: {problem}"
        raise self._failed(AnswerError(message, off_list=problem.off_list), started, reply)

    def _without_key(self, text: str) -> str:
        """Take the key out of an answer: a server that echoes it must not bring it into tables."""
        key = self._profile.api_key.reveal()
        return text.replace(key, "***") if len(key) >= ApiKey.SHORTEST_SECRET else text

    def _judged(self, failure: CallFailedError, dialect: Dialect) -> ProviderError:
        """Return the error to raise: what a failure means after all that came before it."""
        error = failure.error
        if failure.complaint and self._negotiation.learn(dialect, failure.complaint):
            return RequestFormError(str(error))
        if isinstance(error, ProviderRejectedError) and not error.lasting:
            self._refused_forms += 1
            if not self._has_answered and self._refused_forms >= _REFUSED_BEFORE_STOPPING:
                return ProviderStoppedError(
                    f"{error} It has refused {self._refused_forms} requests like this and "
                    "answered none. Check the provider's model, kind and base_url.",
                    misconfigured=True,
                )
        elif isinstance(error, AnswerError | ProviderRejectedError):
            self._has_answered = True
            self._negotiation.understood()
        return error

    def _failed(
        self, error: ProviderError, started: float, reply: Reply = _NOTHING
    ) -> ProviderError:
        error.attempts = (self._attempt(_outcome(error), started, reply, error=str(error)),)
        return error

    def _attempt(self, outcome: str, started: float, reply: Reply, *, error: str = "") -> Attempt:
        """Return what the log keeps; the cost is filled in by whoever knows the prices."""
        return Attempt(
            source=Source.LLM,
            provider=self._profile.name,
            model=self._profile.model,
            outcome=outcome,
            latency_ms=(time.monotonic() - started) * 1000,
            tokens_in=reply.tokens_in,
            tokens_out=reply.tokens_out,
            error=error,
        )

    def _too_late(self) -> ProviderUnavailableError:
        where = f"{self.name} ({host_of(self._profile.base_url)})"
        return ProviderUnavailableError(
            f"{where} had not answered after {self._profile.timeout_seconds:g} s. "
            "It may have been billed.",
            outcome_unknown=True,
        )


def _outcome(error: ProviderError) -> str:
    match error:
        case ProviderUnavailableError(throttled=True):
            return "throttled"
        case ProviderUnavailableError(outcome_unknown=True):
            return "unknown"
        case ProviderUnavailableError(unreachable=True):
            return NOT_SENT
        case ProviderRejectedError():
            return "rejected"
        case AnswerError():
            return "not_understood"
        case ProviderStoppedError():
            return "stopped"
        case _:
            return "unavailable"


def _grey_picture() -> str:
    """Return a grey JPEG of 64 x 64 pixels as base64: the least that every vendor takes."""
    from PIL import Image

    encoded = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(encoded, "JPEG")
    return base64.b64encode(encoded.getvalue()).decode("ascii")
