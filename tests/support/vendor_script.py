"""What the vendor server is to do: a default answer, and rules for single requests.

A script is data: tests write it with these classes, a subprocess reads the same as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

ANSWER: Mapping[str, Any] = {
    "category": "pets",
    "confidence": 0.93,
    "description": "A cat on a sofa.",
    "second_category": None,
}


class Fault(StrEnum):
    """What can happen to a connection instead of a reply."""

    RESET_IN_UPLOAD = "reset_in_upload"
    CLOSE_BEFORE_REPLY = "close_before_reply"
    RESET_BEFORE_REPLY = "reset_before_reply"
    CLOSE_IN_REPLY = "close_in_reply"
    RESET_IN_REPLY = "reset_in_reply"
    DRIP = "drip"
    DRIP_HEADERS = "drip_headers"
    BLACK_HOLE = "black_hole"
    ENDLESS = "endless"
    ENDLESS_CHUNKS = "endless_chunks"
    GARBAGE = "garbage"


@dataclass(frozen=True, slots=True)
class When:
    """Which requests a rule is about: all that is given must hold; requests count from 1.

    `picture` is the SHA-256 of the JPEG that arrived, `seconds` a span since the first request.
    """

    numbers: tuple[int, ...] = ()
    first: int = 0
    every: int = 0
    picture: str = ""
    contains: str = ""
    lacks: str = ""
    seconds: tuple[float, float] | None = None

    @property
    def needs_body(self) -> bool:
        """True where the rule cannot be judged by a request's number and time alone."""
        return bool(self.picture or self.contains or self.lacks)

    def holds(self, *, number: int, at_seconds: float, picture: str, body: bytes) -> bool:
        """Tell whether a request is meant."""
        conditions = (
            not self.numbers or number in self.numbers,
            not self.first or number <= self.first,
            not self.every or number % self.every == 0,
            not self.picture or self.picture == picture,
            not self.contains or self.contains.encode() in body,
            not self.lacks or self.lacks.encode() not in body,
            self.seconds is None or self.seconds[0] <= at_seconds < self.seconds[1],
        )
        return all(conditions)


@dataclass(frozen=True, slots=True)
class Then:
    """What to do: an error (`status`, `code`, `message`), an answer, any bytes, or a fault.

    `content` is the model's text (None: JSON null), `answer` that text as a dict; `members` are
    put over the reply's own, at its top level; `body` replaces the reply as it is.
    """

    status: int = 200
    code: str = ""
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: Mapping[str, Any] | None = None
    content: str | None = ""
    finish: str = ""
    members: Mapping[str, Any] = field(default_factory=dict)
    body: str | bytes | None = None
    content_type: str = "application/json"
    fault: Fault | None = None
    latency_seconds: float | None = None
    tokens_in: int = 900
    tokens_out: int = 60


@dataclass(frozen=True, slots=True)
class Rule:
    """The first rule whose condition holds decides."""

    when: When
    then: Then


@dataclass(frozen=True, slots=True)
class Script:
    """A vendor's whole behaviour.

    `per_second` and `burst` are a token bucket in front of everything, `throttled` what it says.
    `reset_connections`: so many connections are reset when they are accepted. `together`: no
    reply leaves before so many requests have been in flight at once.
    `categories`: answer with one of these by the picture's digest instead of with `answer`.
    """

    rules: tuple[Rule, ...] = ()
    answer: Mapping[str, Any] = field(default_factory=lambda: ANSWER)
    categories: tuple[str, ...] = ()
    latency_seconds: float = 0.0
    per_second: float = 0.0
    burst: float = 1.0
    throttled: Then = Then(status=429, code="rate_limit_exceeded", message="slow down")
    reset_connections: int = 0
    together: int = 0

    @classmethod
    def always(cls, **then: Any) -> Script:
        """Do the same with every request."""
        return cls(rules=(Rule(When(), Then(**then)),))

    @classmethod
    def of(cls, *rules: tuple[When, Then], **script: Any) -> Script:
        """Build a script from pairs."""
        return cls(rules=tuple(Rule(when, then) for when, then in rules), **script)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Script:
        """Read a script; JSON has lists where these have tuples."""
        values = dict(document)
        rules = [
            Rule(When(**_tuples(rule.get("when", {}))), _then(rule.get("then", {})))
            for rule in values.pop("rules", ())
        ]
        if "throttled" in values:
            values["throttled"] = _then(values["throttled"])
        return cls(rules=tuple(rules), **_tuples(values))


def _then(document: Mapping[str, Any]) -> Then:
    values = dict(document)
    if values.get("fault") is not None:
        values["fault"] = Fault(values["fault"])
    return Then(**values)


def _tuples(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in document.items()}
