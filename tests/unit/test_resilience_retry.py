"""Asking again: what is sent, when, and what comes back with the answer or the error."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from tests.support.classifiers import (
    Behaviour,
    PaperPhoto,
    ScriptedProvider,
    answer,
    attempt,
    failed,
    photos,
)
from tests.support.virtual_time import VIRTUAL_TIME, Backend, VirtualClock
from xintu_cli.errors import (
    AnswerError,
    LeaseLostError,
    ProviderDownError,
    ProviderError,
    ProviderRejectedError,
    ProviderStoppedError,
    ProviderUnavailableError,
    UnansweredPhotoError,
)
from xintu_cli.prompt import AskedAgain
from xintu_cli.records import Answer, Attempt
from xintu_cli.resilience.admission import Admission, Admitted
from xintu_cli.resilience.breaker import Breaker, BreakerRules
from xintu_cli.resilience.concurrency import Concurrency
from xintu_cli.resilience.pace import Pace
from xintu_cli.resilience.retry import RetryBudget, Retrying, SmallerPhoto

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    return VIRTUAL_TIME


def unavailable() -> ProviderUnavailableError:
    return failed(ProviderUnavailableError("500"))


def throttled(seconds: float | None = None) -> ProviderUnavailableError:
    error = ProviderUnavailableError("429", throttled=True, retry_after_seconds=seconds)
    return failed(error, "throttled")


def unknown() -> ProviderUnavailableError:
    return failed(ProviderUnavailableError("timed out", outcome_unknown=True), "unknown")


def malformed() -> AnswerError:
    return failed(AnswerError("no JSON"), "not_understood")


def off_list() -> AnswerError:
    return failed(AnswerError("unicorn", off_list=True), "not_understood")


def too_large() -> ProviderRejectedError:
    return failed(ProviderRejectedError("413", too_large=True), "rejected")


def retrying(
    provider: ScriptedProvider,
    *,
    rules: BreakerRules | None = None,
    concurrency: int = 16,
    abandoned: dict[str, tuple[Attempt, ...]] | None = None,
) -> Retrying:
    """Wrap a provider as `compose` does; jitter is always half of what it may be."""

    def abandon(image_hash: str, attempts: tuple[Attempt, ...]) -> None:
        assert abandoned is not None
        abandoned[image_hash] = abandoned.get(image_hash, ()) + attempts

    clock = VirtualClock()
    admission = Admission(
        provider.name,
        breaker=Breaker(rules),
        pace=Pace(lambda: 0.5),
        concurrency=Concurrency(concurrency),
        clock=clock,
    )
    return Retrying(
        Admitted(provider, admission),
        admission=admission,
        budget=RetryBudget(),
        clock=clock,
        random=lambda: 0.5,
        abandoned=abandon,
    )


@pytest.mark.parametrize(
    ("behaviours", "outcomes", "sent_at"),
    [
        ([answer()], ["ok"], [0.0]),
        ([unavailable(), answer()], ["unavailable", "ok"], [0.0, 0.25]),
        (
            [unavailable(), unavailable(), answer()],
            ["unavailable", "unavailable", "ok"],
            [0.0, 0.25, 0.75],
        ),
        ([malformed(), answer()], ["not_understood", "ok"], [0.0, 0.0]),
        ([too_large(), answer()], ["rejected", "ok"], [0.0, 0.0]),
        ([unknown(), answer()], ["unknown", "ok"], [0.0, 0.25]),
        ([throttled(30), answer()], ["throttled", "ok"], [0.0, 30.0]),
        (
            [too_large(), malformed(), answer()],
            ["rejected", "not_understood", "ok"],
            [0.0, 0.0, 0.0],
        ),
    ],
)
async def test_a_photo_is_answered_after_some_failures(
    behaviours: Sequence[Behaviour], outcomes: list[str], sent_at: list[float]
) -> None:
    provider = ScriptedProvider(behaviours)
    start = anyio.current_time()
    given = await retrying(provider).classify(PaperPhoto())
    assert outcomes == [a.outcome for a in given.attempts]
    assert [a.number for a in given.attempts] == list(range(1, len(outcomes) + 1))
    assert sent_at == pytest.approx([at - start for at in provider.sent_at])


@pytest.mark.parametrize(
    ("error", "sends"),
    [
        (unavailable(), 3),
        (unknown(), 2),
        (malformed(), 2),
        (off_list(), 2),
        (too_large(), 2),
        (failed(ProviderRejectedError("policy"), "rejected"), 1),
        (failed(ProviderStoppedError("401"), "stopped"), 1),
        (LeaseLostError("late"), 1),
    ],
)
async def test_a_photo_that_always_fails_ends_with_all_its_attempts(
    error: ProviderError | UnansweredPhotoError, sends: int
) -> None:
    def behave(_: object) -> Exception:
        error.attempts = () if isinstance(error, LeaseLostError) else (attempt("failed"),)
        return error

    provider = ScriptedProvider([behave])
    with pytest.raises(type(error)) as raised:
        await retrying(provider).classify(PaperPhoto())
    assert sends == len(provider.received)
    assert isinstance(raised.value, ProviderError | UnansweredPhotoError)
    expected = 0 if isinstance(error, LeaseLostError) else sends
    assert expected == len(raised.value.attempts)


async def test_a_second_question_says_what_was_wrong_and_a_smaller_picture_is_half() -> None:
    provider = ScriptedProvider([too_large(), off_list(), answer()])
    photo = PaperPhoto()
    await retrying(provider).classify(photo)
    smaller = SmallerPhoto(photo)
    assert provider.received == [photo, smaller, AskedAgain(smaller, off_list=True)]
    assert provider.received[2].jpeg(max_edge=1024, max_bytes=4000) == b"512 px, 2000 bytes"
    assert smaller.facts == photo.facts
    assert smaller.image_hash == photo.image_hash


@pytest.mark.row("C5")
async def test_retries_stay_within_a_tenth_of_the_sends_and_ten() -> None:
    provider = ScriptedProvider([lambda _: unavailable()])
    rules = BreakerRules(failures_in_a_row=10_000, least_calls=10_000)
    classifier = retrying(provider, rules=rules)
    for photo in photos(300):
        with pytest.raises(ProviderUnavailableError):
            await classifier.classify(photo)
    retries = len(provider.received) - 300
    assert retries <= 10 + 0.1 * len(provider.received)
    assert retries >= 0.1 * 300


async def test_a_photo_keeps_its_attempts_while_the_breaker_is_open() -> None:
    """An outage of 30 s: every photo in flight is answered afterwards, and none gives up."""

    def behave(_: object) -> Answer | Exception:
        return unavailable() if anyio.current_time() < start + 30 else answer()

    start = anyio.current_time()
    first = ScriptedProvider([answer(), behave], seconds=0.1)
    classifier = retrying(first)
    await classifier.classify(PaperPhoto())
    given = []

    async def classify(photo: PaperPhoto) -> None:
        given.append(await classifier.classify(photo))

    async with anyio.create_task_group() as group:
        for photo in photos(16):
            group.start_soon(classify, photo)
    assert len(given) == 16
    in_outage = [at for at in first.sent_at if at < start + 30]
    assert len(in_outage) <= 1 + 16 + 30 / 5
    assert max(len(a.attempts) for a in given) <= 4


async def test_a_provider_that_stays_down_is_waited_for_only_so_long() -> None:
    provider = ScriptedProvider([answer(), unavailable()])
    classifier = retrying(provider, rules=BreakerRules(max_wait_seconds=120))
    await classifier.classify(PaperPhoto())
    start = anyio.current_time()
    ended: list[float] = []

    async def give_up(photo: PaperPhoto) -> None:
        with pytest.raises(ProviderUnavailableError):
            await classifier.classify(photo)
        ended.append(anyio.current_time() - start)

    async with anyio.create_task_group() as group:
        for photo in photos(8):
            group.start_soon(give_up, photo)
    assert max(ended) <= 121
    assert min(ended) >= 119


async def test_one_poisoned_photo_neither_opens_the_breaker_nor_costs_more_than_three_sends() -> (
    None
):
    poison = PaperPhoto("f" * 32)

    def behave(photo: object) -> Answer | Exception:
        is_poison = getattr(photo, "image_hash", "") == poison.image_hash
        return unavailable() if is_poison else answer()

    provider = ScriptedProvider([behave], seconds=1.0)
    classifier = retrying(provider)
    given: list[str] = []

    async def classify(photo: PaperPhoto) -> None:
        try:
            await classifier.classify(photo)
            given.append("ok")
        except ProviderUnavailableError as error:
            given.append(f"{len(error.attempts)} attempts")

    start = anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(classify, poison)
        for photo in photos(50):
            group.start_soon(classify, photo)
    assert sorted(given) == ["3 attempts", *(["ok"] * 50)]
    assert anyio.current_time() - start < 6


async def test_alone_a_poisoned_photo_is_given_up_after_three_sends() -> None:
    provider = ScriptedProvider([unavailable()])
    classifier = retrying(provider)
    start = anyio.current_time()
    with pytest.raises(ProviderUnavailableError) as raised:
        await classifier.classify(PaperPhoto())
    assert not isinstance(raised.value, ProviderDownError)
    assert len(provider.received) == 3
    assert anyio.current_time() - start < 2


async def test_two_at_a_time_are_enough_to_tell_an_outage_from_a_poisoned_photo() -> None:
    def behave(_: object) -> Answer | Exception:
        return unavailable() if start + 10 < anyio.current_time() < start + 40 else answer()

    start = anyio.current_time()
    provider = ScriptedProvider([behave], seconds=0.5)
    classifier = retrying(provider)
    names = iter(list(photos(100)))
    given: list[str] = []

    async def work() -> None:
        for photo in names:
            answered = await classifier.classify(photo)
            given.append(answered.provider)

    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(work)
    assert given == ["qwen"] * 100


async def test_a_photo_whose_call_broke_off_is_sent_again_only_once_another_was_answered() -> None:
    """Its one more send is not for finding out whether the provider is there."""
    broken = PaperPhoto("b" * 32)

    def behave(photo: object) -> Answer | Exception:
        is_broken = getattr(photo, "image_hash", "") == broken.image_hash
        return unknown() if is_broken and anyio.current_time() < start + 3 else answer()

    start = anyio.current_time()
    provider = ScriptedProvider([behave], seconds=1.0)
    classifier = retrying(provider, concurrency=2)
    async with anyio.create_task_group() as group:
        for photo in (broken, *photos(8)):
            group.start_soon(classifier.classify, photo)
    sent = [
        at - start
        for at, photo in zip(provider.sent_at, provider.received, strict=True)
        if photo.image_hash == broken.image_hash
    ]
    # It fails after a second; the first call that was sent after that is answered after two more.
    assert sent[0] == 0
    assert 2.0 <= sent[1] < 4.0


async def test_photos_that_may_have_been_billed_try_last_whether_a_provider_is_back() -> None:
    def behave(_: object) -> Answer | Exception:
        return unknown() if start + 2 < anyio.current_time() < start + 32 else answer()

    start = anyio.current_time()
    provider = ScriptedProvider([behave], seconds=0.5)
    classifier = retrying(provider, concurrency=4)
    names = iter(list(photos(60)))
    given: list[str] = []

    async def work() -> None:
        for photo in names:
            answered = await classifier.classify(photo)
            given.append(answered.provider)

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(work)
    assert given == ["qwen"] * 60
    assert anyio.current_time() - start <= 60 / 4 * 0.5 + 30 + 3


async def test_every_worker_keeps_the_pause_that_one_was_told() -> None:
    def behave(photo: object) -> Answer | Exception:
        is_first = getattr(photo, "image_hash", "") == "0" * 32
        return throttled(20) if is_first and anyio.current_time() < start + 5 else answer()

    start = anyio.current_time()
    provider = ScriptedProvider([behave], seconds=0.1)
    classifier = retrying(provider, concurrency=4)
    async with anyio.create_task_group() as group:
        for photo in photos(40):
            group.start_soon(classifier.classify, photo)
    told_at = start + 0.1
    assert [at for at in provider.sent_at if told_at < at < told_at + 20] == []
    assert len(provider.sent_at) == 41


async def test_a_cancelled_photo_hands_over_what_was_already_sent() -> None:
    abandoned: dict[str, tuple[Attempt, ...]] = {}
    provider = ScriptedProvider([malformed(), throttled(30)])
    classifier = retrying(provider, abandoned=abandoned)
    with anyio.move_on_after(10) as scope:
        await classifier.classify(PaperPhoto())
    assert scope.cancelled_caught
    handed = abandoned[PaperPhoto().image_hash]
    assert [a.outcome for a in handed] == ["not_understood", "throttled"]


async def test_an_answer_in_hand_survives_a_cancellation_that_came_meanwhile() -> None:
    """Nothing is awaited between the reply and its way out of all decorators."""
    with anyio.CancelScope() as scope:

        def stop_and_answer(_: object) -> Answer | Exception:
            scope.cancel()
            return answer()

        provider = ScriptedProvider([stop_and_answer])
        given = await retrying(provider).classify(PaperPhoto())
        assert given.provider == "qwen"
