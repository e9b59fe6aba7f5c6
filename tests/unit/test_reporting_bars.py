"""Rows with bars fit their width, whatever is in them."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from xintu_cli.reporting.bars import BarRow, bar_rows

ROWS = [
    BarRow("Pets", 900, ("900", "90.0 %")),
    BarRow("手机截图", 100, ("100", "10.0 %")),
    BarRow("Other", 0, ("0", "")),
]


def test_columns_stand_below_each_other_and_the_largest_has_the_longest_bar() -> None:
    assert [str(line) for line in bar_rows(ROWS, 40, unicode=True)] == [
        "  Pets      900  90.0 %  " + "█" * 14,
        "  手机截图  100  10.0 %  █▌",
        "  Other       0",
    ]


def test_a_terminal_without_unicode_gets_plain_bars() -> None:
    bars = [str(line).rpartition("  ")[2] for line in bar_rows(ROWS[:2], 40, unicode=False)]
    assert bars == ["#" * 14, "##"]


@pytest.mark.parametrize("width", [20, 26, 30, 31, 60, 79, 300])
def test_no_line_is_wider_than_the_terminal_unless_its_words_are(width: int) -> None:
    widest = max(cell_len(str(line)) for line in bar_rows(ROWS, width, unicode=True))
    assert widest < max(width, 26)


def test_a_long_name_is_cut() -> None:
    [line] = bar_rows([BarRow("x" * 90, 1, ("1",))], 80, unicode=True)
    assert str(line).startswith("  " + "x" * 26 + "..  1  ")


def test_no_rows_are_no_lines() -> None:
    assert bar_rows([], 80, unicode=True) == []
