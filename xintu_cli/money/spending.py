"""What a run may spend, and has spent: reservations, settlements, totals. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from xintu_cli.errors import ConfigurationError
from xintu_cli.money.prices import NOTHING, Price


@dataclass(frozen=True, slots=True)
class Reservation:
    """One call that may be sent, and what it costs at worst (None: its price is unknown)."""

    worst: Decimal | None


@dataclass(slots=True)
class Spending:
    """The ledger of one run, over all its providers: what is spent, what calls may yet cost.

    A call is reserved at its worst case before it is sent, then settled at what it cost, or
    released if it was not sent after all. So the sum of what is settled never exceeds
    `max_cost`, whatever is in flight, and `calls` never exceeds `max_calls`.
    """

    max_calls: int | None = None
    max_cost: Decimal | None = None
    calls: int = 0
    spent: dict[str, Decimal] = field(default_factory=dict)
    """By currency."""
    unpriced: int = 0
    """Calls whose cost nobody knows."""
    _reserved: Decimal = NOTHING
    _in_flight: int = 0

    def reserve(
        self, worst: Decimal | None, *, caution: Decimal = Decimal(1)
    ) -> Reservation | None:
        """Book one call; None: it does not fit in what is left.

        `caution`: it goes beside others only if all in flight may cost so many times their worst.
        """
        if self.max_calls is not None and self.calls >= self.max_calls:
            return None
        in_flight = self._reserved + (worst or NOTHING)
        if self._reserved:
            in_flight *= caution
        if self.max_cost is not None and not self._settled + in_flight <= self.max_cost:
            return None
        self.calls += 1
        self._in_flight += 1
        self._reserved += worst or NOTHING
        return Reservation(worst)

    def may_fit_later(self, worst: Decimal | None) -> bool:
        """Tell whether such a call may fit once what is in flight turns out cheaper than feared.

        Or to be no call at all, where nobody was there to take it.
        """
        if self.max_calls is not None and self.calls - self._in_flight >= self.max_calls:
            return False
        if self.max_calls is not None and self.calls >= self.max_calls:
            return True
        return self.max_cost is None or (
            self._reserved > NOTHING and self._settled + (worst or NOTHING) <= self.max_cost
        )

    def settle(
        self, reservation: Reservation, cost: Decimal | None, currency: str, *, requests: int = 1
    ) -> None:
        """Replace a reservation by what it became: requests sent, their cost (None: unknown)."""
        self._reserved -= reservation.worst or NOTHING
        self._in_flight -= 1
        self.calls += requests - 1
        if cost is None:
            self.unpriced += 1
        elif currency:
            self.spent[currency] = self.spent.get(currency, NOTHING) + cost

    def release(self, reservation: Reservation) -> None:
        """Take back a reservation whose call was not sent."""
        self._reserved -= reservation.worst or NOTHING
        self._in_flight -= 1
        self.calls -= 1

    @property
    def total(self) -> tuple[Decimal | None, str]:
        """The money spent and its currency; None where a price is unknown or currencies mix."""
        if self.unpriced or len(self.spent) > 1:
            return None, ""
        for currency, amount in self.spent.items():
            return amount, currency
        return NOTHING, ""

    @property
    def _settled(self) -> Decimal:
        return sum(self.spent.values(), NOTHING)


def check_limit(max_cost: float | Decimal | None, prices: Mapping[str, Price | None]) -> None:
    """Refuse `--max-cost` where it could not be kept: an unknown price, or two currencies."""
    if max_cost is None:
        return
    unknown = sorted(name for name, price in prices.items() if price is None)
    if unknown:
        raise ConfigurationError(
            f"cannot keep --max-cost: the price of {', '.join(unknown)} is unknown. Give its "
            "[[provider]] a price_in, price_out and currency (per million tokens), or use "
            "--max-calls."
        )
    currencies = sorted({price.currency for price in prices.values() if price is not None})
    if len(currencies) > 1:
        raise ConfigurationError(
            f"cannot keep --max-cost over prices in {' and '.join(currencies)}. Name providers "
            "of one currency with --provider, or use --max-calls."
        )
