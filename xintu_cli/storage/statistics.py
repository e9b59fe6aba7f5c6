"""What a cache can tell about the past: for `stats`, estimates and the report.

Rows that somebody else wrote, with values that xintu never writes, are left out.

Moments are UTC texts of the database; `since` is "" for all time. Sums of money are per
currency; a call whose price was unknown is counted in `unpriced`, never as 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from xintu_cli.records import Reason, Source
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.dialect import Dialect
from xintu_cli.storage.run_lines import DayLine, RunLine, daily_runs, is_number, recent_runs
from xintu_cli.storage.script import Script, Statement
from xintu_cli.storage.totals import ALL_TIME, first_moment, run_totals, since_days
from xintu_cli.storage.verbs.clock import clock

_MOST_HIT = 10
_USAGE_CALLS = 1_000
_RANKED_CALLS = 100_000
_PERCENTILES = (50, 90, 99)

_NOBODY_LABELLED = (
    "NOT EXISTS (SELECT 1 FROM manual_label word"
    " WHERE word.image_hash = said.image_hash AND word.taxonomy = ?)"
)
_NO_LLM_SPOKE = (
    "NOT EXISTS (SELECT 1 FROM classification other WHERE other.image_hash = said.image_hash"
    f" AND other.task = said.task AND other.source = '{Source.LLM}')"
)


@dataclass(frozen=True, slots=True)
class CategoryLine:
    """Images in a category by who is believed about them; confidence is a mean (0..1).

    Each image counts once: a person's word hides an LLM's, which hides the local model's.
    """

    category: str
    source: str
    photos: int
    mean_confidence: float


@dataclass(frozen=True, slots=True)
class ProviderLine:
    """One model's attempts; percentiles are of the latest successful ones in the log."""

    provider: str
    model: str
    source: str
    attempts: int
    ok: int
    tokens_in: int
    tokens_out: int
    cost: float
    unpriced: int
    currency: str
    mean_ms: float
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class FailureLine:
    """How often a provider's attempts ended in one way."""

    provider: str
    outcome: str
    attempts: int


@dataclass(frozen=True, slots=True)
class HitLine:
    """An image whose answer has often been reused."""

    image_hash: str
    category: str
    source: str
    hits: int


@dataclass(frozen=True, slots=True)
class Saved:
    """Calls that cached LLM answers made unnecessary, and what those answers had cost."""

    calls: int
    cost: float
    currency: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """Images that both an LLM and the local model have answered, and how many alike."""

    both: int
    alike: int


@dataclass(frozen=True, slots=True)
class StandInLine:
    """Images about which only the local model has spoken, and why it had to (`Reason`)."""

    reason: str
    photos: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """Everything `stats` shows, of one task."""

    since: str
    runs: int
    counts: dict[str, int]
    seconds: float
    recent_runs: tuple[RunLine, ...]
    days: tuple[DayLine, ...]
    categories: tuple[CategoryLine, ...]
    providers: tuple[ProviderLine, ...]
    failures: tuple[FailureLine, ...]
    most_hit: tuple[HitLine, ...]
    saved: tuple[Saved, ...]
    agreement: Agreement
    stand_ins: tuple[StandInLine, ...]

    @property
    def hit_rate(self) -> float | None:
        """The share of answered photos that the cache answered; None without any."""
        answered = sum(self.counts[source] for source in ("cached", "llm", "local"))
        return self.counts["cached"] / answered if answered else None


@dataclass(frozen=True, slots=True)
class Usage:
    """Mean tokens of a model's latest successful calls, and of how many."""

    calls: int
    tokens_in: float
    tokens_out: float


async def read_statistics(
    cache: SqlCache, task: str, *, taxonomy: str = "", days: int | None = None
) -> Statistics:
    """Collect the figures of the last `days` days, or of all time.

    With `taxonomy`, what people have said under that name is believed first.
    """
    return await cache.connector.read(
        partial(_statistics, task=task, taxonomy=taxonomy, days=days),
        doing="read from",
        is_long=True,
    )


async def mean_usage(cache: SqlCache, provider: str, model: str) -> Usage | None:
    """Return what a model's calls really used; None before the first one."""
    return await cache.connector.read(
        partial(_mean_usage, provider=provider, model=model), doing="read from"
    )


def _statistics(
    dialect: Dialect, *, task: str, taxonomy: str, days: int | None
) -> Script[Statistics]:
    now = yield from clock(dialect)
    since = since_days(now, days)
    start = first_moment(since)
    totals = yield from run_totals(since)
    return Statistics(
        since=since,
        runs=totals.runs,
        counts=dict(totals.counts),
        seconds=totals.seconds,
        recent_runs=(yield from recent_runs(start)),
        days=(yield from daily_runs(start)),
        categories=(yield from _categories(task, taxonomy, start)),
        providers=(yield from _providers(start)),
        failures=(yield from _failures(start)),
        most_hit=(yield from _most_hit(task)),
        saved=(yield from _saved(task)),
        agreement=(yield from _agreement(task)),
        stand_ins=(yield from _stand_ins(task, start)),
    )


def _categories(task: str, taxonomy: str, start: str) -> Script[tuple[CategoryLine, ...]]:
    reply = yield Statement(
        "SELECT category, source, COUNT(*) AS photos, AVG(confidence) FROM ("
        "SELECT said.category, said.source, said.confidence FROM classification said"
        f" WHERE said.task = ? AND said.created_at >= ? AND {_NOBODY_LABELLED}"
        " AND said.confidence BETWEEN 0 AND 1"
        f" AND (said.source = '{Source.LLM}' OR said.source = '{Source.LOCAL}' AND {_NO_LLM_SPOKE})"
        f" UNION ALL SELECT category, '{Source.MANUAL}', 1.0 FROM manual_label"
        " WHERE taxonomy = ? AND labelled_at >= ?) AS believed"
        " GROUP BY category, source ORDER BY photos DESC, category, source",
        (task, start, taxonomy, taxonomy, start),
    )
    return tuple(CategoryLine(str(c), str(s), int(n), float(mean)) for c, s, n, mean in reply.rows)


def _stand_ins(task: str, start: str) -> Script[tuple[StandInLine, ...]]:
    reply = yield Statement(
        "SELECT said.reason, COUNT(*) FROM classification said WHERE said.task = ?"
        f" AND said.created_at >= ? AND said.source = '{Source.LOCAL}'"
        f" AND said.reason NOT IN ('{Reason.ASKED}', '{Reason.KEPT_LOCAL}')"
        f" AND {_NO_LLM_SPOKE} GROUP BY said.reason ORDER BY 2 DESC, 1",
        (task, start),
    )
    return tuple(StandInLine(str(reason), int(photos)) for reason, photos in reply.rows)


def _providers(start: str) -> Script[tuple[ProviderLine, ...]]:
    latencies = yield from _latencies(start)
    reply = yield Statement(
        "SELECT provider, model, MAX(source), SUM(attempts), SUM(ok), SUM(tokens_in),"
        " SUM(tokens_out), SUM(cost), SUM(unpriced), MAX(currency), SUM(latency_ms)"
        " FROM daily WHERE day >= ? GROUP BY provider, model ORDER BY 4 DESC, provider, model",
        (start[:10],),
    )
    lines = []
    for provider, model, source, attempts, ok, inward, outward, cost, *rest in reply.rows:
        unpriced, currency, latency_ms = rest
        at = latencies.get((provider, model), {})
        lines.append(
            ProviderLine(
                provider=str(provider),
                model=str(model),
                source=str(source),
                attempts=int(attempts),
                ok=int(ok),
                tokens_in=int(inward),
                tokens_out=int(outward),
                cost=float(cost),
                # A local model asks for nothing: that is a price.
                unpriced=0 if source == Source.LOCAL else int(unpriced),
                currency=str(currency),
                mean_ms=float(latency_ms) / max(int(attempts), 1),
                p50_ms=at.get(50),
                p90_ms=at.get(90),
                p99_ms=at.get(99),
            )
        )
    return tuple(lines)


def _latencies(start: str) -> Script[dict[tuple[str, str], dict[int, float]]]:
    """Percentiles by nearest rank: the smallest latency that p % of the calls did not exceed.

    Of the log's latest calls: ranking a million of them takes four seconds, and how it was
    long ago is not what anybody asks.
    """
    ranks = " OR ".join(
        f"(place * 100 >= calls * {percent} AND (place - 1) * 100 < calls * {percent})"
        for percent in _PERCENTILES
    )
    reply = yield Statement(
        "SELECT provider, model, latency_ms, place, calls FROM ("
        "SELECT provider, model, latency_ms,"
        " ROW_NUMBER() OVER (PARTITION BY provider, model ORDER BY latency_ms) AS place,"
        " COUNT(*) OVER (PARTITION BY provider, model) AS calls"
        " FROM request_log WHERE outcome = 'ok' AND created_at >= ?"
        f" AND id > (SELECT MAX(id) - {_RANKED_CALLS} FROM request_log)) AS ranked"
        f" WHERE {ranks}",
        (start,),
    )
    found: dict[tuple[str, str], dict[int, float]] = {}
    for provider, model, latency_ms, place, calls in reply.rows:
        for percent in _PERCENTILES:
            in_place = (place - 1) * 100 < calls * percent <= place * 100
            if in_place and is_number(latency_ms):
                found.setdefault((provider, model), {})[percent] = float(latency_ms)
    return found


def _failures(start: str) -> Script[tuple[FailureLine, ...]]:
    # All time is a scan: by the index of moments every row would be looked up alone.
    since, values = ("", ()) if start == ALL_TIME else (" AND created_at >= ?", (start,))
    reply = yield Statement(
        "SELECT provider, outcome, COUNT(*) FROM request_log WHERE outcome <> 'ok'"
        f"{since} GROUP BY provider, outcome ORDER BY 3 DESC, provider, outcome",
        values,
    )
    return tuple(FailureLine(str(p), str(outcome), int(n)) for p, outcome, n in reply.rows)


def _most_hit(task: str) -> Script[tuple[HitLine, ...]]:
    # Ordered by the key too, SQLite would visit a million rows in the key's order: 7 s for 0.4.
    reply = yield Statement(
        "SELECT image_hash, category, source, hit_count FROM classification WHERE task = ?"
        f" AND hit_count > 0 ORDER BY hit_count DESC, last_hit_at DESC LIMIT {_MOST_HIT}",
        (task,),
    )
    lines = (HitLine(str(i), str(c), str(s), n) for i, c, s, n in reply.rows if is_number(n))
    return tuple(sorted(lines, key=lambda line: (-line.hits, line.image_hash)))


def _saved(task: str) -> Script[tuple[Saved, ...]]:
    reply = yield Statement(
        "SELECT SUM(hit_count), SUM(hit_count * COALESCE(cost, 0)), currency FROM classification"
        f" WHERE task = ? AND source = '{Source.LLM}' AND hit_count > 0"
        " GROUP BY currency ORDER BY currency",
        (task,),
    )
    return tuple(Saved(int(calls), float(cost), str(unit)) for calls, cost, unit in reply.rows)


def _agreement(task: str) -> Script[Agreement]:
    # Of the two, the local answers are the fewer nearly always: CROSS has SQLite begin there.
    reply = yield Statement(
        "SELECT COUNT(*), COALESCE(SUM(asked.category = guessed.category), 0)"
        " FROM classification guessed CROSS JOIN classification asked"
        " ON asked.image_hash = guessed.image_hash AND asked.task = guessed.task"
        f" AND asked.source = '{Source.LLM}'"
        f" WHERE guessed.task = ? AND guessed.source = '{Source.LOCAL}'",
        (task,),
    )
    both, alike = reply.rows[0]
    return Agreement(int(both), int(alike))


def _mean_usage(_dialect: Dialect, *, provider: str, model: str) -> Script[Usage | None]:
    reply = yield Statement(
        "SELECT COUNT(*), AVG(tokens_in), AVG(tokens_out) FROM (SELECT tokens_in, tokens_out"
        " FROM request_log WHERE provider = ? AND model = ? AND outcome = 'ok'"
        " AND tokens_in IS NOT NULL AND tokens_out IS NOT NULL"
        f" ORDER BY id DESC LIMIT {_USAGE_CALLS}) AS latest",
        (provider, model),
    )
    calls, inward, outward = reply.rows[0]
    return Usage(int(calls), float(inward), float(outward)) if calls else None
