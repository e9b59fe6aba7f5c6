"""Make texts and numbers storable: models, vendors and machines say what they like."""

from __future__ import annotations

import math

DESCRIPTION_LENGTH = 2_000
ERROR_LENGTH = 500
REASON_LENGTH = 255
HOST_LENGTH = 255
NAME_LENGTH = 64
MODEL_LENGTH = 128
CURRENCY_LENGTH = 8
"""Characters. MySQL's columns are as long."""

_MOST_TOKENS = 2**31 - 1
_MOST_MONEY = 1_000_000.0
"""What MySQL's columns hold with room to add up; an answer must not be lost over a vendor's odd
bill for it."""


def storable(text: str, length: int) -> str:
    """Cut a text, and replace its lone surrogates, which UTF-8 cannot encode."""
    if len(text) > length:
        text = f"{text[: length - 1]}…"
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def storable_tokens(tokens: int | None) -> int | None:
    """Cut a number of tokens to what a column holds."""
    return None if tokens is None else max(0, min(tokens, _MOST_TOKENS))


def storable_money(amount: float | None) -> float | None:
    """Cut an amount to what a column holds; None where it is no number."""
    if amount is None or math.isnan(amount):
        return None
    return max(-_MOST_MONEY, min(amount, _MOST_MONEY))
