"""The one owner of a run's counters.

In: every `Settled` outcome, once, in any order. Out: a `RunSummary` at any moment, in which
found = cached + llm + local + failed + skipped + pending. Flat memory: latencies go into
histograms, and of the failures the first thousand are named.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from operator import itemgetter
from typing import assert_never

from xintu_cli.outcomes import (
    AnsweredElsewhere,
    Classified,
    Failed,
    Found,
    Hits,
    Pending,
    Returned,
    Settled,
    Skipped,
)
from xintu_cli.records import Attempt, CachedRow, ProviderFigures, Reason, RunSummary, Source

MOST_NAMED_FAILURES = 1000
"""How many failures a summary names; `failures_total` counts all of them."""

_MOST_REASONS = 100
"""Of photos that are pending: some name the photo's own trouble."""

_category = itemgetter(CachedRow._fields.index("category"))
_source = itemgetter(CachedRow._fields.index("source"))


class Tally:
    """Count what a run settles.

    A photo that `Found` announced and nothing has settled yet is pending: it is waiting
    while the run lasts, and stays pending when the run is cut short.
    """

    def __init__(self, run_id: str, *, cascade: bool = False) -> None:
        self._run_id = run_id
        self._cascade = cascade
        self._announced = 0
        self._counts: Counter[str] = Counter()
        self._categories: Counter[str] = Counter()
        self._providers: dict[str, _ProviderTally] = {}
        self._money = _Money()
        self._failures: list[tuple[bytes, str]] = []
        self._waiting: Counter[str] = Counter()
        """Why photos are pending, to how many."""

    def add(self, settled: Settled) -> None:
        """Count one settled outcome and the copies it settles."""
        outcome, copies = settled.outcome, settled.copies
        match outcome:
            case Found():
                self._announced += outcome.photos
            case Hits():
                self._add_hits(outcome)
            case Classified():
                self._add_classified(outcome, len(copies))
            case AnsweredElsewhere():
                self._add_cached(outcome.category, 1 + len(copies), outcome=outcome)
                self._counts["duplicates"] += len(copies)
            case Failed():
                self._add_failures((outcome.path, *copies), outcome)
            case Skipped():
                self._counts["skipped"] += 1
                # The image's other files are still there; a later run gets to them.
                self._counts["pending"] += len(copies)
            case Pending():
                self._add_pending(outcome, len(copies))
            case Returned():
                self._add_attempts(outcome.attempts)
            case _:
                assert_never(outcome)

    def summary(self, status: str, exit_code: int, seconds: float) -> RunSummary:
        """Return the counts as they stand."""
        count = self._counts
        answered = count["cached"] + count["llm"] + count["local"]
        done = answered + count["failed"] + count["skipped"]
        found = max(self._announced, done + count["pending"])
        return RunSummary(
            run_id=self._run_id,
            status=status,
            exit_code=exit_code,
            found=found,
            cached=count["cached"],
            llm=count["llm"],
            local=count["local"],
            failed=count["failed"],
            skipped=count["skipped"],
            pending=found - done,
            unchanged=count["unchanged"],
            duplicates=count["duplicates"],
            manual=count["manual"],
            provisional=count["provisional"],
            upgraded=count["upgraded"],
            kept_local=count["kept_local"],
            spared=count["spared"],
            calls=count["calls"],
            retries=count["retries"],
            tokens_in=count["tokens_in"],
            tokens_out=count["tokens_out"],
            cost=self._money.total,
            currency=self._money.currency,
            seconds=seconds,
            photos_per_second=done / seconds if seconds > 0 else 0.0,
            categories=dict(self._categories),
            providers={name: tally.figures() for name, tally in self._providers.items()},
            failures=tuple(self._failures),
            failures_total=count["failures"],
            pending_reason=next((reason for reason, _ in self._waiting.most_common(1)), ""),
        )

    def _add_hits(self, hits: Hits) -> None:
        """Count hits by loops in C: 0.1 µs a hit, of which a rescan has 100 000."""
        count = self._counts
        photos = len(hits.photos)
        count["cached"] += photos
        count["unchanged"] += photos * hits.unchanged
        count["duplicates"] += hits.duplicates
        count["manual"] += list(map(_source, hits.rows)).count(Source.MANUAL)
        self._categories.update(map(_category, hits.rows))

    def _add_classified(self, outcome: Classified, copies: int) -> None:
        """Count an answer; its copies are hits that this run made possible."""
        count, answer = self._counts, outcome.answer
        local = answer.source is Source.LOCAL
        stand_in = answer.stands_in
        if stand_in and outcome.task.provisional:
            count["cached"] += 1  # it had a stand-in before: nothing has changed for it
        else:
            count[answer.source.value] += 1
        count["provisional"] += (1 + copies) * stand_in
        count["upgraded"] += outcome.task.provisional and answer.source is Source.LLM
        count["kept_local"] += answer.reason == Reason.KEPT_LOCAL
        count["spared"] += self._cascade and local and answer.reason == Reason.ASKED
        count["cached"] += copies
        count["duplicates"] += copies
        self._categories[answer.classification.category] += 1 + copies
        self._add_attempts(answer.attempts)

    def _add_cached(self, category: str, photos: int, *, outcome: AnsweredElsewhere) -> None:
        self._counts["cached"] += photos
        self._counts["provisional"] += photos * outcome.provisional
        self._counts["manual"] += photos * (outcome.source == Source.MANUAL)
        self._categories[category] += photos

    def _add_pending(self, outcome: Pending, copies: int) -> None:
        """Count a photo nobody answered; one that has a stand-in in the cache keeps it."""
        if outcome.task.provisional:
            self._counts["cached"] += 1 + copies
            self._counts["provisional"] += 1 + copies
            self._counts["duplicates"] += copies
            if outcome.task.category:
                self._categories[outcome.task.category] += 1 + copies
        else:
            self._counts["pending"] += 1 + copies
            if outcome.reason in self._waiting or len(self._waiting) < _MOST_REASONS:
                self._waiting[outcome.reason] += 1 + copies
        self._add_attempts(outcome.attempts)

    def _add_failures(self, paths: tuple[bytes, ...], outcome: Failed) -> None:
        """Count and name failures; a directory is named, but no photo that was found."""
        self._counts["failures"] += len(paths)
        self._counts["failed"] += 0 if outcome.is_directory else len(paths)
        room = MOST_NAMED_FAILURES - len(self._failures)
        self._failures.extend((path, outcome.reason) for path in paths[:room])

    def _add_attempts(self, attempts: Iterable[Attempt]) -> None:
        """Count calls: the local model's attempts are none, they cost nothing and go nowhere."""
        for attempt in attempts:
            if attempt.source is not Source.LLM:
                continue
            figures = self._providers.setdefault(attempt.provider, _ProviderTally())
            if not attempt.was_sent:
                continue  # nobody was there: no call was made
            self._counts["calls"] += 1
            self._counts["retries"] += attempt.number > 1
            self._counts["tokens_in"] += attempt.tokens_in or 0
            self._counts["tokens_out"] += attempt.tokens_out or 0
            self._money.add(attempt)
            figures.add(attempt)


class _Money:
    """A sum that is unknown (None) once an unknown price or a second currency is in it."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._known = True
        self._currencies: set[str] = set()

    def add(self, attempt: Attempt) -> None:
        if attempt.cost is None:
            self._known = False
            return
        self._sum += attempt.cost
        if attempt.currency:
            self._currencies.add(attempt.currency)

    @property
    def total(self) -> float | None:
        return self._sum if self._known and len(self._currencies) < 2 else None

    @property
    def currency(self) -> str:
        return next(iter(self._currencies)) if len(self._currencies) == 1 else ""


class _ProviderTally:
    """One provider's calls. The figures are kept until the next call changes them.

    Latencies are those of calls that were answered, as `xintu stats` has them: a refusal in 20 ms
    or a deadline of 60 s says nothing about how long an answer takes.
    """

    def __init__(self) -> None:
        self._calls = 0
        self._ok = 0
        self._money = _Money()
        self._latencies = LatencyHistogram()
        self._figures: ProviderFigures | None = None

    def add(self, attempt: Attempt) -> None:
        self._calls += 1
        self._ok += attempt.outcome == "ok"
        self._money.add(attempt)
        if attempt.outcome == "ok":
            self._latencies.add(attempt.latency_ms)
        self._figures = None

    def figures(self) -> ProviderFigures:
        if self._figures is None:
            self._figures = ProviderFigures(
                calls=self._calls,
                ok=self._ok,
                failed=self._calls - self._ok,
                p50_ms=self._latencies.quantile(0.50),
                p99_ms=self._latencies.quantile(0.99),
                cost=self._money.total,
            )
        return self._figures


class LatencyHistogram:
    """Latencies in buckets that grow by 2 %: a quantile is right within 1 %.

    From 0.1 ms to an hour that is some 900 buckets, whatever the number of calls.
    """

    _GROWTH = math.log(1.02)
    _LEAST_MS = 0.1

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self._total = 0

    def add(self, milliseconds: float) -> None:
        """Count one latency; what is below a tenth of a millisecond counts as that."""
        self._buckets[int(math.log(max(milliseconds, self._LEAST_MS)) // self._GROWTH)] += 1
        self._total += 1

    def quantile(self, share: float) -> float | None:
        """Return the latency that `share` (0..1) of all calls do not exceed; None without any."""
        rank = math.ceil(share * self._total)
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                return math.exp((bucket + 0.5) * self._GROWTH)
        return None
