"""Whole compositions (retry, gates, money, failover) around the real SDKs, on a real server.

What the decorators do is shown on virtual time in the unit tests; here is shown that what the
three vendors really send makes them do it.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal

import anyio
import pytest

from tests.support.classifiers import PaperLocalModel
from tests.support.providers import TAXONOMY, photo, profile_for
from tests.support.vendor import Vendor, open_vendor
from tests.support.vendor_script import ANSWER, Fault, Script, Then, When
from xintu_cli.errors import BudgetReachedError, UnansweredPhotoError
from xintu_cli.imaging.decode import Decoded
from xintu_cli.money import CallShape, Patches, Price, Spending
from xintu_cli.providers.opening import open_provider
from xintu_cli.providers.profile import Kind
from xintu_cli.records import Answer, Reason, Source
from xintu_cli.resilience.compose import (
    Composition,
    ProviderPlan,
    Rules,
    Surroundings,
    compose,
)
from xintu_cli.resilience.metered import Tariff
from xintu_cli.resilience.rate import Limits
from xintu_cli.routing import Policy

pytestmark = pytest.mark.anyio

SHAPE = CallShape(Patches(28), max_edge=1024, prompt_bytes=6000, most_tokens_out=400)
DEAR = Price.flat("USD", 1000.0, 1000.0)
"""A tenth of a cent a token: a call of 900 and 60 tokens costs 0.96."""


@pytest.fixture(params=[pytest.param(kind, id=kind.value) for kind in Kind])
def kind(request: pytest.FixtureRequest) -> Kind:
    value: Kind = request.param
    return value


@dataclass(slots=True)
class Guarded:
    """A run's classifier, the servers it asks, and what came of it."""

    whole: Composition
    vendors: tuple[Vendor, ...]
    spending: Spending
    answers: list[Answer] = field(default_factory=list)
    unanswered: int = 0

    async def ask(self, photos: Sequence[Decoded], *, workers: int = 4) -> None:
        """Classify photos as the pipeline does: workers that take the next one."""
        waiting = iter(photos)

        async def work() -> None:
            for shown in waiting:
                try:
                    self.answers.append(await self.whole.classify(shown))
                except (BudgetReachedError, UnansweredPhotoError):
                    self.unanswered += 1

        async with anyio.create_task_group() as group:
            for _ in range(workers):
                group.start_soon(work)

    @property
    def requests(self) -> int:
        """How many requests arrived at all servers."""
        return sum(len(vendor.received) for vendor in self.vendors)


@asynccontextmanager
async def guarded(
    *kinds: Kind,
    scripts: Sequence[Script],
    spending: Spending | None = None,
    policy: Policy = Policy.HYBRID,
    timeout_seconds: float = 20.0,
) -> AsyncIterator[Guarded]:
    """Open a composition over one server a provider, each with its script."""
    ledger = spending or Spending()
    async with AsyncExitStack() as stack:
        vendors, plans = [], []
        for number, (kind, script) in enumerate(zip(kinds, scripts, strict=True)):
            vendor = await stack.enter_async_context(open_vendor(script))
            profile = replace(
                profile_for(kind, vendor.base_url(kind), timeout_seconds=timeout_seconds),
                name=f"{kind.value}-{number}",
            )
            opened = open_provider(profile, TAXONOMY, concurrency=4)
            provider = await stack.enter_async_context(opened)
            vendors.append(vendor)
            tariff = Tariff(provider.model, DEAR, lambda: SHAPE)
            plans.append(ProviderPlan(provider, tariff, Limits(concurrency=4)))
        around = Surroundings(spending=ledger)
        local = None if policy is Policy.CLOUD else PaperLocalModel()
        yield Guarded(compose(plans, local, Rules(policy), around), tuple(vendors), ledger)


def photos(count: int) -> list[Decoded]:
    """Make small photos of different colours, and so of different pictures on the wire."""
    return [photo(edge=64, color=(5 * number % 256, 90, 200)) for number in range(count)]


def picture_of(shown: Decoded) -> str:
    """Return what the server will call this photo."""
    return hashlib.sha256(shown.jpeg(max_edge=1024, max_bytes=3_500_000)).hexdigest()


# ---- throttling ----------------------------------------------------------------------------

PAUSES = {
    Kind.DASHSCOPE: Then(status=429, code="Throttling.RateQuota", headers={"Retry-After": "1"}),
    Kind.OPENAI: Then(status=429, code="x", headers={"retry-after-ms": "1000"}),
    Kind.ANTHROPIC: Then(
        status=429,
        code="rate_limit_error",
        headers={
            "Date": "Mon, 23 Nov 2026 12:00:00 GMT",
            "Retry-After": "Mon, 23 Nov 2026 12:00:01 GMT",
        },
    ),
}


@pytest.mark.row("C1")
async def test_while_a_vendor_asks_for_a_pause_nothing_is_sent(kind: Kind) -> None:
    """The first call is refused once four are in flight; the others come back much later."""
    later = Then(latency_seconds=0.6)
    rules = (When(numbers=(1,)), PAUSES[kind]), (When(numbers=(2, 3, 4)), later)
    async with guarded(kind, scripts=[Script.of(*rules, together=4)]) as run:
        await run.ask(photos(8))
        (vendor,) = run.vendors
        assert [answer.source for answer in run.answers] == [Source.LLM] * 8
        assert len(vendor.received) == 9
        began = [request.at_seconds for request in vendor.received]
        assert min(began[4:]) >= max(began[:4]) + 1.0


# ---- one photo that breaks the vendor ------------------------------------------------------


@pytest.mark.row("C8")
async def test_a_photo_that_always_fails_costs_three_sends_and_holds_up_nobody(kind: Kind) -> None:
    album = photos(12)
    poison = (When(picture=picture_of(album[5])), Then(status=500))
    async with guarded(kind, scripts=[Script.of(poison)]) as run:
        await run.ask(album)
        assert not run.whole.states()[0].open
        assert run.requests == 11 + 3
    by_local = [answer for answer in run.answers if answer.source is Source.LOCAL]
    assert [answer.reason for answer in by_local] == [Reason.OUTAGE]
    assert len(run.answers) == 12


# ---- an outcome nobody knows ----------------------------------------------------------


@pytest.mark.row("C9", "C10")
@pytest.mark.parametrize(
    "fault", [Fault.RESET_BEFORE_REPLY, Fault.CLOSE_IN_REPLY, Fault.BLACK_HOLE, Fault.DRIP]
)
async def test_a_call_whose_outcome_nobody_knows_is_sent_once_more_and_booked_both_times(
    kind: Kind, fault: Fault
) -> None:
    album = photos(6)
    lost = (When(picture=picture_of(album[2])), Then(fault=fault))
    # Long enough for the five that are answered, on a busy machine too.
    async with guarded(kind, scripts=[Script.of(lost)], timeout_seconds=2.0) as run:
        await run.ask(album)
        assert run.requests == 5 + 2
    (stand_in,) = [answer for answer in run.answers if answer.source is Source.LOCAL]
    sent = [attempt for attempt in stand_in.attempts if attempt.source is Source.LLM]
    assert [attempt.outcome for attempt in sent] == ["unknown", "unknown"]
    # They may have been billed: at their worst case.
    assert all(attempt.cost is not None and attempt.cost > 0.96 for attempt in sent)


# ---- answers that cannot be used -----------------------------------------------------

UNUSABLE = [
    pytest.param(Then(content="It is a cat."), Reason.MALFORMED, id="prose"),
    pytest.param(Then(body="<html>", content_type="text/html"), Reason.MALFORMED, id="web page"),
    pytest.param(Then(content=None), Reason.MALFORMED, id="null"),
    pytest.param(Then(content='{"category"', finish="length"), Reason.MALFORMED, id="length"),
    pytest.param(Then(answer={**ANSWER, "category": "HACKED"}), Reason.OFF_LIST, id="off the list"),
]


@pytest.mark.row("C12", "C13", "C14")
@pytest.mark.parametrize(("then", "reason"), UNUSABLE)
async def test_an_answer_that_cannot_be_used_is_asked_for_once_more_and_then_stands_a_local_one(
    kind: Kind, then: Then, reason: Reason
) -> None:
    async with guarded(kind, scripts=[Script.of((When(), then))]) as run:
        await run.ask(photos(1))
        assert run.requests == 2
    (answer,) = run.answers
    assert (answer.source, answer.reason) == (Source.LOCAL, reason)
    assert answer.classification.category in TAXONOMY.keys


@pytest.mark.row("C14")
async def test_asked_again_a_model_may_come_to_its_senses(kind: Kind) -> None:
    first = Then(answer={**ANSWER, "category": "HACKED"})
    async with guarded(kind, scripts=[Script.of((When(first=1), first))]) as run:
        await run.ask(photos(1))
        again = run.vendors[0].received[1]
        assert b"named a category that is not in the list" in again.body
    (answer,) = run.answers
    assert (answer.source, answer.classification.category) == (Source.LLM, "pets")
    assert [attempt.outcome for attempt in answer.attempts] == ["not_understood", "ok"]


# ---- providers that stop ----------------------------------------------------------


@pytest.mark.row("C3", "C4")
@pytest.mark.parametrize("status", [401, 402, 403])
async def test_a_vendor_that_stops_in_mid_run_hears_no_more_and_the_next_takes_over(
    kind: Kind, status: int
) -> None:
    stops = (When(numbers=tuple(range(6, 100))), Then(status=status, message="no"))
    second = Kind.OPENAI if kind is Kind.ANTHROPIC else Kind.ANTHROPIC
    async with guarded(kind, second, scripts=[Script.of(stops), Script()]) as run:
        await run.ask(photos(24))
        first, other = run.vendors
        # Five were answered; the rest were in flight when the first refusal came.
        assert len(first.received) <= 5 + 4
        assert len(other.received) == 24 - 5
    assert [answer.source for answer in run.answers] == [Source.LLM] * 24


# ---- the guard of the bill ----------------------------------------------------------------


@pytest.mark.row("C22")
@pytest.mark.parametrize("most", [1, 5, 17])
async def test_max_calls_is_exact_over_providers_retries_and_workers(most: int) -> None:
    flaky = Script.of((When(every=3), Then(status=500)), latency_seconds=0.02)
    scripts, spending = [flaky, flaky], Spending(max_calls=most)
    async with guarded(
        Kind.OPENAI, Kind.ANTHROPIC, scripts=scripts, spending=spending, policy=Policy.CLOUD
    ) as run:
        await run.ask(photos(40))
        assert run.requests == most == spending.calls


@pytest.mark.row("C22")
@pytest.mark.parametrize("most", ["1", "11.5", "20"])
async def test_max_cost_is_never_exceeded_by_what_the_vendors_bill(most: str) -> None:
    """The vendors bill every reply of theirs that is no error, understood or not."""
    odd = [(When(every=3), Then(status=500)), (When(every=5), Then(content="It is a cat."))]
    flaky = Script.of(*odd, latency_seconds=0.02)
    spending = Spending(max_cost=Decimal(most))
    async with guarded(
        Kind.OPENAI, Kind.ANTHROPIC, scripts=[flaky, flaky], spending=spending, policy=Policy.CLOUD
    ) as run:
        await run.ask(photos(40))
        replies = [request.outcome for vendor in run.vendors for request in vendor.received]
    billed = Decimal("0.96") * replies.count("200")
    assert billed <= Decimal(most)
    assert spending.spent.get("USD", Decimal(0)) == billed
    assert run.unanswered > 0
    # It is used up, too: what is left is less than the worst case of one call.
    worst = DEAR.most(SHAPE.most_tokens_in(64, 64), SHAPE.most_tokens_out)
    assert Decimal(most) - billed < worst
