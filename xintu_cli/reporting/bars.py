"""Rows that one sees at a glance: a name, a few numbers, a bar.

In: rows of text. Out: `rich` lines in columns; the longest bar belongs to the largest value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.text import Text

from xintu_cli.reporting.figures import bar
from xintu_cli.reporting.layout import CATEGORY_STYLE, QUIET_STYLE, padded

_WIDEST_NAME = 28
_WIDEST_BAR = 40
_NARROWEST_BAR = 6


class BarRow(NamedTuple):
    """One row: its name, how long its bar is (in any unit), and numbers already as text."""

    name: str
    value: float
    numbers: tuple[str, ...]


def bar_rows(
    rows: Sequence[BarRow], width: int, *, unicode: bool, style: str = CATEGORY_STYLE
) -> list[Text]:
    """Draw the rows; each has as many numbers as the others. Without room there are no bars."""
    if not rows:
        return []
    name_cells = min(_WIDEST_NAME, max(cell_len(row.name) for row in rows))
    columns = [
        max(cell_len(number) for number in column)
        for column in zip(*(row.numbers for row in rows), strict=True)
    ]
    room = min(_WIDEST_BAR, width - name_cells - sum(cells + 2 for cells in columns) - 5)
    most = max(row.value for row in rows) or 1
    lines = []
    for row in rows:
        line = Text("  ", no_wrap=True, style="" if row.value else QUIET_STYLE)
        line.append(padded(row.name, name_cells))
        for number, cells in zip(row.numbers, columns, strict=True):
            line.append("  " + " " * (cells - cell_len(number)) + number)
        if room >= _NARROWEST_BAR:
            line.append("  " + bar(row.value / most, room, unicode=unicode), style)
        line.rstrip()
        lines.append(line)
    return lines
