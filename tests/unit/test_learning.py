"""What is learnt from, what is held out together, and when a new head is the better one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from xintu_cli.jobs.judging import Judge, Measured
from xintu_cli.jobs.looking import Lesson, Page
from xintu_cli.jobs.own_labels import LLM_WEIGHT, fair_shares, own_lessons
from xintu_cli.jobs.resemblance import groups_of
from xintu_cli.providers.manifest import ModelManifest, Thresholds
from xintu_cli.providers.onnx_answers import Interpreter, Said
from xintu_cli.providers.onnx_model import Prediction
from xintu_cli.records import CachedRow, IndexEntry
from xintu_cli.taxonomy import Taxonomy, parse_taxonomy

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEYS = ("cat", "dog", "card")


def taxonomy() -> Taxonomy:
    document: dict[str, Any] = {"fallback": "dog", "category": [{"key": key} for key in KEYS]}
    return parse_taxonomy(document, origin="animals.toml", default_name="animals")


def manifest(keep_local: Mapping[str, float] | None = None) -> ModelManifest:
    return ModelManifest(
        directory=Path("tiny"),
        name="tiny",
        version="1",
        licence="",
        file="model.onnx",
        sha256="ab" * 32,
        taxonomy="animals",
        labels=KEYS,
        inputs=(),
        output="answer",
        output_is_logits=False,
        embedding="embedding",
        temperature=1.0,
        categories=KEYS,
        barcode=None,
        thresholds=Thresholds(None, keep_local or {}),
        fingerprint="tiny@0",
    )


@pytest.mark.parametrize(
    ("counts", "most", "shares"),
    [
        ({}, 10, {}),
        ({"a": 3, "b": 4}, 10, {"a": 3, "b": 4}),
        ({"a": 3, "b": 400}, 10, {"a": 3, "b": 7}),
        ({"a": 300, "b": 400, "c": 1}, 11, {"a": 5, "b": 5, "c": 1}),
    ],
)
def test_places_are_shared_so_that_rare_categories_come_whole(
    counts: dict[str, int], most: int, shares: dict[str, int]
) -> None:
    assert fair_shares(counts, most) == shares


class Rows:
    """A cache that knows some rows."""

    def __init__(self, rows: Sequence[CachedRow]) -> None:
        self._rows = rows

    async def look_up(
        self, task: str, taxonomy: str, hashes: Sequence[str]
    ) -> Mapping[str, Sequence[CachedRow]]:
        found: dict[str, list[CachedRow]] = {}
        for row in self._rows:
            if row.image_hash in hashes:
                found.setdefault(row.image_hash, []).append(row)
        return found


def row(image_hash: str, source: str, category: str, confidence: float = 1.0) -> CachedRow:
    return CachedRow(image_hash, source, category, confidence, "", "", "", "")


async def indexed(*names: str) -> AsyncIterator[Sequence[IndexEntry]]:
    for name in names:
        status = "photo" if name != "text" else "not_photo"
        path = f"/photos/{name}.jpg".encode()
        yield [IndexEntry(path, 1, 1, 1, 1, name, 1, 1, status, "")]


@pytest.mark.anyio
async def test_a_person_is_believed_before_an_llm_and_a_local_model_never() -> None:
    cache = Rows(
        [
            row("a", "manual", "cat"),
            row("a", "llm", "dog"),
            row("b", "llm", "dog", 0.8),
            row("b", "local", "cat"),
            row("c", "local", "cat"),
            row("d", "llm", "unicorn"),
            row("text", "manual", "cat"),
            row("stranger", "manual", "cat"),
        ]
    )
    batches = indexed("a", "b", "c", "d", "text")
    lessons = await own_lessons(batches, cache, taxonomy(), most=10)  # type: ignore[arg-type]
    assert [(each.image_hash, each.category, each.giver, each.weight) for each in lessons] == [
        ("a", "cat", "manual", 1.0),
        ("b", "dog", "llm", LLM_WEIGHT * 0.8),
    ]


@pytest.mark.anyio
async def test_of_many_photos_a_persons_labels_come_first_and_the_same_ones_again() -> None:
    names = [f"{number:03}" for number in range(100)]
    rows = [
        row(name, "manual" if number >= 95 else "llm", "cat") for number, name in enumerate(names)
    ]
    rows += [row("dog", "llm", "dog")]
    chosen = []
    for order in (names, names[::-1]):
        batches = indexed(*order, "dog")
        lessons = await own_lessons(batches, Rows(rows), taxonomy(), most=11)  # type: ignore[arg-type]
        chosen.append([lesson.image_hash for lesson in lessons])
    assert chosen[0] == chosen[1]
    assert sorted(chosen[0]) == sorted([*names[95:], *names[:5], "dog"])


def page(path: str, day: str = "", number: int = 0) -> Page:
    lesson = Lesson(path.encode(), "cat", "manual")
    return Page(lesson, f"{path}{number}", day, Prediction({}, np.zeros(2, np.float32)))


def test_photos_of_a_small_folder_or_a_day_are_held_out_together() -> None:
    few = [page(f"/trip/{number}.jpg") for number in range(3)]
    many = [page(f"/camera/{n}.jpg", f"2024-05-{n % 10 + 1:02}") for n in range(20)]
    plain = [page(f"/phone/{number}.jpg") for number in range(17)]
    groups = groups_of([*few, *many, *plain], np.zeros((40, 2), np.float32))
    assert len(set(groups[:3])) == 1
    assert len(set(groups[3:23])) == 10
    assert len(set(groups[23:])) == 17


def test_near_copies_are_held_out_together_wherever_they_lie() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(30, 300)).astype(np.float32)
    rows[20] = rows[3] + 0.1 * rng.normal(size=300)
    groups = groups_of([page(f"/{n}/a.jpg", number=n) for n in range(30)], rows)
    assert groups[20] == groups[3]
    assert len(set(groups)) == 29


def measured(judge: Judge, *sayings: tuple[str, float, int]) -> Measured:
    """Measure somebody who says (category, how surely) of so many photos in turn."""
    rows: list[list[float]] = []
    for said, sure, count in sayings:
        rest = (1 - sure) / (len(KEYS) - 1)
        rows += [[sure if key == said else rest for key in KEYS]] * count
    probabilities: NDArray[np.float64] = np.array(rows)
    reader = Interpreter(manifest(), taxonomy())
    said_all = Said(probabilities, np.zeros((len(rows), 0), bool))
    return judge.measure(reader, said_all, 0.9)


LABELS = ["cat"] * 60 + ["dog"] * 40 + ["card"] * 10
EACH = [str(number) for number in range(110)]


def judge(groups: Sequence[str] = EACH, kept: Sequence[str] = ()) -> Judge:
    return Judge(LABELS, groups, kept, taxonomy())


PRESENT = (("cat", 0.9, 50), ("dog", 0.6, 10), ("dog", 0.8, 40), ("card", 0.9, 10))


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ((("cat", 0.9, 60), ("dog", 0.9, 40), ("card", 0.9, 10)), ""),
        (PRESENT, "not better than the present one by more than chance"),
        (
            (("cat", 0.9, 49), ("dog", 0.5, 11), ("dog", 0.99, 40), ("card", 0.99, 10)),
            "wrong more often",
        ),
        (
            (("cat", 0.99, 60), ("dog", 0.99, 40), ("card", 0.9, 5), ("cat", 0.5, 5)),
            "it would forget card: 5 of 10 right, the present one 10",
        ),
        ((("cat", 0.91, 51), ("dog", 0.6, 9), ("dog", 0.8, 40), ("card", 0.9, 10)), "chance"),
    ],
    ids=["better", "the same", "surer and wrong", "forgetful", "a photo more"],
)
def test_only_what_is_better_beyond_chance_is_adopted(
    new: Sequence[tuple[str, float, int]], said: str
) -> None:
    arbiter = judge()
    objection = arbiter.objection(measured(arbiter, *new), measured(arbiter, *PRESENT))
    assert said in objection
    assert bool(said) == bool(objection)


def test_one_lucky_group_is_no_proof() -> None:
    """Ten photos that are better now, all of one scene, are as good as one."""
    new = (("cat", 0.9, 60), ("dog", 0.8, 40), ("card", 0.9, 10))
    scenes = [str(number) if number < 50 or number >= 60 else "scene" for number in range(110)]
    for groups, adopted in ((EACH, True), (scenes, False)):
        arbiter = judge(groups)
        objection = arbiter.objection(measured(arbiter, *new), measured(arbiter, *PRESENT))
        assert (objection == "") is adopted


def test_what_sends_more_of_what_must_stay_is_not_adopted() -> None:
    arbiter = judge(kept=["card"])
    new = (("cat", 0.99, 60), ("dog", 0.99, 40), ("card", 0.9, 9), ("cat", 0.5, 1))
    objection = arbiter.objection(measured(arbiter, *new), measured(arbiter, *PRESENT))
    assert objection == "it would send 1 of 10 photos of card, the present one 0"


def test_where_nothing_serves_it_must_beat_guessing() -> None:
    arbiter = judge()
    assert arbiter.objection(measured(arbiter, *PRESENT), None) == ""
    guess = arbiter.objection(measured(arbiter, ("cat", 0.5, 110)), None)
    assert guess == "it is no better than guessing the most frequent category"


def test_a_threshold_for_cascade_needs_enough_photos_to_show_it() -> None:
    sure = np.array([[0.95, 0.03, 0.02]] * 47 + [[0.5, 0.3, 0.2]] * 63)
    assert judge().surely_right_from(sure) is None
    sure[47] = sure[0]
    assert judge().surely_right_from(sure) == pytest.approx(0.7)


def test_of_no_photo_that_needs_no_llm_nobody_says_how_many_are_right() -> None:
    arbiter = judge()
    unsure = measured(arbiter, ("cat", 0.8, 60), ("dog", 0.8, 40), ("card", 0.8, 10)).worth
    assert (unsure.alone, unsure.alone_right) == (0.0, None)
