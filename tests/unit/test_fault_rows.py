"""Every row of the fault matrix (C providers, D database, F several runs) has a test.

`row` marks say which tests provoke it.

`grep -rn '"C17"' tests` finds them. What a row promises, in a line each:
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

ROWS = {
    "C1": "throttled with any form of Retry-After: kept by all workers, a minute at most",
    "C2": "throttled without a word of when: the rate is found, 90 % of it used, 5 % refused",
    "C3": "no money, arrears: the provider is stopped at once",
    "C4": "a refused key: from the first call on 77, in mid-run the provider is stopped",
    "C5": "5xx, with HTML in it: retried within the budget, and the breaker opens",
    "C6": "an outage of 30 s: no photo to the local model, a call a period",
    "C7": "a longer outage: provisional answers, which the next run upgrades, paid once",
    "C8": "one photo that always fails: three attempts, and nobody else is held up",
    "C9": "connections refused, reset, cut, garbled: an unknown outcome is sent again once",
    "C10": "a black hole, a drip: a deadline for the whole call",
    "C11": "a reply of 200 MB: read for one at most",
    "C12": "replies that are no answer: asked once more, then the next",
    "C13": "answers in odd clothes: fences are taken off, nothing off the list is stored",
    "C14": "a category off the list: variants are understood, else asked once more",
    "C15": "refused for its content: not tried again, not offered again for thirty days",
    "C16": "the SDKs' own retries are off",
    "C17": "a redirect is refused, nothing goes to its target",
    "C18": "proxies, SSL_CERT_FILE: honoured; loopback takes no detour",
    "C19": "TLS that is not to be trusted: nothing is sent, host and reason are named",
    "C20": "the local model missing or corrupt: 78 where it is needed, else a warning",
    "C21": "nobody left at all: 69, photos pending, a later run completes",
    "C22": "--max-calls exact, --max-cost never exceeded",
    "D1": "the database is down at the start: 75, nothing sent",
    "D2": "it goes away in mid-run: sending stops, answers are spooled, then 75 or on it goes",
    "D3": "a commit whose reply is lost: written once all the same",
    "D4": "deadlock, lock time-out, too many connections, read-only: again, or 75 with words",
    "D5": "a connection killed or cancelled: a fresh one",
    "D7": "an SQLite file locked by another program: waited for, then spooled over",
    "D8": "a damaged SQLite file: 74, left as it is, never made anew",
    "D9": "SQLite on a network file system: refused",
    "D10": "a newer schema: refused, untouched",
    "D11": "an older schema: upgraded, with a backup; killed at any write, it converges",
    "D12": "two versions of xintu on one cache",
    "D13": "rows that somebody else wrote: a miss, replaced",
    "D14": "latin1, case-insensitive collations: our own, or refused",
    "D15": "small packets, long lists: batches",
    "D16": "wrong password, missing rights: 77, and which",
    "D17": "claims of a dead run: taken over when they run out, and told",
    "F1": "two runs over the same folders: the second is told who is at work",
    "F2": "a lock left by kill -9 is none",
    "F3": "two roots, one content: paid for once",
    "F4": "two machines, one database: paid for once",
    "F5": "a run that waits for another's claim goes on when that one dies",
    "F6": "other categories: both pay, no cross-talk",
    "F7": "a local answer neither hides nor replaces an LLM's",
    "F8": "a clock that is off decides nothing",
    "F9": "an export during a run: whole, never partial",
}


def marked() -> Iterator[tuple[str, str]]:
    """Yield (row, test) for every `row` mark."""
    for path in sorted(TESTS.rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for row in _rows_of(node):
                    yield row, f"{path.relative_to(TESTS)}::{node.name}"


def _rows_of(test: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for mark in test.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.row":
            yield from (ast.literal_eval(argument) for argument in mark.args)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row}: {ROWS[row]}")
def test_a_row_of_the_fault_matrix_has_a_test(row: str) -> None:
    tests = defaultdict(list)
    for marked_row, test in marked():
        tests[marked_row].append(test)
    assert tests[row], f"nothing provokes {row}: {ROWS[row]}"


def test_a_mark_names_a_row_there_is() -> None:
    known = {row for row, _ in marked()}
    assert {row for row in known if row[0] in "CDF"} <= set(ROWS)
