"""Read replies that may hold anything: no vendor's SDK does that without raising its own mind.

In: the bytes of a body. Out: its JSON object, and members of it by type; `AnswerError` else.
Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from xintu_cli.errors import AnswerError

_MOST_TOKENS = 100_000_000
"""No call has so many: the longest context there is takes a tenth. A larger count is a server's
slip, and the sum of a few would not fit into a column of the cache."""


def json_object(content: bytes) -> dict[str, Any]:
    """Return the object a body holds, or raise `AnswerError` saying what it is instead."""
    try:
        document = json.loads(content)
    except UnicodeDecodeError as error:
        raise AnswerError("the reply is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"the reply is {_look(content)}, not JSON") from error
    if not isinstance(document, dict):
        raise AnswerError("the reply is JSON, but not an object")
    return document


def object_or_empty(content: bytes) -> dict[str, Any]:
    """Return the object an error's body holds; empty where it is HTML or anything else."""
    try:
        return json_object(content)
    except AnswerError:
        return {}


def member(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an inner object, empty where there is none."""
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def first(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the first object of an inner list, empty where there is none."""
    values = document.get(name)
    if isinstance(values, list) and values and isinstance(values[0], dict):
        return values[0]
    return {}


def count(usage: Mapping[str, Any], *names: str) -> int | None:
    """Return the sum of the token counts of these names; None where none is told."""
    told = [value for name in names if type(value := usage.get(name)) is int]
    counts = [value for value in told if 0 <= value <= _MOST_TOKENS]
    return sum(counts) if counts else None


def text_of(content: Any) -> str:
    """Return the text of a message: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part.get("text") for part in content if isinstance(part, dict)]
    return "".join(part for part in parts if isinstance(part, str))


def _look(content: bytes) -> str:
    start = content.lstrip()[:20].lower()
    if not start:
        return "empty"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page"
    return "cut off" if start.startswith((b"{", b"[")) else "something else"
