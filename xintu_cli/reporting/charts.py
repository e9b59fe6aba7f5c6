"""Charts as inline SVG, without scripts: bars that lie, and bars that stand.

In: labels and counts. Out: one `<svg>` element, sized by its viewBox; colours come from the
page's style sheet, every label is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from xintu_cli.reporting.escape import display_text

_WIDTH = 640
_ROW = 26
_LABEL_WIDTH = 170
_COUNT_WIDTH = 110
_LABEL_CELLS = 22
_STANDING_HEIGHT = 160
_MOST_TICKS = 12


class Datum(NamedTuple):
    """One bar: its label and how many photos it stands for."""

    label: str
    photos: int


def lying_bars(data: Sequence[Datum]) -> str:
    """Draw one row a datum: label, bar, count and share; for few things with long names."""
    total = sum(datum.photos for datum in data)
    most = max([1, *(datum.photos for datum in data)])
    room = _WIDTH - _LABEL_WIDTH - _COUNT_WIDTH
    rows = []
    for number, datum in enumerate(data):
        top = number * _ROW
        length = room * datum.photos / most
        share = 100 * datum.photos / total if total else 0.0
        rows.append(
            f'<text class="label" x="{_LABEL_WIDTH - 10}" y="{top + 17}">'
            f"{_text(datum.label)}</text>"
            f'<rect class="bar" x="{_LABEL_WIDTH}" y="{top + 5}" width="{length:.1f}" '
            f'height="{_ROW - 10}" rx="2"/>'
            f'<text class="count" x="{_LABEL_WIDTH + length + 8:.1f}" y="{top + 17}">'
            f"{datum.photos:,} · {share:.1f} %</text>"
        )
    return _svg(_ROW * len(data), rows)


def standing_bars(data: Sequence[Datum]) -> str:
    """Draw one column a datum, labelled where there is room; for many things in an order."""
    most = max([1, *(datum.photos for datum in data)])
    step = _WIDTH / max(1, len(data))
    every = -(-len(data) // _MOST_TICKS) or 1
    columns = []
    for number, datum in enumerate(data):
        height = (_STANDING_HEIGHT - 20) * datum.photos / most
        left = number * step
        columns.append(
            f'<rect class="bar" x="{left + step * 0.1:.1f}" y="{_STANDING_HEIGHT - height:.1f}" '
            f'width="{step * 0.8:.1f}" height="{height:.1f}">'
            f"<title>{_text(datum.label)}: {datum.photos:,}</title></rect>"
        )
        if number % every == 0:
            columns.append(
                f'<text class="tick" x="{left + step / 2:.1f}" y="{_STANDING_HEIGHT + 16}">'
                f"{_text(datum.label)}</text>"
            )
    return _svg(_STANDING_HEIGHT + 24, columns)


def _svg(height: int, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {max(1, height)}" role="img">{"".join(parts)}</svg>'


def _text(label: str) -> str:
    shown = display_text(label)
    if cell_len(shown) > _LABEL_CELLS:
        shown = set_cell_size(shown, _LABEL_CELLS - 1) + "…"
    return escape(shown)
