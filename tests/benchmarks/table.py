"""What a benchmark gives, and the one table that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure beside the bare loop that was measured in the same run.

    `ok` None: nothing was asked of this figure, it stands there for its neighbours' sake.
    """

    what: str
    measured: str
    bare: str = ""
    ratio: float | None = None
    target: str = ""
    ok: bool | None = None


def ratio_row(
    what: str, measured_seconds: float, bare_seconds: float, *, at_most: float, bare: str
) -> Row:
    """Compare two times; `bare` names what the second one is the time of."""
    ratio = measured_seconds / bare_seconds
    return Row(
        what,
        f"{measured_seconds:.2f} s",
        f"{bare_seconds:.2f} s {bare}",
        ratio,
        f"≤ {at_most:g} x",
        ratio <= at_most,
    )


def limit_row(what: str, measured: float, *, at_most: float, unit: str, bare: str = "") -> Row:
    """Hold one figure against an upper limit."""
    shown = (
        f"{measured:,.0f}" if measured >= 100 or measured == int(measured) else f"{measured:.2f}"
    )
    return Row(what, f"{shown} {unit}", bare, None, f"≤ {at_most:g} {unit}", measured <= at_most)


def rate_row(what: str, per_second: float, *, at_least: float, unit: str = "photos/s") -> Row:
    """Hold a rate against a lower limit."""
    return Row(
        what,
        f"{per_second:,.0f} {unit}",
        target=f"≥ {at_least:,.0f} {unit}",
        ok=per_second >= at_least,
    )


def render(rows: Sequence[Row]) -> str:
    """Lay the rows out in columns."""
    header = ("what", "measured", "bare loop", "ratio", "target", "")
    lines = [header] + [
        (
            row.what,
            row.measured,
            row.bare,
            "" if row.ratio is None else f"{row.ratio:.2f}",
            row.target,
            {True: "ok", False: "OVER", None: ""}[row.ok],
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    ruler = tuple("-" * width for width in widths)
    laid_out = [lines[0], ruler, *lines[1:]]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in laid_out
    )
