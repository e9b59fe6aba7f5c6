"""Which cached row answers a photo: one pure table (design, section 6).

In: a policy's `Acceptance` and the rows of one image. Out: a `Ruling`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from xintu_cli.records import CachedRow, Reason, Source


class Policy(StrEnum):
    """Who classifies: see the README's picture of the policies."""

    LOCAL = "local"
    HYBRID = "hybrid"
    CLOUD = "cloud"
    CASCADE = "cascade"

    @property
    def wants_llm(self) -> bool:
        """True where an LLM is to be asked."""
        return self is not Policy.LOCAL


class Refresh(StrEnum):
    """Which answers to ask for again although the cache has them."""

    NONE = ""
    ALL = "all"
    STALE = "stale"


class Verdict(StrEnum):
    """What a row is worth to the run's policy."""

    HIT = "hit"
    PROVISIONAL = "provisional"
    MISS = "miss"


class Ruling(NamedTuple):
    """The verdict on an image and the row it rests on (None: a plain miss)."""

    verdict: Verdict
    row: CachedRow | None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What a run accepts as an answer.

    `local_model` is the fingerprint of the present local model ("" where there is none);
    `llm_models` and `prompt_version` say what is current, for `--refresh stale`.
    """

    policy: Policy
    categories: frozenset[str]
    local_model: str
    cascade_threshold: float = 1.0
    keep_local: frozenset[str] = frozenset()
    refresh: Refresh = Refresh.NONE
    prompt_version: str = ""
    llm_models: frozenset[str] = frozenset()


_MISS = Ruling(Verdict.MISS, None)


def judge(rows: Sequence[CachedRow], acceptance: Acceptance) -> Ruling:
    """Rule on one image: the highest source that counts decides."""
    manual = llm = local = None
    if not rows:
        return _MISS
    for row in rows:
        if row.category not in acceptance.categories or not 0.0 <= row.confidence <= 1.0:
            continue
        if row.source == Source.MANUAL:
            manual = row
        elif row.source == Source.LLM:
            llm = row
        elif row.source == Source.LOCAL:
            local = row
    if manual is not None:
        return Ruling(Verdict.HIT, manual)
    if llm is not None:
        return _judge_llm(llm, acceptance)
    if local is not None:
        return Ruling(_judge_local(local, acceptance), local)
    return _MISS


def _judge_llm(row: CachedRow, acceptance: Acceptance) -> Ruling:
    """Rule on an LLM's answer: it holds, unless this run is to ask an LLM again."""
    if not acceptance.policy.wants_llm or acceptance.refresh is Refresh.NONE:
        return Ruling(Verdict.HIT, row)
    if acceptance.refresh is Refresh.ALL:
        return Ruling(Verdict.MISS, row)
    stale = (
        row.prompt_version != acceptance.prompt_version or row.model not in acceptance.llm_models
    )
    return Ruling(Verdict.MISS if stale else Verdict.HIT, row)


def _judge_local(row: CachedRow, acceptance: Acceptance) -> Verdict:
    present = row.model == acceptance.local_model != ""
    if acceptance.refresh is Refresh.ALL:
        return Verdict.MISS
    if acceptance.policy is Policy.LOCAL:
        return Verdict.HIT if present else Verdict.MISS
    kept = row.reason == Reason.KEPT_LOCAL and not acceptance.keep_local.isdisjoint(
        (row.category, row.second_category)
    )
    if present and kept:
        return Verdict.HIT
    if acceptance.policy is Policy.CASCADE:
        if not present:
            return Verdict.MISS
        if row.confidence >= acceptance.cascade_threshold:
            return Verdict.HIT
    return Verdict.PROVISIONAL
