"""All decorators together: policies, the provider's state, cancellation at any moment."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import anyio
import pytest

from tests.support.classifiers import (
    Behaviour,
    PaperLocalModel,
    PaperPhoto,
    ScriptedProvider,
    answer,
    failed,
    photos,
)
from tests.support.virtual_time import VIRTUAL_TIME, Backend, VirtualClock
from xintu_cli.errors import (
    AnswerError,
    BudgetReachedError,
    ConfigurationError,
    ExitCode,
    LeaseLostError,
    NoProviderLeftError,
    ProviderStoppedError,
    ProviderUnavailableError,
)
from xintu_cli.money import CallShape, Patches, Price, Spending
from xintu_cli.records import Answer, Attempt, ProviderState, Source
from xintu_cli.resilience.compose import (
    Composition,
    ProviderPlan,
    Rules,
    Surroundings,
    compose,
)
from xintu_cli.resilience.lease import LeaseBook
from xintu_cli.resilience.metered import Tariff
from xintu_cli.resilience.rate import Limits
from xintu_cli.routing import Policy

pytestmark = pytest.mark.anyio

PRICE = Price.flat("USD", 1.0, 10.0)
SHAPE = CallShape(Patches(28), max_edge=1024, prompt_bytes=700, most_tokens_out=200)
TARIFF = Tariff("vl", PRICE, lambda: SHAPE)


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    return VIRTUAL_TIME


def plan(
    provider: ScriptedProvider, *, concurrency: int = 16, ramped: bool = False
) -> ProviderPlan:
    return ProviderPlan(provider, TARIFF, Limits(concurrency=concurrency, ramped=ramped))


def around(
    spending: Spending | None = None,
    *,
    book: LeaseBook | None = None,
    abandoned: list[Attempt] | None = None,
) -> Surroundings:
    return Surroundings(
        spending=spending or Spending(),
        holds_lease=book or (lambda _: True),
        abandoned=lambda _, attempts: (abandoned if abandoned is not None else []).extend(attempts),
        clock=VirtualClock(),
        random=lambda: 0.5,
    )


@pytest.mark.parametrize(
    ("policy", "keep", "local", "behaviour", "asked", "name"),
    [
        (Policy.LOCAL, (), PaperLocalModel(), answer(), "local", "local"),
        (Policy.HYBRID, (), PaperLocalModel("idcard"), answer(), "qwen", "qwen > local"),
        (Policy.HYBRID, ("idcard",), PaperLocalModel("idcard"), answer(), "local", "qwen > local"),
        (Policy.HYBRID, ("idcard",), PaperLocalModel(), answer(), "qwen", "qwen > local"),
        (Policy.HYBRID, (), PaperLocalModel(), AnswerError("?"), "local", "qwen > local"),
        (Policy.HYBRID, (), None, answer(), "qwen", "qwen"),
        (Policy.CLOUD, (), None, answer(), "qwen", "qwen"),
        (Policy.CLOUD, ("idcard",), PaperLocalModel("idcard"), answer(), "local", "qwen"),
        (Policy.CASCADE, (), PaperLocalModel("pets", 0.9), answer(), "local", "qwen > local"),
        (Policy.CASCADE, (), PaperLocalModel("pets", 0.7), answer(), "qwen", "qwen > local"),
    ],
)
async def test_who_answers_under_which_policy(
    policy: Policy,
    keep: tuple[str, ...],
    local: PaperLocalModel | None,
    behaviour: Behaviour,
    asked: str,
    name: str,
) -> None:
    rules = Rules(policy, keep_local=keep, cascade_threshold=0.8)
    whole = compose([plan(ScriptedProvider([behaviour]))], local, rules, around())
    given = await whole.classify(PaperPhoto())
    assert asked == given.provider
    assert name == whole.name


@pytest.mark.parametrize(
    ("rules", "wrong"),
    [
        (Rules(Policy.LOCAL), "there is no local model"),
        (Rules(Policy.CLOUD, keep_local=("idcard",)), "cannot keep idcard back"),
        (Rules(Policy.CASCADE), "no usable local model"),
    ],
)
def test_a_policy_that_nobody_can_serve_is_refused(rules: Rules, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=wrong):
        compose([plan(ScriptedProvider())], None, rules)


async def test_it_is_said_once_why_a_provider_is_not_asked_again() -> None:
    said: list[str] = []
    refused = failed(ProviderStoppedError("the key is refused"), "stopped")
    down = failed(ProviderUnavailableError("503 come back later"))
    plans = [
        plan(ScriptedProvider([refused], seconds=0.1), concurrency=4),
        plan(ScriptedProvider([down], name="openai", seconds=0.1)),
    ]
    whole = compose(
        plans, PaperLocalModel(), Rules(Policy.HYBRID), replace(around(), notice=said.append)
    )
    async with anyio.create_task_group() as group:
        for photo in photos(30):
            group.start_soon(whole.classify, photo)
    assert said == [
        "qwen is not asked again in this run: the key is refused",
        "openai is down, photos go on without it: 503 come back later",
    ]


async def test_answers_that_were_in_flight_do_not_let_an_outage_be_told_twice() -> None:
    """A vendor that asks for an hour's pause is out; what it was asked before it still answers."""
    said: list[str] = []
    closed = failed(ProviderUnavailableError("in an hour", retry_after_seconds=3600.0))
    ends: list[Answer | Exception] = [*[answer("openai")] * 40, closed, answer("openai")]
    vendor = ScriptedProvider([lambda _: ends.pop()], "openai", seconds=0.1)
    whole = compose(
        [plan(vendor, concurrency=8)],
        PaperLocalModel(),
        Rules(Policy.HYBRID),
        replace(around(), notice=said.append),
    )

    async def classify_from(start_seconds: float, count: int) -> None:
        await anyio.sleep(start_seconds)
        for photo in photos(count):
            await whole.classify(photo)

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(classify_from, number / 50, 5)
    assert said == ["openai is down, photos go on without it: in an hour"]


async def test_what_ends_the_run_is_not_said_twice() -> None:
    said: list[str] = []
    refused = failed(ProviderStoppedError("401"), "stopped")
    surroundings = replace(around(), notice=said.append)
    whole = compose([plan(ScriptedProvider([refused]))], None, Rules(Policy.CLOUD), surroundings)
    with pytest.raises(NoProviderLeftError, match="401"):
        await whole.classify(PaperPhoto())
    assert said == []


async def test_cloud_leaves_photos_unanswered_rather_than_to_the_local_model() -> None:
    local = PaperLocalModel()
    refused = failed(ProviderStoppedError("401"), "stopped")
    whole = compose([plan(ScriptedProvider([refused]))], local, Rules(Policy.CLOUD), around())
    for photo in photos(3):
        with pytest.raises(NoProviderLeftError, match="401") as raised:
            await whole.classify(photo)
        assert raised.value.exit_code is ExitCode.CREDENTIALS
    assert local.asked == 0


async def test_a_stopped_provider_is_sent_nothing_but_what_was_in_flight() -> None:
    stopped = ScriptedProvider([failed(ProviderStoppedError("402"), "stopped")], seconds=0.1)
    other = ScriptedProvider([answer("openai")], name="openai", seconds=0.1)
    plans = [plan(stopped, concurrency=4), plan(other)]
    whole = compose(plans, PaperLocalModel(), Rules(Policy.HYBRID), around())
    async with anyio.create_task_group() as group:
        for photo in photos(50):
            group.start_soon(whole.classify, photo)
    assert len(stopped.received) == 4
    assert len(other.received) == 50
    assert whole.states()[0].stopped


async def test_the_asked_concurrency_is_used_from_the_first_second() -> None:
    provider = ScriptedProvider(seconds=1.5)
    whole = compose([plan(provider, concurrency=300)], None, Rules(Policy.CLOUD), around())
    start = anyio.current_time()
    async with anyio.create_task_group() as group:
        for photo in photos(600):
            group.start_soon(whole.classify, photo)
    # Half a second to open all places, then two rounds.
    assert anyio.current_time() - start == pytest.approx(3.5, abs=0.01)
    assert provider.most_in_flight == 300


async def test_a_ramped_provider_is_approached_gently() -> None:
    provider = ScriptedProvider(seconds=1.5)
    plans = [plan(provider, concurrency=64, ramped=True)]
    whole = compose(plans, None, Rules(Policy.CLOUD), around())
    start = anyio.current_time()
    async with anyio.create_task_group() as group:
        for photo in photos(300):
            group.start_soon(whole.classify, photo)
    first_second = [at for at in provider.sent_at if at < start + 1]
    assert len(first_second) == 10
    assert anyio.current_time() - start < 11


async def test_the_state_of_a_provider_can_be_watched() -> None:
    throttled = ProviderUnavailableError("429", throttled=True, retry_after_seconds=30)
    provider = ScriptedProvider([answer(tokens=1000), failed(throttled, "throttled")], seconds=1.0)
    whole = compose([plan(provider, concurrency=10)], None, Rules(Policy.CLOUD), around())
    start = anyio.current_time()
    seen: list[ProviderState] = []

    async def watch() -> None:
        for seconds in (0.5, 1.5, 2.5):
            await anyio.sleep(start + seconds - anyio.current_time())
            seen.extend(whole.states())

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        await whole.classify(PaperPhoto("a" * 32))
        group.start_soon(whole.classify, PaperPhoto("b" * 32))
        await anyio.sleep(2)
        group.cancel_scope.cancel()
    assert seen == [
        ProviderState("qwen", in_flight=1, limit=10, spent=0.0, currency="USD"),
        ProviderState("qwen", in_flight=1, limit=10, spent=0.002, currency="USD"),
        ProviderState(
            "qwen",
            in_flight=0,
            limit=7,
            paused_until_seconds=start + 32,
            spent=0.002,
            currency="USD",
        ),
    ]


async def test_nothing_is_sent_on_a_lease_that_ran_out_while_the_photo_waited() -> None:
    book = LeaseBook(seconds=40, boottime=anyio.current_time)
    throttled = ProviderUnavailableError("429", throttled=True, retry_after_seconds=50)
    provider = ScriptedProvider([failed(throttled, "throttled"), answer()])
    whole = compose([plan(provider)], PaperLocalModel(), Rules(Policy.HYBRID), around(book=book))
    photo = PaperPhoto()
    book.claimed([photo.image_hash], asked_at=book.now())
    with pytest.raises(LeaseLostError) as raised:
        await whole.classify(photo)
    assert len(provider.received) == 1
    assert [a.outcome for a in raised.value.attempts] == ["throttled"]


async def test_the_budget_counts_retries_and_failover_and_ends_the_photo() -> None:
    spending = Spending(max_calls=4)
    plans = [
        plan(ScriptedProvider([failed(ProviderUnavailableError("500"))], name="a")),
        plan(ScriptedProvider([failed(AnswerError("?"), "not_understood")], name="b")),
    ]
    whole = compose(plans, PaperLocalModel(), Rules(Policy.HYBRID), around(spending))
    with pytest.raises(BudgetReachedError) as raised:
        await whole.classify(PaperPhoto())
    outcomes = [a.outcome for a in raised.value.attempts]
    assert outcomes == ["unavailable", "unavailable", "unavailable", "not_understood"]
    assert spending.calls == 4


@pytest.mark.parametrize("stop_after", [0.0, 0.3, 0.5, 0.75, 1.2, 2.0, 3.0, 7.5])
async def test_whenever_a_run_is_stopped_every_attempt_comes_out_somewhere(
    stop_after: float,
) -> None:
    """Sent = in answers + in errors + handed over; and the ledger agrees with their cost."""
    spending = Spending()
    abandoned: list[Attempt] = []
    came_out: list[Attempt] = []
    flaky = ScriptedProvider(
        [
            behaviour
            for _ in range(10)
            for behaviour in (
                answer(tokens=1000),
                failed(ProviderUnavailableError("500")),
                failed(AnswerError("?"), "not_understood"),
                failed(ProviderUnavailableError("?", outcome_unknown=True), "unknown"),
            )
        ],
        seconds=0.5,
    )
    last = ScriptedProvider([answer("openai", tokens=500)], name="openai", seconds=0.7)
    surroundings = around(spending, abandoned=abandoned)
    plans = [plan(flaky, concurrency=3), plan(last, concurrency=2)]
    whole = compose(plans, PaperLocalModel(), Rules(Policy.HYBRID, ("idcard",)), surroundings)

    async def classify(whole: Composition, photo: PaperPhoto) -> None:
        given = await whole.classify(photo)
        came_out.extend(given.attempts)

    with anyio.move_on_after(stop_after):
        async with anyio.create_task_group() as group:
            for photo in photos(20):
                group.start_soon(classify, whole, photo)
    told = [a for a in (*came_out, *abandoned) if a.source is Source.LLM]
    assert len(told) == len(flaky.received) + len(last.received)
    assert spending.calls == len(told)
    assert all(a.cost is not None for a in told)
    assert spending.total[0] == sum(Decimal(str(a.cost)) for a in told)
    assert [state.in_flight for state in whole.states()] == [0, 0]
