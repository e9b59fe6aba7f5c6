"""What a run would cost, for `--dry-run`. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from xintu_cli.money.prices import Price
from xintu_cli.money.tokens import CallShape


@dataclass(frozen=True, slots=True)
class MeanUse:
    """What calls to a model really used, on average over `calls` of them."""

    calls: int
    tokens_in: float
    tokens_out: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What so many calls will likely use; `cost` None: the price is unknown."""

    calls: int
    tokens_in: int
    tokens_out: int
    cost: Decimal | None
    currency: str
    measured_calls: int
    """How many real calls stand behind it; 0: formulas alone."""


_TYPICAL_TOKENS_OUT = 80
"""An answer in JSON with one sentence of description."""
_FORMULA_WEIGHT = 10
"""The formulas count as much as so many real calls: a first odd photo does not overturn them."""


def estimate(
    photos: int, shape: CallShape, price: Price | None, seen: MeanUse | None = None
) -> Estimate:
    """Estimate one call per photo of a typical format (3:2), corrected by what calls used."""
    edge = shape.max_edge
    tokens_in = float(shape.expected_tokens_in(edge, edge * 2 // 3))
    tokens_out = float(min(_TYPICAL_TOKENS_OUT, shape.most_tokens_out))
    measured = seen.calls if seen else 0
    if seen and measured:
        share = measured / (measured + _FORMULA_WEIGHT)
        tokens_in += share * (seen.tokens_in - tokens_in)
        tokens_out += share * (seen.tokens_out - tokens_out)
    # Rounded per call, so that a run of n photos costs n times what one does.
    each_in, each_out = math.ceil(tokens_in), math.ceil(tokens_out)
    return Estimate(
        calls=photos,
        tokens_in=photos * each_in,
        tokens_out=photos * each_out,
        cost=None if price is None else photos * price.cost(each_in, each_out),
        currency="" if price is None else price.currency,
        measured_calls=measured,
    )
