"""What is said in two languages says the same in both."""

from __future__ import annotations

import string

import pytest

from xintu_cli.cli.questions import Question
from xintu_cli.reporting.command_phrases import Deed
from xintu_cli.reporting.doctor_phrases import PARTS, VERDICTS, Found, Mend
from xintu_cli.reporting.evaluation_phrases import EvaluationPhrase
from xintu_cli.reporting.notices import Notice
from xintu_cli.reporting.phrases import Bilingual, Phrase, speaker
from xintu_cli.reporting.reasons import reason_text
from xintu_cli.reporting.stats_phrases import StatsPhrase

EVERYTHING: list[Bilingual] = [
    *(*Phrase, *Notice, *StatsPhrase, *EvaluationPhrase, *Question, *Deed, *Found, *Mend),
]


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("phrase", EVERYTHING, ids=str)
def test_a_phrase_tells_the_same_in_both_languages(phrase: Bilingual) -> None:
    one, _, many = phrase.english.partition("|")
    assert fields(one) == fields(phrase.chinese)
    assert not many or fields(one) == fields(many)


def test_a_word_for_many_is_chosen_by_the_number() -> None:
    said = [speaker("en")(Deed.ROWS_IN, n=n, name="a.csv") for n in (1, 2)]
    assert said == ["1 row in a.csv", "2 rows in a.csv"]


def test_the_doctor_has_a_chinese_word_for_each_of_its_columns() -> None:
    assert set(VERDICTS) == {"ok", "warning", "broken"}
    assert all(word.isidentifier() and not word.isascii() for word in PARTS.values())


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("truncated", "文件不完整"),
        ("not a supported image (looks like text)", "不是支持的图片（像是文本）"),
        ("not a supported image (looks like PDF)", "不是支持的图片（像是 PDF）"),
        ("too large (65500×65500)", "尺寸过大（65500×65500）"),
        ("larger than the limit of 256 MB (8,192 MB)", "超过上限 256 MB（8,192 MB）"),
        ("larger than the limit of 256 MB", "超过上限 256 MB"),
        ("cannot decode this PNG: {bad} chunk", "无法解码此 PNG：{bad} chunk"),
        ("cannot read the directory: Permission denied", "无法读取目录：Permission denied"),
        ("whatever a decoder says", "whatever a decoder says"),
    ],
)
def test_a_reason_is_told_in_chinese_where_it_is_known(reason: str, expected: str) -> None:
    assert (reason_text(reason, "zh"), reason_text(reason, "en")) == (expected, reason)
