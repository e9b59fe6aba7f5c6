"""Every outcome is counted once, under the right names, and the six always make up `found`."""

from __future__ import annotations

import random
from dataclasses import asdict

import pytest

from xintu_cli.outcomes import (
    AnsweredElsewhere,
    Classified,
    Failed,
    Found,
    Hits,
    Outcome,
    Pending,
    Settled,
    Skipped,
)
from xintu_cli.records import (
    Answer,
    Attempt,
    CachedRow,
    Classification,
    IndexEntry,
    Reason,
    RunSummary,
    Source,
    Task,
)
from xintu_cli.tally import MOST_NAMED_FAILURES, LatencyHistogram, Tally

MISS = Task("a" * 32, b"/a.jpg", 100, provisional=False)
HAS_STAND_IN = Task("a" * 32, b"/a.jpg", 100, provisional=True)


def hits(
    *categories: str, source: str = "llm", unchanged: bool = False, duplicates: int = 0
) -> Hits:
    photo = IndexEntry(b"/a.jpg", 1, 1, 1, 1, "a" * 32, 1, 1, "photo", "")
    rows = tuple(
        CachedRow("a" * 32, source, category, 0.9, "m", "", "", "") for category in categories
    )
    return Hits((photo,) * len(rows), rows, unchanged, duplicates)


def elsewhere(source: str = "llm", *, provisional: bool = False) -> AnsweredElsewhere:
    return AnsweredElsewhere(MISS, "foods", source, provisional=provisional)


def llm(task: Task, *attempts: Attempt) -> Classified:
    answer = Answer(Classification("pets", 0.9), Source.LLM, "qwen", "vl", attempts=attempts)
    return Classified(task, answer, None)


def local(task: Task, reason: Reason) -> Classified:
    answer = Answer(Classification("foods", 0.9), Source.LOCAL, "local", "lite", reason)
    return Classified(task, answer, None)


def call(**changes: object) -> Attempt:
    values: dict[str, object] = {
        "source": Source.LLM,
        "provider": "qwen",
        "model": "vl",
        "outcome": "ok",
        "latency_ms": 1000.0,
        "tokens_in": 500,
        "tokens_out": 40,
        "cost": 0.25,
        "currency": "CNY",
    }
    return Attempt(**(values | changes))  # type: ignore[arg-type]


def tally_of(*outcomes: Outcome | Settled) -> Tally:
    tally = Tally("run")
    for outcome in outcomes:
        tally.add(outcome if isinstance(outcome, Settled) else Settled(outcome))
    return tally


def summary_of(*outcomes: Outcome | Settled) -> RunSummary:
    return tally_of(*outcomes).summary("done", 0, 2.0)


def counts_of(*outcomes: Outcome | Settled) -> dict[str, int]:
    """Return the counts that are not zero."""
    counts = asdict(summary_of(*outcomes))
    names = (
        "found", "cached", "llm", "local", "failed", "skipped", "pending", "unchanged",
        "duplicates", "manual", "provisional", "upgraded", "kept_local", "spared", "calls",
        "retries",
    )  # fmt: skip
    return {name: counts[name] for name in names if counts[name]}


def test_what_a_cascade_was_sure_of_was_spared_a_call() -> None:
    sure, unsure, kept = (
        local(MISS, reason) for reason in (Reason.ASKED, Reason.OUTAGE, Reason.KEPT_LOCAL)
    )
    for cascade, spared in ((True, 2), (False, 0)):
        tally = Tally("run", cascade=cascade)
        for outcome in (sure, unsure, kept, llm(MISS), local(HAS_STAND_IN, Reason.ASKED)):
            tally.add(Settled(outcome))
        summary = tally.summary("done", 0, 1.0)
        assert (summary.local, summary.spared) == (4, spared)


TWO_COPIES = (b"/b.jpg", b"/c.jpg")


@pytest.mark.parametrize(
    ("outcome", "copies", "expected"),
    [
        (Found(3), (), {"found": 3, "pending": 3}),
        (hits("pets"), (), {"found": 1, "cached": 1}),
        (hits("pets", unchanged=True), (), {"found": 1, "cached": 1, "unchanged": 1}),
        (hits("pets", source="manual"), (), {"found": 1, "cached": 1, "manual": 1}),
        (hits("pets", duplicates=1), (), {"found": 1, "cached": 1, "duplicates": 1}),
        (llm(MISS), (), {"found": 1, "llm": 1}),
        (llm(HAS_STAND_IN), (), {"found": 1, "llm": 1, "upgraded": 1}),
        (llm(MISS), TWO_COPIES, {"found": 3, "llm": 1, "cached": 2, "duplicates": 2}),
        (local(MISS, Reason.ASKED), (), {"found": 1, "local": 1}),
        (local(MISS, Reason.KEPT_LOCAL), (), {"found": 1, "local": 1, "kept_local": 1}),
        (local(HAS_STAND_IN, Reason.KEPT_LOCAL), (), {"found": 1, "local": 1, "kept_local": 1}),
        (local(MISS, Reason.OUTAGE), (), {"found": 1, "local": 1, "provisional": 1}),
        (local(HAS_STAND_IN, Reason.OUTAGE), (), {"found": 1, "cached": 1, "provisional": 1}),
        (
            local(MISS, Reason.BUDGET),
            TWO_COPIES,
            {"found": 3, "local": 1, "cached": 2, "duplicates": 2, "provisional": 3},
        ),
        (elsewhere(), (), {"found": 1, "cached": 1}),
        (
            elsewhere("manual"),
            TWO_COPIES,
            {"found": 3, "cached": 3, "duplicates": 2, "manual": 3},
        ),
        (
            elsewhere("local", provisional=True),
            (),
            {"found": 1, "cached": 1, "provisional": 1},
        ),
        (Failed(b"/a.jpg", "truncated"), (), {"found": 1, "failed": 1}),
        (Failed(b"/a.jpg", "truncated"), TWO_COPIES, {"found": 3, "failed": 3}),
        (Skipped(b"/a.jpg", "vanished"), (), {"found": 1, "skipped": 1}),
        (Skipped(b"/a.jpg", "vanished"), TWO_COPIES, {"found": 3, "skipped": 1, "pending": 2}),
        (Pending(MISS, "outage"), (), {"found": 1, "pending": 1}),
        (Pending(MISS, "outage"), TWO_COPIES, {"found": 3, "pending": 3}),
        (Pending(HAS_STAND_IN, "outage"), (), {"found": 1, "cached": 1, "provisional": 1}),
        (
            Pending(HAS_STAND_IN, "outage"),
            TWO_COPIES,
            {"found": 3, "cached": 3, "provisional": 3, "duplicates": 2},
        ),
    ],
)
def test_each_outcome_is_counted_under_its_names(
    outcome: Outcome, copies: tuple[bytes, ...], expected: dict[str, int]
) -> None:
    assert counts_of(Settled(outcome, copies)) == expected


def test_what_is_announced_and_not_settled_is_pending() -> None:
    assert counts_of(Found(10), hits("pets", "pets"), llm(MISS)) == {
        "found": 10,
        "cached": 2,
        "llm": 1,
        "pending": 7,
    }


def test_the_commonest_reason_of_what_is_pending_is_told() -> None:
    tally = Tally("run")
    for reason in ("an outage", "not a number", "not a number"):
        tally.add(Settled(Pending(MISS, reason)))
    tally.add(Settled(Pending(HAS_STAND_IN, "an outage"), TWO_COPIES))
    assert tally.summary("partial", 4, 1.0).pending_reason == "not a number"
    assert Tally("run").summary("done", 0, 1.0).pending_reason == ""


def test_the_six_counts_make_up_found_whatever_happens_in_whatever_order() -> None:
    rng = random.Random(7)
    choices = (
        Found(2),
        hits("pets", "pets", duplicates=1),
        llm(MISS),
        llm(HAS_STAND_IN),
        local(HAS_STAND_IN, Reason.REFUSED),
        Failed(b"/x", "y"),
        Skipped(b"/x", "y"),
        Pending(MISS, "z"),
        elsewhere(),
    )
    tally = Tally("run")
    for _ in range(500):
        tally.add(Settled(rng.choice(choices), (b"/copy",) * rng.randrange(3)))
        s = tally.summary("running", 0, 1.0)
        assert s.found == s.cached + s.llm + s.local + s.failed + s.skipped + s.pending


def test_categories_count_every_photo_that_has_one() -> None:
    summary = summary_of(
        hits("pets", "qrcode"),
        Settled(llm(MISS), TWO_COPIES),
        local(MISS, Reason.OUTAGE),
        elsewhere(),
        Failed(b"/x", "truncated"),
    )
    assert summary.categories == {"pets": 4, "qrcode": 1, "foods": 2}


def test_calls_are_what_was_sent_to_providers_retries_included() -> None:
    summary = summary_of(
        llm(MISS, call(outcome="throttled", cost=0.0), call(number=2)),
        Pending(MISS, "outage", (call(provider="claude", outcome="unavailable"),)),
        local(MISS, Reason.ASKED),
    )
    assert (summary.calls, summary.retries) == (3, 1)
    assert (summary.tokens_in, summary.tokens_out) == (1500, 120)
    assert (summary.cost, summary.currency) == (0.5, "CNY")
    assert {n: (f.calls, f.ok, f.failed, f.cost) for n, f in summary.providers.items()} == {
        "qwen": (2, 1, 1, 0.25),
        "claude": (1, 0, 1, 0.25),
    }


def test_the_local_models_attempts_are_no_calls() -> None:
    attempt = call(source=Source.LOCAL, provider="local", cost=None)
    summary = summary_of(Pending(MISS, "broken", (attempt,)))
    assert (summary.calls, summary.cost, summary.providers) == (0, 0.0, {})


@pytest.mark.parametrize(
    ("attempts", "cost", "currency"),
    [
        ((), 0.0, ""),
        ((call(), call()), 0.5, "CNY"),
        ((call(), call(cost=None)), None, "CNY"),
        ((call(), call(currency="USD")), None, ""),
        ((call(), call(cost=0.0, currency="")), 0.25, "CNY"),
    ],
)
def test_an_unknown_price_or_a_second_currency_makes_the_cost_unknown(
    attempts: tuple[Attempt, ...], cost: float | None, currency: str
) -> None:
    summary = summary_of(llm(MISS, *attempts))
    assert (summary.cost, summary.currency) == (cost, currency)


def test_the_first_thousand_failures_are_named_and_all_are_counted() -> None:
    batches = [Settled(Failed(b"/%d" % n, "empty"), (b"/copy%d" % n,)) for n in range(700)]
    summary = summary_of(*batches)
    assert len(summary.failures) == MOST_NAMED_FAILURES
    assert summary.failures[:2] == ((b"/0", "empty"), (b"/copy0", "empty"))
    assert summary.failures_total == summary.failed == 1400


def test_speed_counts_what_is_done() -> None:
    summary = summary_of(Found(10), hits(*["pets"] * 4))
    assert summary.photos_per_second == 2.0


def test_latencies_are_those_of_answers_and_nobody_there_is_no_call() -> None:
    tally = Tally("run")
    refused = call(outcome="throttled", cost=0.0, latency_ms=20.0)
    gone = call(outcome="unreachable", cost=0.0, latency_ms=1.0)
    for outcome in (llm(MISS, refused, call(number=2, latency_ms=1500.0)), llm(MISS, gone, call())):
        tally.add(Settled(outcome))
    summary = tally.summary("done", 0, 1.0)
    (figures,) = summary.providers.values()
    assert (summary.calls, figures.calls, figures.ok, figures.failed) == (3, 3, 2, 1)
    assert figures.p99_ms == pytest.approx(1500.0, rel=0.011)
    assert figures.p50_ms is not None
    assert figures.p50_ms > 20.0


def test_quantiles_are_right_within_one_percent() -> None:
    histogram = LatencyHistogram()
    rng = random.Random(3)
    latencies = sorted(rng.lognormvariate(7, 0.8) for _ in range(2000))
    for latency in latencies:
        histogram.add(latency)
    assert histogram.quantile(0.50) == pytest.approx(latencies[999], rel=0.011)
    assert histogram.quantile(0.99) == pytest.approx(latencies[1979], rel=0.011)


def test_quantiles_of_few_calls_are_calls_that_happened() -> None:
    histogram = LatencyHistogram()
    assert histogram.quantile(0.5) is None
    histogram.add(0.0)
    assert histogram.quantile(0.99) == pytest.approx(0.1, rel=0.02)
    histogram.add(1500.0)
    assert histogram.quantile(0.5) == pytest.approx(0.1, rel=0.02)
    assert histogram.quantile(0.99) == pytest.approx(1500.0, rel=0.011)


def test_a_histogram_stays_small_whatever_it_is_fed() -> None:
    histogram = LatencyHistogram()
    rng = random.Random(5)
    for _ in range(20_000):
        histogram.add(rng.uniform(0, 3_600_000))
    assert len(histogram._buckets) < 1000


def test_a_summary_says_what_it_was_told() -> None:
    summary = Tally("run-7").summary("budget", 4, 1.5)
    told = (summary.run_id, summary.status, summary.exit_code, summary.seconds)
    assert told == ("run-7", "budget", 4, 1.5)
