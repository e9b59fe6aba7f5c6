"""Money and calls: reserved before a send, settled after it, never more than allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import anyio
import pytest

from tests.support.classifiers import (
    Behaviour,
    PaperPhoto,
    ScriptedProvider,
    answer,
    attempt,
    failed,
    photos,
)
from tests.support.virtual_time import VIRTUAL_TIME, Backend, VirtualClock
from xintu_cli.errors import (
    AnswerError,
    BudgetReachedError,
    LeaseLostError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from xintu_cli.money import CallShape, Patches, Price, Spending
from xintu_cli.records import Attempt
from xintu_cli.resilience.lease import Leased
from xintu_cli.resilience.metered import Metered, Purse, Tariff

pytestmark = pytest.mark.anyio

PRICE = Price.flat("USD", 1.0, 10.0)
SHAPE = CallShape(Patches(28), max_edge=1024, prompt_bytes=700, most_tokens_out=200)
TARIFF = Tariff("vl", PRICE, lambda: SHAPE)
WORST = PRICE.most(SHAPE.most_tokens_in(4000, 3000), 200)
USED = Decimal("0.002")
"""1000 tokens in and 100 out."""


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    return VIRTUAL_TIME


def metered(
    provider: ScriptedProvider,
    spending: Spending | None = None,
    *,
    tariff: Tariff = TARIFF,
    purse: Purse | None = None,
    abandoned: list[Attempt] | None = None,
) -> Metered:
    return Metered(
        provider,
        tariff,
        purse or Purse(spending or Spending()),
        clock=VirtualClock(),
        abandoned=lambda _, attempts: (abandoned if abandoned is not None else []).extend(attempts),
    )


@pytest.mark.parametrize(
    ("behaviour", "cost"),
    [
        (answer(tokens=1000), USED),
        (answer(), WORST),  # answered without a word on tokens
        (failed(ProviderUnavailableError("500")), Decimal(0)),
        (failed(ProviderUnavailableError("429", throttled=True), "throttled"), Decimal(0)),
        (failed(ProviderRejectedError("policy"), "rejected"), Decimal(0)),
        (failed(ProviderUnavailableError("?", outcome_unknown=True), "unknown"), WORST),
        (failed(AnswerError("?"), "not_understood"), WORST),
    ],
)
async def test_every_attempt_gets_its_price(behaviour: Behaviour, cost: Decimal) -> None:
    spending = Spending()
    classifier = metered(ScriptedProvider([behaviour]), spending)
    try:
        attempts = (await classifier.classify(PaperPhoto())).attempts
    except (ProviderUnavailableError, ProviderRejectedError, AnswerError) as error:
        attempts = error.attempts
    assert [(a.cost, a.currency) for a in attempts] == [(float(cost), "USD")]
    assert spending.total == (cost, "USD")
    assert classifier.spent == cost
    assert spending.calls == 1


async def test_a_reply_that_was_billed_and_not_understood_costs_its_tokens() -> None:
    error = AnswerError("no JSON", (attempt("not_understood", tokens=1000),))
    spending = Spending()
    with pytest.raises(AnswerError):
        await metered(ScriptedProvider([error]), spending).classify(PaperPhoto())
    assert spending.total == (USED, "USD")


async def test_an_unknown_price_stays_unknown() -> None:
    spending = Spending()
    provider = ScriptedProvider([answer(tokens=1000)])
    given = await metered(provider, spending, tariff=Tariff("vl")).classify(PaperPhoto())
    assert given.attempts[0].cost is None
    assert spending.total == (None, "")


async def test_several_requests_of_one_call_are_several_calls() -> None:
    made = (attempt("rejected"), attempt("ok", tokens=1000))
    given = replace(answer(), attempts=made)
    spending = Spending()
    result = await metered(ScriptedProvider([given]), spending).classify(PaperPhoto())
    assert [a.cost for a in result.attempts] == [0.0, float(USED)]
    assert spending.calls == 2


async def outcomes(classifiers: Sequence[Metered], count: int) -> list[str]:
    """Classify so many photos at once, in turn by each classifier."""
    ended: list[str] = []

    async def classify(classifier: Metered, photo: PaperPhoto) -> None:
        try:
            await classifier.classify(photo)
            ended.append("ok")
        except BudgetReachedError:
            ended.append("budget")
        except ProviderUnavailableError:
            ended.append("failed")

    async with anyio.create_task_group() as group:
        for number, photo in enumerate(photos(count)):
            group.start_soon(classify, classifiers[number % len(classifiers)], photo)
    return sorted(ended)


async def test_max_calls_is_exact_under_concurrency_and_across_providers() -> None:
    purse = Purse(Spending(max_calls=37))
    providers = [
        ScriptedProvider([answer(tokens=1000)], name="a", seconds=1.0),
        ScriptedProvider([failed(ProviderUnavailableError("500"))], name="b", seconds=0.3),
    ]
    ended = await outcomes([metered(provider, purse=purse) for provider in providers], 100)
    assert ended == ["budget"] * 63 + ["failed"] * 18 + ["ok"] * 19
    assert sum(len(provider.received) for provider in providers) == 37


@pytest.mark.parametrize(
    ("max_cost", "answered"),
    # At worst a call costs 0.0041, really 0.0020: the limit is used up by waiting.
    [("0", 0), ("0.0019", 0), (str(WORST), 1), ("0.1", 48), ("0.0202", 9)],
)
async def test_max_cost_is_used_up_and_never_exceeded(max_cost: str, answered: int) -> None:
    spending = Spending(max_cost=Decimal(max_cost))
    provider = ScriptedProvider([answer(tokens=1000)], seconds=1.0)
    ended = await outcomes([metered(provider, spending)], 100)
    assert ended == ["budget"] * (100 - answered) + ["ok"] * answered
    assert spending.total[0] == USED * answered
    assert USED * answered <= Decimal(max_cost)
    assert USED * answered + WORST > Decimal(max_cost)


async def test_the_first_call_under_a_money_limit_goes_alone_and_teaches_the_bound() -> None:
    """A vendor that bills ten times the formula costs one call beyond it, not a hundred."""
    spending = Spending(max_cost=Decimal("1.00"))
    dear = answer(tokens=20_000)
    provider = ScriptedProvider([dear], seconds=1.0)
    ended = await outcomes([metered(provider, spending)], 100)
    each = PRICE.cost(20_000, 2_000)
    assert provider.sent_at[1] - provider.sent_at[0] == 1.0
    total = spending.total[0]
    assert total is not None
    assert total <= Decimal("1.00")
    assert ended.count("ok") == total / each
    assert ended.count("ok") >= 23


@pytest.mark.parametrize("max_cost", ["0.05", "0.20", "1.00"])
async def test_a_first_bill_that_was_low_by_chance_lets_no_wave_pass_the_limit(
    max_cost: str,
) -> None:
    """The first call is billed as the formulas say, all others five times the worst of those."""
    spending = Spending(max_cost=Decimal(max_cost))
    provider = ScriptedProvider([answer(tokens=1000), answer(tokens=10_000)], seconds=1.0)
    ended = await outcomes([metered(provider, spending)], 100)
    total, each = spending.total[0], PRICE.cost(10_000, 1_000)
    assert each > 4 * WORST
    assert total is not None
    assert total <= Decimal(max_cost)
    assert ended.count("ok") >= 2


async def test_without_a_money_limit_the_first_calls_go_together() -> None:
    provider = ScriptedProvider([answer(tokens=1000)], seconds=1.0)
    await outcomes([metered(provider)], 50)
    assert provider.most_in_flight == 50


async def test_a_call_that_was_not_sent_is_not_counted() -> None:
    spending = Spending(max_calls=1)
    leased = Leased(ScriptedProvider(), lambda _: False)
    classifier = Metered(leased, TARIFF, Purse(spending), clock=VirtualClock())
    for _ in range(3):
        with pytest.raises(LeaseLostError):
            await classifier.classify(PaperPhoto())
    assert spending.calls == 0
    assert spending.total == (Decimal(0), "")


async def test_where_nobody_is_there_no_call_is_counted_and_max_calls_still_allows_them_all() -> (
    None
):
    gone = failed(ProviderUnavailableError("refused", unreachable=True), "unreachable")
    provider = ScriptedProvider([gone, gone, answer()], seconds=1.0)
    spending = Spending(max_calls=2)
    classifier = metered(provider, spending)
    found = await outcomes([classifier], 5)
    assert found == ["budget", "failed", "failed", "ok", "ok"]
    assert (spending.calls, spending.unpriced) == (2, 0)


async def test_a_call_that_was_cut_off_may_have_been_billed_and_is_told() -> None:
    spending = Spending()
    abandoned: list[Attempt] = []
    provider = ScriptedProvider(seconds=60.0)
    classifier = metered(provider, spending, abandoned=abandoned)
    with anyio.move_on_after(5):
        await classifier.classify(PaperPhoto())
    assert spending.total == (WORST, "USD")
    assert [(a.outcome, a.latency_ms, a.cost) for a in abandoned] == [
        ("unknown", 5000.0, float(WORST))
    ]


async def test_a_bug_in_a_provider_leaves_nothing_reserved() -> None:
    spending = Spending(max_cost=WORST)
    classifier = metered(ScriptedProvider([ZeroDivisionError("bug")]), spending)
    with pytest.raises(ZeroDivisionError):
        await classifier.classify(PaperPhoto())
    assert spending.total == (WORST, "USD")
    assert not spending.may_fit_later(Decimal(0))


@pytest.mark.parametrize(
    ("spending", "message"),
    [
        (Spending(max_calls=0), "--max-calls is reached: 0 calls"),
        (Spending(max_cost=Decimal(0)), "--max-cost is reached: 0 "),
    ],
)
async def test_the_end_of_the_budget_says_which(spending: Spending, message: str) -> None:
    provider = ScriptedProvider()
    with pytest.raises(BudgetReachedError) as raised:
        await metered(provider, spending).classify(PaperPhoto())
    assert str(raised.value).startswith(message)
    assert provider.received == []


async def test_a_price_without_the_shape_of_a_call_cannot_bound_anything() -> None:
    with pytest.raises(ValueError, match="needs the shape of a call"):
        await metered(ScriptedProvider(), tariff=Tariff("vl", PRICE)).classify(PaperPhoto())
