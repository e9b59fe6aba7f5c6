"""What to do after a call failed: one pure table.

In: the error, what was tried on this photo before, how the provider stands. Out: a decision.
Nothing here waits or sends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import Enum

from xintu_cli.errors import (
    AnswerError,
    BudgetReachedError,
    NoProviderLeftError,
    ProviderDownError,
    ProviderError,
    ProviderRejectedError,
    ProviderStoppedError,
    ProviderUnavailableError,
    RequestFormError,
    XintuError,
)
from xintu_cli.records import Reason

MOST_ATTEMPTS = 3
"""Sends of one photo to one provider that may end badly on the photo's own account."""
MOST_THROTTLED = 6
"""Times that one photo may be told "too many requests" while others are answered: a picture of
more tokens than a minute allows is told so for ever."""
MOST_FORMS = 8
"""Forms of a request to try: more than it has parts that can be left out."""
LONGEST_RETRY_AFTER_SECONDS = 60.0
"""A vendor that asks for a longer pause is out, not busy."""
_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 20.0

Random = Callable[[], float]
"""Gives numbers in [0, 1), as `random.random`."""


# ---- the decisions ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Retry:
    """Ask the same provider again after so many seconds.

    `smaller`: with a smaller picture. `from_budget`: it counts against the retry budget.
    """

    after_seconds: float
    smaller: bool = False
    from_budget: bool = False


@dataclass(frozen=True, slots=True)
class FallBack:
    """Let the next classifier answer; `refused`: for 30 days not to be offered to this one."""

    reason: Reason
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Let the next classifier answer this photo, and this provider none any more."""

    reason: Reason = Reason.STOPPED


@dataclass(frozen=True, slots=True)
class AwaitVerdict:
    """Wait until something has happened to another photo, and decide again.

    Three failures in a second are this photo's fault or the beginning of an outage: whether
    photos that were sent later are answered will tell.
    """


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nobody is to be asked: the error is not a provider's, and ends the photo as it is."""


Decision = Retry | AwaitVerdict | FallBack | Stop | GiveUp


# ---- what it rests on ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tried:
    """One photo's failures at one provider so far, the present one included.

    `attempts` are those on the photo's own account: throttling and outages are not, a photo
    keeps its attempts while a provider is down; nor is a form of request that the server does
    not know. `waited_seconds`: since the first of those, or since the provider last answered
    anybody.
    """

    attempts: int = 0
    unknown_outcomes: int = 0
    misread: int = 0
    throttled: int = 0
    reformed: int = 0
    smaller: bool = False
    waited_seconds: float = 0.0

    def and_failed(self, error: ProviderError, *, provider_down: bool) -> Tried:
        """Return what was tried once this failure is counted."""
        unavailable = isinstance(error, ProviderUnavailableError)
        throttled = isinstance(error, ProviderUnavailableError) and error.throttled
        unknown = isinstance(error, ProviderUnavailableError) and error.outcome_unknown
        reformed = isinstance(error, RequestFormError)
        not_its_fault = throttled or reformed or (unavailable and provider_down)
        return replace(
            self,
            attempts=self.attempts + (not not_its_fault),
            unknown_outcomes=self.unknown_outcomes + unknown,
            misread=self.misread + isinstance(error, AnswerError),
            throttled=self.throttled + throttled,
            reformed=self.reformed + reformed,
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """How a provider stands when the failure has been counted."""

    down: bool = False
    """Its breaker is open: failures are the provider's, not the photos'."""
    budget_left: bool = True
    """The retry budget has a retry left."""
    patience_seconds: float = 120.0
    """How long a photo waits for a provider in all."""
    vouched_for: bool = True
    """It has answered a call that was sent after this photo's first failure."""
    others_try: bool = False
    """Other photos are on their way to it, whose luck will tell."""


# ---- the table -------------------------------------------------------------------------------


def decide(error: XintuError, tried: Tried, standing: Standing, random: Random) -> Decision:
    """Say what to do with a photo whose call ended in `error`."""
    match error:
        case ProviderDownError():
            return FallBack(Reason.OUTAGE)
        case ProviderUnavailableError():
            return _after_unavailable(error, tried, standing, random)
        case RequestFormError() if tried.reformed <= MOST_FORMS:
            return Retry(0.0)
        case ProviderRejectedError(too_large=True) if not tried.smaller and _may_try_again(tried):
            return Retry(0.0, smaller=True)
        case AnswerError() if tried.misread <= 1 and _may_try_again(tried):
            return Retry(0.0)
        case _:
            return after_last_attempt(error)


def after_last_attempt(error: XintuError) -> FallBack | Stop | GiveUp:
    """Say where a photo goes whose provider is not to be asked again about it."""
    match error:
        case BudgetReachedError() | NoProviderLeftError():
            return GiveUp()
        case ProviderUnavailableError():
            return FallBack(Reason.OUTAGE)
        case ProviderRejectedError():
            reason = Reason.TOO_LARGE if error.too_large else Reason.REFUSED
            return FallBack(reason, refused=error.lasting)
        case AnswerError():
            return FallBack(Reason.OFF_LIST if error.off_list else Reason.MALFORMED)
        case ProviderStoppedError():
            return Stop()
        case _:
            return GiveUp()


def _after_unavailable(
    error: ProviderUnavailableError, tried: Tried, standing: Standing, random: Random
) -> Decision:
    if error.outcome_unknown and tried.unknown_outcomes > 1:
        return FallBack(Reason.OUTAGE)  # it may have been billed twice already
    if tried.waited_seconds > standing.patience_seconds:
        return FallBack(Reason.OUTAGE)
    if standing.down:
        return Retry(0.0)  # the breaker says when
    if error.throttled:
        if standing.vouched_for and tried.throttled >= MOST_THROTTLED:
            return FallBack(Reason.OUTAGE)
        return Retry(_pause(error, tried.throttled, random))
    if tried.unknown_outcomes and standing.others_try and not standing.vouched_for:
        return AwaitVerdict()  # the one send that is left is not for finding out who is at fault
    if not _may_try_again(tried) or not standing.budget_left:
        if standing.others_try and not standing.vouched_for:
            return AwaitVerdict()
        return FallBack(Reason.OUTAGE)
    return Retry(_pause(error, tried.attempts, random), from_budget=True)


def _may_try_again(tried: Tried) -> bool:
    return tried.attempts < MOST_ATTEMPTS


def _pause(error: ProviderUnavailableError, failures: int, random: Random) -> float:
    told = error.retry_after_seconds
    if told is not None and told <= LONGEST_RETRY_AFTER_SECONDS:
        return max(0.0, told)
    return full_jitter(failures, random)


def full_jitter(failures: int, random: Random) -> float:
    """Return a random part of 0.5 s · 2^(failures - 1), at most 20 s.

    Full jitter: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    doublings = min(max(failures - 1, 0), 10)
    longest = min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2.0**doublings)
    return random() * longest


# ---- what a failure says of the provider -------------------------------------------------------


class Signal(Enum):
    """What the end of a call says of the provider's health."""

    ALIVE = "alive"
    """It answered, if only to refuse: refusals and parse errors open no breaker."""
    THROTTLED = "throttled"
    DOWN = "down"
    STOPPED = "stopped"
    SILENT = "silent"
    """Nothing was sent, or nobody waited for the end."""


def signal_of(error: XintuError) -> Signal:
    """Read a failure as news of the provider."""
    match error:
        case ProviderUnavailableError():
            busy = error.throttled and not asks_too_long(error)
            return Signal.THROTTLED if busy else Signal.DOWN
        case ProviderRejectedError() | AnswerError():
            return Signal.ALIVE
        case ProviderStoppedError():
            return Signal.STOPPED
        case _:
            return Signal.SILENT


def asks_too_long(error: ProviderUnavailableError) -> bool:
    """Tell whether the vendor asks for a pause that is an outage."""
    told = error.retry_after_seconds
    return told is not None and told > LONGEST_RETRY_AFTER_SECONDS


_MOST_CURABLE_FIRST = (
    Reason.OUTAGE,
    Reason.STOPPED,
    Reason.BUDGET,
    Reason.MALFORMED,
    Reason.OFF_LIST,
    Reason.TOO_LARGE,
    Reason.REFUSED,
)


def reason_to_keep(reasons: Collection[Reason]) -> Reason:
    """Return why the local model stands in, when several providers failed for several reasons.

    The most curable one: if one provider was merely out, the next run should ask again.
    """
    return next((reason for reason in _MOST_CURABLE_FIRST if reason in reasons), Reason.ASKED)
