"""The reading of what a model answered.

In: the text it wrote. Out: a `Classification` whose category is in the taxonomy by construction,
or an `AnswerError`. Pure.

Lenient about form (code fences, prose around the object, full-width or differently cased keys,
display names), strict about content: nothing off the list, no number that is not a confidence,
nothing that says two things at once.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from xintu_cli.errors import AnswerError
from xintu_cli.prompt.description import clean_description
from xintu_cli.records import Classification
from xintu_cli.taxonomy import Taxonomy

_LONGEST_REPLY = 20_000
_MOST_BRACES = 50


def read_answer(text: str, taxonomy: Taxonomy) -> Classification:
    """Read what a model wrote, or raise `AnswerError` saying what is wrong with it."""
    if len(text) > _LONGEST_REPLY:
        raise AnswerError(f"the reply has {len(text)} characters, at most {_LONGEST_REPLY} do")
    answer = _find_object(text)
    return Classification(
        category=_category(answer.get("category"), taxonomy),
        confidence=_confidence(answer.get("confidence")),
        description=clean_description(answer.get("description")),
        second_category=_second_category(answer, taxonomy),
    )


# ---- finding the object ----------------------------------------------------------------------

_FENCE = re.compile(r"```[a-zA-Z]*\s*\n?(.*?)```", re.DOTALL)
_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


def _find_object(text: str) -> dict[str, Any]:
    """Return the one JSON object in a reply that has a category."""
    text = _THOUGHT.sub("", text).strip().lstrip("\ufeff")
    if not text:
        raise AnswerError("the reply is empty")
    fenced: list[str] = _FENCE.findall(text)
    body = fenced[0].strip() if len(fenced) == 1 else text
    try:
        whole = _DECODER.decode(body)
    except _NOT_JSON:
        return _only_object(body)
    if not isinstance(whole, dict):
        raise AnswerError(f"the reply is JSON, but no object: {_shown(body)}")
    return whole


def _only_object(text: str) -> dict[str, Any]:
    """Return the object that stands in prose; two that differ would be a guess."""
    found = [candidate for candidate in _objects(text) if "category" in candidate]
    if not found:
        raise AnswerError(f"the reply holds no JSON object with a category: {_shown(text)}")
    if any(candidate != found[0] for candidate in found):
        raise AnswerError(f"the reply holds {len(found)} different answers: {_shown(text)}")
    return found[0]


def _objects(text: str) -> Iterator[dict[str, Any]]:
    start = text.find("{")
    for _ in range(_MOST_BRACES):
        if start < 0:
            return
        try:
            candidate, end = _DECODER.raw_decode(text, start)
        except _NOT_JSON:
            end = start + 1
        else:
            yield candidate
        start = text.find("{", end)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that says the same thing twice: either could be meant."""
    members: dict[str, Any] = {}
    for key, value in pairs:
        name = unicodedata.normalize("NFKC", key).strip().casefold()
        if name in members:
            raise AnswerError(f"the reply says {_shown(name)} twice")
        members[name] = value
    return members


# Not strict: a line break inside a description is a slip of form, and no reason to ask again.
_DECODER = json.JSONDecoder(object_pairs_hook=_members, strict=False)
# ValueError and not only its subclass: a number of 5 000 digits raises the plain one.
_NOT_JSON = (ValueError, RecursionError)


# ---- its members -----------------------------------------------------------------------------


def _category(value: Any, taxonomy: Taxonomy) -> str:
    if not isinstance(value, str):
        kind = "no category" if value is None else f"a category that is no text: {_shown(value)}"
        raise AnswerError(f"the reply has {kind}")
    key = _spellings(taxonomy).get(_normal(value))
    if key is None:
        raise AnswerError(f"the category {_shown(value)} is not in the list", off_list=True)
    return key


def _second_category(answer: Mapping[str, Any], taxonomy: Taxonomy) -> str | None:
    """Return the second category where it is one: a hint is not worth a second call."""
    value = answer.get("second_category")
    if not isinstance(value, str):
        return None
    spellings = _spellings(taxonomy)
    second = spellings.get(_normal(value))
    first = spellings.get(_normal(str(answer.get("category"))))
    return None if second == first else second


def _confidence(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AnswerError(f"the confidence is no number: {_shown(value)}")
    if not 0.0 <= value <= 1.0:  # NaN is neither
        raise AnswerError(f"the confidence is not between 0 and 1: {_shown(value)}")
    return float(value)


@lru_cache(maxsize=8)
def _spellings_of(categories: tuple[tuple[str, str, str], ...]) -> dict[str, str]:
    spellings: dict[str, str] = {}
    for key, *names in categories:
        for name in names:
            spellings.setdefault(_normal(name), key)
    # Last, so that a key is itself even where another category is displayed by that word.
    return spellings | {_normal(key): key for key, *_ in categories}


def _spellings(taxonomy: Taxonomy) -> dict[str, str]:
    return _spellings_of(tuple((c.key, c.en, c.zh) for c in taxonomy.categories))


def _normal(spelling: str) -> str:
    """Fold width, case, invisible characters, quotes and the space between words."""
    folded = unicodedata.normalize("NFKC", spelling).casefold()
    visible = "".join(c for c in folded if unicodedata.category(c) not in ("Cf", "Cs"))
    return re.sub(r"[\s_-]+", "_", visible.strip().strip("\"'`.。").strip())


def _shown(value: Any) -> str:
    """Quote what a model wrote, for an error: short and escaped."""
    text = ascii(value) if not isinstance(value, str) else value
    # 120 characters are looked at so that a megabyte is not escaped to show forty of it.
    escaped = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:120])
    return repr(escaped if len(escaped) <= 40 else escaped[:39] + "…")
