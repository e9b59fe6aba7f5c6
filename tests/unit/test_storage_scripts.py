"""The texts and records that storage makes without any database."""

from __future__ import annotations

import re

import pytest

from xintu_cli.records import (
    Answer,
    Attempt,
    Classification,
    Refusal,
    Settlement,
    Source,
)
from xintu_cli.storage import keyset
from xintu_cli.storage.dialect import MYSQL, SQLITE
from xintu_cli.storage.privacy import only_answers, without_descriptions
from xintu_cli.storage.schema import META_MYSQL, STEPS
from xintu_cli.storage.script import batches
from xintu_cli.storage.settlements import decode, encode
from xintu_cli.storage.verbs.clock import later

ATTEMPT = Attempt(Source.LLM, "qwen", "vl", "ok", 12.5, 900, None, 0.25, "USD", 2, "照片 \ud800")
ANSWER = Answer(
    Classification("pets", 0.9, "a cat\n", "foods"),
    Source.LLM,
    "qwen",
    "vl",
    prompt_version="p1",
    attempts=(ATTEMPT,),
    refusals=(Refusal("gpt", "policy"),),
)
SETTLEMENT = Settlement(
    "a" * 32,
    "0123456789abcdef",
    answers=(("1" * 32, ANSWER),),
    attempts=(("2" * 32, ATTEMPT),),
    refusals=(("2" * 32, Refusal("qwen", "policy")),),
    hits=("3" * 32,),
    released=("4" * 32, "5" * 32),
)


def test_a_settlement_comes_back_from_json_as_it_was() -> None:
    again = decode(encode(SETTLEMENT))
    assert again == SETTLEMENT
    assert again.settlement_id == SETTLEMENT.settlement_id
    assert isinstance(again.answers[0][1].source, Source)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"run_id": "x"}'])
def test_json_that_is_no_settlement_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        decode(text)


def test_what_is_shared_has_no_descriptions_and_what_stays_no_attempts() -> None:
    shared, kept = without_descriptions(SETTLEMENT), only_answers(SETTLEMENT)
    assert shared.answers[0][1].classification == Classification("pets", 0.9, "", "foods")
    assert (shared.attempts, shared.hits) == (SETTLEMENT.attempts, SETTLEMENT.hits)
    assert kept.answers[0][1].classification == ANSWER.classification
    assert (kept.answers[0][1].attempts, kept.answers[0][1].refusals) == ((), ())
    assert (kept.attempts, kept.refusals, kept.hits, kept.released) == ((), (), (), ())
    assert shared.settlement_id == kept.settlement_id == SETTLEMENT.settlement_id


def test_upserts_say_the_same_in_both_dialects() -> None:
    arguments = ("t", ("k", "a", "n"), ("k",))
    assert SQLITE.upsert(*arguments, replace=("a",), add=("n",), only_if="old.a < new.a") == (
        "INSERT INTO t (k, a, n) VALUES (?, ?, ?) ON CONFLICT (k) DO UPDATE SET"
        " a = excluded.a, n = t.n + excluded.n WHERE t.a < excluded.a"
    )
    assert MYSQL.upsert(*arguments, replace=("a",), add=("n",), only_if="old.a < new.a") == (
        "INSERT INTO t (k, a, n) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE"
        " a = IF(t.a < VALUES(a), VALUES(a), a), n = IF(t.a < VALUES(a), n + VALUES(n), n)"
    )


def test_a_page_follows_its_key_column_by_column() -> None:
    script = keyset.page("t", ("a", "b"), ("a", "b", "c"), ("1", "2", "3"), only={"d = ?": "4"})
    statement = next(script)
    assert statement.sql == (
        "SELECT a, b FROM t WHERE a >= ? AND (a > ? OR (a = ? AND (b > ? OR (b = ? AND (c > ?)))))"
        " AND d = ? ORDER BY a, b, c LIMIT 1000"
    )
    assert list(statement.parameters) == ["1", "1", "1", "2", "2", "3", "4"]


@pytest.mark.parametrize(
    ("count", "expected"), [(0, []), (1, [1]), (1000, [1000]), (2001, [1000, 1000, 1])]
)
def test_batches_are_at_most_a_thousand(count: int, expected: list[int]) -> None:
    assert expected == [len(batch) for batch in batches(range(count))]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.5, "2026-12-31 23:59:59.750"),
        (1.0, "2027-01-01 00:00:00.250"),
        (-86_400.0, "2026-12-30 23:59:59.250"),
    ],
)
def test_times_are_reckoned_in_milliseconds(seconds: float, expected: str) -> None:
    assert expected == later("2026-12-31 23:59:59.250", seconds=seconds)


RESERVED_BY_MYSQL_ALONE = frozenset(
    (
        *("cube", "cume_dist", "dense_rank", "empty", "except", "external", "first_value"),
        *("function", "generated", "get", "grouping", "groups", "intersect", "json_table"),
        *("io_after_gtids", "io_before_gtids", "lag", "last_value", "lateral", "lead", "library"),
        *("manual", "nth_value", "ntile", "of", "optimizer_costs", "over", "parallel"),
        *("percent_rank", "qualify", "rank", "recursive", "row", "row_number", "rows", "stored"),
        *("system", "tablesample", "virtual", "window"),
    )
)
"""By MySQL 8.0 to 9.4 and not by MariaDB, on which the other tests run."""


def test_no_name_of_ours_is_a_reserved_word_of_mysqls() -> None:
    texts = " ".join((META_MYSQL, *(text for step in STEPS for text in step.mysql)))
    names = set(re.findall(r"[a-z_][a-z0-9_]*", texts))
    assert {"classification", "by_hand", "expires_at"} <= names
    assert names & RESERVED_BY_MYSQL_ALONE == set()
