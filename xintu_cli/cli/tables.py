"""What commands print on stdout when they are asked for figures: tables, or JSON."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xintu_cli.jobs.check import Checked
from xintu_cli.records import CacheInfo, Source
from xintu_cli.reporting.command_phrases import Deed
from xintu_cli.reporting.escape import display_text, json_text, path_text
from xintu_cli.reporting.phrases import Phrase, Say

_SOURCES = {Source.MANUAL: Deed.BY_HAND, Source.LLM: Deed.BY_LLM, Source.LOCAL: Deed.BY_LOCAL}


def open_stdout() -> Console:
    """Return a console on stdout that interprets no markup: names are data."""
    return Console(file=sys.stdout, markup=False, emoji=False, highlight=False)


def show_cache_info(info: CacheInfo, tell: Say, *, as_json: bool) -> None:
    """Print what `cache info` tells."""
    if as_json:
        fields = {
            "url": info.url,
            "cache_id": info.cache_id,
            "schema_version": info.schema_version,
            "size_bytes": info.size_bytes,
            "rows": dict(info.rows),
            "sources": {source.value: info.sources.get(source, 0) for source in _SOURCES},
        }
        sys.stdout.write(json_text(fields, indent=2) + "\n")
        return
    console = open_stdout()
    size = (
        tell(Deed.SIZE_UNKNOWN) if info.size_bytes is None else f"{info.size_bytes / 1e6:,.1f} MB"
    )
    # The terminal folds: what is folded here cannot be copied, or read by a program.
    console.print(Text(display_text(info.url), style="bold"), soft_wrap=True)
    console.print(
        tell(Deed.CACHE_INFO, cache_id=info.cache_id, schema=info.schema_version, size=size)
    )
    table = Table(box=None, pad_edge=False)
    table.add_column(tell(Deed.ANSWERS_FROM))
    table.add_column(tell(Deed.PHOTOS), justify="right")
    for source, word in _SOURCES.items():
        table.add_row(tell(word), f"{info.sources.get(source, 0):,}")
    console.print(table)
    rows = ", ".join(f"{name} {count:,}" for name, count in info.rows.items())
    console.print(Text(tell(Deed.ROWS, rows=rows), style="dim"), soft_wrap=True)


_BY_SOURCE = {Source.MANUAL: Deed.MANUAL, Source.LLM: Deed.LLM, Source.LOCAL: Deed.LOCAL}


class CheckTable:
    """Counts what `cache check` finds; `each` prints a line a photo, too."""

    def __init__(self, tell: Say, *, as_json: bool, each: bool) -> None:
        self._tell = tell
        self._as_json = as_json
        self._each = each
        self._verdicts: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()

    def add(self, rows: Sequence[Checked]) -> None:
        """Count a batch."""
        for row in rows:
            self._verdicts[row.verdict] += 1
            if row.source:
                self._sources[row.source] += 1
            if self._each and not self._as_json:
                what = f"{row.verdict}\t{row.source or '-'}\t{row.category or '-'}"
                sys.stdout.write(f"{what}\t{display_text(row.path)}\n")
            elif self._each:
                fields = row._asdict() | {"path": path_text(row.path)}
                sys.stdout.write(json_text(fields) + "\n")

    def show(self) -> None:
        """Print the counts."""
        answered = self._verdicts["hit"]
        fields = {
            "photos": self._verdicts.total(),
            "answered": answered,
            "provisional": self._verdicts["provisional"],
            "missing": self._verdicts["miss"],
            "unreadable": self._verdicts["unreadable"],
            "sources": dict(self._sources),
        }
        if self._as_json:
            sys.stdout.write(json_text(fields) + "\n")
            return
        tell = self._tell
        by = ", ".join(
            tell(_BY_SOURCE[Source(name)], n=count) for name, count in sorted(self._sources.items())
        )
        line = tell(
            Deed.CHECKED,
            photos=tell(Phrase.PHOTOS, n=self._verdicts.total()),
            answered=answered,
            provisional=fields["provisional"],
            rest=tell(Deed.CHECKED_REST, **fields),
            by=tell(Deed.CHECKED_BY, sources=by) if by else "",
        )
        sys.stdout.write(f"{line}\n")
