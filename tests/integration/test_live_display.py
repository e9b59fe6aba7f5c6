"""The live display on a terminal: what stands there while a run goes on, and afterwards."""

from __future__ import annotations

import os
import pty
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from tests.support.screen import Screen
from xintu_cli.records import ProviderState, RunSummary
from xintu_cli.reporting.choice import choose_reporter
from xintu_cli.reporting.live import LiveReporter
from xintu_cli.reporting.run_facts import RunFacts
from xintu_cli.taxonomy import Category, Taxonomy

TAXONOMY = Taxonomy(
    "test",
    (Category("pets", "Pets", "宠物萌照", "d"), Category("foods", "Food", "美食记录", "d")),
    "foods",
)
FACTS = RunFacts(("/家/图片".encode(),), TAXONOMY, "sqlite:////cache.db", "zh")
NEVER = 1e-6
"""Frames a second, where the test draws every frame itself."""


def summary(cached: int, llm: int, found: int) -> RunSummary:
    return RunSummary(
        run_id="r",
        status="running",
        exit_code=0,
        found=found,
        cached=cached,
        llm=llm,
        local=0,
        failed=0,
        skipped=0,
        pending=found - cached - llm,
        categories={"pets": cached, "foods": llm},
        seconds=3.0,
    )


class Terminal:
    """A reporter on a screen whose frames are drawn by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, width: int, height: int) -> None:
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.delenv("COLUMNS", raising=False)
        monkeypatch.delenv("LINES", raising=False)
        self.screen = Screen(width, height)
        # rich asks the standard streams for the size, and the screen is none of them.
        monkeypatch.setattr(os, "get_terminal_size", self._size)
        self.now = 0.0
        self.states: tuple[ProviderState, ...] = ()
        self.reporter = LiveReporter(
            self.screen,
            FACTS,
            provider_states=lambda: self.states,
            clock=lambda: self.now,
            frames_per_second=NEVER,
        )

    def _size(self, _descriptor: int = 1) -> os.terminal_size:
        return os.terminal_size((self.screen.width, self.screen.height))

    def resize(self, width: int, height: int) -> None:
        self.screen.resize(width, height)

    def draw(self) -> list[str]:
        self.now += 1.0
        self.reporter._live.refresh()
        return self.screen.lines()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, int], Terminal]]:
    opened: list[Terminal] = []

    def open_terminal(width: int, height: int) -> Terminal:
        opened.append(Terminal(monkeypatch, width, height))
        return opened[-1]

    yield open_terminal
    for each in opened:
        each.reporter.close()


OpenTerminal = Callable[[int, int], Terminal]


@pytest.mark.parametrize("width", [80, 200])
def test_frames_are_drawn_over_each_other(terminal: OpenTerminal, width: int) -> None:
    t = terminal(width, 24)
    t.screen.write("$ xintu classify\n")
    t.reporter.start()
    t.reporter.settled((), summary(10, 0, 40), waiting=30)
    t.draw()
    t.reporter.walked()
    t.reporter.doing("正在询问 qwen")
    t.states = (ProviderState("qwen", 3, 16, spent=0.5, currency="CNY"),)
    t.reporter.settled((), summary(10, 10, 40), waiting=20)
    bar = "━" * 72 + "   50 %"
    assert t.draw() == [
        "$ xintu classify",
        "正在分类 /家/图片" + "2 秒".rjust(61),
        bar,
        "  20 / 40   10 张/秒   约剩 2 秒",
        "",
        "  ● 缓存 10   ● 大模型 10",
        "",
        "  宠物萌照  10  ████████████████████████████████████████",
        "  美食记录  10  ████████████████████████████████████████",
        "",
        "  qwen              3/16 请求中   0.5000 CNY",
        "  正在询问 qwen",
    ]


def test_a_terminal_of_any_width_from_80_columns_on_is_resized_without_a_trace(
    terminal: OpenTerminal,
) -> None:
    t = terminal(200, 30)
    t.reporter.start()
    t.reporter.walked()
    t.reporter.settled((), summary(10, 0, 40), waiting=30)
    frames = [t.draw()]
    for width in (170, 120, 100, 81, 80, 95, 200):
        t.resize(width, 30)
        frames.append(t.draw())
    assert {len(frame) for frame in frames} == {8}
    assert {frame[1] for frame in frames} == {frames[0][1]}


@pytest.mark.parametrize("widths", [(60,), (40,), (79, 60, 41, 30), (30, 120, 50)])
def test_a_narrow_terminal_is_resized_without_a_trace(
    terminal: OpenTerminal, widths: tuple[int, ...]
) -> None:
    t = terminal(90, 60)
    t.screen.write("before\n")
    t.reporter.start()
    t.reporter.walked()
    t.reporter.settled((), summary(1000, 0, 4000), waiting=3000)
    t.draw()
    for width in widths:
        t.resize(width, 60)
        t.draw()
    lines = t.screen.lines()
    assert lines[0] == "before"
    assert len(lines) == 9
    assert max(map(len, lines)) < widths[-1]


def test_a_notice_stands_above_the_display_and_stays(terminal: OpenTerminal) -> None:
    t = terminal(80, 24)
    t.reporter.start()
    t.draw()
    t.reporter.notice("no [red]provider[/red] \x1b[2J is chosen", problem=True)
    lines = t.draw()
    assert lines[0] == r"no [red]provider[/red] \x1b[2J is chosen"
    assert lines[1].startswith("正在分类")
    assert sum(line.startswith("正在分类") for line in lines) == 1


def test_the_closing_word_takes_the_displays_place(terminal: OpenTerminal) -> None:
    t = terminal(80, 24)
    t.screen.write("$ xintu classify\n")
    t.reporter.start()
    t.reporter.walked()
    assert not t.screen.cursor_is_visible
    final = replace(summary(10, 30, 40), status="done")
    t.reporter.settled((), final, waiting=0)
    t.draw()
    t.reporter.finish(final)
    lines = t.screen.lines()
    assert lines[:3] == ["$ xintu classify", "", "40 张照片，用时 3.0 秒"]
    assert not any("━" in line for line in lines)
    assert t.screen.cursor_is_visible


def test_an_exception_leaves_a_clean_terminal(terminal: OpenTerminal) -> None:
    t = terminal(80, 24)
    t.screen.write("$ xintu classify\n")
    t.reporter.start()
    t.draw()
    t.reporter.close()
    t.reporter.close()
    assert t.screen.lines() == ["$ xintu classify"]
    assert t.screen.cursor_is_visible
    assert sys.stderr is not None
    assert type(sys.stderr).__module__ != "rich.file_proxy"


def test_a_run_that_never_started_to_show_is_closed_without_a_word(
    terminal: OpenTerminal,
) -> None:
    t = terminal(80, 24)
    t.reporter.close()
    assert t.screen.lines() == []


def test_a_terminal_lower_than_the_display_shows_what_fits(terminal: OpenTerminal) -> None:
    t = terminal(80, 4)
    t.reporter.start()
    t.reporter.settled((), summary(10, 0, 40), waiting=30)
    for _ in range(3):
        t.draw()
    assert len(t.screen.lines()) == 3
    t.reporter.close()
    assert t.screen.lines() == []


def test_settling_draws_nothing(terminal: OpenTerminal) -> None:
    t = terminal(80, 24)
    t.reporter.start()
    before = t.screen.lines()
    for cached in range(1000):
        t.reporter.settled((), summary(cached, 0, 1000), waiting=0)
    assert t.screen.lines() == before


def test_a_real_terminal_is_drawn_on_by_a_thread_and_may_vanish(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    ours, theirs = pty.openpty()
    stream = os.fdopen(theirs, "w", encoding="utf-8")
    reporter = choose_reporter(stream, FACTS, os.environ)
    assert isinstance(reporter, LiveReporter)
    reporter.start()
    reporter.settled((), summary(77, 0, 80), waiting=3)
    seen = b""
    while "已找到 80 张".encode() not in seen:
        seen += os.read(ours, 65536)
    # Its window is closed: every write fails from now on.
    os.close(ours)
    reporter.settled((), summary(78, 0, 80), waiting=2)
    reporter.notice("nobody reads this")
    reporter.finish(replace(summary(80, 0, 80), status="done"))
    with suppress(OSError):
        stream.close()
