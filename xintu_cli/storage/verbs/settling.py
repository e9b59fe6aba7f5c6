"""Write a settlement: answers, refusals, hits, log rows, daily totals, released claims."""

from __future__ import annotations

from collections.abc import Sequence

from xintu_cli.records import Answer, Attempt, Refusal, Settlement, Source
from xintu_cli.storage.dialect import Dialect
from xintu_cli.storage.schema import CLASSIFICATION_KEY
from xintu_cli.storage.script import Script, Statement, batches
from xintu_cli.storage.verbs.claiming import release
from xintu_cli.storage.verbs.clock import clock, later

REFUSAL_DAYS = 30
"""How long a photo that a provider refused is not offered to it again."""

_DESCRIPTION_LENGTH = 2_000
_ERROR_LENGTH = 500
_REASON_LENGTH = 255
_NAME_LENGTH = 64
_MODEL_LENGTH = 128
"""Characters. MySQL's columns are as long; a text that is longer is cut, not refused."""

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
    finished = {image_hash for image_hash, _ in settlement.answers}
    finished.update(settlement.released)
    yield from release(dialect, settlement.task, sorted(finished), settlement.run_id)
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
        _text(said.description, _DESCRIPTION_LENGTH),
        said.second_category,
        _text(answer.provider, _NAME_LENGTH),
        _text(answer.model, _MODEL_LENGTH),
        answer.prompt_version,
        answer.preparation_version,
        str(answer.reason),
        tokens_in,
        tokens_out,
        sum(costs) if costs else None,
        currencies[-1] if currencies else "",
        now,
        settlement.run_id,
    )


def _store_refusals(dialect: Dialect, settlement: Settlement, now: str) -> Script[None]:
    if not settlement.refusals:
        return
    key = ("image_hash", "task", "provider")
    until = later(now, seconds=REFUSAL_DAYS * 86_400)
    reasons = {(image_hash, r.provider): r for image_hash, r in settlement.refusals}
    yield Statement(
        dialect.upsert(
            "refusal", (*key, "reason", "retry_after"), key, replace=("reason", "retry_after")
        ),
        [
            (image_hash, settlement.task, provider, _text(refusal.reason, _REASON_LENGTH), until)
            for (image_hash, provider), refusal in sorted(reasons.items(), key=_by_key)
        ],
        many=True,
    )


def _by_key(item: tuple[tuple[str, str], Refusal]) -> tuple[str, str]:
    return item[0]


def _count_hits(dialect: Dialect, settlement: Settlement, now: str) -> Script[None]:
    """Count a hit on the row that answered: the LLM's where there is one, else the local."""
    for batch in batches(sorted(set(settlement.hits))):
        condition, values = dialect.one_of("image_hash", batch)
        reply = yield Statement(
            "SELECT image_hash FROM classification"
            f" WHERE task = ? AND source = '{Source.LLM}' AND {condition}",
            (settlement.task, *values),
        )
        by_llm = {row[0] for row in reply.rows}
        for source, hit in (
            (Source.LLM, sorted(by_llm)),
            (Source.LOCAL, [image_hash for image_hash in batch if image_hash not in by_llm]),
        ):
            if hit:
                condition, values = dialect.one_of("image_hash", hit)
                yield Statement(
                    "UPDATE classification SET hit_count = hit_count + 1, last_hit_at = ?"
                    f" WHERE task = ? AND source = '{source}' AND {condition}",
                    (now, settlement.task, *values),
                )


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
        _text(attempt.provider, _NAME_LENGTH),
        _text(attempt.model, _MODEL_LENGTH),
        attempt.outcome,
        attempt.latency_ms,
        attempt.tokens_in,
        attempt.tokens_out,
        attempt.cost,
        attempt.currency,
        attempt.number,
        _text(attempt.error, _ERROR_LENGTH),
        now,
    )


def _daily_rows(day: str, attempts: Sequence[Attempt]) -> list[tuple[object, ...]]:
    rows: dict[tuple[str, str], list[Attempt]] = {}
    for attempt in attempts:
        key = (_text(attempt.provider, _NAME_LENGTH), _text(attempt.model, _MODEL_LENGTH))
        rows.setdefault(key, []).append(attempt)
    return [
        (
            day,
            provider,
            model,
            str(group[-1].source),
            next((a.currency for a in group if a.currency), ""),
            len(group),
            sum(a.outcome == "ok" for a in group),
            sum(a.latency_ms for a in group),
            sum(a.tokens_in or 0 for a in group),
            sum(a.tokens_out or 0 for a in group),
            sum(a.cost or 0.0 for a in group),
            sum(a.cost is None for a in group),
        )
        for (provider, model), group in sorted(rows.items())
    ]


def _text(text: str, length: int) -> str:
    """Make any text storable: cut it, and replace lone surrogates, which UTF-8 cannot encode."""
    if len(text) > length:
        text = f"{text[: length - 1]}…"
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
