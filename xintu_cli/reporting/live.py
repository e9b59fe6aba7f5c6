"""A run shown on a terminal while it goes on; `frame` says what it looks like.

The pipeline hands over counts, up to a thousand batches a second; a thread of its own draws
them a few times a second, so that neither drawing nor a terminal that is slow to read (or
stopped by Ctrl-S) ever holds up the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TextIO

from rich.cells import cell_len
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from xintu_cli.outcomes import Settled
from xintu_cli.records import ProviderState, RunSummary
from xintu_cli.reporting.closing import closing_text
from xintu_cli.reporting.escape import display_text
from xintu_cli.reporting.frame import Canvas, Snapshot, frame
from xintu_cli.reporting.layout import PROBLEM_STYLE, open_console, writes_unicode
from xintu_cli.reporting.lossy import LossyStream
from xintu_cli.reporting.pace import Pace
from xintu_cli.reporting.phrases import speaker
from xintu_cli.reporting.run_facts import RunFacts

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderResult

_FRAMES_PER_SECOND = 8


class LiveReporter:
    """A `Reporter` that draws on a terminal and leaves it clean."""

    def __init__(
        self,
        stream: TextIO,
        facts: RunFacts,
        *,
        provider_states: Callable[[], Sequence[ProviderState]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        frames_per_second: float = _FRAMES_PER_SECOND,
    ) -> None:
        self._stream = LossyStream(stream)
        self._facts = facts
        self._provider_states = provider_states
        self._clock = clock
        self._console = open_console(self._stream)
        self._say = speaker(facts.language)
        self._started_at = clock()
        self._latest: _Latest | None = None
        self._doing = ""
        self._walked = False
        self._photos = Pace(self._started_at)
        self._work = Pace(self._started_at)
        self._live = _ResizedLive(
            _Painting(self._frame), self._console, frames_per_second=frames_per_second
        )

    @property
    def language(self) -> str:
        """The language notices are to be in."""
        return self._facts.language

    def start(self) -> None:
        """Begin to draw."""
        self._started_at = self._clock()
        self._live.start(refresh=True)

    def settled(self, batch: Sequence[Settled], summary: RunSummary, *, waiting: int) -> None:
        """Note the counts; the next frame shows them."""
        self._latest = _Latest(summary, waiting)

    def doing(self, what: str) -> None:
        """Note what is being done; the next frame shows it."""
        self._doing = what

    def walked(self) -> None:
        """Draw a bar of a known length from now on."""
        self._walked = True

    def notice(self, message: str, *, problem: bool = False) -> None:
        """Print the message above the display, where it stays."""
        style = PROBLEM_STYLE if problem else ""
        self._console.print(Text(display_text(message), style), soft_wrap=True)

    def finish(self, summary: RunSummary) -> None:
        """Take the display away and say how it went."""
        self.close()
        self._stream.write(closing_text(summary, self._facts, self._stream))

    def close(self) -> None:
        """Take the display away, give the cursor back."""
        self._live.stop()

    def _frame(self, width: int, height: int) -> list[Text]:
        """Draw what stands now; called by the drawing thread alone."""
        now = self._clock()
        latest = self._latest
        if latest is None:
            summary, waiting = _NOTHING, 0
        else:
            summary, waiting = latest
        self._photos.observe(now, summary.found - summary.pending)
        self._work.observe(now, summary.llm + summary.local + summary.failed)
        snapshot = Snapshot(
            summary=summary,
            waiting=waiting,
            walked=self._walked,
            doing=self._doing,
            now=now,
            elapsed_seconds=now - self._started_at,
            per_second=self._photos.per_second,
            seconds_left=self._work.seconds_for(waiting) if self._walked and waiting else None,
            providers=self._provider_states() if self._provider_states else (),
        )
        canvas = Canvas(width, height, unicode=writes_unicode(self._stream))
        return frame(snapshot, self._facts, self._say, canvas)


class _Latest(NamedTuple):
    """The newest counts, in one object: the drawing thread sees all of them or none."""

    summary: RunSummary
    waiting: int


_NOTHING = RunSummary("", "running", 0, 0, 0, 0, 0, 0, 0, 0)


class _Painting:
    """The frame as something rich can render; remembers how wide its lines were."""

    def __init__(self, paint: Callable[[int, int], list[Text]]) -> None:
        self._paint = paint
        self._widths: list[int] = []

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = self._paint(options.max_width, options.size.height)
        self._widths = [cell_len(line.plain) for line in lines]
        yield from lines

    def rows_gained(self, width: int) -> int:
        """Return how many more rows the last frame takes on a terminal of `width` columns."""
        return sum(max(0, -(-cells // width) - 1) for cells in self._widths)


class _ResizedLive(Live):
    """A live display that survives a terminal made narrower.

    Terminals fold the lines that no longer fit. rich goes up by as many rows as it wrote, so
    that every step of such a resize would leave a torn copy of the frame behind.
    """

    def __init__(self, painting: _Painting, console: Console, *, frames_per_second: float) -> None:
        super().__init__(
            painting,
            console=console,
            transient=True,
            refresh_per_second=frames_per_second,
            redirect_stdout=False,
            vertical_overflow="crop",
        )
        self._painting = painting

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Go up by the rows that folding has added, before the frame is drawn over."""
        gained = self._painting.rows_gained(self.console.width)
        wiping = ((ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1))
        return [Control(*wiping * gained), *super().process_renderables(renderables)]
