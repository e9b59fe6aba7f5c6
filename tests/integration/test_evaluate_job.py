"""Evaluating and measuring with real files and a classifier that says what it is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio.to_thread
import pytest

from tests.support.photos import make_jpeg
from xintu_cli.errors import (
    AnswerError,
    BudgetReachedError,
    ExitCode,
    NoProviderLeftError,
    UnansweredPhotoError,
    UsageError,
)
from xintu_cli.imaging.identity import image_hash
from xintu_cli.interfaces import DecodedPhoto
from xintu_cli.jobs.bench import bench, camera_jpeg, read_some
from xintu_cli.jobs.evaluate import Evaluation, Examiner, evaluate
from xintu_cli.jobs.labelled import LabelledPhoto
from xintu_cli.records import Answer, Attempt, Classification, Source
from xintu_cli.stages.classify import Encoding
from xintu_cli.stages.reading import ReadRules
from xintu_cli.stages.walk import WalkPlan, WalkRules

pytestmark = pytest.mark.anyio

READING = ReadRules(size_limit_bytes=10_000_000, follow_symlinks=False, timeout_seconds=5.0)
CATEGORIES = ("pets", "foods")


def paid(cost: float | None = 0.25, latency_ms: float = 100.0, currency: str = "CNY") -> Attempt:
    return Attempt(Source.LLM, "qwen", "vl", "ok", latency_ms, 900, 60, cost, currency)


def answer(category: str, confidence: float = 0.9, *attempts: Attempt) -> Answer:
    said = Classification(category, confidence)
    return Answer(said, Source.LLM, "qwen", "vl", attempts=attempts or (paid(),))


@dataclass
class Told:
    """A classifier that answers by image hash, or raises what is there."""

    answers: dict[str, Answer | Exception] = field(default_factory=dict)
    name: str = "told"
    asked: list[str] = field(default_factory=list)

    async def classify(self, photo: DecodedPhoto) -> Answer:
        self.asked.append(photo.image_hash)
        found = self.answers.get(photo.image_hash, answer("pets"))
        if isinstance(found, Exception):
            raise found
        return found


def examiner(classifier: Told, *, workers: int = 1, to_send: Encoding | None = None) -> Examiner:
    return Examiner(classifier, READING, edge=64, to_send=to_send, workers=workers)


@pytest.fixture
def make(tmp_path: Path) -> Callable[[int, str], tuple[LabelledPhoto, str]]:
    """Return a maker of labelled photos; it tells their image hash too."""

    def photo(seed: int, category: str) -> tuple[LabelledPhoto, str]:
        data = make_jpeg(seed)
        path = tmp_path / f"{seed}.jpg"
        path.write_bytes(data)
        return LabelledPhoto(os.fsencode(path), category), image_hash(data)

    return photo


Make = Callable[[int, str], tuple[LabelledPhoto, str]]


async def run(
    photos: list[LabelledPhoto], classifier: Told, *, workers: int = 1
) -> tuple[Evaluation, list[tuple[int, int]]]:
    progress: list[tuple[int, int]] = []
    found = await evaluate(
        photos,
        examiner(classifier, workers=workers),
        advance=lambda done, total: progress.append((done, total)),
    )
    return found, progress


async def test_answers_are_compared_with_what_the_photos_are(make: Make) -> None:
    (cat, _), (soup, soup_hash), (dog, dog_hash) = (
        make(1, "pets"),
        make(2, "foods"),
        make(3, "pets"),
    )
    told = Told({soup_hash: answer("pets", 0.7), dog_hash: answer("foods", 0.95)})
    found, progress = await run([cat, soup, dog], told)
    assert [(m.path, m.truth, m.said) for m in found.worst()] == [
        (dog.path, "pets", "foods"),
        (soup.path, "foods", "pets"),
    ]
    assert found.score(CATEGORIES).accuracy == 1 / 3
    assert progress == [(1, 3), (2, 3), (3, 3)]


async def test_a_retried_call_counts_with_all_it_took(make: Make) -> None:
    photo, photo_hash = make(1, "pets")
    failed = Attempt(Source.LLM, "qwen", "vl", "not_understood", 300.0, 900, 5, 0.1, "CNY")
    found, _ = await run([photo], Told({photo_hash: answer("pets", 0.9, failed, paid())}))
    assert (found.latencies_ms, len(found.calls), found.cost) == ([400.0], 2, 0.35)


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        (((0.25, "CNY"), (0.5, "CNY")), 0.75),
        (((0.25, "CNY"), (None, "")), None),
        (((0.25, "CNY"), (0.5, "USD")), None),
    ],
)
async def test_an_unknown_price_and_two_currencies_make_no_sum(
    make: Make, costs: tuple[tuple[float | None, str], ...], expected: float | None
) -> None:
    made = [make(seed, "pets") for seed in range(len(costs))]
    told = Told(
        {
            photo_hash: answer("pets", 0.9, paid(cost, 1.0, currency))
            for (_, photo_hash), (cost, currency) in zip(made, costs, strict=True)
        }
    )
    found, _ = await run([photo for photo, _ in made], told)
    assert found.cost == expected


async def test_the_local_model_costs_nothing(make: Make) -> None:
    photo, photo_hash = make(1, "pets")
    local = Attempt(Source.LOCAL, "local", "lite", "ok", 20.0)
    said = Answer(Classification("pets", 0.9), Source.LOCAL, "local", "lite", attempts=(local,))
    found, _ = await run([photo], Told({photo_hash: said}))
    assert (found.calls, found.cost, found.latencies_ms) == ([], 0, [20.0])


async def test_photos_without_an_answer_are_named_and_the_others_go_on(
    make: Make, tmp_path: Path
) -> None:
    good, _ = make(1, "pets")
    (odd, odd_hash), (refused, refused_hash) = make(2, "pets"), make(3, "foods")
    broken = LabelledPhoto(os.fsencode(tmp_path / "broken.jpg"), "foods")
    (tmp_path / "broken.jpg").write_bytes(make_jpeg(4)[:300])
    gone = LabelledPhoto(os.fsencode(tmp_path / "gone.jpg"), "foods")
    told = Told(
        {
            odd_hash: AnswerError("nonsense", (paid(),)),
            refused_hash: UnansweredPhotoError("nobody would", (paid(), paid())),
        }
    )
    found, progress = await run([broken, odd, gone, refused, good], told)
    assert [path for path, _ in found.failures] == [
        photo.path for photo in (broken, odd, gone, refused)
    ]
    assert (len(found.judged), len(found.calls), progress[-1]) == (1, 4, (5, 5))


async def test_a_spent_budget_ends_the_asking_and_keeps_the_figures(make: Make) -> None:
    made = [make(seed, "pets") for seed in range(5)]
    told = Told({made[2][1]: BudgetReachedError("--max-calls is reached")})
    found, _ = await run([photo for photo, _ in made], told)
    assert (len(found.judged), found.stopped) == (2, "--max-calls is reached")
    assert len(told.asked) == 3


async def test_nobody_left_to_ask_is_an_error(make: Make) -> None:
    photo, photo_hash = make(1, "pets")
    nobody = NoProviderLeftError("refused", exit_code=ExitCode.CREDENTIALS)
    with pytest.RaisesGroup(NoProviderLeftError):
        await run([photo], Told({photo_hash: nobody}))


async def test_many_workers_ask_about_each_photo_once(make: Make) -> None:
    made = [make(seed, "pets") for seed in range(40)]
    told = Told()
    found, _ = await run([photo for photo, _ in made], told, workers=8)
    assert sorted(told.asked) == sorted(photo_hash for _, photo_hash in made)
    assert len(found.judged) == 40


# ---- bench -----------------------------------------------------------------------------------


async def test_a_bench_asks_about_as_many_photos_as_it_says(tmp_path: Path) -> None:
    for seed in range(3):
        (tmp_path / f"{seed}.jpg").write_bytes(make_jpeg(seed, (64, 48)))
    (tmp_path / "broken.jpg").write_bytes(make_jpeg(9)[:200])
    (tmp_path / "notes.txt").write_text("no photo")
    files = read_some(WalkPlan((os.fsencode(tmp_path),), WalkRules()), READING)
    assert len(files) == 3
    told = Told()
    done = await bench(files, told, photos=10, edge=64, workers=2)
    assert (done.photos, round(done.megapixels, 6)) == (10, 64 * 48 / 1e6)
    # Four to warm up, which are not measured.
    assert (len(told.asked), len(set(told.asked))) == (14, 3)
    assert done.infer_ms == 100.0
    assert done.photos_per_second == done.photos / done.seconds


async def test_a_folder_without_photos_cannot_be_measured_with(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no readable photo"):
        read_some(WalkPlan((os.fsencode(tmp_path),), WalkRules()), READING)


async def test_the_made_photo_is_as_large_as_a_cameras() -> None:
    data = await anyio.to_thread.run_sync(camera_jpeg)
    assert 2_000_000 < len(data) < 10_000_000
    done = await bench([data], Told(), photos=1, edge=1024, workers=1)
    assert done.megapixels == 12.0
