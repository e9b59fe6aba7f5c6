"""What is said of a run: plain lines, the frame of the live display, the closing word."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.text import Text

from xintu_cli.records import ProviderFigures, ProviderState, RunSummary
from xintu_cli.reporting.choice import can_draw_on, choose_reporter
from xintu_cli.reporting.closing import closing_text
from xintu_cli.reporting.frame import Canvas, Snapshot, bar_cells, frame
from xintu_cli.reporting.lossy import LossyStream
from xintu_cli.reporting.phrases import Phrase, speaker
from xintu_cli.reporting.plain import PlainReporter
from xintu_cli.reporting.run_facts import RunFacts
from xintu_cli.taxonomy import Category, Taxonomy

TAXONOMY = Taxonomy(
    "test",
    (
        Category("pets", "Pets", "宠物萌照", "d"),
        Category("foods", "Food", "美食记录", "d"),
        Category("other", "[red]Other\x1b", "其它", "d"),
    ),
    "other",
)
FACTS = RunFacts((b"/my photos", b"/esc\x1b[2J"), TAXONOMY, "sqlite:////cache.db")
SUMMARY = RunSummary(
    run_id="r-1",
    status="done",
    exit_code=0,
    found=1300,
    cached=1000,
    llm=200,
    local=60,
    failed=40,
    skipped=0,
    pending=0,
    unchanged=900,
    duplicates=1,
    calls=210,
    retries=10,
    tokens_in=90_000,
    tokens_out=9_000,
    cost=0.1234,
    currency="CNY",
    seconds=65.0,
    photos_per_second=20.0,
    categories={"pets": 900, "foods": 360},
    failures=tuple((b"/my photos/\x1b[31m%d.jpg" % n, "truncated") for n in range(40)),
    failures_total=40,
)


class Ticks:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Encoded(io.StringIO):
    """A stream of some encoding; it refuses what that cannot write, as files do."""

    def __init__(self, encoding: str = "utf-8", *, terminal: bool = False) -> None:
        super().__init__()
        self._encoding = encoding
        self._terminal = terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]  # StringIO says None
        return self._encoding

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        text.encode(self._encoding)
        return super().write(text)


class Broken(Encoded):
    """A stream whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def running(done: int) -> RunSummary:
    return replace(SUMMARY, status="running", llm=done - 1100, local=60, pending=1300 - done)


def words_of(lines: Sequence[object]) -> str:
    return "\n".join(str(line) for line in lines)


# ---- plain lines -----------------------------------------------------------------------------


def test_a_line_is_written_when_the_last_one_is_old_enough() -> None:
    stream, clock = Encoded(), Ticks()
    reporter = PlainReporter(stream, FACTS, clock=clock)
    reporter.start()
    for _ in range(61):
        reporter.settled((), replace(SUMMARY, pending=0), waiting=0)
        clock.now += 1
    assert stream.getvalue().count("\n") == 2


def test_the_line_says_percent_rate_and_time_left_once_the_total_is_known() -> None:
    stream, clock = Encoded(), Ticks()
    reporter = PlainReporter(stream, FACTS, clock=clock)
    reporter.start()
    reporter.walked()
    for second in range(31):
        clock.now = 1000.0 + second
        reporter.settled((), running(1110 + second), waiting=160 - second)
    assert stream.getvalue() == (
        "88 % done: cached 1,000, LLM 40, local 60, failed 40, waiting 160; "
        "1.0 photos/s; about 2 min left; 0.1234 CNY\n"
    )


def test_the_line_says_which_provider_gets_no_photos_and_why() -> None:
    stream, clock = Encoded(), Ticks()
    states = (
        ProviderState("qwen", 3, 16, spent=0.1),
        ProviderState("claude", 0, 8, paused_until_seconds=1043.0),
        ProviderState("mine\x1b", 0, 8, paused_until_seconds=1036.0, open=True),
        ProviderState("probed", 1, 8, open=True),
        ProviderState("openai", 0, 8, stopped=True),
    )
    reporter = PlainReporter(stream, FACTS, provider_states=lambda: states, clock=clock)
    reporter.start()
    reporter.walked()
    clock.now += 31
    reporter.settled((), replace(SUMMARY, cost=None), waiting=0)
    assert stream.getvalue().split("; ", 2)[2] == (
        "unknown price; claude paused 10 s; mine\\x1b not answering, next try in 5 s; "
        "probed not answering; openai not asked again in this run\n"
    )


def test_the_line_says_what_was_found_while_the_walk_goes_on() -> None:
    stream, clock = Encoded(), Ticks()
    reporter = PlainReporter(stream, FACTS, clock=clock)
    reporter.start()
    clock.now += 31
    reporter.settled((), running(1300), waiting=0)
    assert stream.getvalue() == ("looking for photos: cached 1,000, LLM 200, local 60, failed 40\n")


def test_without_progress_only_notices_and_the_closing_word_are_left() -> None:
    stream, clock = Encoded(), Ticks()
    reporter = PlainReporter(stream, FACTS, interval_seconds=None, clock=clock)
    clock.now += 3600
    reporter.settled((), SUMMARY, waiting=0)
    reporter.notice("staying \x1b[31mlocal")
    assert stream.getvalue() == "staying \\x1b[31mlocal\n"


def test_quiet_is_silent_when_all_is_well() -> None:
    stream, clock = Encoded(), Ticks()
    reporter = PlainReporter(stream, FACTS, quiet=True, clock=clock)
    reporter.start()
    clock.now += 3600
    reporter.settled((), SUMMARY, waiting=0)
    reporter.walked()
    reporter.doing("reading")
    reporter.notice("staying local")
    reporter.finish(SUMMARY)
    reporter.close()
    assert stream.getvalue() == ""


def test_quiet_says_problems_and_what_to_do() -> None:
    stream = Encoded()
    reporter = PlainReporter(stream, FACTS, quiet=True)
    reporter.notice("the folder /nas is empty", problem=True)
    why = "the model's answer\x1b is no number"
    waiting = replace(SUMMARY, exit_code=4, status="partial", pending=7, pending_reason=why)
    reporter.finish(waiting)
    said = stream.getvalue()
    assert "the folder /nas is empty\n" in said
    assert "7 without an answer (the model's answer\\x1b is no number)" in said
    assert "Run the same command again" in said
    assert "Pets" not in said


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "gbk"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_any_encoding_can_be_written(encoding: str, language: str) -> None:
    stream = Encoded(encoding)
    reporter = PlainReporter(stream, replace(FACTS, language=language))
    reporter.notice("照片 été")
    reporter.finish(SUMMARY)
    assert "####" in stream.getvalue()


def test_a_broken_stream_does_not_end_the_run() -> None:
    reporter = PlainReporter(Broken(), FACTS)
    reporter.notice("nobody reads this")
    reporter.finish(SUMMARY)


# ---- the choice ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terminal", "term", "expected"),
    [
        (True, "xterm-256color", True),
        (True, "dumb", False),
        (True, "", False),
        (False, "xterm-256color", False),
    ],
)
def test_only_a_terminal_that_moves_its_cursor_is_drawn_on(
    terminal: bool, term: str, expected: bool
) -> None:
    assert can_draw_on(Encoded(terminal=terminal), {"TERM": term}) is expected


@pytest.mark.parametrize(("quiet", "progress"), [(True, True), (False, False)])
def test_a_terminal_gets_plain_lines_when_asked_to(quiet: bool, progress: bool) -> None:
    stream = Encoded(terminal=True)
    reporter = choose_reporter(stream, FACTS, {"TERM": "xterm"}, quiet=quiet, progress=progress)
    assert isinstance(reporter, PlainReporter)


# ---- the frame -------------------------------------------------------------------------------


def snapshot(summary: RunSummary = SUMMARY) -> Snapshot:
    return Snapshot(
        summary=summary,
        waiting=summary.pending,
        walked=True,
        doing="asking qwen about \x1b[31mIMG.jpg",
        now=50.0,
        elapsed_seconds=65.9,
        per_second=20.4,
        seconds_left=12.0,
        providers=(
            ProviderState("qwen", 16, 16, spent=0.42, currency="CNY"),
            ProviderState("claude", 0, 8, paused_until_seconds=62.0, spent=None),
            ProviderState("openai\x1b", 0, 8, paused_until_seconds=55.0, open=True),
            ProviderState("moonshot", 0, 8, stopped=True),
        ),
    )


def test_a_frame_says_how_far_how_fast_and_who_answers() -> None:
    said = words_of(frame(snapshot(running(1200)), FACTS, speaker("en"), Canvas(80, 40)))
    for expected in (
        r"Classifying /my photos, /esc\x1b[2J",
        "1 min 05 s",
        "   92 %",
        "1,200 of 1,300   20 photos/s   about 10 s left",
        "● cached 1,000   ● LLM 100   ● local 60   ● failed 40",
        "Pets            900  ████████████████████████████████████████",
        r"[red]Other\x1b    0",
        "qwen              16/16 in flight   0.4200 CNY",
        "claude            0/8 in flight     paused 10 s   unknown price",
        r"openai\x1b        0/8 in flight     not answering, next try in 5 s",
        "moonshot          0/8 in flight     not asked again in this run",
        r"asking qwen about \x1b[31mIMG.jpg",
    ):
        assert expected in said


def test_a_narrow_frame_says_what_is_wrong_with_a_provider_before_its_money() -> None:
    said = words_of(frame(snapshot(running(1200)), FACTS, speaker("en"), Canvas(56, 40)))
    assert "openai\\x1b        0/8 in flight     not answering, n…" in said


def test_a_frame_pulses_while_the_total_is_unknown() -> None:
    walking = replace(snapshot(running(1200)), walked=False, seconds_left=None)
    canvas = Canvas(80, 40, unicode=False)
    bars = [
        str(frame(replace(walking, now=now), FACTS, speaker("en"), canvas)[1])
        for now in (0.0, 1.0, 2.0)
    ]
    assert {len(bar) for bar in bars} == {79}
    assert [bar.count("#") for bar in bars] == [0, 18, 18]
    assert bars[1] != bars[2]


@pytest.mark.parametrize("width", [1, 20, 40, 79, 80, 81, 120, 200, 400])
@pytest.mark.parametrize("height", [1, 5, 12, 24, 60])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_frame_is_larger_than_its_terminal(width: int, height: int, language: str) -> None:
    facts = replace(FACTS, roots=(("/很长的目录名" * 20).encode(),))
    lines = frame(snapshot(running(1200)), facts, speaker(language), Canvas(width, height))
    assert len(lines) <= max(1, height - 1)
    assert max(cell_len(str(line)) for line in lines) <= max(20, min(79, width - 1))


def test_the_fullest_categories_are_shown_where_not_all_fit() -> None:
    categories = tuple(Category(f"c{n}", f"Category {n}", "类", "d") for n in range(100))
    facts = replace(FACTS, taxonomy=Taxonomy("many", categories, "c0"))
    summary = replace(SUMMARY, categories={"c7": 5, "c90": 9, "c3": 1})
    said = words_of(frame(snapshot(summary), facts, speaker("en"), Canvas(80, 16)))
    assert [word for word in ("Category 3", "Category 7", "Category 90") if word in said] == [
        "Category 7",
        "Category 90",
    ]
    assert "and 98 more" in said


@pytest.mark.parametrize(
    ("counts", "total", "cells", "expected"),
    [
        ([0, 0], 0, 10, [0, 0]),
        ([50, 0], 100, 10, [5, 0]),
        ([99_999, 1], 100_000, 10, [9, 1]),
        ([99_999, 0], 100_000, 10, [9, 0]),
        ([1, 1], 3, 10, [3, 3]),
        ([2, 1], 3, 10, [7, 3]),
    ],
)
def test_the_bar_shows_whatever_is_not_zero_and_is_full_only_at_the_end(
    counts: list[int], total: int, cells: int, expected: list[int]
) -> None:
    assert bar_cells(counts, total, cells) == expected


@pytest.mark.parametrize(
    ("unicode", "expected"),
    [
        (True, "  …环游苍山索道/照片副本（1）最终版本.jpg"),
        (False, "  海环游苍山索道/照片副本（1）最终版本.jpg"),
    ],
)
def test_a_photo_in_a_folder_with_a_long_name_is_told_by_its_own(
    *, unicode: bool, expected: str
) -> None:
    photo = "第一天从昆明出发前往大理古城洱海环游苍山索道/照片副本（1）最终版本.jpg"
    drawn = replace(snapshot(running(1200)), doing=photo, providers=())
    lines = frame(drawn, FACTS, speaker("zh"), Canvas(43, 40, unicode=unicode))
    assert lines[-1].plain == expected
    assert lines[-1].cell_len <= 42


# ---- the closing word ------------------------------------------------------------------------


def closing(summary: RunSummary = SUMMARY, *, language: str = "en", terminal: bool = False) -> str:
    stream = LossyStream(Encoded(terminal=terminal))
    return closing_text(summary, replace(FACTS, language=language), stream)


def test_the_closing_word_says_what_where_how_much_and_what_next() -> None:
    said = closing()
    for expected in (
        "1,300 photos in 1 min 05 s\n",
        "Pets            900   71.4 %  ████",
        "1,000 from the cache (900 unchanged, 1 copy)",
        "200 by an LLM",
        "40 could not be read",
        "0.1234 CNY; 210 calls; 10 retries; 90,000 tokens in, 9,000 out",
        "1 min 05 s, 20 photos/s",
        "sqlite:////cache.db",
        r"  /my photos/\x1b[31m4.jpg  truncated",
        "and 35 more: --summary FILE lists them",
        r"xintu export '/my photos' $'/esc\x1b[2J' -o labels.csv",
    ):
        assert expected in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "budget", "pending": 3}, "Raise --max-calls or --max-cost"),
        ({"status": "interrupted", "pending": 3}, "nothing is paid for twice"),
        ({"status": "partial", "pending": 3}, "nothing is paid for twice"),
        ({"status": "partial", "provisional": 3}, "asks an LLM about the provisional ones"),
        ({"status": "failed"}, "Broken off after 1 min 05 s"),
        ({"found": 0}, "No photos found under /my photos"),
        ({"cost": None}, "unknown price; 210 calls"),
    ],
)
def test_the_closing_word_says_what_is_left_to_do(
    changes: dict[str, object], expected: str
) -> None:
    summary = replace(SUMMARY, **changes)  # type: ignore[arg-type]
    assert expected in closing(summary)


def test_a_sentence_is_folded_between_its_words_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    stopped = replace(SUMMARY, status="interrupted", pending=3)
    sentence = speaker("en")(Phrase.NEXT_CONTINUE)
    shown = Text.from_ansi(closing(stopped, terminal=True)).plain.splitlines()
    at = next(number for number, line in enumerate(shown) if line.startswith("Next"))
    folded = shown[at : at + 2]
    assert " ".join(line[10:].rstrip() for line in folded) == sentence
    assert [line[:10].rstrip() for line in folded] == ["Next", ""]
    assert all(len(line) <= 60 for line in folded)
    assert sentence in closing(stopped), "not a terminal: a line is a line"


def test_a_run_without_calls_says_nothing_of_money() -> None:
    assert "Cost" not in closing(replace(SUMMARY, calls=0))


def test_the_closing_word_says_what_a_cascade_has_saved() -> None:
    said = closing(replace(SUMMARY, spared=42, kept_local=3))
    assert "60 by the local model (3 kept on this machine, 42 sure enough to need no call)" in said
    # 0.1234 CNY for 210 calls
    assert "about 0.0247 CNY saved by asking the local model first" in said
    for unknown in (replace(SUMMARY, spared=42, cost=None), replace(SUMMARY, spared=42, calls=0)):
        assert "saved" not in closing(unknown)


def test_the_closing_word_tells_the_providers_that_failed_or_took_over() -> None:
    fine = ProviderFigures(calls=200, ok=200, failed=0, p50_ms=810.0, p99_ms=2300.0, cost=0.1)
    failing = ProviderFigures(calls=10, ok=0, failed=10, p50_ms=12.0, p99_ms=40.0, cost=0.0)
    both = closing(replace(SUMMARY, providers={"mine\x1b": failing, "qwen": fine}))
    assert "Provider  qwen  200 calls; half within 0.8 s, 99 % within 2.3 s\n" in both
    assert "          mine\\x1b  10 calls; 10 failed; half within" in both
    assert "Provider" not in closing(replace(SUMMARY, providers={"qwen": fine}))
    assert "10 failed" in closing(replace(SUMMARY, providers={"qwen": failing}))


def test_the_closing_word_speaks_chinese() -> None:
    said = closing(language="zh")
    assert "1,300 张照片，用时 1 分 05 秒" in said
    assert "宠物萌照  900   71.4 %  ████" in said


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in closing(terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in closing(terminal=True)


def test_whoever_asks_for_more_gets_every_failure() -> None:
    text = closing_text(SUMMARY, replace(FACTS, verbose=True), LossyStream(Encoded(terminal=False)))
    assert text.count("jpg  truncated") == 40
    assert "--summary FILE lists them" not in text


def test_of_a_long_list_of_categories_the_empty_ones_are_left_out() -> None:
    many = tuple(Category(f"c{n}", f"Category {n}", f"类别{n}", "d") for n in range(40))
    facts = replace(FACTS, taxonomy=Taxonomy("long", many, "c0"))
    summary = replace(SUMMARY, categories={"c3": 5, "c39": 1})
    text = closing_text(summary, facts, LossyStream(Encoded(terminal=False)))
    assert [line for line in text.splitlines() if "Category" in line] == [
        f"  Category 3   5   83.3 %  {'█' * 40}",
        f"  Category 39  1   16.7 %  {'█' * 8}",
    ]


def test_the_export_it_proposes_asks_for_what_the_run_was_asked() -> None:
    flags = ("--taxonomy=my own.toml", "--include=*.jpg", "--hidden")
    facts = replace(FACTS, roots=(b"/photos",), export_flags=flags)
    text = closing_text(SUMMARY, facts, LossyStream(Encoded(terminal=False)))
    command = "xintu export /photos '--taxonomy=my own.toml' '--include=*.jpg' --hidden"
    assert f"{command} -o labels.csv" in text


def test_a_glob_of_many_roots_is_not_repeated() -> None:
    many = replace(FACTS, roots=tuple(b"/photos/%d.jpg" % number for number in range(500)))
    text = closing_text(SUMMARY, many, LossyStream(Encoded(terminal=False)))
    assert "xintu export … -o labels.csv" in text
    assert "/photos/7.jpg" not in text
