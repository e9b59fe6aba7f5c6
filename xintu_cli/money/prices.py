"""What calls cost, by model and host.

Money is `Decimal`: prices are decimal texts (0.0375 USD per million tokens is no whole number
of nano-dollars, and no float), a product with a token count is exact in 28 digits, and a limit
is compared exactly. Floats appear only where a sum is stored or shown. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from xintu_cli.money.tokens import UNKNOWN_FAMILY, ImageTokens

_MILLION = Decimal(1_000_000)
NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Tier:
    """What a million tokens cost while the prompt has at most `up_to_tokens` (None: any)."""

    up_to_tokens: int | None
    per_million_in: Decimal
    per_million_out: Decimal

    def cost(self, tokens_in: int, tokens_out: int) -> Decimal:
        """Return the exact cost of a call at this tier."""
        return (self.per_million_in * tokens_in + self.per_million_out * tokens_out) / _MILLION


@dataclass(frozen=True, slots=True)
class Price:
    """One model's price; tiers in ascending order, the last one without a bound."""

    currency: str
    tiers: tuple[Tier, ...]
    as_of: date | None = None

    @classmethod
    def flat(cls, currency: str, per_million_in: float, per_million_out: float) -> Price:
        """Return a price without tiers; floats are taken for the decimals they are shown as."""
        tier = Tier(None, Decimal(str(per_million_in)), Decimal(str(per_million_out)))
        return cls(currency, (tier,))

    def cost(self, tokens_in: int, tokens_out: int) -> Decimal:
        """Return the exact cost of one call; the whole call is billed at its prompt's tier."""
        for tier in self.tiers:
            if tier.up_to_tokens is None or tokens_in <= tier.up_to_tokens:
                break
        else:
            tier = self.tiers[-1]
        return tier.cost(tokens_in, tokens_out)

    def most(self, tokens_in: int, tokens_out: int) -> Decimal:
        """Return the cost of the dearest call within these bounds, in whichever tier it falls."""
        costs = []
        for tier in self.tiers:
            bound = tokens_in if tier.up_to_tokens is None else tier.up_to_tokens
            costs.append(tier.cost(min(tokens_in, bound), tokens_out))
            if bound >= tokens_in:
                break
        return max(costs)


@dataclass(frozen=True, slots=True)
class PriceRow:
    """Prices hold for models that match a pattern, at hosts that match one."""

    models: tuple[str, ...]
    hosts: tuple[str, ...]
    price: Price


@dataclass(frozen=True, slots=True)
class FamilyRow:
    """How the models that match a pattern count pictures, wherever they run."""

    models: tuple[str, ...]
    tokens: ImageTokens


@dataclass(frozen=True, slots=True)
class PriceTable:
    """What is known of models; an own table's rows stand before those that ship with xintu."""

    prices: tuple[PriceRow, ...] = ()
    families: tuple[FamilyRow, ...] = ()

    def price(self, model: str, host: str) -> Price | None:
        """Return the price of a model at a host, None where it is not known (never 0)."""
        here = [row for row in self.prices if any(_matches(host, p) for p in row.hosts)]
        found = _closest(model, [(row.models, row.price) for row in here])
        return found if isinstance(found, Price) else None

    def image_tokens(self, model: str) -> ImageTokens:
        """Return how a model counts pictures."""
        found = _closest(model, [(row.models, row.tokens) for row in self.families])
        return UNKNOWN_FAMILY if found is None else found

    def followed_by(self, other: PriceTable) -> PriceTable:
        """Return this table with another's rows behind its own."""
        return PriceTable(self.prices + other.prices, self.families + other.families)


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name.casefold(), pattern.casefold())


def _closest(model: str, rows: Sequence[tuple[tuple[str, ...], Any]]) -> Any:
    """Return the value of the longest pattern that matches; of equals, the first row counts."""
    found, length = None, -1
    for patterns, value in rows:
        for pattern in patterns:
            if len(pattern) > length and _matches(model, pattern):
                found, length = value, len(pattern)
    return found
