"""Spend no more than was allowed, and know what every call cost.

Before a send its worst case is reserved; afterwards the reservation becomes what the call cost.
A call whose end nobody knows is booked at its worst case: it may have been billed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

import anyio

from xintu_cli.errors import BudgetReachedError, ProviderError, UnansweredPhotoError
from xintu_cli.interfaces import Classifier, DecodedPhoto
from xintu_cli.money import CallShape, Price, Reservation, Spending
from xintu_cli.records import Answer, Attempt, Source
from xintu_cli.resilience.attempts import Abandoned, forget
from xintu_cli.resilience.clock import Clock

_NOT_BILLED = frozenset({"unavailable", "throttled", "rejected", "stopped"})
"""Outcomes that cost nothing unless the vendor says otherwise (it tells the tokens)."""
_UNSEEN_MARGIN = Decimal("1.1")
_BILLS_TO_TRUST = 10
"""Until a vendor has sent so many, those in flight may cost as many times their worst case as are
missing: a first bill that was low by chance does not let a whole wave pass the limit."""


class Purse:
    """One run's `Spending`, shared by all its providers, and who waits for change."""

    def __init__(self, spending: Spending) -> None:
        self.spending = spending
        self._change = anyio.Event()

    async def reserve(self, price: Callable[[], tuple[Decimal | None, Decimal]]) -> Reservation:
        """Reserve one call; raise `BudgetReachedError` once none can fit any more.

        `price` gives the worst case and the caution, anew whenever a bill has come meanwhile.
        Where it might fit when calls in flight turn out cheaper than their worst case, it
        waits for them: so the limit is used up, not only respected.
        """
        while True:
            worst, caution = price()
            if (reservation := self.spending.reserve(worst, caution=caution)) is not None:
                return reservation
            if not self.spending.may_fit_later(worst):
                raise BudgetReachedError(self._reached())
            await self._change.wait()

    def settle(
        self, reservation: Reservation, cost: Decimal | None, currency: str, *, requests: int = 1
    ) -> None:
        """Book what a call cost."""
        self.spending.settle(reservation, cost, currency, requests=requests)
        self._tell()

    def release(self, reservation: Reservation) -> None:
        """Take back a call that was not sent."""
        self.spending.release(reservation)
        self._tell()

    def _tell(self) -> None:
        self._change.set()
        self._change = anyio.Event()

    def _reached(self) -> str:
        spending = self.spending
        if spending.max_calls is not None and spending.calls >= spending.max_calls:
            return f"--max-calls is reached: {spending.calls} calls. The rest waits for a later run"
        amount, currency = spending.total
        return (
            f"--max-cost is reached: {amount} {currency} of {spending.max_cost} are spent, and "
            "one more call could go beyond. The rest waits for a later run"
        )


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a call to one provider's model may cost; `price` None: unknown.

    `shape` is asked before each call, since the room for an answer can grow during a run.
    """

    model: str
    price: Price | None = None
    shape: Callable[[], CallShape] | None = None

    def worst(self, photo: DecodedPhoto) -> Decimal | None:
        """Return the most that one call about this photo can cost by the formulas."""
        if self.price is None:
            return None
        if self.shape is None:
            raise ValueError("a price needs the shape of a call to bound its cost")
        shape = self.shape()
        tokens_in = shape.most_tokens_in(photo.facts.width, photo.facts.height)
        return self.price.most(tokens_in, shape.most_tokens_out)


class Metered:
    """A classifier that reserves before it sends, and prices every attempt."""

    def __init__(
        self,
        inner: Classifier,
        tariff: Tariff,
        purse: Purse,
        *,
        clock: Clock,
        abandoned: Abandoned = forget,
    ) -> None:
        self._inner = inner
        self._tariff = tariff
        self._purse = purse
        self._clock = clock
        self._abandoned = abandoned
        self.spent: Decimal = Decimal(0)
        self._overrun = Decimal(1)
        self._bills = 0
        self._first_call = anyio.Lock()
        self._calibrated = purse.spending.max_cost is None

    @property
    def name(self) -> str:
        """The provider's name."""
        return self._inner.name

    async def classify(self, photo: DecodedPhoto) -> Answer:
        """Answer within the budget.

        Under `--max-cost` the first call goes alone: what it really used checks the formulas
        that bound all others, and a wrong one costs one call instead of a hundred in flight.
        """
        if not self._calibrated:
            async with self._first_call:
                if not self._calibrated:
                    return await self._send(photo)
        return await self._send(photo)

    async def _send(self, photo: DecodedPhoto) -> Answer:
        bound = self._tariff.worst(photo)
        reservation = await self._purse.reserve(lambda: self._price(bound))
        started = self._clock.monotonic()
        try:
            answer = await self._inner.classify(photo)
        except (ProviderError, UnansweredPhotoError) as error:
            error.attempts = self._settle(reservation, error.attempts)
            self._learn(bound, error.attempts)
            raise
        except BaseException:
            # Cancelled, or a bug of ours: the request may have left.
            seconds = self._clock.monotonic() - started
            cut_off = self._settle(reservation, (self._cut_off(seconds),))
            self._abandoned(photo.image_hash, cut_off)
            raise
        attempts = self._settle(reservation, answer.attempts)
        self._learn(bound, attempts)
        return replace(answer, attempts=attempts)

    def _learn(self, bound: Decimal | None, attempts: tuple[Attempt, ...]) -> None:
        """Note how far a bill went beyond the formulas; what was not understood is billed too."""
        if bound and attempts and (billed := self._billed(attempts)):
            self._calibrated = True
            self._bills += 1
            self._overrun = max(self._overrun, billed / bound)

    def _price(self, bound: Decimal | None) -> tuple[Decimal | None, Decimal]:
        """Return a call's worst case after all bills so far, and how far to trust it."""
        caution = Decimal(_BILLS_TO_TRUST) / max(1, min(self._bills, _BILLS_TO_TRUST))
        if bound is not None and self._overrun > 1:
            bound *= self._overrun * _UNSEEN_MARGIN
        return bound, caution

    def _settle(
        self, reservation: Reservation, attempts: tuple[Attempt, ...]
    ) -> tuple[Attempt, ...]:
        """Price the attempts and book their sum; where none reached anybody, nothing was sent."""
        sent = sum(attempt.was_sent for attempt in attempts)
        if not sent:
            self._purse.release(reservation)
            return tuple(replace(attempt, cost=0.0) for attempt in attempts)
        costs = [self._cost(attempt, reservation.worst) for attempt in attempts]
        known = [cost for cost in costs if cost is not None]
        total = sum(known, Decimal(0)) if len(known) == len(costs) else None
        self._purse.settle(reservation, total, self._currency, requests=sent)
        self.spent += total or 0
        return tuple(
            attempt if cost is None else replace(attempt, cost=float(cost), currency=self._currency)
            for attempt, cost in zip(attempts, costs, strict=True)
        )

    def _cost(self, attempt: Attempt, worst: Decimal | None) -> Decimal | None:
        price = self._tariff.price
        if price is None:
            return None
        if attempt.tokens_in is not None and attempt.tokens_out is not None:
            return price.cost(attempt.tokens_in, attempt.tokens_out)
        return Decimal(0) if attempt.outcome in _NOT_BILLED else worst

    def _billed(self, attempts: tuple[Attempt, ...]) -> Decimal | None:
        """Return what the vendor's own count of tokens makes the last attempt cost."""
        last = attempts[-1]
        return None if last.tokens_in is None else self._cost(last, None)

    @property
    def _currency(self) -> str:
        return "" if self._tariff.price is None else self._tariff.price.currency

    def _cut_off(self, seconds: float) -> Attempt:
        """Return the attempt of a call that was cancelled: it may have been billed."""
        return Attempt(
            source=Source.LLM,
            provider=self.name,
            model=self._tariff.model,
            outcome="unknown",
            latency_ms=seconds * 1000,
            error="cut off when the run was stopped",
        )
