"""Which cached row answers a photo: one pure table (design, section 6).

In: a policy's `Acceptance` and the rows of one image. Out: a `Ruling`.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeVar

from xintu_cli.records import CachedAnswer, CachedRow, Reason, Source


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


# Once a photo of every rescan: looking a member up in its class costs ten times a global.
_HIT, _PROVISIONAL = Verdict.HIT, Verdict.PROVISIONAL
_LOCAL, _LLM, _MANUAL = Source.LOCAL, Source.LLM, Source.MANUAL
_ONLY_LOCAL, _CASCADE = Policy.LOCAL, Policy.CASCADE
_REFRESH_ALL, _REFRESH_NONE = Refresh.ALL, Refresh.NONE
_MISS = Ruling(Verdict.MISS, None)
_RANKS: Mapping[str, int] = {_LOCAL: 1, _LLM: 2, _MANUAL: 3}

_Row = TypeVar("_Row", CachedRow, CachedAnswer)


def most_believed(rows: Sequence[_Row], categories: Container[str]) -> _Row | None:
    """Return the row of the highest source about one image, of those that can be an answer."""
    best, rank = None, 0
    for row in rows:
        higher = _RANKS.get(row.source, 0)
        if higher > rank and row.category in categories and 0 <= row.confidence <= 1:
            best, rank = row, higher
    return best


def judge(rows: Sequence[CachedRow], acceptance: Acceptance) -> Ruling:
    """Rule on one image: the highest source that counts decides."""
    best = most_believed(rows, acceptance.categories)
    if best is None:
        return _MISS
    if best.source == _LOCAL:
        return Ruling(_judge_local(best, acceptance), best)
    return Ruling(_HIT if best.source == _MANUAL else _judge_llm(best, acceptance), best)


def _judge_llm(row: CachedRow, acceptance: Acceptance) -> Verdict:
    """Rule on an LLM's answer: it holds, unless this run is to ask an LLM again."""
    if acceptance.refresh is _REFRESH_NONE or not acceptance.policy.wants_llm:
        return _HIT
    if acceptance.refresh is _REFRESH_ALL:
        return Verdict.MISS
    stale = (
        row.prompt_version != acceptance.prompt_version or row.model not in acceptance.llm_models
    )
    return Verdict.MISS if stale else _HIT


def _judge_local(row: CachedRow, acceptance: Acceptance) -> Verdict:
    present = row.model == acceptance.local_model != ""
    if acceptance.refresh is _REFRESH_ALL:
        return Verdict.MISS
    if acceptance.policy is _ONLY_LOCAL:
        return _HIT if present else Verdict.MISS
    kept = row.reason == Reason.KEPT_LOCAL and not acceptance.keep_local.isdisjoint(
        (row.category, row.second_category)
    )
    if present and kept:
        return _HIT
    if acceptance.policy is _CASCADE:
        if not present:
            return Verdict.MISS
        if row.confidence >= acceptance.cascade_threshold:
            return _HIT
    return _PROVISIONAL
