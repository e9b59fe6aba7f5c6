"""What a server understands of the requests we would like to send, found out once a run.

Servers that speak OpenAI's format know different parts of it: LM Studio no JSON mode, older ones
no JSON schema, some only `max_tokens`, others only its successor; and models differ in whether
thinking can be turned off. A server says so with 400 and a message that names the part, which is
left out from then on, for every call. Such a refusal costs a round trip and no money.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import Enum

import anyio

from xintu_cli.prompt import MOST_OUTPUT_TOKENS

_PROBE_SECONDS = 0.2
"""How long the first calls wait for the very first one: a refusal of its form comes within a round
trip, an answer may take ten seconds, which nobody should wait for. Where the round trip is
longer, a few more requests are refused, which costs no money."""

ROOM_TO_THINK = 2000
"""Output tokens allowed once a model was seen to spend its allowance before it answered."""


class Part(Enum):
    """A part of a request that can be left out; the value is what a refusal may call it."""

    JSON_SCHEMA = ("json_schema", "response_format", "output_config.format", "schema")
    JSON_OBJECT = ("json_object", "response_format")
    MAX_COMPLETION_TOKENS = ("max_completion_tokens",)
    MAX_TOKENS = ("max_tokens",)
    REASONING_EFFORT = ("reasoning_effort", "reasoning effort", "reasoning.effort")
    NO_THINKING = ("thinking",)
    EFFORT = ("effort", "output_config")


_INSTEAD = {
    Part.JSON_SCHEMA: Part.JSON_OBJECT,
    Part.MAX_COMPLETION_TOKENS: Part.MAX_TOKENS,
    Part.MAX_TOKENS: Part.MAX_COMPLETION_TOKENS,
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """The parts a request is made of; immutable, so that a call knows what it was sent with."""

    parts: frozenset[Part]
    most_output_tokens: int = MOST_OUTPUT_TOKENS
    refused: frozenset[Part] = frozenset()

    def without(self, complaint: str, *, guess: bool = False) -> Dialect | None:
        """Return the dialect without the first part that the complaint names.

        Where it names none: None, or with `guess` without the first part there is.
        """
        words = complaint.casefold()
        sent = [part for part in Part if part in self.parts]
        named = [part for part in sent if any(word in words for word in part.value)]
        if not named and not (guess and sent):
            return None
        part = (named or sent)[0]
        refused = self.refused | {part}
        instead = {_INSTEAD[part]} if part in _INSTEAD else set()
        return replace(self, parts=(self.parts | instead) - refused, refused=refused)


class Negotiation:
    """One server's dialect, shared by all calls of a run."""

    def __init__(self, dialect: Dialect, *, known: bool) -> None:
        """Start from `dialect`; a `known` server is not probed: all calls start at once."""
        self.dialect = dialect
        self._settled = anyio.Event()
        self._probing = known
        self._probed_until = 0.0
        self._understood = known
        if known:
            self._settled.set()

    @property
    def head_start_seconds(self) -> float:
        """How long the first call should be alone, so that nobody has to wait in `turn`."""
        return 0.0 if self._understood else _PROBE_SECONDS

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Let the first call go ahead, and the others wait for what it finds out, but not long."""
        first, self._probing = not self._probing, True
        if first:
            self._probed_until = anyio.current_time() + _PROBE_SECONDS
        else:
            with anyio.CancelScope(deadline=self._probed_until):
                await self._settled.wait()
        try:
            yield
        finally:
            # Unless it has learned something: then whoever comes next tries the simpler form.
            if first and self._probing:
                self._settled.set()

    def understood(self) -> None:
        """Note that the server took a request in this form."""
        self._understood = True
        self._settled.set()

    def learn(self, sent: Dialect, complaint: str) -> bool:
        """Leave out what a refusal is about; False where it is not about the form.

        Where another call has learned something since `sent`, its dialect is tried first. Until
        the server has understood anything, a refusal that names nothing is taken to be about
        the form.
        """
        if self.dialect.refused != sent.refused:
            return True
        simpler = self.dialect.without(complaint, guess=not self._understood)
        if simpler is None:
            return False
        self.dialect = simpler
        self._probing = self._understood
        return True

    def give_room(self) -> None:
        """Allow more output from now on: an answer was cut off."""
        room = max(ROOM_TO_THINK, self.dialect.most_output_tokens)
        self.dialect = replace(self.dialect, most_output_tokens=room)
