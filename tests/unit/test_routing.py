"""Which cached row answers a photo, as one table: every kind of row under every policy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import permutations

import pytest

from xintu_cli.records import CachedRow, Reason, Source
from xintu_cli.routing import Acceptance, Policy, Refresh, Verdict, judge

POLICIES = (Policy.LOCAL, Policy.HYBRID, Policy.CLOUD, Policy.CASCADE)
REFRESHES = (Refresh.NONE, Refresh.ALL, Refresh.STALE)
VERDICTS = {"H": Verdict.HIT, "P": Verdict.PROVISIONAL, "M": Verdict.MISS}

PRESENT, OTHER = "lite-1", "lite-0"
THRESHOLD = 0.8
SURE, UNSURE = 0.8, 0.79


def llm(prompt_version: str = "2", model: str = "vl") -> CachedRow:
    return row(Source.LLM, model=model, prompt_version=prompt_version)


def local(
    model: str = PRESENT,
    confidence: float = SURE,
    reason: Reason = Reason.ASKED,
    category: str = "pets",
    second: str | None = None,
) -> CachedRow:
    return row(Source.LOCAL, category, confidence, model=model, reason=reason, second=second)


def row(
    source: str,
    category: str = "pets",
    confidence: float = 0.9,
    *,
    model: str = "",
    reason: str = "",
    prompt_version: str = "",
    second: str | None = None,
) -> CachedRow:
    told = (model, reason, prompt_version, "1", second)
    return CachedRow("a" * 32, source, category, confidence, *told)


def acceptance(policy: Policy, refresh: Refresh = Refresh.NONE) -> Acceptance:
    return Acceptance(
        policy=policy,
        categories=frozenset({"pets", "foods", "idcard"}),
        local_model=PRESENT,
        cascade_threshold=THRESHOLD,
        keep_local=frozenset({"idcard"}),
        refresh=refresh,
        prompt_version="2",
        llm_models=frozenset({"vl", "vl-max"}),
    )


STAND_INS = [r for r in Reason if r not in (Reason.ASKED, Reason.KEPT_LOCAL)]

# Per --refresh (none, all, stale) one letter per policy (local, hybrid, cloud, cascade):
# H hit, P provisional, M miss.
TABLE: list[tuple[str, list[CachedRow], str, str, str]] = [
    ("nothing", [], "MMMM", "MMMM", "MMMM"),
    ("a person's word", [row(Source.MANUAL)], "HHHH", "HHHH", "HHHH"),
    ("an LLM's answer", [llm()], "HHHH", "HMMM", "HHHH"),
    ("another configured LLM's", [llm(model="vl-max")], "HHHH", "HMMM", "HHHH"),
    ("an LLM's to an older prompt", [llm(prompt_version="1")], "HHHH", "HMMM", "HMMM"),
    ("that of an LLM not configured", [llm(model="gone")], "HHHH", "HMMM", "HMMM"),
    ("the local model's, sure", [local()], "HPPH", "MMMM", "HPPH"),
    ("the local model's, unsure", [local(confidence=UNSURE)], "HPPP", "MMMM", "HPPP"),
    ("another local model's", [local(OTHER)], "MPPM", "MMMM", "MPPM"),
    ("another local model's, unsure", [local(OTHER, UNSURE)], "MPPM", "MMMM", "MPPM"),
    # Kept local is final wherever an LLM is wanted, while the category is still kept.
    (
        "kept local",
        [local(PRESENT, UNSURE, Reason.KEPT_LOCAL, "idcard")],
        "HHHH",
        "MMMM",
        "HHHH",
    ),
    (
        "kept local for what it may be besides",
        [local(PRESENT, UNSURE, Reason.KEPT_LOCAL, "pets", "idcard")],
        "HHHH",
        "MMMM",
        "HHHH",
    ),
    (
        "kept local for what is sent by now",
        [local(PRESENT, UNSURE, Reason.KEPT_LOCAL, "pets", "foods")],
        "HPPP",
        "MMMM",
        "HPPP",
    ),
    (
        "asked, with a category to be kept as the second",
        [local(PRESENT, UNSURE, Reason.ASKED, "pets", "idcard")],
        "HPPP",
        "MMMM",
        "HPPP",
    ),
    (
        "kept local when that category was",
        [local(PRESENT, UNSURE, Reason.KEPT_LOCAL, "pets")],
        "HPPP",
        "MMMM",
        "HPPP",
    ),
    (
        "kept local by another model",
        [local(OTHER, SURE, Reason.KEPT_LOCAL, "idcard")],
        "MPPM",
        "MMMM",
        "MPPM",
    ),
    *(
        (f"stand-in, sure: {reason}", [local(PRESENT, SURE, reason)], "HPPH", "MMMM", "HPPH")
        for reason in STAND_INS
    ),
    *(
        (f"stand-in, unsure: {reason}", [local(PRESENT, UNSURE, reason)], "HPPP", "MMMM", "HPPP")
        for reason in STAND_INS
    ),
    *(
        (f"another's stand-in: {reason}", [local(OTHER, SURE, reason)], "MPPM", "MMMM", "MPPM")
        for reason in STAND_INS
    ),
    # A row that no longer parses, or whose category is not in the taxonomy, is no row.
    ("off the list, a person's", [row(Source.MANUAL, "cars")], "MMMM", "MMMM", "MMMM"),
    ("off the list, an LLM's", [row(Source.LLM, "cars")], "MMMM", "MMMM", "MMMM"),
    ("off the list, local", [local(category="cars")], "MMMM", "MMMM", "MMMM"),
    ("an empty category", [row(Source.LLM, "")], "MMMM", "MMMM", "MMMM"),
    ("confidence not a number", [row(Source.LLM, "pets", math.nan)], "MMMM", "MMMM", "MMMM"),
    ("confidence above 1", [row(Source.LLM, "pets", 1.01)], "MMMM", "MMMM", "MMMM"),
    ("confidence infinite", [local(confidence=math.inf)], "MMMM", "MMMM", "MMMM"),
    ("confidence below 0", [local(confidence=-0.01)], "MMMM", "MMMM", "MMMM"),
    ("a source nobody knows", [row("oracle")], "MMMM", "MMMM", "MMMM"),
    # Of several rows the highest source that is a row decides.
    ("person and LLM", [row(Source.MANUAL), llm("1")], "HHHH", "HHHH", "HHHH"),
    ("person and local", [row(Source.MANUAL), local(OTHER)], "HHHH", "HHHH", "HHHH"),
    ("LLM and local", [llm(), local()], "HHHH", "HMMM", "HHHH"),
    ("stale LLM and sure local", [llm("1"), local()], "HHHH", "HMMM", "HMMM"),
    ("all three", [row(Source.MANUAL), llm(), local()], "HHHH", "HHHH", "HHHH"),
    (
        "LLM off the list and local",
        [row(Source.LLM, "cars"), local()],
        "HPPH",
        "MMMM",
        "HPPH",
    ),
    (
        "person off the list and LLM",
        [row(Source.MANUAL, "cars"), llm()],
        "HHHH",
        "HMMM",
        "HHHH",
    ),
]


def cases() -> Iterator[object]:
    for what, rows, *by_refresh in TABLE:
        for refresh, letters in zip(REFRESHES, by_refresh, strict=True):
            for policy, letter in zip(POLICIES, letters, strict=True):
                name = f"{what} / {policy} / {refresh.value or 'no refresh'}"
                yield pytest.param(rows, policy, refresh, VERDICTS[letter], id=name)


@pytest.mark.parametrize(("rows", "policy", "refresh", "expected"), list(cases()))
def test_the_acceptance_table(
    rows: list[CachedRow], policy: Policy, refresh: Refresh, expected: Verdict
) -> None:
    for ordered in permutations(rows):
        assert judge(ordered, acceptance(policy, refresh)).verdict is expected


def test_the_table_has_every_policy_and_every_refresh() -> None:
    assert set(POLICIES) == set(Policy)
    assert set(REFRESHES) == set(Refresh)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row(Source.MANUAL, "foods"), llm(), local()], "foods"),
        ([llm(), local(category="foods")], "pets"),
        ([local(category="foods")], "foods"),
        ([row(Source.LLM, "cars"), local(category="foods")], "foods"),
    ],
)
def test_a_ruling_names_the_row_it_rests_on(rows: list[CachedRow], expected: str) -> None:
    ruling = judge(rows, acceptance(Policy.HYBRID))
    assert ruling.row is not None
    assert expected == ruling.row.category


def test_a_plain_miss_rests_on_nothing() -> None:
    assert judge([], acceptance(Policy.HYBRID)).row is None
    assert judge([row(Source.LLM, "cars")], acceptance(Policy.HYBRID)).row is None


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_the_ends_of_the_confidence_scale_are_on_it(confidence: float) -> None:
    rows = [row(Source.LLM, "pets", confidence)]
    assert judge(rows, acceptance(Policy.LOCAL)).verdict is Verdict.HIT


def test_without_a_local_model_no_row_is_the_present_ones() -> None:
    nobody = Acceptance(Policy.CASCADE, frozenset({"pets"}), local_model="", cascade_threshold=0.0)
    assert judge([local(PRESENT)], nobody).verdict is Verdict.MISS
    assert judge([local("")], nobody).verdict is Verdict.MISS


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy.LOCAL, False),
        (Policy.HYBRID, True),
        (Policy.CLOUD, True),
        (Policy.CASCADE, True),
    ],
)
def test_every_policy_but_local_wants_an_llm(policy: Policy, expected: bool) -> None:
    assert policy.wants_llm is expected
