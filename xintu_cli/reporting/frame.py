"""One frame of the live display: a snapshot of a run in, lines of text out. No I/O.

From the top: what is classified and for how long, the bar, how much and how fast, who
answered, the categories filling, the providers, what is being done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from xintu_cli.records import ProviderState, RunSummary
from xintu_cli.reporting.escape import display_text
from xintu_cli.reporting.figures import (
    coarse_duration,
    money,
    percent,
    rate,
    trouble_of,
    whole_duration,
)
from xintu_cli.reporting.layout import (
    PARTS,
    PROBLEM_STYLE,
    QUIET_STYLE,
    CategoryLine,
    category_lines,
    category_rows,
    legend,
    padded,
)
from xintu_cli.reporting.phrases import Phrase, Say
from xintu_cli.reporting.run_facts import RunFacts

# A terminal made narrower folds the lines that no longer fit, and a folded frame cannot always
# be drawn over (tmux folds up to 250 ms before it tells the new size). At this width nothing
# is ever folded in a terminal of 80 columns or more.
_WIDEST = 79
_PULSE_CELLS = 18
_PULSE_CELLS_PER_SECOND = 24
_SEPARATOR = "   "


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment; `now` and the providers' pauses are of the monotonic clock."""

    summary: RunSummary
    waiting: int
    walked: bool
    doing: str
    now: float
    elapsed_seconds: float
    per_second: float
    seconds_left: float | None
    providers: Sequence[ProviderState] = ()


@dataclass(frozen=True, slots=True)
class Canvas:
    """What there is to draw on, in cells; `unicode`: it can show bars and dots."""

    width: int
    height: int
    unicode: bool = True


def frame(snapshot: Snapshot, facts: RunFacts, say: Say, canvas: Canvas) -> list[Text]:
    """Draw a run; fewer than `canvas.height` lines, each narrower than `canvas.width`.

    A line as wide as the terminal would make some of them wrap.
    """
    width = max(20, min(_WIDEST, canvas.width - 1))
    head = [
        _title(snapshot, facts, say, width),
        _bar(snapshot, width, unicode=canvas.unicode),
        _pace(snapshot, say),
        Text(),
        *legend(snapshot.summary, say, width, unicode=canvas.unicode),
    ]
    foot = _providers(snapshot.providers, snapshot.now, say, width)
    if snapshot.doing:
        doing = _end_of(display_text(snapshot.doing), width - 2, unicode=canvas.unicode)
        foot.append(Text("  " + doing, QUIET_STYLE))
    if foot:
        foot.insert(0, Text())
    # One row stays free: taking a frame away that fills the screen would scroll its top off.
    most = max(1, canvas.height - 1)
    room = most - len(head) - len(foot)
    lines = [*head, *_categories(snapshot, facts, say, Canvas(width, room, canvas.unicode)), *foot]
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis" if canvas.unicode else "crop")
    return lines[:most]


def _title(snapshot: Snapshot, facts: RunFacts, say: Say, width: int) -> Text:
    """Name the roots on the left, the time on the right."""
    elapsed = whole_duration(snapshot.elapsed_seconds, say)
    # More than fit need not be escaped eight times a second: `*.jpg` may name thousands.
    roots = ", ".join(display_text(root) for root in facts.roots[:width])
    room = width - cell_len(elapsed) - 2
    left = Text().append(say(Phrase.CLASSIFYING), "bold").append(f" {roots}")
    left.truncate(room, overflow="ellipsis", pad=True)
    return left.append("  ").append(elapsed, QUIET_STYLE)


def _bar(snapshot: Snapshot, width: int, *, unicode: bool) -> Text:
    """Draw who answered which part; a wandering light while the total is unknown."""
    done_mark, rest_mark = ("━", "━") if unicode else ("#", "-")
    if not snapshot.walked:
        start = int(snapshot.now * _PULSE_CELLS_PER_SECOND) % (width + _PULSE_CELLS) - _PULSE_CELLS
        first, last = max(0, start), min(width, start + _PULSE_CELLS)
        text = Text(rest_mark * first, QUIET_STYLE)
        text.append(done_mark * (last - first), "cyan")
        return text.append(rest_mark * (width - last), QUIET_STYLE)
    summary = snapshot.summary
    share = percent(summary.found - summary.pending, summary.found)
    cells = width - 7
    counts = [getattr(summary, part.name) for part in PARTS]
    text = Text()
    drawn = bar_cells(counts, summary.found, cells)
    for part, length in zip(PARTS, drawn, strict=True):
        text.append(done_mark * length, part.style)
    text.append(rest_mark * (cells - sum(drawn)), QUIET_STYLE)
    return text.append(f"{share:>7}", "bold")


def bar_cells(counts: Sequence[int], total: int, cells: int) -> list[int]:
    """Share `cells` out: whatever is not zero is seen, and the bar is full only at the end."""
    if not total:
        return [0] * len(counts)
    lengths = [max(1, count * cells // total) if count else 0 for count in counts]
    room = cells - (sum(counts) < total)
    while sum(lengths) > room:
        lengths[lengths.index(max(lengths))] -= 1
    if sum(counts) == total:
        lengths[lengths.index(max(lengths))] += cells - sum(lengths)
    return lengths


def _end_of(text: str, cells: int, *, unicode: bool) -> str:
    """Cut text at its beginning: of a path its end tells which photo it is."""
    if cell_len(text) <= cells:
        return text
    mark = "…" if unicode else ""
    start = 0
    while cell_len(text[start:]) > cells - len(mark):
        start += 1
    return mark + text[start:]


def _pace(snapshot: Snapshot, say: Say) -> Text:
    summary = snapshot.summary
    done = summary.found - summary.pending
    if snapshot.walked:
        parts = [say(Phrase.DONE_OF, done=done, found=summary.found)]
    else:
        parts = [say(Phrase.FOUND_SO_FAR, n=summary.found)]
    if snapshot.per_second > 0:
        parts.append(rate(snapshot.per_second, say))
    if snapshot.seconds_left is not None:
        parts.append(say(Phrase.TIME_LEFT, time=coarse_duration(snapshot.seconds_left, say)))
    return Text("  " + _SEPARATOR.join(parts))


def _categories(snapshot: Snapshot, facts: RunFacts, say: Say, canvas: Canvas) -> list[Text]:
    """Draw the categories that fit, the fullest ones where not all do."""
    room = canvas.height - 1
    lines = category_lines(snapshot.summary.categories, facts.taxonomy, facts.language)
    shown, left_out = _fitting(lines, room)
    if not shown:
        return []
    rows = category_rows(shown, canvas.width, unicode=canvas.unicode)
    if left_out:
        rows.append(Text(f"  {say(Phrase.MORE_CATEGORIES, n=left_out)}", QUIET_STYLE))
    return [Text(), *rows]


def _fitting(lines: list[CategoryLine], room: int) -> tuple[list[CategoryLine], int]:
    """Return the fullest `room` categories in their order, and how many were left out."""
    if len(lines) <= room:
        return lines, 0
    fullest = sorted(range(len(lines)), key=lambda i: (-lines[i].photos, i))[: max(0, room - 1)]
    return [lines[i] for i in sorted(fullest)], len(lines) - len(fullest)


def _providers(states: Sequence[ProviderState], now: float, say: Say, width: int) -> list[Text]:
    """Draw a row a provider: its name, its calls, what is wrong with it, its money.

    What is wrong stands before the money: a narrow terminal cuts the end off.
    """
    in_flight = [say(Phrase.IN_FLIGHT, n=state.in_flight, limit=state.limit) for state in states]
    cells = max(map(cell_len, in_flight), default=0)
    lines = []
    for state, calls in zip(states, in_flight, strict=True):
        line = Text("  ").append(padded(display_text(state.name), min(16, width // 3)))
        line.append(f"  {padded(calls, cells)}")
        if trouble := trouble_of(state, now, say):
            is_down = state.open or state.stopped
            line.append(_SEPARATOR + trouble, "red" if is_down else PROBLEM_STYLE)
        if state.spent != 0:
            line.append(_SEPARATOR + money(state.spent, state.currency, say))
        line.rstrip()
        lines.append(line)
    return lines
