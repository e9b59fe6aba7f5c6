"""The door of one provider: every gate is asked in one step, and entered in the same step.

A photo that waits for the rate holds no place in flight, and one that waits for a place cannot
slip into a breaker that opened meanwhile: a chain of separate decorators would have both. Photos
enter in the order they came; those of which one call may have been billed already wait in a row
of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio

from xintu_cli.decisions import Signal, signal_of
from xintu_cli.errors import (
    ExitCode,
    ProviderDownError,
    ProviderError,
    ProviderStoppedError,
    ProviderUnavailableError,
)
from xintu_cli.interfaces import Classifier, DecodedPhoto
from xintu_cli.records import Answer, Attempt
from xintu_cli.resilience.breaker import Breaker
from xintu_cli.resilience.clock import Clock
from xintu_cli.resilience.concurrency import Concurrency
from xintu_cli.resilience.gates import Call, Gate
from xintu_cli.resilience.pace import Pace

_A_MOMENT = 1e-6
"""Shorter waits are none: no clock can tell."""


_LEFT_TO_OTHERS_SECONDS = 30.0
"""For so long after a provider went down, a photo that may not survive a try leaves it to others:
an outage of half a minute ends none of them even where every photo is such a one."""

Notice = Callable[[str], None]
"""Tells a person one thing about the run."""


def say_nothing(_message: str, /) -> None:
    """Keep it from everybody."""


@dataclass(slots=True)
class _Ended:
    """How a call went, noted before its error flies on."""

    signal: Signal = Signal.SILENT
    retry_after_seconds: float | None = None
    tokens: int | None = None


class Admission:
    """One provider's gates, and who waits before them; on one event loop."""

    def __init__(
        self,
        name: str,
        *,
        breaker: Breaker,
        pace: Pace,
        concurrency: Concurrency,
        others: Sequence[Gate] = (),
        clock: Clock,
        notice: Notice = say_nothing,
    ) -> None:
        self.name = name
        self.breaker = breaker
        self.pace = pace
        self.concurrency = concurrency
        self.stopped: ProviderStoppedError | None = None
        self.perhaps_billed: set[str] = set()
        """Image hashes of photos of which one call ended nobody knows how: there is one more."""
        self._gates: tuple[Gate, ...] = (breaker, pace, concurrency, *others)
        self._clock = clock
        self._notice = notice
        self._last_failure = "no call has come back"
        self._said_down = False
        self._turnstile, self._other_turnstile = anyio.Lock(), anyio.Lock()
        self._news = anyio.Event()
        self._calls = 0

    @property
    def gone(self) -> ExitCode | None:
        """Why nothing is to be expected of it in this run; None while there is hope."""
        if self.stopped is not None:
            return self.stopped.exit_code
        hopeless = self.breaker.is_hopeless(self._clock.monotonic())
        return ExitCode.NO_CLASSIFIER if hopeless and not self.breaker.answered else None

    async def enter(self, image_hash: str) -> tuple[int, float]:
        """Wait until a call may be sent; return its number and the time.

        Raises `ProviderStoppedError`, or `ProviderDownError` when patience is over.
        """
        last_call = image_hash in self.perhaps_billed
        async with self._other_turnstile if last_call else self._turnstile:
            while True:
                now = self._clock.monotonic()
                self._raise_if_closed(now)
                wait = max(gate.wait_seconds(now) for gate in self._gates)
                if last_call:
                    wait = max(wait, self._left_to_others_seconds(now))
                if wait <= _A_MOMENT:
                    break
                await self._clock.wait(self._news, wait)
            self._calls += 1
            for gate in self._gates:
                gate.enter(now, self._calls)
            return self._calls, now

    def _left_to_others_seconds(self, now: float) -> float:
        """Return how long others may try first whether the provider is back.

        One more outcome that nobody knows ends a photo's way here, so it should not be the one
        that is sent into an outage.
        """
        if self.breaker.due is None or not self.breaker.answered:
            return 0.0
        return max(0.0, self.breaker.down_since + _LEFT_TO_OTHERS_SECONDS - now)

    async def news(self) -> None:
        """Wait until a call has ended, or a photo is done with this provider."""
        await self._news.wait()

    def tell(self) -> None:
        """Wake whoever waits for news."""
        self._news.set()
        self._news = anyio.Event()

    def fail(self, error: ProviderError) -> None:
        """Note why a call failed; what ends the provider for this run is said, once."""
        if isinstance(error, ProviderStoppedError):
            if self.stopped is None:
                self._notice(f"{self.name} is not asked again in this run: {error}")
            self.stopped = error
        elif isinstance(error, ProviderUnavailableError):
            self._last_failure = str(error)

    def leave(self, number: int, sent_at: float, ended: _Ended) -> None:
        """Tell the gates how the call ended, and whoever waits that it did."""
        call = Call(number, sent_at, ended.signal, ended.retry_after_seconds, ended.tokens)
        now = self._clock.monotonic()
        for gate in self._gates:
            gate.leave(now, call)
        if not self.breaker.is_down:
            # Not with every answer: those that were in flight come back after it has gone down.
            self._said_down = False
        self.tell()

    def _raise_if_closed(self, now: float) -> None:
        if self.stopped is not None:
            raise ProviderStoppedError(
                f"{self.name} has stopped for this run: {self.stopped}",
                out_of_money=self.stopped.out_of_money,
                misconfigured=self.stopped.misconfigured,
            )
        if self.breaker.is_hopeless(now):
            answered = self.breaker.answered
            how_long = "has been down for longer than photos wait" if answered else "never answered"
            if not self._said_down:
                self._said_down = True
                self._notice(f"{self.name} is down, photos go on without it: {self._last_failure}")
            raise ProviderDownError(
                f"{self.name} {how_long}: {self._last_failure}", unreachable=not answered
            )


class Admitted:
    """A classifier whose calls pass one provider's gates."""

    def __init__(self, inner: Classifier, admission: Admission) -> None:
        self._inner = inner
        self._admission = admission

    @property
    def name(self) -> str:
        """The provider's name."""
        return self._inner.name

    async def classify(self, photo: DecodedPhoto) -> Answer:
        """Wait, send, and tell the gates how it went; nothing is awaited after the answer."""
        number, sent_at = await self._admission.enter(photo.image_hash)
        ended = _Ended()
        try:
            answer = await self._inner.classify(photo)
            ended.signal, ended.tokens = Signal.ALIVE, _tokens(answer.attempts)
        except ProviderError as error:
            ended.signal, ended.tokens = signal_of(error), _tokens(error.attempts)
            if isinstance(error, ProviderUnavailableError):
                ended.retry_after_seconds = error.retry_after_seconds
            self._admission.fail(error)
            raise
        finally:
            self._admission.leave(number, sent_at, ended)
        return answer


def _tokens(attempts: Sequence[Attempt]) -> int | None:
    told = [(a.tokens_in or 0) + (a.tokens_out or 0) for a in attempts if a.tokens_in is not None]
    return sum(told) if told else None
