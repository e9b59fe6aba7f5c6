"""Numbers are shown with the digits that matter, in both languages."""

from __future__ import annotations

import pytest

from xintu_cli.reporting import figures
from xintu_cli.reporting.pace import Pace
from xintu_cli.reporting.phrases import Phrase, speaker

ENGLISH = speaker("en")
CHINESE = speaker("zh")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (75.3, "1 min 15 s"),
        (3599.6, "1 h 00 min"),
        (7384, "2 h 03 min"),
    ],
)
def test_durations(seconds: float, expected: str) -> None:
    assert figures.duration(seconds, ENGLISH) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.2, "1 s"),
        (7.4, "7 s"),
        (33, "35 s"),
        (54, "55 s"),
        (58, "1 min"),
        (95, "2 min"),
        (3620, "1 h 00 min"),
        (9000, "2 h 30 min"),
    ],
)
def test_estimates_are_coarse(seconds: float, expected: str) -> None:
    assert figures.coarse_duration(seconds, ENGLISH) == expected


def test_durations_in_chinese() -> None:
    assert figures.duration(75.3, CHINESE) == "1 分 15 秒"


@pytest.mark.parametrize(
    ("per_second", "expected"),
    [
        (0.04, "0.0 photos/s"),
        (9.9, "9.9 photos/s"),
        (9.97, "10 photos/s"),
        (60000, "60,000 photos/s"),
    ],
)
def test_rates(per_second: float, expected: str) -> None:
    assert figures.rate(per_second, ENGLISH) == expected


@pytest.mark.parametrize(
    ("part", "whole", "digits", "expected"),
    [
        (0, 0, 0, "100 %"),
        (0, 10, 0, "0 %"),
        (9999, 10000, 0, "99 %"),
        (9999, 10000, 1, "99.9 %"),
        (10000, 10000, 1, "100.0 %"),
        (1, 3, 1, "33.3 %"),
    ],
)
def test_shares_are_whole_only_when_nothing_is_missing(
    part: int, whole: int, digits: int, expected: str
) -> None:
    assert figures.percent(part, whole, digits) == expected


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (None, "CNY", "unknown price"),
        (0.0, "", "0.00"),
        (0.00421, "CNY", "0.0042 CNY"),
        (1234.5, "USD", "1,234.50 USD"),
    ],
)
def test_money(amount: float | None, currency: str, expected: str) -> None:
    assert figures.money(amount, currency, ENGLISH) == expected


@pytest.mark.parametrize(
    ("share", "unicode", "expected"),
    [
        (0.0, True, ""),
        (1.0, True, "████"),
        (0.5, True, "██"),
        (0.28125, True, "█▏"),
        (0.0001, True, "▏"),
        (0.0, False, ""),
        (1.0, False, "####"),
        (0.0001, False, "#"),
    ],
)
def test_bars(share: float, unicode: bool, expected: str) -> None:
    assert figures.bar(share, 4, unicode=unicode) == expected


def test_every_phrase_says_the_same_values_in_both_languages() -> None:
    for phrase in Phrase:
        fields = [
            {part.split("}")[0].split(":")[0] for part in text.split("{")[1:]}
            for text in (phrase.english, phrase.chinese)
        ]
        assert fields[0] == fields[1], phrase


def test_english_tells_one_from_many() -> None:
    said = [ENGLISH(Phrase.PHOTOS, n=n) for n in (0, 1, 1200)]
    assert said == ["0 photos", "1 photo", "1,200 photos"]
    assert CHINESE(Phrase.PHOTOS, n=1) == "1 张照片"


def test_a_pace_follows_a_change_within_its_window() -> None:
    pace = Pace(0.0)
    for second in range(1, 11):
        pace.observe(float(second), 60_000 * second)
    assert pace.per_second == 60_000
    for second in range(11, 31):
        pace.observe(float(second), 600_000 + 10 * (second - 10))
    assert pace.per_second == 10
    assert pace.seconds_for(100) == 10.0


def test_a_pace_starts_when_something_starts_to_happen() -> None:
    pace = Pace(0.0)
    for second in range(100):
        pace.observe(float(second), 0)
    assert (pace.per_second, pace.seconds_for(5)) == (0.0, None)
    pace.observe(100.0, 8)
    assert pace.per_second == 8.0


def test_a_pace_keeps_few_samples() -> None:
    pace = Pace(0.0)
    for millisecond in range(100_000):
        pace.observe(millisecond / 1000, millisecond)
    assert len(pace._samples) < 60
    assert pace.per_second == pytest.approx(1000, rel=0.01)
