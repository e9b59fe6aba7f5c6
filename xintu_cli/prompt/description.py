"""The description of a photo, made fit to be stored, shown and shared. Pure."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

_LONGEST_DESCRIPTION = 200

_LINK = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+\.\S+", re.IGNORECASE)
_NUMBER = re.compile(r"\d(?:[\s./-]?\d){4,}[0-9Xx]?")
_QUOTED = re.compile(
    '["“「『][^"”」』]{1,200}["”」』]'
    # A single quote opens a quotation where no letter stands before it: elsewhere it is a cat's.
    r"|(?<!\w)['‘][^'’]{1,200}['’](?!\w)"
)


def clean_description(value: Any) -> str:
    """Return a description fit to be stored and shared: one short line of plain text.

    A model that was told not to copy text does so now and then; what it copied stands in
    quotation marks or is a number or an address, and each of these becomes an ellipsis.
    """
    if not isinstance(value, str):
        return ""
    plain = "".join(_plain(c) for c in value[: 4 * _LONGEST_DESCRIPTION])
    for copied in (_QUOTED, _LINK, _NUMBER):
        plain = copied.sub("…", plain)
    line = " ".join(plain.split())
    if len(line) <= _LONGEST_DESCRIPTION:
        return line
    return line[: _LONGEST_DESCRIPTION - 1].rstrip() + "…"


def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cf", "Cs"):
        return ""
    return " " if category.startswith(("C", "Z")) else character
