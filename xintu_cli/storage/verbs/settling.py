"""Write a settlement: answers, refusals, hits, log rows, daily totals, released claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from xintu_cli.records import Answer, Attempt, Settlement, Source
from xintu_cli.storage.dialect import Dialect
from xintu_cli.storage.schema import CLASSIFICATION_KEY
from xintu_cli.storage.script import Script, Statement, batches
from xintu_cli.storage.verbs.claiming import release, release_all
from xintu_cli.storage.verbs.clock import clock, later
from xintu_cli.storage.verbs.texts import (
    CURRENCY_LENGTH,
    DESCRIPTION_LENGTH,
    ERROR_LENGTH,
    MODEL_LENGTH,
    NAME_LENGTH,
    REASON_LENGTH,
    storable,
    storable_money,
    storable_tokens,
)

REFUSAL_DAYS = 30
"""How long a photo that a provider refused is not offered to it again."""

_REPLACED = (
    *("category", "confidence", "description", "second_category", "provider", "model"),
    *("prompt_version", "preparation_version", "reason", "tokens_in", "tokens_out"),
    *("cost", "currency", "created_at", "run_id"),
)
_LOGGED = (
    *("run_id", "image_hash", "task", "source", "provider", "model", "outcome", "latency_ms"),
    *("tokens_in", "tokens_out", "cost", "currency", "attempt", "error", "created_at"),
)
_DAILY_SUMS = ("attempts", "ok", "latency_ms", "tokens_in", "tokens_out", "cost", "unpriced")


def settle(dialect: Dialect, settlement: Settlement) -> Script[None]:
    """Write one settlement, unless it was written before; release its claims either way.

    `settlement` remembers the ids of the written ones: a commit whose reply was lost and a
    spool that is replayed twice count nothing twice and never undo a newer answer.
    """
    now = yield from clock(dialect)
    fresh = yield Statement(
        dialect.insert_new("settlement", ("settlement_id", "settled_at")),
        (settlement.settlement_id, now),
    )
    if fresh.touched:
        yield from _store_answers(dialect, settlement, now)
        yield from _store_refusals(dialect, settlement, now)
        yield from _count_hits(dialect, settlement, now)
    if settlement.has_claims:
        finished = {image_hash for image_hash, _ in settlement.answers}
        finished.update(settlement.released)
        yield from release(dialect, settlement.task, sorted(finished), settlement.run_id)
    if settlement.ends_run:
        yield from release_all(dialect, settlement.run_id)
    if fresh.touched:
        yield from _log_attempts(dialect, settlement, now)


def _store_answers(dialect: Dialect, settlement: Settlement, now: str) -> Script[None]:
    if not settlement.answers:
        return
    columns = (*CLASSIFICATION_KEY, *_REPLACED)
    yield Statement(
        dialect.upsert("classification", columns, CLASSIFICATION_KEY, replace=_REPLACED),
        sorted(
            (_answer_row(settlement, image_hash, answer, now))
            for image_hash, answer in _latest(settlement.answers)
        ),
        many=True,
    )


def _latest(answers: Sequence[tuple[str, Answer]]) -> list[tuple[str, Answer]]:
    """Keep the last answer per (image, source): one statement must not name a key twice."""
    by_key = {(image_hash, answer.source): answer for image_hash, answer in answers}
    return [(image_hash, answer) for (image_hash, _), answer in by_key.items()]


def _answer_row(
    settlement: Settlement, image_hash: str, answer: Answer, now: str
) -> tuple[object, ...]:
    said = answer.classification
    tokens_in, tokens_out = answer.total_tokens()
    costs = [a.cost for a in answer.attempts if a.cost is not None]
    currencies = [a.currency for a in answer.attempts if a.currency]
    return (
        image_hash,
        settlement.task,
        str(answer.source),
        said.category,
        float(said.confidence),
        storable(said.description, DESCRIPTION_LENGTH),
        said.second_category,
        storable(answer.provider, NAME_LENGTH),
        storable(answer.model, MODEL_LENGTH),
        answer.prompt_version,
        answer.preparation_version,
        str(answer.reason),
        storable_tokens(tokens_in),
        storable_tokens(tokens_out),
        storable_money(sum(costs) if costs else None),
        storable(currencies[-1] if currencies else "", CURRENCY_LENGTH),
        now,
        settlement.run_id,
    )


def _store_refusals(dialect: Dialect, settlement: Settlement, now: str) -> Script[None]:
    reasons = {(h, refusal.provider): refusal.reason for h, refusal in settlement.refusals}
    for image_hash, answer in settlement.answers:
        reasons.update({(image_hash, r.provider): r.reason for r in answer.refusals})
    if not reasons:
        return
    key = ("image_hash", "task", "provider")
    until = later(now, seconds=REFUSAL_DAYS * 86_400)
    yield Statement(
        dialect.upsert(
            "refusal", (*key, "reason", "retry_after"), key, replace=("reason", "retry_after")
        ),
        [
            (
                image_hash,
                settlement.task,
                storable(provider, NAME_LENGTH),
                storable(reason, REASON_LENGTH),
                until,
            )
            for (image_hash, provider), reason in sorted(reasons.items())
        ],
        many=True,
    )


def _count_hits(dialect: Dialect, settlement: Settlement, now: str) -> Script[None]:
    """Count a hit a file on the row that answered: the LLM's where there is one, else the local.

    Copies of one image that come together are as many hits as copies that come one by one.
    """
    by_times: dict[int, list[str]] = {}
    for image_hash, times in sorted(Counter(settlement.hits).items()):
        by_times.setdefault(times, []).append(image_hash)
    for times, hashes in by_times.items():
        for batch in batches(hashes):
            yield from _count_times(dialect, settlement.task, batch, times, now)


def _count_times(
    dialect: Dialect, task: str, batch: Sequence[str], times: int, now: str
) -> Script[None]:
    touched = yield from _hit(dialect, task, Source.LLM, batch, times, now)
    if touched < len(batch):
        condition, values = dialect.one_of("image_hash", batch)
        reply = yield Statement(
            "SELECT image_hash FROM classification"
            f" WHERE task = ? AND source = '{Source.LLM}' AND {condition}",
            (task, *values),
        )
        by_llm = {row[0] for row in reply.rows}
        rest = [image_hash for image_hash in batch if image_hash not in by_llm]
        yield from _hit(dialect, task, Source.LOCAL, rest, times, now)


def _hit(
    dialect: Dialect, task: str, source: Source, hashes: Sequence[str], times: int, now: str
) -> Script[int]:
    condition, values = dialect.one_of("image_hash", hashes)
    reply = yield Statement(
        "UPDATE classification SET hit_count = hit_count + ?, last_hit_at = ?"
        f" WHERE task = ? AND source = '{source}' AND {condition}",
        (times, now, task, *values),
    )
    return reply.touched


def _log_attempts(dialect: Dialect, settlement: Settlement, now: str) -> Script[None]:
    """Log every attempt and add it to its day's totals, which outlive the log."""
    logged = [(h, attempt) for h, answer in settlement.answers for attempt in answer.attempts]
    logged += settlement.attempts
    if not logged:
        return
    marks = ", ".join("?" * len(_LOGGED))
    yield Statement(
        f"INSERT INTO request_log ({', '.join(_LOGGED)}) VALUES ({marks})",
        [_log_row(settlement, image_hash, attempt, now) for image_hash, attempt in logged],
        many=True,
    )
    key = ("day", "provider", "model")
    yield Statement(
        dialect.upsert("daily", (*key, "source", "currency", *_DAILY_SUMS), key, add=_DAILY_SUMS),
        _daily_rows(now[:10], [attempt for _, attempt in logged]),
        many=True,
    )


def _log_row(
    settlement: Settlement, image_hash: str, attempt: Attempt, now: str
) -> tuple[object, ...]:
    return (
        settlement.run_id,
        image_hash,
        settlement.task,
        str(attempt.source),
        storable(attempt.provider, NAME_LENGTH),
        storable(attempt.model, MODEL_LENGTH),
        attempt.outcome,
        attempt.latency_ms,
        storable_tokens(attempt.tokens_in),
        storable_tokens(attempt.tokens_out),
        storable_money(attempt.cost),
        storable(attempt.currency, CURRENCY_LENGTH),
        attempt.number,
        storable(attempt.error, ERROR_LENGTH),
        now,
    )


def _daily_rows(day: str, attempts: Sequence[Attempt]) -> list[tuple[object, ...]]:
    rows: dict[tuple[str, str], list[Attempt]] = {}
    for attempt in attempts:
        key = (storable(attempt.provider, NAME_LENGTH), storable(attempt.model, MODEL_LENGTH))
        rows.setdefault(key, []).append(attempt)
    return [
        (
            day,
            provider,
            model,
            str(group[-1].source),
            storable(next((a.currency for a in group if a.currency), ""), CURRENCY_LENGTH),
            sum(a.was_sent for a in group),
            sum(a.outcome == "ok" for a in group),
            sum(a.latency_ms for a in group if a.was_sent),
            sum(storable_tokens(a.tokens_in) or 0 for a in group),
            sum(storable_tokens(a.tokens_out) or 0 for a in group),
            storable_money(sum(storable_money(a.cost) or 0.0 for a in group)),
            sum(a.cost is None for a in group),
        )
        for (provider, model), group in sorted(rows.items())
    ]
