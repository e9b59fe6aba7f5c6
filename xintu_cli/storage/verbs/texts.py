"""Make any text storable: models, vendors and machines say what they like."""

from __future__ import annotations

DESCRIPTION_LENGTH = 2_000
ERROR_LENGTH = 500
REASON_LENGTH = 255
HOST_LENGTH = 255
NAME_LENGTH = 64
MODEL_LENGTH = 128
"""Characters. MySQL's columns are as long."""


def storable(text: str, length: int) -> str:
    """Cut a text, and replace its lone surrogates, which UTF-8 cannot encode."""
    if len(text) > length:
        text = f"{text[: length - 1]}…"
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
