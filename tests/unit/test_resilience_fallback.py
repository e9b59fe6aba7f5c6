"""Failover and the local model: who is asked, in which order, and what is remembered."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
import pytest

from tests.support.classifiers import (
    Behaviour,
    PaperLocalModel,
    PaperPhoto,
    ScriptedProvider,
    answer,
    failed,
)
from tests.support.virtual_time import VIRTUAL_TIME, Backend
from xintu_cli.errors import (
    AnswerError,
    BudgetReachedError,
    ExitCode,
    LeaseLostError,
    ModelFileError,
    NoProviderLeftError,
    ProviderDownError,
    ProviderRejectedError,
    ProviderStoppedError,
    ProviderUnavailableError,
    UnansweredPhotoError,
)
from xintu_cli.records import Attempt, CachedRow, Reason, Refusal, Source
from xintu_cli.resilience.fallback import Fallback
from xintu_cli.resilience.local_first import LocalFirst, RememberedAnswers
from xintu_cli.routing import Acceptance, Policy, Verdict, judge

pytestmark = pytest.mark.anyio

PHOTO = PaperPhoto()


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    return VIRTUAL_TIME


@dataclass(slots=True)
class Named(ScriptedProvider):
    """A provider with all its decorators, as far as failover can see."""

    gone: ExitCode | None = None


def first(behaviour: Behaviour, gone: ExitCode | None = None) -> Named:
    return Named([behaviour], name="first", gone=gone)


def second(behaviour: Behaviour, gone: ExitCode | None = None) -> Named:
    return Named([behaviour], name="second", gone=gone)


OUT = failed(ProviderUnavailableError("503"))
DOWN = ProviderDownError("first has been down for too long")
REFUSED = failed(ProviderRejectedError("policy"), "rejected")
NOT_UNDERSTOOD = failed(ProviderRejectedError("400", lasting=False), "rejected")
TOO_LARGE = failed(ProviderRejectedError("413", too_large=True), "rejected")
MALFORMED = failed(AnswerError("no JSON"), "not_understood")
OFF_LIST = failed(AnswerError("unicorn", off_list=True), "not_understood")
STOPPED = failed(ProviderStoppedError("401"), "stopped")


@pytest.mark.parametrize(
    ("one", "two", "asked", "reason", "refusals"),
    [
        (answer("first"), answer("second"), "first", Reason.ASKED, ()),
        (OUT, answer("second"), "second", Reason.ASKED, ()),
        (DOWN, answer("second"), "second", Reason.ASKED, ()),
        (STOPPED, answer("second"), "second", Reason.ASKED, ()),
        (REFUSED, answer("second"), "second", Reason.ASKED, (Refusal("first", "refused"),)),
        (OUT, OUT, "local", Reason.OUTAGE, ()),
        (STOPPED, STOPPED, "local", Reason.STOPPED, ()),
        (MALFORMED, MALFORMED, "local", Reason.MALFORMED, ()),
        (OFF_LIST, OFF_LIST, "local", Reason.OFF_LIST, ()),
        (NOT_UNDERSTOOD, NOT_UNDERSTOOD, "local", Reason.REFUSED, ()),
        (TOO_LARGE, OUT, "local", Reason.OUTAGE, (Refusal("first", "too_large"),)),
        (
            REFUSED,
            TOO_LARGE,
            "local",
            Reason.TOO_LARGE,
            (Refusal("first", "refused"), Refusal("second", "too_large")),
        ),
    ],
)
async def test_down_the_list_and_at_the_end_the_local_model(
    one: Behaviour, two: Behaviour, asked: str, reason: Reason, refusals: tuple[Refusal, ...]
) -> None:
    providers = [first(one), second(two)]
    given = await Fallback(providers, PaperLocalModel()).classify(PHOTO)
    assert asked == given.provider
    assert reason == given.reason
    assert refusals == given.refusals
    sent = sum(len(provider.received) for provider in providers)
    assert len(given.attempts) == sent - (one is DOWN) + (asked == "local")


async def test_a_photo_is_not_offered_to_a_provider_that_refused_it_lately() -> None:
    providers = [first(answer("first")), second(OUT)]
    fallback = Fallback(providers, PaperLocalModel(), refused_before=lambda _: frozenset({"first"}))
    given = await fallback.classify(PHOTO)
    assert providers[0].received == []
    assert given.reason == Reason.OUTAGE


async def test_refused_by_all_lately_and_no_local_model_leaves_it_unanswered() -> None:
    fallback = Fallback([first(answer())], None, refused_before=lambda _: frozenset({"first"}))
    with pytest.raises(UnansweredPhotoError, match="first refused it in an earlier run"):
        await fallback.classify(PHOTO)


async def test_without_a_local_model_the_error_carries_attempts_and_refusals() -> None:
    fallback = Fallback([first(REFUSED), second(MALFORMED)], None)
    with pytest.raises(UnansweredPhotoError, match="no JSON") as raised:
        await fallback.classify(PHOTO)
    assert [a.outcome for a in raised.value.attempts] == ["rejected", "not_understood"]
    assert raised.value.refusals == (Refusal("first", "refused"),)


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (ExitCode.CREDENTIALS, ExitCode.NO_CLASSIFIER, ExitCode.CREDENTIALS),
        (ExitCode.NO_CLASSIFIER, ExitCode.CONFIGURATION, ExitCode.CONFIGURATION),
        (ExitCode.NO_CLASSIFIER, ExitCode.NO_CLASSIFIER, ExitCode.NO_CLASSIFIER),
        (ExitCode.CREDENTIALS, None, None),
    ],
)
async def test_when_all_are_gone_for_good_the_run_is_told_why(
    one: ExitCode, two: ExitCode | None, expected: ExitCode | None
) -> None:
    fallback = Fallback([first(STOPPED, one), second(OUT, two)], None)
    with pytest.raises(NoProviderLeftError if expected else UnansweredPhotoError) as raised:
        await fallback.classify(PHOTO)
    if expected:
        assert raised.value.exit_code is expected
    assert isinstance(raised.value, NoProviderLeftError | UnansweredPhotoError)
    assert len(raised.value.attempts) == 2


@pytest.mark.parametrize("error", [BudgetReachedError("--max-calls"), LeaseLostError("late")])
async def test_what_is_no_providers_fault_ends_the_photo_with_its_attempts(
    error: BudgetReachedError | LeaseLostError,
) -> None:
    local = PaperLocalModel()
    with pytest.raises(type(error)) as raised:
        await Fallback([first(MALFORMED), second(error)], local).classify(PHOTO)
    assert isinstance(raised.value, BudgetReachedError | LeaseLostError)
    assert [a.outcome for a in raised.value.attempts] == ["not_understood"]
    assert local.asked == 0


@pytest.mark.parametrize("error", [BudgetReachedError("--max-calls"), LeaseLostError("late")])
async def test_a_refusal_is_not_forgotten_where_the_budget_or_the_lease_ends_the_photo(
    error: BudgetReachedError | LeaseLostError,
) -> None:
    with pytest.raises(type(error)) as raised:
        await Fallback([first(REFUSED), second(error)], PaperLocalModel()).classify(PHOTO)
    assert isinstance(raised.value, BudgetReachedError | LeaseLostError)
    assert raised.value.refusals == (Refusal("first", "refused"),)


async def test_a_refusal_is_not_forgotten_where_nobody_is_left() -> None:
    providers = [first(REFUSED, ExitCode.NO_CLASSIFIER), second(STOPPED, ExitCode.CREDENTIALS)]
    with pytest.raises(NoProviderLeftError) as raised:
        await Fallback(providers, None).classify(PHOTO)
    assert raised.value.refusals == (Refusal("first", "refused"),)


async def test_a_broken_model_file_does_not_take_what_was_sent_with_it() -> None:
    broken = PaperLocalModel(error=ModelFileError("sha256"))
    with pytest.raises(UnansweredPhotoError, match="sha256") as raised:
        await Fallback([first(OUT)], broken).classify(PHOTO)
    assert [a.outcome for a in raised.value.attempts] == ["unavailable"]


async def test_a_local_model_that_fails_too_leaves_the_photo_for_a_later_run() -> None:
    broken = failed(AnswerError("cannot run the local model"), "failed")
    with pytest.raises(UnansweredPhotoError, match="local model") as raised:
        await Fallback([first(OUT)], PaperLocalModel(error=broken)).classify(PHOTO)
    assert len(raised.value.attempts) == 2


async def test_a_cancelled_photo_hands_over_what_earlier_providers_were_sent() -> None:
    abandoned: list[Attempt] = []
    slow = second(answer())
    slow.seconds = 60.0
    fallback = Fallback(
        [first(MALFORMED), slow], None, abandoned=lambda _, attempts: abandoned.extend(attempts)
    )
    with anyio.move_on_after(1):
        await fallback.classify(PHOTO)
    assert [a.outcome for a in abandoned] == ["not_understood"]


# ---- the local model first ---------------------------------------------------------------------


def local_first(
    provider: ScriptedProvider,
    local: PaperLocalModel,
    *,
    sure_from: float | None = None,
    abandoned: list[Attempt] | None = None,
) -> LocalFirst:
    return LocalFirst(
        provider,
        RememberedAnswers(local, most=8),
        keep=["idcard"],
        sure_from=sure_from,
        abandoned=lambda _, attempts: (abandoned if abandoned is not None else []).extend(attempts),
    )


@pytest.mark.parametrize(
    ("local", "sure_from", "source", "reason"),
    [
        (PaperLocalModel("other"), None, Source.LLM, ""),
        (PaperLocalModel("idcard", 0.3), None, Source.LOCAL, "kept_local"),
        (PaperLocalModel("other", 0.9, ("idcard",)), None, Source.LOCAL, "kept_local"),
        (PaperLocalModel("other", 0.9, ("passport",)), None, Source.LLM, ""),
        (PaperLocalModel("other", 0.8), 0.8, Source.LOCAL, ""),
        (PaperLocalModel("other", 0.79), 0.8, Source.LLM, ""),
        (PaperLocalModel("idcard", 0.99), 0.8, Source.LOCAL, "kept_local"),
        (PaperLocalModel("other", 0.0), 0.0, Source.LOCAL, ""),
    ],
)
async def test_what_is_protected_stays_and_what_is_sure_is_not_asked(
    local: PaperLocalModel, sure_from: float | None, source: Source, reason: str
) -> None:
    provider = ScriptedProvider()
    given = await local_first(provider, local, sure_from=sure_from).classify(PHOTO)
    assert (source, reason) == (given.source, given.reason)
    assert len(provider.received) == (source is Source.LLM)
    assert [a.source for a in given.attempts] == [Source.LOCAL, Source.LLM][: len(given.attempts)]
    assert len(given.attempts) == 1 + len(provider.received)


@pytest.mark.parametrize(
    ("local", "keep", "expected"),
    [
        (PaperLocalModel("idcard", 0.3), ("idcard",), ("idcard", None)),
        (PaperLocalModel("other", 0.9, ("idcard",)), ("idcard",), ("other", "idcard")),
        (PaperLocalModel("idcard", 0.9, ("qrcode",)), ("idcard", "qrcode"), ("idcard", None)),
        (PaperLocalModel("other", 0.9, ("foods", "qrcode")), ("qrcode",), ("other", "qrcode")),
    ],
)
async def test_what_was_kept_is_final_while_what_kept_it_is_to_be_kept(
    local: PaperLocalModel, keep: tuple[str, ...], expected: tuple[str, str | None]
) -> None:
    gate = LocalFirst(ScriptedProvider(), RememberedAnswers(local, most=8), keep=keep)
    given = await gate.classify(PHOTO)
    said = given.classification
    assert expected == (said.category, said.second_category)
    stored = CachedRow(
        *(PHOTO.image_hash, given.source, said.category, said.confidence, given.model),
        *(given.reason, "", "", said.second_category),
    )
    categories = frozenset({"other", "idcard", "qrcode", "foods"})
    for kept, verdict in ((keep, Verdict.HIT), (("foods",), Verdict.PROVISIONAL)):
        acceptance = Acceptance(Policy.HYBRID, categories, given.model, keep_local=frozenset(kept))
        assert judge([stored], acceptance).verdict is verdict


async def test_a_photo_that_cannot_be_judged_is_not_sent() -> None:
    provider = ScriptedProvider()
    local = PaperLocalModel(error=failed(AnswerError("NaN"), "failed"))
    with pytest.raises(UnansweredPhotoError, match=r"^not sent: .*NaN") as raised:
        await local_first(provider, local).classify(PHOTO)
    assert provider.received == []
    assert len(raised.value.attempts) == 1


async def test_a_model_that_cannot_be_loaded_stands_in_for_nobody_and_stops_nobody() -> None:
    broken = PaperLocalModel(error=ModelFileError("needs a newer onnxruntime"))
    with pytest.raises(UnansweredPhotoError, match="needs a newer onnxruntime") as caught:
        await Fallback([first(REFUSED)], broken).classify(PHOTO)
    assert [attempt.outcome for attempt in caught.value.attempts] == ["rejected"]
    assert caught.value.refusals == (Refusal("first", Reason.REFUSED),)


async def test_a_broken_model_file_ends_the_run_and_sends_nothing() -> None:
    provider = ScriptedProvider()
    with pytest.raises(NoProviderLeftError, match="sha256") as caught:
        await local_first(provider, PaperLocalModel(error=ModelFileError("sha256"))).classify(PHOTO)
    assert caught.value.exit_code == 78
    assert provider.received == []


async def test_the_local_model_looks_once_though_its_word_is_needed_twice() -> None:
    local = PaperLocalModel()
    known = RememberedAnswers(local, most=8)
    whole = LocalFirst(Fallback([first(OUT)], known), known, keep=["idcard"])
    given = await whole.classify(PHOTO)
    assert local.asked == 1
    assert given.reason == Reason.OUTAGE
    assert [a.source for a in given.attempts] == [Source.LOCAL, Source.LLM]


async def test_errors_and_cancellation_carry_the_local_attempt_too() -> None:
    with pytest.raises(ProviderUnavailableError) as raised:
        await local_first(ScriptedProvider([OUT]), PaperLocalModel()).classify(PHOTO)
    assert [a.source for a in raised.value.attempts] == [Source.LOCAL, Source.LLM]
    abandoned: list[Attempt] = []
    slow = ScriptedProvider(seconds=60.0)
    with anyio.move_on_after(1):
        await local_first(slow, PaperLocalModel(), abandoned=abandoned).classify(PHOTO)
    assert [a.source for a in abandoned] == [Source.LOCAL]


async def test_remembered_answers_are_bounded() -> None:
    local = PaperLocalModel()
    known = RememberedAnswers(local, most=2)
    for image_hash in ("a", "b", "c", "c", "b", "a"):
        await known.classify(PaperPhoto(image_hash))
    assert local.asked == 4
