"""The closing word of a run: what there is now, where it came from, what to do next.

In: a `RunSummary` and the run's `RunFacts`. Out: text for one stream, in colour where that
is a terminal, in characters that its encoding has.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from xintu_cli.money import Estimate
from xintu_cli.records import RunSummary
from xintu_cli.reporting.escape import display_text, shell_word
from xintu_cli.reporting.figures import (
    duration,
    estimate_basis,
    estimate_text,
    money,
    rate,
)
from xintu_cli.reporting.layout import (
    PARTS,
    PROBLEM_STYLE,
    QUIET_STYLE,
    CategoryLine,
    category_lines,
    category_rows,
    open_console,
    padded,
    writes_unicode,
)
from xintu_cli.reporting.lossy import LossyStream
from xintu_cli.reporting.phrases import Phrase, Say, speaker
from xintu_cli.reporting.reasons import reason_text
from xintu_cli.reporting.run_facts import RunFacts

if TYPE_CHECKING:
    from rich.console import Console

_NAMED_FAILURES = 5
_NAMED_ROOTS = 5
_REASON_CELLS = 160
_MANY = 20
"""More categories than this, the empty ones among them, fill a screen of their own."""
_TITLES = {
    "done": Phrase.DONE,
    "partial": Phrase.PARTIAL,
    "budget": Phrase.BUDGET,
    "interrupted": Phrase.INTERRUPTED,
    "failed": Phrase.BROKEN_OFF,
}
_EARLY_TITLES = {
    "interrupted": Phrase.INTERRUPTED_EARLY,
    "failed": Phrase.BROKEN_OFF_EARLY,
}
_PART_WORDS = {
    "cached": Phrase.FROM_CACHE,
    "llm": Phrase.BY_LLM,
    "local": Phrase.BY_LOCAL,
    "failed": Phrase.COULD_NOT_BE_READ,
    "skipped": Phrase.VANISHED,
}
_DETAILS = {
    "cached": (
        (Phrase.OF_UNCHANGED, "unchanged"),
        (Phrase.OF_DUPLICATES, "duplicates"),
        (Phrase.OF_MANUAL, "manual"),
    ),
    "llm": ((Phrase.OF_UPGRADED, "upgraded"),),
    "local": ((Phrase.OF_KEPT_LOCAL, "kept_local"), (Phrase.OF_SPARED, "spared")),
}
_LABEL_CELLS = 10


def closing_text(
    summary: RunSummary, facts: RunFacts, stream: LossyStream, *, problems_only: bool = False
) -> str:
    """Return the closing word as `stream` should show it, escape codes for colours included.

    `problems_only` leaves out what went well: for `-q`, when the exit code is not 0.
    """
    console = open_console(stream)
    closing = _Closing(
        summary, facts, console, unicode=writes_unicode(stream), folds=stream.isatty()
    )
    with console.capture() as capture:
        for line in closing.problems() if problems_only else closing.lines():
            # The terminal folds the rest: a path or a command folded here cannot be copied.
            console.print(line, soft_wrap=True)
    return capture.get()


class _Closing:
    """The parts of the closing word, each a few lines."""

    def __init__(
        self,
        summary: RunSummary,
        facts: RunFacts,
        console: Console,
        *,
        unicode: bool,
        folds: bool,
    ) -> None:
        self._console = console
        self._folds = folds
        self._width = console.width
        self._unicode = unicode
        self._summary = summary
        self._facts = facts
        self._say: Say = speaker(facts.language)

    def lines(self) -> Iterator[Text]:
        """Say everything."""
        summary = self._summary
        yield Text()
        yield from self._prose(self._title())
        if not summary.found:
            yield from self._next_steps(export=True)
            return
        if summary.categories:
            yield Text()
            yield from category_rows(
                self._categories(), self._width, unicode=self._unicode, shares=True
            )
        yield Text()
        yield from self._answers()
        yield from self._plan()
        yield from self._figures()
        yield from self._failures()
        yield from self._next_steps(export=True)

    def problems(self) -> Iterator[Text]:
        """Say what is not well, and what to do."""
        yield from self._prose(self._title())
        yield from self._answers()
        yield from self._failures()
        yield from self._next_steps(export=False)

    def _categories(self) -> list[CategoryLine]:
        """Return all categories; of a long list those that have photos."""
        facts = self._facts
        lines = category_lines(self._summary.categories, facts.taxonomy, facts.language)
        return lines if len(lines) <= _MANY else [line for line in lines if line.photos]

    def _title(self) -> Text:
        summary, say = self._summary, self._say
        if not summary.found:
            return Text(self._nothing_found(), PROBLEM_STYLE)
        phrase = _TITLES[summary.status]
        if phrase is Phrase.PARTIAL and not summary.pending:
            phrase = Phrase.DONE  # what failed or is provisional is told further down
        if self._is_a_plan():
            phrase = Phrase.DRY_RUN
        title = say(
            phrase,
            photos=say(Phrase.PHOTOS, n=summary.found),
            time=duration(summary.seconds, say),
        )
        well = phrase in (Phrase.DONE, Phrase.DRY_RUN)
        return Text(title, "bold" if well else f"bold {PROBLEM_STYLE}")

    def _nothing_found(self) -> str:
        phrase = _EARLY_TITLES.get(self._summary.status)
        if phrase is not None:
            return self._say(phrase, time=duration(self._summary.seconds, self._say))
        more = ", …" if len(self._facts.roots) > _NAMED_ROOTS else ""
        roots = ", ".join(map(display_text, self._facts.roots[:_NAMED_ROOTS])) + more
        return self._say(Phrase.NOTHING_FOUND, roots=roots)

    def _answers(self) -> Iterator[Text]:
        summary, say = self._summary, self._say
        lines: list[tuple[int, str, str, str]] = []
        for part in PARTS:
            if count := getattr(summary, part.name):
                parts_of_it = [
                    say(phrase, n=number)
                    for phrase, name in _DETAILS.get(part.name, ())
                    if (number := getattr(summary, name))
                ]
                details = say(Phrase.COMMA).join(parts_of_it)
                lines.append((count, say(_PART_WORDS[part.name]), part.style, details))
        if summary.pending:
            phrase = Phrase.WITHOUT_ANSWER if self._facts.dry_run is None else Phrase.TO_CLASSIFY
            lines.append((summary.pending, say(phrase), PROBLEM_STYLE, self._why_pending()))
        digits = max((len(f"{line[0]:,}") for line in lines), default=0)
        label = say(Phrase.ANSWERS)
        for count, words, style, details in lines:
            text = self._labelled(label).append(f"{count:>{digits},}", style).append(f" {words}")
            yield text.append(f" ({details})" if details else "", QUIET_STYLE)
            label = ""
        if summary.provisional:
            note = say(Phrase.PROVISIONAL_NOTE, n=summary.provisional)
            yield self._labelled("").append(note, PROBLEM_STYLE)

    def _why_pending(self) -> str:
        """Say why photos have no answer, where the title does not say it already."""
        reason = self._summary.pending_reason
        if self._summary.status != "partial" or self._facts.dry_run is not None:
            return ""
        return display_text(textwrap.shorten(reason, _REASON_CELLS, placeholder="…"))

    def _plan(self) -> Iterator[Text]:
        """Say what a dry run would have asked of whom, and what that would cost."""
        plan, say = self._facts.dry_run, self._say
        if plan is None:
            return
        asked = self._asked()
        photos = say(Phrase.PHOTOS, n=asked)
        if not asked:
            text = say(Phrase.PLAN_NOTHING)
        elif plan.providers:
            names = display_text(" > ".join(plan.providers))
            text = say(Phrase.PLAN_PROVIDERS, photos=photos, names=names)
        else:
            text = say(Phrase.PLAN_LOCAL, photos=photos)
        yield self._labelled(say(Phrase.PLAN)).append(text)
        if asked and plan.estimate is not None:
            yield from self._estimate(plan.estimate(asked), at_most=plan.at_most)

    def _is_a_plan(self) -> bool:
        """Tell whether this was a dry run that came to its end."""
        return self._facts.dry_run is not None and self._summary.status in {"done", "partial"}

    def _asked(self) -> int:
        """Return about how many photos the run in earnest would ask."""
        plan, summary = self._facts.dry_run, self._summary
        # A provisional photo is asked about again where there is somebody to ask.
        return summary.pending + (summary.provisional if plan and plan.providers else 0)

    def _estimate(self, estimate: Estimate, *, at_most: bool) -> Iterator[Text]:
        text = self._labelled("").append(estimate_text(estimate, self._say, at_most=at_most))
        yield text.append(f" ({estimate_basis(estimate, self._say)})", QUIET_STYLE)

    def _figures(self) -> Iterator[Text]:
        summary, say = self._summary, self._say
        if summary.calls:
            parts = [money(summary.cost, summary.currency, say), say(Phrase.CALLS, n=summary.calls)]
            if summary.retries:
                parts.append(say(Phrase.RETRIES, n=summary.retries))
            if summary.tokens_in or summary.tokens_out:
                parts.append(
                    say(Phrase.TOKENS, inward=summary.tokens_in, outward=summary.tokens_out)
                )
            yield self._labelled(say(Phrase.COST)).append("; ".join(parts))
            yield from self._saved()
            yield from self._providers()
        if self._facts.dry_run is None:
            pace = (duration(summary.seconds, say), rate(summary.photos_per_second, say))
            speed = say(Phrase.COMMA).join(pace)
            yield self._labelled(say(Phrase.SPEED)).append(speed)
        results = display_text(self._facts.cache_url)
        yield self._labelled(say(Phrase.RESULTS)).append(results)

    def _saved(self) -> Iterator[Text]:
        """Price the calls that a cascade did not need at what this run's calls cost."""
        summary, say = self._summary, self._say
        if summary.spared and summary.cost:
            saved = summary.cost / summary.calls * summary.spared
            text = say(Phrase.SAVED, money=money(saved, summary.currency, say))
            yield self._labelled("").append(text, QUIET_STYLE)

    def _providers(self) -> Iterator[Text]:
        """Name the providers that were asked, where there are several or one has failed."""
        providers, say = self._summary.providers, self._say
        if len(providers) == 1 and not any(figures.failed for figures in providers.values()):
            return
        label = say(Phrase.PROVIDER)
        for name, figures in sorted(providers.items(), key=lambda item: -item[1].calls):
            text = self._labelled(label).append(f"{display_text(name)}  ")
            text.append(say(Phrase.CALLS, n=figures.calls))
            if figures.failed:
                text.append(f"; {say(Phrase.OF_FAILED, n=figures.failed)}", PROBLEM_STYLE)
            if figures.p50_ms is not None and figures.p99_ms is not None:
                p50, p99 = (duration(ms / 1000, say) for ms in (figures.p50_ms, figures.p99_ms))
                text.append(f"; {say(Phrase.LATENCY, p50=p50, p99=p99)}", QUIET_STYLE)
            yield text
            label = ""

    def _failures(self) -> Iterator[Text]:
        summary, say = self._summary, self._say
        if not summary.failures:
            return
        yield Text()
        yield Text(say(Phrase.FAILURES), "red")
        named = len(summary.failures) if self._facts.verbose else _NAMED_FAILURES
        for path, reason in summary.failures[:named]:
            text = Text("  ").append(display_text(path)).append("  ")
            shown = display_text(reason_text(reason, self._facts.language))
            yield text.append(shown, QUIET_STYLE)
        more = summary.failures_total - min(named, len(summary.failures))
        if more > 0:
            yield Text("  ").append(say(Phrase.MORE_FAILURES, n=more), QUIET_STYLE)

    def _next_steps(self, *, export: bool) -> Iterator[Text]:
        summary, say = self._summary, self._say
        if not summary.found:
            if summary.status in _EARLY_TITLES:
                yield from self._prose(Text(say(Phrase.NEXT_CONTINUE)))
                return
            yield from self._prose(Text(say(Phrase.NOTHING_FOUND_FORMATS)))
            yield from self._prose(Text(say(Phrase.NOTHING_FOUND_HINT)))
            return
        label = say(Phrase.NEXT)
        phrase = self._what_is_left()
        if phrase is not None:
            yield Text()
            yield from self._prose(Text(say(phrase)), label)
        if export and summary.cached + summary.llm + summary.local:
            roots = " ".join(shell_word(root) for root in self._facts.roots)
            if len(self._facts.roots) > _NAMED_ROOTS:
                roots = "…"  # a shell's glob: a command of five hundred names helps nobody
            flags = "".join(f" {shell_word(os.fsencode(f))}" for f in self._facts.export_flags)
            command = Text(f"xintu export {roots}{flags} -o labels.csv", "bold")
            purpose = f"  {say(Phrase.NEXT_EXPORT)}"
            cells = _LABEL_CELLS + command.cell_len + cell_len(purpose)
            if not self._folds or cells <= self._width:  # else it is cut in the middle of a word
                command.append(purpose, f"not bold {QUIET_STYLE}")
            if phrase is None:
                yield Text()
            yield self._labelled(label if phrase is None else "").append_text(command)

    def _what_is_left(self) -> Phrase | None:
        """Say what another run would be for; None where there is nothing to be done."""
        summary = self._summary
        if self._is_a_plan():
            return Phrase.NEXT_FOR_REAL if self._asked() else None
        if summary.status == "budget":
            return Phrase.NEXT_RAISE_BUDGET
        if summary.status in {"interrupted", "failed"} or summary.pending:
            return Phrase.NEXT_CONTINUE
        return Phrase.NEXT_UPGRADE if summary.provisional else None

    def _prose(self, sentence: Text, label: str = "") -> Iterator[Text]:
        """Fold a sentence between its words: a terminal folds in the middle of one."""
        room = self._width - (_LABEL_CELLS if label else 0)
        lines = sentence.wrap(self._console, max(_LABEL_CELLS, room)) if self._folds else [sentence]
        for number, line in enumerate(lines):
            if label:
                yield self._labelled("" if number else label).append_text(line)
            else:
                yield line

    @staticmethod
    def _labelled(label: str) -> Text:
        return Text().append(padded(label, _LABEL_CELLS), QUIET_STYLE)
