"""`tests/FAULTS.md` names tests that there are, one at least in every row."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = [
    line
    for line in (ROOT / "tests" / "FAULTS.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| fault ")
]


def test_every_fault_has_a_test_that_there_is() -> None:
    definition = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)
    modules = (ROOT / "tests").rglob("test_*.py")
    there = {name for path in modules for name in definition.findall(path.read_text("utf-8"))}
    named = {row: re.findall(r"`(test_\w+)`", row) for row in ROWS}
    assert [row for row, tests in named.items() if not tests] == []
    assert {test for tests in named.values() for test in tests} - there == set()
