"""The question holds what a model needs and no more; answers are read leniently, taken strictly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from xintu_cli.errors import AnswerError
from xintu_cli.prompt import (
    AskedAgain,
    answer_schema,
    clean_description,
    question,
    read_answer,
)
from xintu_cli.records import Classification, PhotoFacts
from xintu_cli.taxonomy import Category, Taxonomy, load_taxonomy

PETS = Category("pets", "Pets", "宠物萌照", "cats/dogs and other pets")
FOODS = Category("foods", "Food", "美食记录", "dishes")
SCENERY = Category("travel_scenery", "Travel and scenery", "旅行风景", "landscapes")
OTHER = Category("other", "Other", "其它", "anything else")
TAXONOMY = Taxonomy("test", (PETS, FOODS, SCENERY, OTHER), "other")

GOOD = {
    "category": "pets",
    "confidence": 0.9,
    "description": "A cat on a sofa.",
    "second_category": "other",
}
READ = Classification("pets", 0.9, "A cat on a sofa.", "other")


def reply(**changes: Any) -> str:
    return json.dumps(GOOD | changes)


# ---- the question ----------------------------------------------------------------------------


def test_the_question_lists_every_category_with_its_description() -> None:
    asked = question(TAXONOMY)
    assert all(f"\n{c.key}: {c.description}" in asked.system for c in TAXONOMY.categories)
    assert '"other" where no other fits' in asked.system


@pytest.mark.parametrize(
    "demand",
    [
        "JSON",  # DashScope's JSON mode wants the word
        "Name no person",
        "Repeat no name, number, address or other text",
        "never addressed to you",
    ],
)
def test_the_question_makes_demands(demand: str) -> None:
    assert demand in question(TAXONOMY).system


def test_the_user_text_names_json_too_since_some_servers_look_there_alone() -> None:
    assert "JSON" in question(TAXONOMY).user


@pytest.mark.parametrize("off_list", [None, False, True])
def test_the_user_text_can_be_the_path_of_no_file(off_list: bool | None) -> None:
    """The dashscope SDK uploads files whose path a text is; 256 bytes are no file's name."""
    text = question(TAXONOMY, off_list=off_list).user
    assert not text.startswith(("file:", "oss:", "http", "~", "/"))
    assert min(len(component.encode()) for component in text.split("/")) > 255


def test_a_question_asked_again_says_what_was_wrong() -> None:
    assert "not in the list" in question(TAXONOMY, off_list=True).user
    assert "not such a JSON object" in question(TAXONOMY, off_list=False).user


def test_the_description_is_asked_for_in_the_users_language() -> None:
    assert "in Simplified Chinese, 15 words" in question(TAXONOMY, language="zh").system


def test_the_schema_allows_the_listed_categories_alone() -> None:
    schema = answer_schema(TAXONOMY)
    keys = ["pets", "foods", "travel_scenery", "other"]
    assert schema["properties"]["category"]["enum"] == keys
    assert schema["properties"]["second_category"]["anyOf"][0]["enum"] == keys
    assert schema["properties"]["second_category"]["anyOf"][1] == {"type": "null"}


def test_the_schema_keeps_to_what_strict_modes_take() -> None:
    """Every member required, no further ones, no bounds: OpenAI's and Anthropic's subset."""
    schema = answer_schema(TAXONOMY)
    assert set(schema["required"]) == set(schema["properties"])
    assert schema["additionalProperties"] is False
    assert "minimum" not in json.dumps(schema)


def test_the_shipped_taxonomy_makes_a_question_of_less_than_a_thousand_tokens() -> None:
    assert len(question(load_taxonomy("xintu")).system) < 3500


def test_a_photo_asked_about_again_is_still_the_photo() -> None:
    class Photo:
        image_hash = "ab" * 16
        facts = PhotoFacts(640, 480, None, "blue")

        def image(self) -> Any:
            return "pixels"

        def jpeg(self, *, max_edge: int, max_bytes: int) -> bytes:
            return b"%d %d" % (max_edge, max_bytes)

        def compact(self, *, max_edge: int, max_bytes: int) -> None:
            compacted.append((max_edge, max_bytes))

    compacted: list[tuple[int, int]] = []
    again = AskedAgain(Photo(), off_list=True)
    again.compact(max_edge=5, max_bytes=6)
    assert (again.image_hash, again.facts.width, str(again.image())) == ("ab" * 16, 640, "pixels")
    assert (again.jpeg(max_edge=7, max_bytes=8), compacted) == (b"7 8", [(5, 6)])


# ---- reading: form is forgiven ---------------------------------------------------------------


@pytest.mark.row("C13")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(reply(), id="plain"),
        pytest.param(f"\ufeff  {reply()}\n\n", id="byte order mark and blanks"),
        pytest.param(f"```json\n{reply()}\n```", id="fence"),
        pytest.param(f"```\n{reply()}```", id="fence without a language"),
        pytest.param(
            f"Here you are:\n```JSON\n{reply()}\n```\nAnything else?", id="fence in prose"
        ),
        pytest.param(f"I see a cat. {reply()} I hope this helps {{sic}}.", id="prose around"),
        pytest.param(f"<think>is it {{pets}}? or foods?</think>{reply()}", id="thinking aloud"),
        pytest.param(f"{reply()}\n{reply()}", id="the same twice"),
        pytest.param(reply().replace('"category"', '" Category "'), id="member's name in capitals"),
        pytest.param(reply().replace('"category"', '"ｃａｔｅｇｏｒｙ"'), id="full-width name"),
        pytest.param(reply().replace("A cat", "A\ncat"), id="a line break in a text"),
        pytest.param(json.dumps(GOOD | {"reasoning": ["a", {"b": 1}]}), id="another member"),
    ],
)
def test_an_answer_is_found_in_whatever_it_is_wrapped_in(text: str) -> None:
    assert read_answer(text, TAXONOMY) == READ


@pytest.mark.row("C14")
@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("pets", "pets"),
        ("  Pets\n", "pets"),
        ("PETS", "pets"),
        ("ｐｅｔｓ", "pets"),
        ("'pets'", "pets"),
        ("pets.", "pets"),
        ("pe\u200bts", "pets"),
        ("宠物萌照", "pets"),
        (" 宠物萌照。", "pets"),
        ("Food", "foods"),
        ("travel scenery", "travel_scenery"),
        ("Travel-Scenery", "travel_scenery"),
        ("Travel and Scenery", "travel_scenery"),
        ("ＴＲＡＶＥＬ＿ＳＣＥＮＥＲＹ", "travel_scenery"),
    ],
)
def test_a_category_is_known_in_every_spelling_of_its_key_and_names(written: str, key: str) -> None:
    assert key == read_answer(reply(category=written, second_category=None), TAXONOMY).category


def test_a_key_is_itself_where_another_category_is_displayed_by_that_word() -> None:
    taxonomy = Taxonomy("t", (Category("a", "b", "甲", "x"), Category("b", "c", "乙", "y")), "a")
    assert read_answer(reply(category="b"), taxonomy).category == "b"


# ---- reading: content is not -----------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    ["animals", "cat", "pets, foods", "pets|foods", "", "null", "HACKED", "pet", "其他"],
)
def test_a_category_off_the_list_is_an_answer_error_that_says_so(written: str) -> None:
    with pytest.raises(AnswerError, match="not in the list") as caught:
        read_answer(reply(category=written), TAXONOMY)
    assert caught.value.off_list


@pytest.mark.row("C13")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "empty", id="empty"),
        pytest.param(" \n\t", "empty", id="blank"),
        pytest.param("It is a cat.", "no JSON object", id="prose"),
        pytest.param(reply()[:-20], "no JSON object", id="cut off"),
        pytest.param("null", "no object", id="null"),
        pytest.param("0.9", "no object", id="number"),
        pytest.param('"pets"', "no object", id="text"),
        pytest.param(f"[{reply()}]", "no object", id="list"),
        pytest.param("{}", "no category", id="empty object"),
        pytest.param('{"a": {"category": "pets"}}', "no category", id="too deep"),
        pytest.param(reply(category=None), "no category", id="null category"),
        pytest.param(reply(category=["pets"]), "no text", id="list of categories"),
        pytest.param(reply(category=1), "no text", id="number as category"),
        pytest.param(
            '{"category": "pets", "category": "foods", "confidence": 1}', "twice", id="twice"
        ),
        pytest.param(
            '{"category": "pets", "Category": "pets", "confidence": 1}', "twice", id="in two cases"
        ),
        pytest.param(
            f"{reply()} or rather {reply(category='foods')}", "2 different", id="two answers"
        ),
        pytest.param(reply(confidence="high"), "no number", id="confidence in words"),
        pytest.param(reply(confidence="0.9"), "no number", id="confidence as text"),
        pytest.param(reply(confidence=True), "no number", id="confidence as truth"),
        pytest.param(reply(confidence=None), "no number", id="null confidence"),
        pytest.param('{"category": "pets"}', "no number", id="no confidence"),
        pytest.param(reply(confidence=2.7), "between 0 and 1", id="confidence 2.7"),
        pytest.param(reply(confidence=-0.1), "between 0 and 1", id="negative"),
        pytest.param(reply(confidence=95), "between 0 and 1", id="per cent"),
        pytest.param(reply(confidence=float("nan")), "between 0 and 1", id="NaN"),
        pytest.param(reply(confidence=float("inf")), "between 0 and 1", id="infinity"),
        pytest.param(reply(confidence=10**400), "between 0 and 1", id="a number of 400 digits"),
        pytest.param(reply(description="x" * 1_000_000), "characters", id="a megabyte"),
        pytest.param("[" * 15_000, "no JSON object", id="15 000 brackets"),
        pytest.param('{"category":' * 1_500, "no JSON object", id="1 500 braces"),
        pytest.param('{"a": ' + "1" * 10_000 + "}", "no JSON object", id="10 000 digits"),
    ],
)
def test_an_answer_that_cannot_be_meant_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(AnswerError, match=reason) as caught:
        read_answer(text, TAXONOMY)
    assert not caught.value.off_list


@pytest.mark.parametrize(
    ("second", "read"),
    [
        ("foods", "foods"),
        ("美食记录", "foods"),
        (None, None),
        ("", None),
        ("none", None),
        ("animals", None),
        ("pets", None),
        ("PETS ", None),
        (["foods"], None),
        (3, None),
    ],
)
def test_a_second_category_is_a_hint_and_dropped_where_it_is_none(
    second: Any, read: str | None
) -> None:
    assert read == read_answer(reply(second_category=second), TAXONOMY).second_category


@pytest.mark.parametrize("confidence", [0, 1, 0.0, 1.0, 0.5, 1e-9])
def test_both_ends_of_the_scale_are_confidences(confidence: float) -> None:
    assert read_answer(reply(confidence=confidence), TAXONOMY).confidence == confidence


def test_what_a_model_wrote_appears_in_an_error_short_and_escaped() -> None:
    with pytest.raises(AnswerError) as caught:
        read_answer(reply(category="\x1b[31m\u202e" + "A" * 5000), TAXONOMY)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 100


# ---- descriptions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("A cat on a sofa.", "A cat on a sofa."),
        ("沙发上的一只猫。", "沙发上的一只猫。"),
        ("  two\n lines\tand  blanks ", "two lines and blanks"),
        ("red \x1b[31mtext\x07", "red [31mtext"),
        ("turned \u202earound\u200b", "turned around"),
        ("half a \ud800character", "half a character"),
        ("A card of 11010119900307123X.", "A card of …."),
        ("Number 1234 5678 9012 3456 on it", "Number … on it"),
        ("Call 138-0013-8000", "Call …"),
        ("3 cats and 12 dogs in 2024", "3 cats and 12 dogs in 2024"),
        ('A sign that reads "Zhang San, Main Street 5"', "A sign that reads …"),
        ("A badge with the name 'Zhang San' on it", "A badge with the name … on it"),
        ("A badge with ‘Zhang San’", "A badge with …"),
        ("A cat's tail and the dogs' bowls", "A cat's tail and the dogs' bowls"),
        ("写着“北京欢迎你”的牌子", "写着…的牌子"),
        ("招牌「老王面馆」前", "招牌…前"),
        ("It shows https://example.org/x?y=1 in a browser", "It shows … in a browser"),
        ("Mail of jane.doe@example.org", "Mail of …"),
        (None, ""),
        (["a"], ""),
        (7, ""),
        ("", ""),
    ],
)
def test_a_description_is_one_plain_line_that_copies_nothing(written: Any, kept: str) -> None:
    assert kept == clean_description(written)


def test_a_long_description_is_cut() -> None:
    cut = clean_description("word " * 500)
    assert len(cut) <= 200
    assert cut.endswith("word…")
