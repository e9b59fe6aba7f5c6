"""What a server does not understand is left out, once and for all calls."""

from __future__ import annotations

import anyio
import pytest

from tests.support.virtual_time import VIRTUAL_TIME, Backend
from xintu_cli.providers.dialect import ROOM_TO_THINK, Dialect, Negotiation, Part

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    return VIRTUAL_TIME


ALL = Dialect(frozenset({Part.JSON_SCHEMA, Part.MAX_TOKENS, Part.REASONING_EFFORT}))


@pytest.mark.parametrize(
    ("complaint", "left"),
    [
        (
            "'response_format.type' must be 'text'",
            {Part.JSON_OBJECT, Part.MAX_TOKENS, Part.REASONING_EFFORT},
        ),
        (
            "This model does not support json_schema",
            {Part.JSON_OBJECT, Part.MAX_TOKENS, Part.REASONING_EFFORT},
        ),
        (
            "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
            {Part.JSON_SCHEMA, Part.MAX_COMPLETION_TOKENS, Part.REASONING_EFFORT},
        ),
        (
            "Unsupported value: 'reasoning_effort' does not support 'none'",
            {Part.JSON_SCHEMA, Part.MAX_TOKENS},
        ),
    ],
)
async def test_the_part_a_complaint_names_is_left_out(complaint: str, left: set[Part]) -> None:
    simpler = ALL.without(complaint)
    assert simpler is not None
    assert left == simpler.parts


async def test_a_complaint_about_something_else_leaves_nothing_out() -> None:
    assert ALL.without("the picture is blurred") is None


async def test_what_was_refused_never_comes_back() -> None:
    simpler = ALL.without("max_tokens")
    assert simpler is not None
    simplest = simpler.without("max_completion_tokens")
    assert simplest is not None
    assert simplest.parts == {Part.JSON_SCHEMA, Part.REASONING_EFFORT}


async def test_a_server_that_explains_nothing_is_offered_less_and_less_until_nothing_is_left() -> (
    None
):
    negotiation = Negotiation(ALL, known=False)
    steps = 0
    while negotiation.learn(negotiation.dialect, "Bad Request"):
        steps += 1
    assert (steps, negotiation.dialect.parts) == (5, frozenset())


async def test_a_server_that_has_understood_is_not_second_guessed() -> None:
    negotiation = Negotiation(ALL, known=False)
    negotiation.understood()
    assert not negotiation.learn(ALL, "Bad Request")


async def test_a_refusal_of_what_has_been_left_out_since_is_worth_another_try() -> None:
    negotiation = Negotiation(ALL, known=True)
    assert negotiation.learn(ALL, "json_schema")
    learned = negotiation.dialect
    assert negotiation.learn(ALL, "json_schema")
    assert negotiation.dialect is learned


async def test_one_call_finds_out_and_the_others_profit() -> None:
    negotiation = Negotiation(ALL, known=False)
    sent: list[Dialect] = []
    refused = anyio.Event()

    async def call() -> None:
        while True:
            async with negotiation.turn():
                dialect = negotiation.dialect
                sent.append(dialect)
                if Part.JSON_SCHEMA in dialect.parts:
                    await refused.wait()
                    negotiation.learn(dialect, "json_schema")
                    continue
                negotiation.understood()
                return

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        refused.set()
    assert [Part.JSON_SCHEMA in dialect.parts for dialect in sent] == [True] + [False] * 10


async def test_a_known_server_is_asked_by_all_calls_at_once() -> None:
    negotiation = Negotiation(ALL, known=True)
    inside = 0
    go = anyio.Event()

    async def call() -> None:
        nonlocal inside
        async with negotiation.turn():
            inside += 1
            await go.wait()

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        everybody = inside
        go.set()
    assert everybody == 10


async def test_a_model_that_thinks_gets_room_and_keeps_it() -> None:
    negotiation = Negotiation(ALL, known=True)
    negotiation.give_room()
    negotiation.learn(negotiation.dialect, "json_schema")
    assert negotiation.dialect.most_output_tokens == ROOM_TO_THINK
