"""The closed list of categories: what makes its fingerprint, and what is wrong with bad files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xintu_cli.errors import ConfigurationError, UsageError
from xintu_cli.resources import data_directory
from xintu_cli.taxonomy import Category, Taxonomy, load_taxonomy, parse_taxonomy

PETS = {"key": "pets", "en": "Pets", "zh": "宠物", "description": "An animal at home."}
FOODS = {"key": "foods", "en": "Food", "zh": "美食", "description": "A dish."}
OTHER = {"key": "other", "en": "Other", "zh": "其它", "description": "Anything else."}


def parsed(**changes: Any) -> Taxonomy:
    document = {"name": "mine", "category": [PETS, FOODS, OTHER], **changes}
    return parse_taxonomy(document, origin="mine.toml", default_name="mine")


def without(category: dict[str, str], field: str) -> dict[str, str]:
    return {key: value for key, value in category.items() if key != field}


def written(directory: Path, content: str | bytes) -> str:
    path = directory / "mine.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


# ---- what ships ------------------------------------------------------------------------------


def test_the_shipped_taxonomys_task_is_pinned_since_changing_it_bills_every_library_again() -> None:
    assert load_taxonomy("xintu").task == "b1928ab2995190ba"


def test_the_shipped_taxonomy_has_the_nine_categories() -> None:
    taxonomy = load_taxonomy("xintu")
    assert [(category.key, category.zh) for category in taxonomy.categories] == [
        ("social_activities", "社交活动"),
        ("pets", "宠物萌照"),
        ("single_person", "单人照片"),
        ("foods", "美食记录"),
        ("travel_scenery", "旅行风景"),
        ("screenshot", "手机截图"),
        ("idcard", "证件照"),
        ("qrcode", "二维码"),
        ("other", "其它"),
    ]
    assert (taxonomy.name, taxonomy.fallback, taxonomy.keep_local) == (
        "xintu",
        "other",
        ("idcard",),
    )


@pytest.mark.parametrize(
    "path", sorted((data_directory("configs") / "taxonomies").glob("*.toml")), ids=lambda p: p.stem
)
def test_every_shipped_taxonomy_is_found_by_name_and_says_all_of_each_category(path: Path) -> None:
    taxonomy = load_taxonomy(path.stem)
    assert taxonomy.name == path.stem
    assert all(c.en and c.zh and len(c.description) > 20 for c in taxonomy.categories)


# ---- the task --------------------------------------------------------------------------------


def test_a_task_is_sixteen_hex_digits() -> None:
    task = parsed().task
    assert (len(task), set(task) <= set("0123456789abcdef")) == (16, True)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "yours"},
        {"fallback": "pets"},
        {"keep_local": ["pets"]},
        {"category": [OTHER, PETS, FOODS]},
        {"category": [{**PETS, "en": "Animals", "zh": "动物"}, FOODS, OTHER]},
        {"category": [{**PETS, "description": "  An animal\n at home. "}, FOODS, OTHER]},
    ],
    ids=["name", "fallback", "keep_local", "order", "display names", "white space"],
)
def test_what_asks_for_nothing_new_keeps_the_task(changes: dict[str, Any]) -> None:
    assert parsed(**changes).task == parsed().task


@pytest.mark.parametrize(
    "categories",
    [
        [{**PETS, "key": "animals"}, FOODS, OTHER],
        [{**PETS, "description": "An animal."}, FOODS, OTHER],
        [PETS, OTHER],
        [PETS, FOODS, OTHER, {"key": "cars"}],
        # The same texts, distributed otherwise.
        [{**PETS, "description": "A dish."}, {**FOODS, "description": PETS["description"]}, OTHER],
    ],
    ids=["key", "description", "one less", "one more", "swapped descriptions"],
)
def test_what_is_another_question_is_another_task(categories: list[dict[str, str]]) -> None:
    assert parsed(category=categories).task != parsed().task


def test_texts_that_meet_at_other_borders_are_another_task() -> None:
    one = Taxonomy("a", (Category("a", "", "", "bc"), Category("d", "", "", "e")), "a")
    two = Taxonomy("a", (Category("ab", "", "", "c"), Category("d", "", "", "e")), "ab")
    assert one.task != two.task


# ---- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "language", "expected"),
    [
        ("pets", "en", "Pets"),
        ("pets", "zh", "宠物"),
        ("pets", "fr", "Pets"),
        ("cars", "zh", "cars"),
    ],
)
def test_a_key_is_shown_by_its_name_and_a_stranger_as_itself(
    key: str, language: str, expected: str
) -> None:
    assert parsed().display_name(key, language) == expected


@pytest.mark.parametrize(
    "typed",
    ["pets", "PETS", " pets ", "Animals at home", "animals AT home", "WiFi宠物", "wifi宠物"],
)
def test_a_person_may_name_a_category_by_key_or_by_either_name(typed: str) -> None:
    pets = {**PETS, "en": "Animals at home", "zh": "WiFi宠物"}
    assert parsed(category=[pets, FOODS, OTHER]).require(typed, purpose="--as") == "pets"


def test_a_key_comes_before_the_name_of_another_category() -> None:
    confusing = [{**OTHER, "en": "pets"}, PETS]
    assert parsed(category=confusing).require("pets", purpose="--as") == "pets"


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("pet", "Did you mean pets?"),
        ("food", "Did you mean foods?"),
        ("xyzzy", "It has: foods, other, pets."),
        ("", "It has: foods, other, pets."),
    ],
)
def test_a_category_that_is_none_names_the_nearest(typed: str, hint: str) -> None:
    taxonomy = parsed()
    if typed == "food":
        taxonomy = parsed(category=[PETS, {**FOODS, "en": "Dishes"}, OTHER])
    with pytest.raises(UsageError) as caught:
        taxonomy.require(typed, purpose="--as")
    assert str(caught.value) == (f"--as: the taxonomy mine has no category {typed!r}. {hint}")


def test_a_category_without_names_and_description_is_called_by_its_key() -> None:
    taxonomy = parsed(category=[{"key": "cars"}, OTHER])
    assert taxonomy["cars"] == Category("cars", "cars", "cars", "cars")


def test_a_category_with_an_english_name_alone_is_described_and_shown_by_it() -> None:
    taxonomy = parsed(category=[{"key": "cars", "en": "Cars"}, OTHER])
    assert taxonomy["cars"] == Category("cars", "Cars", "Cars", "Cars")


# ---- files -----------------------------------------------------------------------------------

GOOD = """
[[category]]
key = "pets"
[[category]]
key = "other"
"""


def test_a_file_gives_its_own_name_to_a_taxonomy_without_one(tmp_path: Path) -> None:
    taxonomy = load_taxonomy(written(tmp_path, GOOD))
    assert (taxonomy.name, taxonomy.fallback, taxonomy.keep_local) == ("mine", "other", ())


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    assert "pets" in load_taxonomy(written(tmp_path, b"\xef\xbb\xbf" + GOOD.encode()))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name = 'caf\xe9'", "is not TOML: 'utf-8' codec can't decode byte 0xe9"),
        (GOOD.encode("utf-16"), "is not TOML: 'utf-8' codec can't decode byte 0xff"),
        (b"[[category]\nkey = 1", "is not TOML: Expected ']]' at the end of an array declaration"),
        (b"name = 'mine'\nname = 'yours'", "is not TOML: Cannot overwrite a value"),
        (b"\x00", "is not TOML: Invalid statement (at line 1, column 1)"),
        (b"", "it needs at least two [[category]] tables"),
    ],
    ids=["latin-1", "utf-16", "half a bracket", "a key twice", "NUL", "empty"],
)
def test_a_file_that_is_no_taxonomy_is_named_with_what_is_wrong(
    tmp_path: Path, content: bytes, said: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_taxonomy(written(tmp_path, content))
    assert str(tmp_path / "mine.toml") in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("{}/none.toml", "cannot read the taxonomy {}/none.toml: No such file or directory."),
        ("{}/", "cannot read the taxonomy {}: Is a directory."),
        ("{}/mine.toml/x", "cannot read the taxonomy {}/mine.toml/x: Not a directory."),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(
    tmp_path: Path, name: str, said: str
) -> None:
    written(tmp_path, GOOD)
    with pytest.raises(ConfigurationError, match="Check the path"):
        load_taxonomy(name.format(tmp_path))
    with pytest.raises(ConfigurationError) as caught:
        load_taxonomy(name.format(tmp_path))
    assert str(caught.value).startswith(said.format(tmp_path))


@pytest.mark.parametrize("name", ["xintoo", "", "XINTU"])
def test_a_name_that_does_not_ship_lists_those_that_do(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"xintu ships .*xintu.*\. Name one of them"):
        load_taxonomy(name)


def test_a_home_directory_that_does_not_exist_is_an_unreadable_path() -> None:
    with pytest.raises(ConfigurationError, match="cannot read the taxonomy"):
        load_taxonomy("~nobody-of-that-name/mine.toml")


# ---- documents -------------------------------------------------------------------------------

MANY = [{"key": f"category_{number}"} for number in range(5000)]
TWICE = [PETS, OTHER, PETS, PETS]
LONG = "n" * 65


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"category": []}, "it needs at least two [[category]] tables"),
        ({"category": [OTHER]}, "it needs at least two [[category]] tables"),
        ({"category": OTHER}, "it needs at least two [[category]] tables"),
        ({"category": "other"}, "it needs at least two [[category]] tables"),
        ({"category": MANY}, "it has 5000 categories, at most 200 make a question"),
        ({"category": [OTHER, "pets"]}, "category 2 is not a table"),
        ({"category": TWICE}, "the key 'pets' stands there 3 times"),
        ({"category": [OTHER, without(PETS, "key")]}, "category 2 needs a key that is a text"),
        ({"category": [OTHER, {**PETS, "key": 7}]}, "category 2 needs a key that is a text"),
        ({"category": [OTHER, {**PETS, "key": " "}]}, "category 2 needs a key that is a text"),
        ({"category": [OTHER, {**PETS, "en": ""}]}, "category 2 needs a en that is a text"),
        ({"category": [OTHER, {**PETS, "zh": ["x"]}]}, "category 2 needs a zh that is a text"),
        (
            {"category": [OTHER, {**PETS, "description": 1.5}]},
            "category 2 needs a description that is a text",
        ),
        (
            {"category": [OTHER, {**PETS, "key": "Pets"}]},
            "the key 'Pets' must be lower-case letters, digits and _",
        ),
        (
            {"category": [OTHER, {**PETS, "key": "my pets"}]},
            "the key 'my pets' must be lower-case letters, digits and _",
        ),
        (
            {"category": [OTHER, {**PETS, "key": "宠物"}]},
            "the key '宠物' must be lower-case letters, digits and _",
        ),
        (
            {"category": [OTHER, {**PETS, "key": "p" * 65}]},
            f"the key {'p' * 65!r} must be lower-case letters, digits and _",
        ),
        (
            {"category": [OTHER, {**PETS, "descripton": "x"}]},
            "unknown key 'descripton' in category 2, did you mean description?",
        ),
        ({"category": [OTHER, {**PETS, "xyzzy": 1}]}, "unknown key 'xyzzy' in category 2"),
        ({"categories": []}, "unknown key 'categories', did you mean category?"),
        ({"fallback": "cars"}, "its fallback 'cars' is none of its categories"),
        ({"fallback": 3}, "its fallback 3 is none of its categories"),
        ({"category": [PETS, FOODS]}, "its fallback 'other' is none of its categories"),
        ({"keep_local": ["cars"]}, "keep_local must be a list of its categories' keys"),
        ({"keep_local": "pets"}, "keep_local must be a list of its categories' keys"),
        ({"keep_local": [{"key": "pets"}]}, "keep_local must be a list of its categories' keys"),
        ({"name": ""}, "its name must be a text"),
        ({"name": 4}, "its name must be a text"),
        ({"name": LONG}, "its name has 65 letters, at most 64 are kept"),
    ],
)
def test_a_wrong_document_says_what_is_wrong_with_it(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parsed(**changes)
    assert str(caught.value) == f"the taxonomy mine.toml is wrong: {said}."


def test_two_hundred_categories_are_not_too_many() -> None:
    assert len(parsed(category=MANY[:200], fallback="category_0").keys) == 200
