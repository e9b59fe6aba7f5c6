"""Prices, the tokens of a photo, what a run may spend and what it would cost."""

from xintu_cli.money.estimates import Estimate, MeanUse, estimate
from xintu_cli.money.prices import Price, PriceTable, Tier
from xintu_cli.money.reading import load_prices, parse_prices
from xintu_cli.money.spending import Reservation, Spending, check_limit
from xintu_cli.money.tokens import CallShape, Grid, ImageTokens, Patches, Tiles

__all__ = [
    "CallShape",
    "Estimate",
    "Grid",
    "ImageTokens",
    "MeanUse",
    "Patches",
    "Price",
    "PriceTable",
    "Reservation",
    "Spending",
    "Tier",
    "Tiles",
    "check_limit",
    "estimate",
    "load_prices",
    "parse_prices",
]
