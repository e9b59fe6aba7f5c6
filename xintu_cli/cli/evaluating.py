"""What `xintu evaluate` does around the job: the photos, the progress, the figures as shown."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from xintu_cli.bootstrap import open_examiner, walk_rules
from xintu_cli.cli.evaluation_json import evaluation_json
from xintu_cli.cli.exits import say
from xintu_cli.cli.progress import shown_progress
from xintu_cli.cli.session import Session
from xintu_cli.errors import ExitCode
from xintu_cli.jobs.evaluate import Evaluation, evaluate
from xintu_cli.jobs.labelled import LabelledPhoto, labelled_photos
from xintu_cli.jobs.scoring import Score, percentile
from xintu_cli.reporting.bars import BarRow, bar_rows
from xintu_cli.reporting.escape import display_text, json_text
from xintu_cli.reporting.evaluation_phrases import EvaluationPhrase
from xintu_cli.reporting.figures import duration, money
from xintu_cli.reporting.layout import (
    PROBLEM_STYLE,
    QUIET_STYLE,
    open_console,
    padded,
    writes_unicode,
)
from xintu_cli.reporting.phrases import Phrase, speaker

_SHOWN_MISTAKES = 10
_SHOWN_FAILURES = 5
_PERCENTS = (50, 90, 99)
_NAME_CELLS = 24
_CELL = 6
"""Terminal cells of a number in the confusion matrix."""


def evaluate_place(session: Session, place: Path, *, as_json: bool) -> int:
    """Evaluate, print the figures, return the exit code."""
    workspace = session.workspace
    photos = labelled_photos(place, workspace.taxonomy, walk_rules(workspace))
    found, seconds = anyio.run(_run, session, photos)
    score = found.score([category.key for category in workspace.taxonomy.categories])
    if as_json:
        fields = evaluation_json(found, score, workspace.taxonomy, seconds)
        sys.stdout.write(json_text(fields, indent=2) + "\n")
    else:
        console = open_console(sys.stdout)
        page = _Page(found, score, session, seconds=seconds, width=console.width)
        for part in page.parts(unicode=writes_unicode(sys.stdout)):
            console.print(part, soft_wrap=isinstance(part, Text))
    if found.failures:
        return int(ExitCode.SOME_FAILED)
    stood_in = found.provisional and not workspace.settings.fallback_ok
    return int(ExitCode.SOME_PENDING if found.stopped or stood_in else ExitCode.DONE)


async def _run(session: Session, photos: Sequence[LabelledPhoto]) -> tuple[Evaluation, float]:
    started = anyio.current_time()
    async with open_examiner(session.workspace, say) as examiner:
        with shown_progress(
            session, speaker(session.language)(EvaluationPhrase.EVALUATING)
        ) as advance:
            found = await evaluate(photos, examiner, advance=advance)
    return found, anyio.current_time() - started


class _Page:
    """The figures as a person reads them."""

    def __init__(
        self, found: Evaluation, score: Score, session: Session, *, seconds: float, width: int
    ) -> None:
        self._found = found
        self._score = score
        self._taxonomy = session.workspace.taxonomy
        self._language = session.language
        self._say = speaker(session.language)
        self._seconds = seconds
        self._width = width

    def parts(self, *, unicode: bool) -> Iterator[RenderableType]:
        """Yield the page from the top."""
        score = self._score
        yield from self._headline()
        if not score.photos:
            yield from self._failures()
            return
        yield Text()
        yield self._quietly(EvaluationPhrase.CATEGORIES)
        yield from bar_rows(self._categories(), self._width, unicode=unicode)
        yield Text()
        yield from self._confusions()
        yield Text()
        yield self._quietly(EvaluationPhrase.CALIBRATION)
        yield from bar_rows(self._calibration(), self._width, unicode=unicode)
        yield from self._mistakes()
        yield from self._failures()

    def _quietly(self, phrase: EvaluationPhrase, **values: object) -> Text:
        return Text(f"  {self._say(phrase, **values)}", QUIET_STYLE)

    def _headline(self) -> Iterator[Text]:
        score, found, say = self._score, self._found, self._say
        headline = say(
            EvaluationPhrase.HEADLINE,
            photos=say(Phrase.PHOTOS, n=score.photos),
            accuracy=_percent(score.accuracy),
            f1=_share(score.macro_f1),
            ece=_share(score.ece),
        )
        yield Text(headline, "bold")
        speed = score.photos / self._seconds if self._seconds else 0.0
        latency = ", ".join(
            f"p{percent} {value:,.0f}"
            for percent in _PERCENTS
            if (value := percentile(found.latencies_ms, percent)) is not None
        )
        time, rate = duration(self._seconds, say), say(Phrase.PER_SECOND, rate=f"{speed:,.1f}")
        told = [say(EvaluationPhrase.LATENCY, time=time, rate=rate, latency=latency)]
        if found.calls:
            currency = "".join(found.currencies)
            calls = say(Phrase.CALLS, n=len(found.calls))
            told.append(f"{calls}, {money(found.cost, currency, say)}")
        sources = (f"{source} {count:,}" for source, count in sorted(found.sources.items()))
        told.append(
            say(EvaluationPhrase.ANSWERS, sources=", ".join(sources) or say(EvaluationPhrase.NONE))
        )
        yield Text("; ".join(told), QUIET_STYLE)
        if found.provisional:
            stood_in = say(Phrase.PHOTOS, n=found.provisional)
            yield Text(say(EvaluationPhrase.STOOD_IN, photos=stood_in), PROBLEM_STYLE)
        if found.stopped:
            yield Text(
                display_text(say(EvaluationPhrase.STOPPED, reason=found.stopped)), PROBLEM_STYLE
            )

    def _name(self, key: str) -> str:
        return display_text(self._taxonomy.display_name(key, self._language))

    def _categories(self) -> list[BarRow]:
        return [
            BarRow(
                self._name(key),
                by.f1 or 0.0,
                (f"{by.photos:,}", _share(by.precision), _share(by.recall), _share(by.f1)),
            )
            for key, by in self._score.categories.items()
            if by.photos or by.said
        ]

    def _confusions(self) -> Iterator[RenderableType]:
        """Draw the matrix where it fits, else name what is mixed up most."""
        said = [key for key, by in self._score.categories.items() if by.said or by.photos]
        if 2 + _NAME_CELLS + _CELL * len(said) <= self._width:
            yield self._quietly(EvaluationPhrase.CONFUSION)
            yield self._matrix(said)
            return
        pairs = Counter((mistake.truth, mistake.said) for mistake in self._found.mistakes)
        yield self._quietly(EvaluationPhrase.MIXED_UP)
        for (truth, answer), count in pairs.most_common(_SHOWN_MISTAKES):
            yield Text(f"  {count:>5,}  {self._name(truth)} → {self._name(answer)}")

    def _matrix(self, said: Sequence[str]) -> Table:
        table = Table.grid(padding=(0, 0, 0, 1))
        table.add_column(width=2 + _NAME_CELLS, no_wrap=True)
        for _ in said:
            table.add_column(justify="right", width=_CELL - 1, no_wrap=True)
        table.add_row("", *(str(n) for n, _ in enumerate(said, 1)), style=QUIET_STYLE)
        for number, truth in enumerate(said, 1):
            row = self._score.confusion.get(truth, {})
            cells = [
                Text(f"{row[key]:,}", "green" if key == truth else PROBLEM_STYLE)
                if key in row
                else Text("·", QUIET_STYLE)
                for key in said
            ]
            table.add_row(f"  {number:>2} {padded(self._name(truth), _NAME_CELLS - 3)}", *cells)
        return table

    def _calibration(self) -> list[BarRow]:
        return [
            BarRow(f"{b.mean_confidence:.2f}", b.accuracy, (f"{b.photos:,}", f"{b.accuracy:.2f}"))
            for b in self._score.calibration
        ]

    def _mistakes(self) -> Iterator[Text]:
        worst = self._found.worst()
        if not worst:
            return
        yield Text()
        yield self._quietly(EvaluationPhrase.MISTAKES, n=len(worst))
        for mistake in worst[:_SHOWN_MISTAKES]:
            what = f"  {mistake.confidence:.2f}  {self._name(mistake.said)}"
            truth = self._say(EvaluationPhrase.IS_REALLY, name=self._name(mistake.truth))
            line = Text(what).append(truth, PROBLEM_STYLE)
            yield line.append(display_text(mistake.path), QUIET_STYLE)

    def _failures(self) -> Iterator[Text]:
        failures = self._found.failures
        if not failures:
            return
        yield Text()
        yield Text(f"  {self._say(EvaluationPhrase.FAILURES, n=len(failures))}", "red")
        for path, why in failures[:_SHOWN_FAILURES]:
            yield Text(f"  {display_text(path)}  ").append(display_text(why), QUIET_STYLE)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
