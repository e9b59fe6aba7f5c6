"""The run: every photo comes to its outcome once, is counted once, and no answer is lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread

from tests.support.classifiers import answer, attempt, failed
from tests.support.photos import make_jpeg, make_png, make_tree
from tests.support.runs import (
    FaultyCache,
    Lab,
    Oracle,
    RecordingReporter,
    counts,
    hash_of,
    let_age,
    local_answer,
    open_lab,
)
from xintu_cli import pipeline
from xintu_cli.errors import (
    AnswerError,
    BudgetReachedError,
    CacheUnreachableError,
    ExitCode,
    LeaseLostError,
    NoProviderLeftError,
    ProviderDownError,
    ProviderRejectedError,
    ProviderStoppedError,
    ProviderUnavailableError,
    StorageError,
    UnansweredPhotoError,
    UnreadablePhotoError,
)
from xintu_cli.interfaces import DecodedPhoto
from xintu_cli.outcomes import Failed, Outcome
from xintu_cli.records import Answer, PhotoFacts, Reason, Refusal, Source, Task
from xintu_cli.routing import Policy, Refresh
from xintu_cli.stages.walk import WalkRules

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """Return a machine that has seen nothing yet."""
    async with open_lab(tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Return an empty folder to put photos into."""
    folder = tmp_path / "album"
    folder.mkdir()
    return folder


def put(folder: Path, name: str, seed: int) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make_jpeg(seed))
    return path


def outcomes_of(parts: pipeline.Parts) -> list[Outcome]:
    """Return every outcome that was stored, in order."""
    assert isinstance(parts.reporter, RecordingReporter)
    return [settled.outcome for batch in parts.reporter.batches for settled in batch]


def unplug(mount_point: Path) -> None:
    """Leave an empty directory in a root's place, as a disk does that is unmounted."""
    mount_point.rename(mount_point.with_name("unplugged"))
    mount_point.mkdir()


async def fill(folder: Path, count: int) -> None:
    """Write so many files of one image into a folder."""
    data = make_png(7)

    def write() -> None:
        for number in range(count):
            folder.joinpath(f"m{number}.png").write_bytes(data)

    await to_thread.run_sync(write)


# ---- the ordinary run ------------------------------------------------------------------------


async def test_new_photos_are_classified_and_known_ones_are_not_asked_about_again(
    lab: Lab, album: Path
) -> None:
    paths = make_tree(album, 20)
    oracle = Oracle()
    summary = await lab.run(album, classifier=oracle)
    assert counts(summary) == {"found": 20, "llm": 20}
    assert sorted(oracle.asked) == sorted(map(hash_of, paths))
    assert lab.answered() == dict.fromkeys(map(hash_of, paths), "pets")
    again = Oracle()
    summary = await lab.run(album, classifier=again)
    assert counts(summary) == {"found": 20, "cached": 20}
    assert again.asked == []


async def test_an_unchanged_file_is_trusted_and_writes_nothing(lab: Lab, album: Path) -> None:
    paths = make_tree(album, 5)
    await let_age(*paths)
    await lab.run(album, classifier=Oracle())
    stored = lab.rows("SELECT * FROM classification ORDER BY image_hash")
    known = lab.index.known(list(map(os.fsencode, paths)))
    summary = await lab.run(album, classifier=Oracle())
    assert counts(summary, "unchanged") == {"found": 5, "cached": 5, "unchanged": 5}
    assert lab.rows("SELECT * FROM classification ORDER BY image_hash") == stored
    assert lab.index.known(list(map(os.fsencode, paths))) == known


async def test_a_file_that_is_new_here_is_a_hit_and_the_same_file_again_is_none(
    lab: Lab, album: Path
) -> None:
    path = put(album, "a.jpg", 1)
    await lab.store(**{hash_of(path): answer(category="foods")})
    for _ in range(2):
        summary = await lab.run(album, classifier=Oracle())
        assert counts(summary) == {"found": 1, "cached": 1}
        assert summary.categories == {"foods": 1}
    assert lab.rows("SELECT hit_count FROM classification") == [(1,)]


async def test_one_image_under_many_names_is_classified_once(lab: Lab, album: Path) -> None:
    first = put(album, "a.jpg", 1)
    for number in range(9):
        shutil.copy(first, album / f"copy{number}.jpg")
    put(album, "other.jpg", 2)
    oracle = Oracle()
    summary = await lab.run(album, classifier=oracle)
    assert counts(summary, "duplicates") == {
        "found": 11,
        "llm": 2,
        "cached": 9,
        "duplicates": 9,
    }
    assert len(oracle.asked) == 2
    assert summary.categories == {"pets": 11}
    again = await lab.run(album, classifier=Oracle())
    assert counts(again, "duplicates") == {"found": 11, "cached": 11, "duplicates": 9}


async def test_copies_in_another_batch_of_the_walk_are_classified_once(
    lab: Lab, album: Path
) -> None:
    # More than a batch of files between an image and its copies.
    first = put(album, "a/first.jpg", 1)
    await fill(album / "a", 1100)
    (album / "z").mkdir()
    shutil.copy(first, album / "z" / "last.jpg")
    oracle = Oracle()
    summary = await lab.run(album, classifier=oracle)
    assert counts(summary) == {"found": 1102, "llm": 2, "cached": 1100}
    assert sorted(oracle.asked) == sorted({hash_of(first), hash_of(album / "a" / "m0.png")})


async def test_a_copy_with_other_metadata_is_the_same_image(lab: Lab, album: Path) -> None:
    put(album, "a.jpg", 1)
    (album / "b.jpg").write_bytes(make_jpeg(1, comment=b"holiday"))
    oracle = Oracle()
    summary = await lab.run(album, classifier=oracle)
    assert counts(summary, "duplicates") == {"found": 2, "llm": 1, "cached": 1, "duplicates": 1}


async def test_what_is_no_photo_is_not_found(lab: Lab, album: Path) -> None:
    put(album, "a.jpg", 1)
    (album / "notes.txt").write_text("no photo", encoding="utf-8")
    (album / "photo-without-suffix").write_bytes(make_jpeg(2))
    (album / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    summary = await lab.run(album, classifier=Oracle())
    assert counts(summary) == {"found": 2, "llm": 2}


async def test_nothing_below_the_roots_is_a_run_too(lab: Lab, album: Path) -> None:
    assert counts(await lab.run(album, classifier=Oracle())) == {}


async def test_the_reporter_is_told_only_what_is_stored(lab: Lab, album: Path) -> None:
    make_tree(album, 12)
    oracle = Oracle()
    async with lab.parts(album, classifier=oracle) as parts:
        reporter = parts.reporter
        assert isinstance(reporter, RecordingReporter)
        stored: list[bool] = []
        reporter.on_settled = lambda summary: stored.append(summary.llm <= len(lab.answered()))
        await pipeline.run(parts)
    assert all(stored)
    assert reporter.summaries[-1].llm == 12
    assert reporter.is_walked


async def test_no_more_calls_are_in_flight_than_there_are_workers(lab: Lab, album: Path) -> None:
    make_tree(album, 20)
    in_flight = most = 0

    async def count(_number: int, _photo: DecodedPhoto) -> None:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        in_flight -= 1

    await lab.run(album, classifier=Oracle(before=count), workers=3)
    assert most <= 3


# ---- files that are not as they should be ----------------------------------------------------


async def test_unreadable_files_are_named_remembered_and_not_decoded_again(
    lab: Lab, album: Path
) -> None:
    good = put(album, "good.jpg", 1)
    (album / "empty.jpg").write_bytes(b"")
    (album / "html.jpg").write_bytes(b"<html>")
    whole = make_jpeg(2, (300, 300))
    (album / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    await let_age(good, *(album / name for name in ("empty.jpg", "html.jpg", "cut.jpg")))
    oracle = Oracle()
    first = await lab.run(album, classifier=oracle)
    assert counts(first) == {"found": 4, "llm": 1, "failed": 3}
    assert oracle.asked == [hash_of(good)]
    names = {Path(os.fsdecode(path)).name: reason for path, reason in first.failures}
    assert set(names) == {"empty.jpg", "html.jpg", "cut.jpg"}
    assert names["empty.jpg"] == "empty file"
    async with lab.parts(album, classifier=Oracle()) as parts:
        await pipeline.run(parts)
        second = parts.tally.summary("done", 0, 1.0)
        failures = [o for o in outcomes_of(parts) if isinstance(o, Failed)]
    assert [failure.known for failure in failures] == [True, True, True]
    assert counts(second, "unchanged") == {"found": 4, "cached": 1, "failed": 3, "unchanged": 1}
    assert sorted(second.failures) == sorted(first.failures)


async def test_a_truncated_image_under_two_names_fails_under_both(lab: Lab, album: Path) -> None:
    whole = make_jpeg(2, (300, 300))
    for name in ("a.jpg", "b.jpg"):
        (album / name).write_bytes(whole[: len(whole) // 2])
    for _ in range(2):
        summary = await lab.run(album, classifier=Oracle())
        assert counts(summary) == {"found": 2, "failed": 2}


async def test_a_file_that_changes_before_it_is_read_again_is_answered_as_what_it_is_then(
    lab: Lab, album: Path
) -> None:
    """A wrong answer never lands under a right hash."""
    first, second = put(album, "1.jpg", 1), put(album, "2.jpg", 2)
    old = hash_of(second)

    async def rewrite(number: int, _photo: DecodedPhoto) -> None:
        if number == 1:
            second.write_bytes(make_jpeg(3))

    def by_image(photo: DecodedPhoto) -> Answer:
        return answer(category="pets" if photo.image_hash == hash_of(first) else "foods")

    oracle = Oracle(usually=by_image, before=rewrite)
    summary = await lab.run(album, classifier=oracle, workers=1)
    assert counts(summary) == {"found": 2, "llm": 2}
    assert lab.answered() == {hash_of(first): "pets", hash_of(second): "foods"}
    assert old not in oracle.asked
    again = await lab.run(album, classifier=Oracle())
    assert counts(again) == {"found": 2, "cached": 2}


async def test_a_changed_file_leaves_its_old_image_to_its_copy(lab: Lab, album: Path) -> None:
    put(album, "1.jpg", 1)
    second, copy = put(album, "2.jpg", 2), put(album, "3.jpg", 2)
    old = hash_of(copy)

    async def rewrite(number: int, _photo: DecodedPhoto) -> None:
        if number == 1:
            second.write_bytes(make_jpeg(3))

    oracle = Oracle(before=rewrite)
    summary = await lab.run(album, classifier=oracle, workers=1)
    assert counts(summary) == {"found": 3, "llm": 3}
    assert set(lab.answered()) == {hash_of(album / "1.jpg"), old, hash_of(second)}


async def test_a_file_that_becomes_another_known_image_costs_no_call(lab: Lab, album: Path) -> None:
    first, second = put(album, "1.jpg", 1), put(album, "2.jpg", 2)

    async def rewrite(number: int, _photo: DecodedPhoto) -> None:
        if number == 1:
            shutil.copy(first, second)

    oracle = Oracle(before=rewrite)
    summary = await lab.run(album, classifier=oracle, workers=1)
    assert oracle.asked == [hash_of(first)]
    assert counts(summary) == {"found": 2, "llm": 1, "cached": 1}


async def test_a_file_that_vanishes_before_its_turn_is_skipped(lab: Lab, album: Path) -> None:
    put(album, "1.jpg", 1)
    second = put(album, "2.jpg", 2)

    async def unlink(number: int, _photo: DecodedPhoto) -> None:
        if number == 1:
            second.unlink()

    oracle = Oracle(before=unlink)
    summary = await lab.run(album, classifier=oracle, workers=1)
    assert counts(summary) == {"found": 2, "llm": 1, "skipped": 1}


async def test_a_vanished_file_leaves_its_image_to_its_copies(lab: Lab, album: Path) -> None:
    put(album, "1.jpg", 1)
    second = put(album, "2.jpg", 2)
    put(album, "3.jpg", 2)
    put(album, "4.jpg", 2)

    async def unlink(number: int, _photo: DecodedPhoto) -> None:
        if number == 1:
            second.unlink()

    oracle = Oracle(before=unlink)
    summary = await lab.run(album, classifier=oracle, workers=1)
    assert counts(summary, "duplicates") == {
        "found": 4,
        "llm": 2,
        "cached": 1,
        "skipped": 1,
        "duplicates": 1,
    }
    assert hash_of(album / "3.jpg") in lab.answered()


@pytest.mark.parametrize("fate", ["is no photo any more", "is too large now"])
async def test_a_file_that_cannot_be_read_any_more_leaves_its_image_to_its_copies(
    lab: Lab, album: Path, fate: str
) -> None:
    put(album, "1.jpg", 1)
    second = put(album, "2.jpg", 2)
    put(album, "3.jpg", 2)

    async def spoil(number: int, _photo: DecodedPhoto) -> None:
        if number == 1 and fate == "is no photo any more":
            second.with_suffix("").write_text("a letter", encoding="utf-8")
            second.with_suffix("").rename(second)
        elif number == 1:
            os.truncate(second, 300 << 20)

    oracle = Oracle(before=spoil)
    summary = await lab.run(album, classifier=oracle, workers=1, claims=True)
    assert counts(summary) == {"found": 3, "llm": 2, "failed": 1}
    assert [os.fsdecode(path) for path, _ in summary.failures] == [str(second)]
    assert lab.rows("SELECT * FROM claim") == []


async def test_a_file_that_keeps_changing_is_left_to_a_later_run(lab: Lab, album: Path) -> None:
    put(album, "1.jpg", 1)
    restless = put(album, "2.jpg", 2)
    seed = 100
    async with lab.parts(album, classifier=Oracle(), workers=1) as parts:
        take = parts.shelves.backlog.take

        def rewriting(limit: int) -> Sequence[Task]:
            """Rewrite the second file whenever it is about to be looked at again."""
            nonlocal seed
            taken = take(limit)
            if any(task.path == os.fsencode(restless) for task in taken):
                seed += 1
                restless.write_bytes(make_jpeg(seed))
            return taken

        parts.shelves.backlog.take = rewriting  # type: ignore[method-assign]
        await pipeline.run(parts)
        summary = parts.tally.summary("done", 0, 1.0)
    assert counts(summary) == {"found": 2, "llm": 1, "pending": 1}


# ---- classifiers that do not answer ----------------------------------------------------------

REFUSAL = Refusal("qwen", "content policy")


@pytest.mark.parametrize(
    "error",
    [
        UnansweredPhotoError("everybody gave up", (attempt("unavailable"),), (REFUSAL,)),
        LeaseLostError("the claim ran out"),
        failed(ProviderUnavailableError("503")),
        failed(ProviderDownError("down for two minutes")),
        failed(ProviderRejectedError("content policy"), "rejected"),
        failed(AnswerError("no JSON"), "not_understood"),
        failed(ProviderStoppedError("401"), "stopped"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_photo_nobody_answers_is_pending_and_the_others_go_on(
    lab: Lab, album: Path, error: Exception
) -> None:
    paths = make_tree(album, 6)
    oracle = Oracle()
    oracle.tell(hash_of(paths[2]), error)
    summary = await lab.run(album, classifier=oracle)
    assert counts(summary, "calls") == {
        "found": 6,
        "llm": 5,
        "pending": 1,
        "calls": 5 + len(getattr(error, "attempts", ())),
    }
    again = await lab.run(album, classifier=Oracle())
    assert counts(again) == {"found": 6, "cached": 5, "llm": 1}


async def test_every_attempt_is_logged_and_every_refusal_remembered(lab: Lab, album: Path) -> None:
    refused, unanswered = put(album, "1.jpg", 1), put(album, "2.jpg", 2)
    oracle = Oracle()
    stand_in = local_answer(reason=Reason.REFUSED)
    attempts = (attempt("rejected"), *stand_in.attempts)
    oracle.tell(
        hash_of(refused),
        type(stand_in)(
            stand_in.classification,
            Source.LOCAL,
            "local",
            "lite-1",
            Reason.REFUSED,
            attempts=attempts,
            refusals=(REFUSAL,),
        ),
    )
    oracle.tell(
        hash_of(unanswered),
        UnansweredPhotoError("no", (attempt("rejected"), attempt("unavailable")), (REFUSAL,)),
    )
    await lab.run(album, classifier=oracle)
    logged = lab.rows("SELECT image_hash, outcome FROM request_log ORDER BY id")
    assert sorted(logged) == sorted(
        [
            (hash_of(refused), "rejected"),
            (hash_of(refused), "ok"),
            (hash_of(unanswered), "rejected"),
            (hash_of(unanswered), "unavailable"),
        ]
    )
    assert sorted(lab.rows("SELECT image_hash, provider FROM refusal")) == sorted(
        [(hash_of(refused), "qwen"), (hash_of(unanswered), "qwen")]
    )


async def test_at_the_budget_nobody_is_asked_any_more_and_the_rest_is_pending(
    lab: Lab, album: Path
) -> None:
    make_tree(album, 30)

    def limited(_photo: DecodedPhoto) -> Answer | Exception:
        return answer() if len(oracle.paid) < 7 else BudgetReachedError("--max-calls 7 reached")

    oracle = Oracle(usually=limited)
    summary, error = await lab.classify(album, classifier=oracle, workers=3)
    assert error is None
    assert counts(summary) == {"found": 30, "llm": 7, "pending": 23}
    assert (summary.status, summary.exit_code) == ("budget", 4)
    # Only those that were in flight heard of it.
    assert len(oracle.asked) - len(oracle.paid) <= 3


async def test_with_nobody_left_the_walk_goes_on_and_the_run_ends_with_the_reason(
    lab: Lab, album: Path
) -> None:
    make_tree(album, 30)
    gone = NoProviderLeftError("nobody is left: 401", exit_code=ExitCode.CREDENTIALS)
    oracle = Oracle(usually=failed(gone, "stopped"))
    summary, error = await lab.classify(album, classifier=oracle, workers=2)
    assert error is gone
    assert counts(summary) == {"found": 30, "pending": 30}
    assert (summary.status, summary.exit_code) == ("failed", 77)
    assert len(oracle.asked) <= 2


async def test_a_bug_in_a_classifier_is_not_hidden(lab: Lab, album: Path) -> None:
    make_tree(album, 3)
    with pytest.raises(BaseExceptionGroup) as caught:
        await lab.run(album, classifier=Oracle(usually=ZeroDivisionError("a bug")))
    assert caught.group_contains(ZeroDivisionError)


# ---- stand-ins -------------------------------------------------------------------------------


async def test_a_stand_in_is_provisional_tried_again_and_upgraded(lab: Lab, album: Path) -> None:
    make_tree(album, 4)
    outage = Oracle(usually=local_answer(reason=Reason.OUTAGE))
    first = await lab.run(album, classifier=outage)
    assert counts(first, "provisional") == {"found": 4, "local": 4, "provisional": 4}
    # The next night it is still out: they keep what they have.
    still_out = Oracle(usually=failed(ProviderUnavailableError("503")))
    second = await lab.run(album, classifier=still_out)
    assert counts(second, "provisional") == {"found": 4, "cached": 4, "provisional": 4}
    third = await lab.run(album, classifier=Oracle())
    assert counts(third, "upgraded") == {"found": 4, "llm": 4, "upgraded": 4}
    assert third.categories == {"pets": 4}
    fourth = await lab.run(album, classifier=Oracle())
    assert counts(fourth) == {"found": 4, "cached": 4}


async def test_misses_are_asked_about_before_stand_ins(lab: Lab, album: Path) -> None:
    old = [put(album, f"a{number}.jpg", number) for number in range(3)]
    for path in old:
        await lab.store(**{hash_of(path): local_answer(reason=Reason.BUDGET)})
    new = [put(album, f"b{number}.jpg", 10 + number) for number in range(3)]

    async with lab.parts(album, classifier=(oracle := Oracle()), workers=1) as parts:
        # The feeder begins when all is looked up: only then is there an order to keep.
        control = parts.control
        take = parts.shelves.backlog.take

        def patient(limit: int) -> Sequence[Task]:
            return take(limit) if control.look_up_complete else ()

        parts.shelves.backlog.take = patient  # type: ignore[method-assign]
        await pipeline.run(parts)
    assert set(oracle.asked[:3]) == set(map(hash_of, new))
    assert set(oracle.asked[3:]) == set(map(hash_of, old))


async def test_the_local_models_own_answer_stays_where_the_policy_is_local(
    lab: Lab, album: Path
) -> None:
    make_tree(album, 3)
    local = {"policy": Policy.LOCAL}
    oracle = Oracle(usually=local_answer(reason=Reason.OUTAGE))
    await lab.run(album, classifier=oracle)
    again = await lab.run(album, classifier=Oracle(), acceptance=local)
    assert counts(again, "provisional") == {"found": 3, "cached": 3}


async def test_a_persons_word_is_never_asked_about(lab: Lab, album: Path) -> None:
    path = put(album, "a.jpg", 1)
    await lab.cache.set_labels("xintu", [(hash_of(path), "qrcode")], who="me")
    oracle = Oracle()
    for refresh in Refresh:
        summary = await lab.run(album, classifier=oracle, acceptance={"refresh": refresh})
        assert counts(summary, "manual") == {"found": 1, "cached": 1, "manual": 1}
        assert summary.categories == {"qrcode": 1}
    assert oracle.asked == []


async def test_an_answer_off_the_list_is_a_miss_and_is_replaced(lab: Lab, album: Path) -> None:
    path = put(album, "a.jpg", 1)
    await lab.store(**{hash_of(path): answer(category="spaceships")})
    summary = await lab.run(album, classifier=Oracle())
    assert counts(summary) == {"found": 1, "llm": 1}
    assert lab.answered() == {hash_of(path): "pets"}


# ---- refresh ---------------------------------------------------------------------------------


async def test_refresh_all_asks_about_every_image_once(lab: Lab, album: Path) -> None:
    """Also where a second file of an image comes long after the first was answered."""
    first = put(album, "a/first.jpg", 1)
    await lab.run(album, classifier=Oracle(usually=answer(category="foods")))
    await fill(album / "a", 1100)
    for folder in ("y", "z"):
        (album / folder).mkdir()
        shutil.copy(first, album / folder / "copy.jpg")
    oracle = Oracle()
    async with lab.parts(
        album, classifier=oracle, acceptance={"refresh": Refresh.ALL}, workers=1
    ) as parts:
        await pipeline.run(parts)
        summary = parts.tally.summary("done", 0, 1.0)
    assert len(oracle.asked) == len(set(oracle.asked)) == 2
    assert (summary.found, summary.llm, summary.pending) == (1103, 2, 0)
    assert summary.categories == {"pets": 1103}


async def test_refresh_stale_asks_only_where_prompt_or_model_are_older(
    lab: Lab, album: Path
) -> None:
    fresh, stale = put(album, "fresh.jpg", 1), put(album, "stale.jpg", 2)
    await lab.store(**{hash_of(fresh): answer()})
    old = answer()
    await lab.store(
        **{hash_of(stale): type(old)(old.classification, Source.LLM, "qwen", "vl-retired")}
    )
    oracle = Oracle()
    summary = await lab.run(album, classifier=oracle, acceptance={"refresh": Refresh.STALE})
    assert counts(summary) == {"found": 2, "llm": 1, "cached": 1}
    assert oracle.asked == [hash_of(stale)]


# ---- stopping --------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_at", [1, 2, 5, 11])
async def test_a_drain_finishes_what_is_in_flight_and_takes_nothing_more(
    lab: Lab, album: Path, stop_at: int
) -> None:
    make_tree(album, 40)
    async with lab.parts(album, classifier=Oracle(), workers=4) as parts:

        async def stop(number: int, _photo: DecodedPhoto) -> None:
            if number == stop_at:
                parts.control.stop("interrupted")

        parts.desk.classifier = oracle = Oracle(before=stop)
        await pipeline.run(parts)
        summary = parts.tally.summary("interrupted", 130, 1.0)
    assert sorted(oracle.asked) == sorted(oracle.paid)
    assert set(oracle.paid) == set(lab.answered())
    assert summary.llm == len(oracle.paid)
    # The other three that were in flight; nobody else was asked after the stop.
    assert len(oracle.asked) <= stop_at + 3
    assert summary.found == summary.llm + summary.pending
    again = Oracle()
    after = await lab.run(album, classifier=again)
    assert counts(after) == {"found": 40, "cached": len(oracle.paid), "llm": len(again.paid)}


@pytest.mark.parametrize("cancel_at", range(1, 41))
async def test_a_cancelled_run_stores_every_answer_it_has_in_hand(
    lab: Lab, album: Path, cancel_at: int
) -> None:
    make_tree(album, 40)
    async with lab.parts(album, classifier=Oracle(), workers=8, claims=True, batch=8) as parts:

        async def cancel(number: int, _photo: DecodedPhoto) -> None:
            if number == cancel_at:
                parts.control.work.cancel()
            else:
                # Answers come in after one, two, … turns of the loop, as replies do.
                for _ in range(number % 5):
                    await anyio.lowlevel.checkpoint()

        parts.desk.classifier = oracle = Oracle(before=cancel)
        await pipeline.run(parts)
        summary = parts.tally.summary("interrupted", 130, 1.0)
    assert set(oracle.paid) == set(lab.answered())
    assert (summary.found, summary.llm) == (40, len(oracle.paid))
    assert summary.pending == 40 - summary.llm
    assert len(oracle.paid) == len(set(oracle.paid))
    assert lab.rows("SELECT * FROM claim") == []


@pytest.mark.parametrize("cancel_at", range(1, 41, 6))
async def test_a_run_cancelled_from_outside_stores_every_answer_it_has_in_hand(
    lab: Lab, album: Path, cancel_at: int
) -> None:
    """The sink ends by end of stream, whoever else is being torn down."""
    make_tree(album, 40)
    outside = anyio.CancelScope()

    async def cancel(number: int, _photo: DecodedPhoto) -> None:
        if number == cancel_at:
            outside.cancel()

    oracle = Oracle(before=cancel)
    async with lab.parts(album, classifier=oracle, workers=8) as parts:
        with outside:
            await pipeline.run(parts)
    assert outside.cancelled_caught
    assert set(oracle.paid) == set(lab.answered())


async def test_a_cancelled_run_stores_answers_that_meet_the_cancellation_itself(
    lab: Lab, album: Path
) -> None:
    """Whoever cancels while its own answer is already made still hands it over."""
    make_tree(album, 10)
    async with lab.parts(album, classifier=Oracle(), workers=2) as parts:

        def answer_and_cancel(_photo: DecodedPhoto) -> Answer:
            if len(oracle.paid) == 3:
                parts.control.work.cancel()
            return answer()

        parts.desk.classifier = oracle = Oracle(usually=answer_and_cancel)
        await pipeline.run(parts)
    assert len(oracle.paid) >= 4
    assert set(oracle.paid) == set(lab.answered())


# ---- storage that fails ----------------------------------------------------------------------


@pytest.mark.parametrize("settle_fails_from", [1, 2, 3])
async def test_with_the_cache_away_answers_go_to_the_spool_and_spending_stops(
    lab: Lab, album: Path, settle_fails_from: int
) -> None:
    make_tree(album, 60)
    lab.cache = cache = FaultyCache(lab.cache)
    cache.fails_from["settle"] = settle_fails_from

    async def in_parts(number: int, _photo: DecodedPhoto) -> None:
        """Let every sixth call wait for a write, so that there are several."""
        while cache.calls["settle"] < min(settle_fails_from, number // 6):
            await cache.news.wait()

    oracle = Oracle(before=in_parts)
    async with lab.parts(album, classifier=oracle, workers=4) as parts:
        await pipeline.run(parts)
        summary = parts.tally.summary("failed", 75, 1.0)
    assert isinstance(parts.control.error, CacheUnreachableError)
    assert summary.llm == len(oracle.paid)
    assert summary.found == summary.llm + summary.pending
    assert len(oracle.paid) < 60
    stored_before = set(lab.answered())
    cache.fails_from.clear()
    assert await lab.spool.replay(cache) > 0
    assert set(lab.answered()) == set(oracle.paid)
    assert stored_before < set(oracle.paid)
    again = await lab.run(album, classifier=Oracle())
    assert again.cached == len(oracle.paid)


@pytest.mark.parametrize("verb", ["look_up", "claim"])
@pytest.mark.parametrize("fails_from", [1, 2, 3, 6])
async def test_a_cache_that_fails_to_read_drains_the_run_and_loses_no_answer(
    lab: Lab, album: Path, verb: str, fails_from: int
) -> None:
    make_tree(album, 80)
    lab.cache = cache = FaultyCache(lab.cache)
    cache.fails_from[verb] = fails_from
    oracle = Oracle()
    summary, error = await lab.classify(album, classifier=oracle, claims=True, batch=8)
    assert str(error) == f"the cache is away ({verb})"
    assert (summary.status, summary.exit_code) == ("failed", 75)
    assert set(oracle.paid) == set(lab.answered())
    assert summary.llm == len(oracle.paid)
    assert len(oracle.asked) == len(oracle.paid)


async def test_with_cache_and_spool_away_the_run_ends_with_the_first_reason(
    lab: Lab, album: Path
) -> None:
    make_tree(album, 30)
    lab.cache = cache = FaultyCache(lab.cache)
    cache.fails_from["settle"] = 1

    async def lose_the_spool(_number: int, _photo: DecodedPhoto) -> None:
        # Not before the run: what waits in the spool is written before anything else.
        (lab.state / "spool.db").mkdir(exist_ok=True)

    oracle = Oracle(before=lose_the_spool)
    summary, error = await lab.classify(album, classifier=oracle, workers=4)
    assert str(error) == "the cache is away (settle)"
    assert (summary.status, summary.exit_code, summary.llm) == ("failed", 75, 0)


async def test_a_disk_that_loses_the_index_costs_no_answer(lab: Lab, album: Path) -> None:
    make_tree(album, 30)
    oracle = Oracle()
    async with lab.parts(album, classifier=oracle, workers=4) as parts:

        def full(_facts: Sequence[tuple[bytes, str, PhotoFacts]]) -> None:
            raise StorageError("cannot write to the file index: the disk is full")

        parts.store.index.describe = full  # type: ignore[method-assign, assignment]
        await pipeline.run(parts)
        summary = parts.tally.summary("failed", 74, 1.0)
    assert isinstance(parts.control.error, StorageError)
    assert set(oracle.paid) == set(lab.answered())
    assert summary.llm == len(oracle.paid)


# ---- what a run leaves behind ----------------------------------------------------------------


async def test_claims_are_released_with_the_outcome(lab: Lab, album: Path) -> None:
    paths = make_tree(album, 10)
    oracle = Oracle()
    oracle.tell(hash_of(paths[0]), failed(ProviderUnavailableError("503")))
    oracle.tell(hash_of(paths[1]), UnreadablePhotoError("not enough memory", lasting=False))
    summary = await lab.run(album, classifier=oracle, claims=True)
    assert counts(summary) == {"found": 10, "llm": 8, "pending": 1, "failed": 1}
    assert lab.rows("SELECT * FROM claim") == []


@pytest.mark.parametrize("fate", ["vanishes", "changes"])
async def test_the_claim_of_a_photo_that_is_not_sent_is_released(
    lab: Lab, album: Path, fate: str
) -> None:
    put(album, "1.jpg", 1)
    second = put(album, "2.jpg", 2)

    async def spoil(number: int, _photo: DecodedPhoto) -> None:
        if number == 1:
            second.unlink()
            if fate == "changes":
                second.write_bytes(make_jpeg(3))

    await lab.run(album, classifier=Oracle(before=spoil), workers=1, claims=True)
    assert lab.rows("SELECT image_hash FROM claim") == []


async def test_a_photo_another_run_has_claimed_comes_back_with_that_runs_answer(
    lab: Lab, album: Path
) -> None:
    mine, theirs = put(album, "mine.jpg", 1), put(album, "theirs.jpg", 2)
    task = lab.taxonomy.task
    other = "e" * 32
    await lab.cache.claim(task, [hash_of(theirs)], run_id=other, host="elsewhere", seconds=60)

    async def answer_elsewhere(_number: int, _photo: DecodedPhoto) -> None:
        await lab.store(**{hash_of(theirs): answer(category="foods")})
        await lab.cache.release(task, [hash_of(theirs)], run_id=other)

    oracle = Oracle(before=answer_elsewhere)
    summary = await lab.run(album, classifier=oracle, claims=True)
    assert oracle.asked == [hash_of(mine)]
    assert counts(summary) == {"found": 2, "llm": 1, "cached": 1}
    assert summary.categories == {"pets": 1, "foods": 1}


async def test_deleted_files_are_forgotten_after_a_complete_walk(lab: Lab, album: Path) -> None:
    paths = make_tree(album, 6)
    await lab.classify(album, classifier=Oracle())
    root = os.fsencode(album)
    assert lab.index.count_under(root) == 6
    for path in paths[:2]:
        path.unlink()
    summary, error = await lab.classify(album, classifier=Oracle())
    assert (summary.found, error) == (4, None)
    assert lab.index.count_under(root) == 4


async def test_a_root_that_is_empty_for_once_forgets_nothing(lab: Lab, album: Path) -> None:
    """It is more likely a disk that is not mounted."""
    make_tree(album, 6)
    await lab.classify(album, classifier=Oracle())
    unplug(album)
    summary, error = await lab.classify(album, classifier=Oracle())
    assert (summary.found, summary.exit_code, error) == (0, 0, None)
    assert lab.index.count_under(os.fsencode(album)) == 6


async def test_a_run_that_was_stopped_forgets_nothing(lab: Lab, album: Path) -> None:
    paths = make_tree(album, 6)
    await lab.classify(album, classifier=Oracle())
    paths[0].unlink()
    async with lab.parts(album, classifier=Oracle()) as parts:
        parts.control.stop("interrupted")
        await pipeline.run(parts)
        assert not parts.plan.report.complete
    assert lab.index.count_under(os.fsencode(album)) == 6


async def test_files_that_are_excluded_now_are_not_forgotten(lab: Lab, album: Path) -> None:
    put(album, "keep/a.jpg", 1)
    put(album, "raw/b.jpg", 2)
    await lab.classify(album, classifier=Oracle())
    summary, _ = await lab.classify(album, classifier=Oracle(), rules=WalkRules(exclude=("raw/",)))
    assert summary.found == 1
    assert lab.index.count_under(os.fsencode(album)) == 2


async def test_a_root_that_goes_away_in_mid_run_ends_the_run_and_forgets_nothing(
    lab: Lab, album: Path
) -> None:
    make_tree(album, 12)
    await lab.classify(album, classifier=Oracle())
    put(album, "2023/new.jpg", 77)
    put(album, "2023/newer.jpg", 78)

    async def take_away(number: int, _photo: DecodedPhoto) -> None:
        if number == 1:
            unplug(album)

    summary, error = await lab.classify(album, classifier=Oracle(before=take_away), workers=1)
    assert isinstance(error, StorageError)
    assert "it went away, or another disk took its place" in str(error)
    assert (summary.status, summary.exit_code) == ("failed", 74)
    assert summary.llm == 1
    assert lab.index.count_under(os.fsencode(album)) == 14


async def test_a_dry_run_asks_nobody_claims_nothing_and_stores_nothing(
    lab: Lab, album: Path
) -> None:
    make_tree(album, 5)
    oracle = Oracle()
    summary, error = await lab.classify(album, classifier=oracle, dry_run=True, claims=True)
    assert (error, summary.status, summary.exit_code) == (None, "done", 0)
    assert counts(summary) == {"found": 5, "pending": 5}
    assert oracle.asked == []
    for table in ("classification", "claim", "run", "request_log", "settlement"):
        assert lab.rows(f"SELECT * FROM {table}") == []


async def test_a_dry_run_counts_the_hits_that_the_run_after_it_does_not(
    lab: Lab, album: Path
) -> None:
    path = put(album, "a.jpg", 1)
    await lab.store(**{hash_of(path): answer(category="foods")})
    for dry_run in (True, False):
        summary, error = await lab.classify(album, classifier=Oracle(), dry_run=dry_run)
        assert error is None
        assert counts(summary) == {"found": 1, "cached": 1}
    assert lab.rows("SELECT hit_count FROM classification") == [(1,)]


async def test_a_dry_run_names_what_cannot_be_read(lab: Lab, album: Path) -> None:
    make_tree(album, 2)
    (album / "empty.jpg").write_bytes(b"")
    summary, _ = await lab.classify(album, classifier=Oracle(), dry_run=True)
    assert counts(summary) == {"found": 3, "pending": 2, "failed": 1}
    assert (summary.status, summary.exit_code) == ("partial", 3)


@pytest.mark.parametrize(
    ("broken", "unanswered", "expected"),
    [
        (False, False, ("done", 0)),
        (True, False, ("partial", 3)),
        (False, True, ("partial", 4)),
        (True, True, ("partial", 3)),
    ],
)
async def test_the_exit_code_says_the_worst_of_what_happened(
    lab: Lab, album: Path, broken: bool, unanswered: bool, expected: tuple[str, int]
) -> None:
    paths = make_tree(album, 3)
    if broken:
        (album / "empty.jpg").write_bytes(b"")
    oracle = Oracle()
    if unanswered:
        oracle.tell(hash_of(paths[0]), UnansweredPhotoError("nobody"))
    summary, error = await lab.classify(album, classifier=oracle)
    assert error is None
    assert (summary.status, summary.exit_code) == expected
    [row] = lab.rows("SELECT status, exit_code, found, pending FROM run")
    assert row == (*expected, summary.found, summary.pending)
