"""Look rows up: for a run's decisions, for an export, for a stream of everything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from operator import itemgetter

from xintu_cli.records import CachedAnswer, CachedRow, Source
from xintu_cli.storage import keyset
from xintu_cli.storage.dialect import Dialect
from xintu_cli.storage.schema import CLASSIFICATION_KEY
from xintu_cli.storage.script import Script, Statement, batches
from xintu_cli.storage.verbs.clock import as_utc, clock

_ANSWER = (
    *("image_hash", "source", "category", "confidence", "description", "second_category"),
    *("provider", "model", "reason", "prompt_version", "preparation_version", "created_at"),
)
_image_hash = itemgetter(CachedRow._fields.index("image_hash"))


def look_up(
    dialect: Dialect, task: str, taxonomy: str, hashes: Sequence[str]
) -> Script[Mapping[str, Sequence[CachedRow]]]:
    """Collect every row about these images; a row whose values are no row's is left out.

    A batch comes as one row of JSON. aiomysql spends 8 µs on a row, `json` less than 1;
    sqlite3 gives the interpreter lock back and fights for it again at every row, which cost
    a rescan of 100 000 photos a second.
    """
    deciding = dialect.packed(CachedRow._fields)
    found: dict[str, list[CachedRow]] = {}
    for batch in batches(hashes):
        condition, values = dialect.one_of("image_hash", batch)
        # The labels are asked about along the way: a question more is a round trip more.
        reply = yield Statement(
            f"SELECT {deciding}, EXISTS (SELECT 1 FROM manual_label) FROM classification"
            f" WHERE task = ? AND confidence BETWEEN 0 AND 1 AND {condition}",
            (task, *values),
        )
        packed, has_labels = reply.rows[0]
        # A confidence of 1 may come as an integer; nothing else in there is a number.
        rows = list(map(CachedRow._make, json.loads(packed or "[]", parse_int=float)))
        for image_hash, row in zip(map(_image_hash, rows), rows, strict=True):
            if image_hash in found:
                found[image_hash].append(row)
            else:
                found[image_hash] = [row]
        if not has_labels:
            continue
        reply = yield Statement(
            f"SELECT image_hash, category FROM manual_label WHERE taxonomy = ? AND {condition}",
            (taxonomy, *values),
        )
        for image_hash, category in reply.rows:
            row = CachedRow(image_hash, Source.MANUAL, category, 1.0, "", "", "", "")
            found.setdefault(image_hash, []).append(row)
    return found


def details(
    dialect: Dialect, task: str, taxonomy: str, hashes: Sequence[str]
) -> Script[Mapping[str, Sequence[CachedAnswer]]]:
    """Collect every row about these images with every column."""
    found: dict[str, list[CachedAnswer]] = {}
    for batch in batches(hashes):
        condition, values = dialect.one_of("image_hash", batch)
        reply = yield Statement(
            f"SELECT {', '.join(_ANSWER)} FROM classification WHERE task = ? AND {condition}",
            (task, *values),
        )
        for answer in filter(None, map(cached_answer, reply.rows)):
            found.setdefault(answer.image_hash, []).append(answer)
        reply = yield Statement(
            "SELECT image_hash, category, who, labelled_at FROM manual_label"
            f" WHERE taxonomy = ? AND {condition}",
            (taxonomy, *values),
        )
        for image_hash, category, who, labelled_at in reply.rows:
            label = CachedAnswer(
                image_hash=image_hash,
                source=Source.MANUAL,
                category=category,
                confidence=1.0,
                description="",
                second_category=None,
                provider="",
                model="",
                reason="",
                prompt_version="",
                preparation_version="",
                created_at=as_utc(labelled_at),
                who=who,
            )
            found.setdefault(image_hash, []).append(label)
    return found


def cached_answer(row: Sequence[object]) -> CachedAnswer | None:
    """Build an answer from `_ANSWER`; None where a value is not of its column's type."""
    image_hash, source, category, confidence, description, second, *rest = row
    texts = (image_hash, source, category, description, *rest)
    if not isinstance(confidence, float) or not all(isinstance(text, str) for text in texts):
        return None
    provider, model, reason, prompt_version, preparation_version, created_at = map(str, rest)
    try:
        moment = as_utc(created_at)
    except ValueError:
        return None
    return CachedAnswer(
        image_hash=str(image_hash),
        source=str(source),
        category=str(category),
        confidence=confidence,
        description=str(description),
        second_category=second if isinstance(second, str) else None,
        provider=provider,
        model=model,
        reason=reason,
        prompt_version=prompt_version,
        preparation_version=preparation_version,
        created_at=moment,
    )


def refused(
    dialect: Dialect, task: str, hashes: Sequence[str]
) -> Script[Mapping[str, frozenset[str]]]:
    """Collect, per image, the providers whose refusal is not yet over."""
    now = yield from clock(dialect)
    found: dict[str, set[str]] = {}
    for batch in batches(hashes):
        condition, values = dialect.one_of("image_hash", batch)
        reply = yield Statement(
            "SELECT image_hash, provider FROM refusal"
            f" WHERE task = ? AND retry_after > ? AND {condition}",
            (task, now, *values),
        )
        for image_hash, provider in reply.rows:
            found.setdefault(image_hash, set()).add(provider)
    return {image_hash: frozenset(providers) for image_hash, providers in found.items()}


def answers_page(
    _dialect: Dialect, *, task: str | None, after: Sequence[str]
) -> Script[Sequence[tuple[tuple[str, str, str], CachedAnswer | None]]]:
    """Read the next page of all classifications in key order: ((hash, task, source), answer)."""
    rows = yield from keyset.page(
        "classification",
        (*CLASSIFICATION_KEY, *_ANSWER),
        CLASSIFICATION_KEY,
        after,
        only={"task = ?": task} if task is not None else {},
    )
    return [((row[0], row[1], row[2]), cached_answer(row[3:])) for row in rows]
