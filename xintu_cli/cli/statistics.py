"""What `xintu stats` shows: three periods side by side, then the details, as bars and tables."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import anyio
from rich.cells import cell_len
from rich.console import JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from xintu_cli.bootstrap import open_local, open_shared
from xintu_cli.cli.session import Session
from xintu_cli.cli.statistics_json import statistics_json
from xintu_cli.jobs.stats import Overview, overview
from xintu_cli.records import Source
from xintu_cli.reporting.bars import BarRow, bar_rows
from xintu_cli.reporting.escape import display_text, json_text
from xintu_cli.reporting.figures import duration, money, percent
from xintu_cli.reporting.layout import (
    PROBLEM_STYLE,
    QUIET_STYLE,
    open_console,
    padded,
    writes_unicode,
)
from xintu_cli.reporting.phrases import speaker
from xintu_cli.reporting.reasons import reason_text
from xintu_cli.reporting.stats_phrases import StatsPhrase
from xintu_cli.storage.run_lines import RunLine
from xintu_cli.storage.statistics import ProviderLine
from xintu_cli.storage.totals import Totals
from xintu_cli.taxonomy import Taxonomy

_MOST_DAYS = 14
_MOST_RUNS = 8
_MOST_REASONS = 12
_HASH_DIGITS = 12
_STATUSES = {
    "done": StatsPhrase.DONE,
    "partial": StatsPhrase.PARTIAL,
    "budget": StatsPhrase.BUDGET,
    "interrupted": StatsPhrase.INTERRUPTED,
    "failed": StatsPhrase.BROKEN_OFF,
}
_SOURCE_WORDS = {
    Source.MANUAL.value: StatsPhrase.BY_HAND,
    Source.LLM.value: StatsPhrase.LLM,
    Source.LOCAL.value: StatsPhrase.LOCAL,
}


def show_statistics(session: Session, *, days: int | None, as_json: bool) -> None:
    """Read the figures and print them."""
    workspace = session.workspace

    async def read() -> Overview:
        async with open_shared(workspace) as cache:
            with open_local(workspace) as index:
                return await overview(cache, index, workspace.taxonomy, days=days)

    found = anyio.run(read)
    if as_json:
        fields = statistics_json(found, workspace.taxonomy, session.language)
        sys.stdout.write(json_text(fields, indent=2) + "\n")
        return
    console = open_console(sys.stdout)
    view = _View(found, workspace.taxonomy, session.language, width=console.width)
    for part in view.parts(unicode=writes_unicode(sys.stdout)):
        console.print(part, soft_wrap=isinstance(part, Text))


class _View:
    """The parts of the page, each a few lines."""

    def __init__(self, found: Overview, taxonomy: Taxonomy, language: str, *, width: int) -> None:
        self._found = found
        self._taxonomy = taxonomy
        self._language = language
        self._say = speaker(language)
        self._width = width

    def parts(self, *, unicode: bool) -> Iterator[RenderableType]:
        """Yield the page from the top; what there is nothing of is left out."""
        details = self._found.details
        yield Text(display_text(self._found.cache_url), "bold")
        if not self._found.periods.all_time.runs and not details.categories:
            yield Text(self._say(StatsPhrase.NOTHING_YET))
            return
        if self._found.periods.all_time.runs:
            yield self._periods()
        sections = (
            (StatsPhrase.DAYS, self._days()),
            (StatsPhrase.CATEGORIES, self._categories()),
            (StatsPhrase.ANSWERS, self._sources()),
        )
        for heading, rows in sections:
            if rows:
                yield from self._heading(heading)
                yield from bar_rows(rows, self._width, unicode=unicode)
        yield from self._remarks()
        if details.providers:
            yield from self._heading(StatsPhrase.PROVIDERS)
            yield self._providers()
            yield from self._savings()
        yield from self._most_hit()
        if calls := self._failed_calls():
            yield from self._heading(StatsPhrase.FAILED_CALLS)
            yield from bar_rows(calls, self._width, unicode=unicode, style="red")
        reasons = self._found.unreadable.items()
        if files := _ranked({reason_text(why, self._language): n for why, n in reasons}):
            # Of no period: what the index knows now.
            yield from (Text(), Text(self._say(StatsPhrase.UNREADABLE), "bold"))
            yield from bar_rows(files, self._width, unicode=unicode, style="red")
        if details.recent_runs:
            yield from self._heading(StatsPhrase.LATEST_RUNS)
            yield self._runs()

    def _heading(self, phrase: StatsPhrase) -> Iterator[Text]:
        text = self._say(phrase)
        if self._found.days:
            text += f" · {self._say(StatsPhrase.LAST_DAYS, n=self._found.days)}"
        yield Text()
        yield Text(text, "bold")

    def _periods(self) -> Table:
        """Set today, the last days and all time side by side."""
        say, periods = self._say, self._found.periods
        table = _table("", say(StatsPhrase.TODAY),
                       say(StatsPhrase.LAST_DAYS, n=self._found.middle_days),
                       say(StatsPhrase.ALL_TIME))  # fmt: skip
        totals = (periods.today, periods.last_days, periods.all_time)

        def row(phrase: StatsPhrase, cells: Sequence[str], style: str = "") -> None:
            if any(cell not in ("", "0") for cell in cells):
                table.add_row(f"  {say(phrase)}", *cells, style=style)

        def counts(name: str) -> list[str]:
            return [f"{total.counts[name]:,}" for total in totals]

        row(StatsPhrase.RUNS, [f"{total.runs:,}" for total in totals])
        row(StatsPhrase.PHOTOS, counts("found"), "bold")
        row(StatsPhrase.HIT_RATE, [_hits(total) for total in totals], "blue")
        row(StatsPhrase.BY_LLM, counts("llm"), "magenta")
        row(StatsPhrase.BY_LOCAL, counts("local"), "cyan")
        row(StatsPhrase.FAILED, counts("failed"), "red")
        row(StatsPhrase.PENDING, counts("pending"), PROBLEM_STYLE)
        row(StatsPhrase.SPEED, [_speed(total) for total in totals])
        row(StatsPhrase.CALLS, counts("calls"))
        row(StatsPhrase.TOKENS, [_tokens(total) for total in totals])
        row(StatsPhrase.SPENT, [self._spent(total) for total in totals])
        return table

    def _spent(self, total: Totals) -> str:
        amounts = [money(cost, currency, self._say) for currency, cost in total.spent.items()]
        if not amounts:
            return self._say(StatsPhrase.UNKNOWN) if total.unpriced else ""
        text = " + ".join(amounts)
        return self._say(StatsPhrase.AND_UNKNOWN, amount=text) if total.unpriced else text

    def _days(self) -> list[BarRow]:
        days = self._found.details.days[-_MOST_DAYS:]
        if len(days) < 2:
            return []
        return [BarRow(day.day, day.found, (f"{day.found:,}",)) for day in days]

    def _categories(self) -> list[BarRow]:
        photos: Counter[str] = Counter()
        certainty: defaultdict[str, float] = defaultdict(float)
        for line in self._found.details.categories:
            photos[line.category] += line.photos
            certainty[line.category] += line.photos * line.mean_confidence
        total = photos.total()
        return [
            BarRow(
                display_text(self._taxonomy.display_name(key, self._language)),
                number,
                (f"{number:,}", percent(number, total, 1), f"{certainty[key] / number:.2f}"),
            )
            for key, number in photos.most_common()
        ]

    def _sources(self) -> list[BarRow]:
        sources = self._found.sources
        total = sum(sources.values())
        return [
            BarRow(
                self._say(word),
                sources[key],
                (f"{sources[key]:,}", percent(sources[key], total, 1)),
            )
            for key, word in _SOURCE_WORDS.items()
            if sources[key]
        ]

    def _remarks(self) -> Iterator[Text]:
        say, details = self._say, self._found.details
        share = self._found.stand_in_share
        if share and details.stand_ins:
            reasons = ", ".join(f"{line.reason} {line.photos:,}" for line in details.stand_ins)
            text = say(
                StatsPhrase.STAND_INS, share=f"{100 * share:.1f} %", reasons=display_text(reasons)
            )
            yield Text(f"  {text}", PROBLEM_STYLE)
        both, alike = details.agreement.both, details.agreement.alike
        if both:
            text = say(StatsPhrase.AGREEMENT, share=percent(alike, both, 1), n=both)
            yield Text(f"  {text}", QUIET_STYLE)

    def _providers(self) -> Table:
        say = self._say
        headings = (
            *(f"  {say(StatsPhrase.PROVIDER)}", say(StatsPhrase.CALLED), say(StatsPhrase.OK)),
            *("p50", "p90", "p99 ms", say(StatsPhrase.TOKENS), say(StatsPhrase.COST)),
        )
        rows = [
            (
                f"  {display_text(_provider_name(line))}",
                f"{line.attempts:,}",
                percent(line.ok, line.attempts),
                *(_milliseconds(value) for value in (line.p50_ms, line.p90_ms, line.p99_ms)),
                f"{line.tokens_in + line.tokens_out:,}" if line.source == Source.LLM else "",
                self._cost(line),
            )
            for line in self._found.details.providers
        ]
        columns = list(zip(headings, *rows, strict=True))
        names, *told = [column for column in columns if any(column[1:])]
        # Numbers stay whole: where there is no room, the names are cut.
        room = self._width - sum(max(map(cell_len, column)) + 2 for column in told)
        table = _table(*(column[0] for column in (names, *told)))
        for name, *numbers in zip(names[1:], *(column[1:] for column in told), strict=True):
            fits = cell_len(name) <= room
            table.add_row(name if fits else padded(name, room), *numbers)
        return table

    def _cost(self, line: ProviderLine) -> str:
        if line.source != Source.LLM:
            return ""
        if line.unpriced == line.attempts:
            return self._say(StatsPhrase.UNKNOWN)
        amount = money(line.cost, line.currency, self._say)
        return self._say(StatsPhrase.AND_UNKNOWN, amount=amount) if line.unpriced else amount

    def _savings(self) -> Iterator[Text]:
        for saved in self._found.details.saved:
            text = self._say(StatsPhrase.SAVED, n=saved.calls)
            if saved.cost:
                amount = money(saved.cost, saved.currency, self._say)
                text = self._say(StatsPhrase.WORTH, text=text, amount=amount)
            yield Text(f"  {text}", "green")

    def _most_hit(self) -> Iterator[Text]:
        lines = self._found.details.most_hit
        if not lines:
            return
        # Of all time, whatever was asked: nobody notes when each of the hits was.
        yield from (Text(), Text(self._say(StatsPhrase.MOST_HIT), "bold"))
        for line in lines:
            key = self._found.labels.get(line.image_hash, line.category)
            name = display_text(self._taxonomy.display_name(key, self._language))
            path = self._found.paths.get(line.image_hash)
            where = (
                self._say(StatsPhrase.NOT_HERE, start=line.image_hash[:_HASH_DIGITS])
                if path is None
                else display_text(path)
            )
            yield Text(f"  {line.hits:>5,} ×  {name}  ").append(where, QUIET_STYLE)

    def _failed_calls(self) -> list[BarRow]:
        ended: Counter[str] = Counter()
        for line in self._found.details.failures:
            said = self._say(StatsPhrase.CALL_ENDED, provider=line.provider, outcome=line.outcome)
            ended[said] += line.attempts
        return _ranked(ended)

    def _runs(self) -> Table:
        say = self._say
        headings = (
            *("", say(StatsPhrase.HOST), say(StatsPhrase.OUTCOME), say(StatsPhrase.PHOTOS)),
            *(say(StatsPhrase.HITS), say(StatsPhrase.TIME), say(StatsPhrase.COST)),
        )
        table = _table(*headings, texts=3)
        for run in self._found.details.recent_runs[:_MOST_RUNS]:
            style = "" if run.exit_code in (0, None) else PROBLEM_STYLE
            table.add_row(*self._run(run), style=style)
        return table

    def _run(self, run: RunLine) -> Iterator[str]:
        counts = run.counts
        answered = counts["cached"] + counts["llm"] + counts["local"]
        yield f"  {_local_time(run.started_at)}"
        yield display_text(run.host)
        yield display_text(f"{run.policy}, {self._ended(run)}")
        yield f"{counts['found']:,}"
        yield percent(counts["cached"], answered) if answered else ""
        yield duration(run.seconds, self._say) if run.finished_at else ""
        yield money(run.cost, run.currency, self._say) if counts["calls"] else ""

    def _ended(self, run: RunLine) -> str:
        """Say how a run ended; a newer xintu may know a word that this one does not."""
        word = _STATUSES.get(run.status) if run.finished_at else StatsPhrase.UNFINISHED
        return self._say(word) if word else run.status


def _ranked(counts: Mapping[str, int]) -> list[BarRow]:
    """Return the most frequent as rows."""
    ranked = Counter(counts).most_common(_MOST_REASONS)
    return [BarRow(display_text(name), number, (f"{number:,}",)) for name, number in ranked]


def _table(*headings: str, texts: int = 1) -> Table:
    """Make a table whose first columns are texts and whose others are numbers."""
    table = Table(box=None, pad_edge=False, header_style=QUIET_STYLE)
    for number, heading in enumerate(headings):
        justify: JustifyMethod = "left" if number < texts else "right"
        table.add_column(heading, justify=justify, no_wrap=True, overflow="ellipsis")
    return table


def _provider_name(line: ProviderLine) -> str:
    """Name a provider and its model; the local model is told by its own name."""
    return line.model if line.source == Source.LOCAL else f"{line.provider} {line.model}"


def _hits(total: Totals) -> str:
    if not total.answered:
        return ""
    return f"{total.counts['cached']:,} ({percent(total.counts['cached'], total.answered)})"


def _speed(total: Totals) -> str:
    return "" if total.photos_per_second is None else f"{total.photos_per_second:,.1f}"


def _tokens(total: Totals) -> str:
    tokens = total.counts["tokens_in"] + total.counts["tokens_out"]
    return f"{tokens:,}" if tokens else ""


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _local_time(moment: str) -> str:
    """Show a moment of the database as the clock on the wall had it."""
    utc = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    return utc.astimezone().strftime("%m-%d %H:%M")
