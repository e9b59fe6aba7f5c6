"""What a provider is: where it is, which model answers, what it may cost in time and bytes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The three wire formats."""

    DASHSCOPE = "dashscope"
    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class ApiKey:
    """A secret that shows itself to nobody who does not ask for it by name."""

    __slots__ = ("_value",)

    SHORTEST_SECRET = 8
    """What is shorter is a word that a server on this machine is content with ("none", "x"): no
    secret, and taken out of an answer it would take letters out of its words."""

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the key itself, to be sent and for nothing else."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "ApiKey(***)" if self._value else "ApiKey()"

    __str__ = __repr__

    def __reduce__(self) -> tuple[type[ApiKey], tuple[str]]:
        raise TypeError("an API key is not to be written anywhere")


@dataclass(frozen=True, slots=True)
class ProviderProfile:
    """One configured provider; `base_url` and `api_key` are checked (`endpoint`, `keys`).

    `timeout_seconds` is the deadline of one call from the first byte sent to the last one
    read. `max_edge` and `max_bytes` bound the JPEG that is sent: 3.5 MB become 4.7 MB of
    base64, which is under every vendor's limit for one picture. `language` is that of the
    descriptions. `api_version` is Anthropic's version header.
    """

    name: str
    kind: Kind
    model: str
    base_url: str
    api_key: ApiKey
    timeout_seconds: float = 60.0
    max_edge: int = 1024
    max_bytes: int = 3_500_000
    language: str = "en"
    api_version: str = ""
