"""What a run says that did not get far: a dry run, and one that was cut short at once."""

from __future__ import annotations

import io
from dataclasses import replace
from decimal import Decimal

import pytest

from xintu_cli.money import Estimate
from xintu_cli.records import RunSummary
from xintu_cli.reporting.closing import closing_text
from xintu_cli.reporting.lossy import LossyStream
from xintu_cli.reporting.run_facts import DryRun, RunFacts
from xintu_cli.taxonomy import Category, Taxonomy

TAXONOMY = Taxonomy(
    "test",
    (Category("pets", "Pets", "宠物", "d"), Category("other", "Other", "其它", "d")),
    "other",
)
FACTS = RunFacts((b"/photos",), TAXONOMY, "sqlite:////cache.db")
NOTHING = RunSummary("r", "done", 0, 0, 0, 0, 0, 0, 0, 0, seconds=0.4)
SOME = RunSummary(
    "r", "done", 0, 100, 60, 0, 0, 0, 0, 40, provisional=5, seconds=0.4, categories={"pets": 60}
)


def said(summary: RunSummary, plan: DryRun | None = None, language: str = "en") -> str:
    facts = replace(FACTS, dry_run=plan, language=language)
    return closing_text(summary, facts, LossyStream(io.TextIOWrapper(io.BytesIO(), "utf-8")))


def estimate(calls: int, cost: Decimal | None = Decimal("0.0213"), measured: int = 0) -> Estimate:
    return Estimate(calls, 900 * calls, 60 * calls, cost, "CNY", measured)


def test_a_dry_run_of_the_local_model_costs_nothing_and_says_so() -> None:
    text = said(SOME, DryRun())
    assert "Dry run: looked at 100 photos in 0.4 s; nothing was classified" in text
    assert "40 still to classify" in text
    assert "40 photos for the local model: no call, no money" in text
    assert "without --dry-run" in text
    assert "photos/s" not in text


def test_a_dry_run_names_the_providers_and_what_they_would_cost() -> None:
    text = said(SOME, DryRun(("qwen", "openai"), estimate))
    # The five provisional ones are asked about again.
    assert "45 photos for qwen > openai" in text
    assert "about 45 calls, 40,500 tokens in, 2,700 out; about 0.0213 CNY (by formula" in text


def test_a_cascade_asks_at_most_so_often() -> None:
    text = said(SOME, DryRun(("qwen",), estimate, at_most=True))
    assert "at most about 45 calls, 40,500 tokens in" in text


def test_an_estimate_tells_what_it_rests_on_and_an_unknown_price_is_no_zero() -> None:
    text = said(SOME, DryRun(("qwen",), lambda calls: estimate(calls, None, 1_204)))
    assert "out; unknown price (measured over 1,204 real calls)" in text


def test_a_dry_run_with_nothing_to_do_says_so() -> None:
    done = replace(SOME, cached=100, pending=0, provisional=0)
    text = said(done, DryRun(("qwen",), estimate))
    assert "nothing is left to classify" in text
    assert "without --dry-run" not in text


def test_a_dry_run_that_met_a_bad_file_is_a_dry_run_all_the_same() -> None:
    broken = ((b"/photos/x.jpg", "truncated"),)
    summary = replace(SOME, status="partial", exit_code=3, cached=59, failed=1, failures=broken)
    text = said(replace(summary, failures_total=1), DryRun())
    assert "Dry run: looked at 100 photos in 0.4 s; nothing was classified" in text
    assert "without --dry-run" in text
    assert "it goes on from here" not in text


def test_a_dry_run_speaks_chinese() -> None:
    text = said(SOME, DryRun(), "zh")
    assert "试运行：0.4 秒内查看了 100 张照片，未做任何分类" in text
    assert "40 张照片由本地模型识别" in text


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("interrupted", "Interrupted after 0.4 s, before any photo was found"),
        ("failed", "Broken off after 0.4 s, before any photo was found"),
        ("done", "No photos found under /photos"),
    ],
)
def test_a_run_that_was_cut_short_does_not_say_that_there_are_no_photos(
    status: str, words: str
) -> None:
    text = said(replace(NOTHING, status=status))
    assert words in text
    assert ("--hidden" in text) == (status == "done")
    assert ("Run the same command again" in text) == (status != "done")
