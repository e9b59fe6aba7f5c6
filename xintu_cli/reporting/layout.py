"""What the live display and the closing word draw alike: consoles, categories, the legend.

Everything is a `rich` `Text`, so that no name is ever read as markup. Widths are terminal
cells: a Chinese character takes two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TextIO, cast

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from xintu_cli.records import RunSummary
from xintu_cli.reporting.escape import display_text
from xintu_cli.reporting.figures import bar, percent
from xintu_cli.reporting.lossy import LossyStream
from xintu_cli.reporting.phrases import Phrase, Say
from xintu_cli.taxonomy import Taxonomy

CATEGORY_STYLE = "cyan"
QUIET_STYLE = "bright_black"
PROBLEM_STYLE = "yellow"
_WIDEST_NAME = 28
_WIDEST_BAR = 40


class Part(NamedTuple):
    """One of the six counts that make up `found`: its word, its attribute, its colour."""

    phrase: Phrase
    name: str
    style: str


PARTS = (
    Part(Phrase.CACHED, "cached", "blue"),
    Part(Phrase.LLM, "llm", "magenta"),
    Part(Phrase.LOCAL, "local", "cyan"),
    Part(Phrase.FAILED, "failed", "red"),
    Part(Phrase.SKIPPED, "skipped", "white"),
)


def open_console(stream: LossyStream | TextIO) -> Console:
    """Return a console that shows text as it is: no markup, no emoji codes, no guessed colours."""
    return Console(file=cast("TextIO", stream), markup=False, emoji=False, highlight=False)


def writes_unicode(stream: LossyStream | TextIO) -> bool:
    """Tell whether bars and dots can be drawn on a stream."""
    return (stream.encoding or "utf-8").lower().startswith("utf")


def padded(text: str, cells: int) -> str:
    """Cut or fill text to exactly `cells` terminal cells; what is cut ends in two dots."""
    if cell_len(text) > cells:
        text = set_cell_size(text, max(0, cells - 2)) + ".."
    return set_cell_size(text, cells)


class CategoryLine(NamedTuple):
    """A category's name as shown, and how many photos it has."""

    name: str
    photos: int


def category_lines(
    categories: Mapping[str, int], taxonomy: Taxonomy, language: str
) -> list[CategoryLine]:
    """List all categories in the taxonomy's order, those it does not know last."""
    keys = [category.key for category in taxonomy.categories]
    keys += sorted(categories.keys() - set(keys))
    return [
        CategoryLine(display_text(taxonomy.display_name(key, language)), categories.get(key, 0))
        for key in keys
    ]


def category_rows(
    lines: Sequence[CategoryLine], width: int, *, unicode: bool, shares: bool = False
) -> list[Text]:
    """Draw one row a category: name, count, share where asked for, bar.

    The longest bar belongs to the fullest category.
    """
    name_cells = min(_WIDEST_NAME, max(cell_len(line.name) for line in lines))
    count_cells = max(len(f"{line.photos:,}") for line in lines)
    share_cells = 9 if shares else 0
    room = min(_WIDEST_BAR, width - name_cells - count_cells - share_cells - 6)
    most = max(1, *(line.photos for line in lines))
    total = sum(line.photos for line in lines)
    rows = []
    for line in lines:
        row = Text("  ", no_wrap=True, style="" if line.photos else QUIET_STYLE)
        row.append(padded(line.name, name_cells))
        row.append(f"  {line.photos:>{count_cells},}")
        if shares:
            row.append(f"{percent(line.photos, total, 1) if line.photos else '':>{share_cells}}")
        row.append("  " + bar(line.photos / most, max(0, room), unicode=unicode), CATEGORY_STYLE)
        row.rstrip()
        rows.append(row)
    return rows


def legend(summary: RunSummary, say: Say, width: int, *, unicode: bool) -> list[Text]:
    """Say how many photos were answered by whom, each behind a dot in its part's colour.

    One line where that fits, else as many as it takes.
    """
    dot = "●" if unicode else "*"
    entries = []
    for part in PARTS:
        count = getattr(summary, part.name)
        if count or (part.name == "cached" and summary.found == summary.pending):
            entries.append(
                Text(dot, part.style).append(f" {say(part.phrase)} {count:,}", "default")
            )
    if summary.provisional:
        words = f"{say(Phrase.PROVISIONAL)} {summary.provisional:,}"
        entries.append(Text(words, PROBLEM_STYLE))
    lines = [Text(" ")]
    for entry in entries:
        if lines[-1].cell_len + entry.cell_len + 3 > width:
            lines.append(Text(" "))
        lines[-1].append("   " if len(lines[-1]) > 1 else " ").append_text(entry)
    return lines
