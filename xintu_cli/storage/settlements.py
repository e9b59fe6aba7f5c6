"""Settlements as JSON and back, for the spool."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from xintu_cli.records import Answer, Attempt, Classification, Refusal, Settlement, Source

FORMAT = 1
"""Raised when a reader of today's JSON would misread tomorrow's."""


def encode(settlement: Settlement) -> str:
    """Return a settlement as ASCII JSON; lone surrogates of a model's text survive in it."""
    return json.dumps(asdict(settlement))


def decode(text: str) -> Settlement:
    """Build the settlement that `encode` wrote; raises `ValueError` or `TypeError`."""
    document: dict[str, Any] = json.loads(text)
    pairs: dict[str, Any] = {
        "answers": _pairs(document["answers"], _answer),
        "attempts": _pairs(document["attempts"], _attempt),
        "refusals": _pairs(document["refusals"], _refusal),
        "hits": tuple(document["hits"]),
        "released": tuple(document["released"]),
    }
    return Settlement(**{**document, **pairs})


def _pairs(rows: list[list[Any]], build: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((image_hash, build(fields)) for image_hash, fields in rows)


def _answer(fields: dict[str, Any]) -> Answer:
    built = {
        "classification": Classification(**fields["classification"]),
        "source": Source(fields["source"]),
        "attempts": tuple(_attempt(attempt) for attempt in fields["attempts"]),
        "refusals": tuple(_refusal(refusal) for refusal in fields["refusals"]),
    }
    return Answer(**{**fields, **built})


def _attempt(fields: dict[str, Any]) -> Attempt:
    return Attempt(**{**fields, "source": Source(fields["source"])})


def _refusal(fields: dict[str, Any]) -> Refusal:
    return Refusal(**fields)
