"""What to do after a failure: every row of the table."""

from __future__ import annotations

import pytest

from tests.support.classifiers import attempt
from xintu_cli.decisions import (
    MOST_FORMS,
    MOST_THROTTLED,
    AwaitVerdict,
    Decision,
    FallBack,
    GiveUp,
    Retry,
    Signal,
    Standing,
    Stop,
    Tried,
    after_last_attempt,
    decide,
    full_jitter,
    reason_to_keep,
    signal_of,
)
from xintu_cli.errors import (
    AnswerError,
    BudgetReachedError,
    ExitCode,
    LeaseLostError,
    NoProviderLeftError,
    ProviderDownError,
    ProviderError,
    ProviderRejectedError,
    ProviderStoppedError,
    ProviderUnavailableError,
    RequestFormError,
    XintuError,
)
from xintu_cli.records import Reason

SERVER_ERROR = ProviderUnavailableError("500")
UNREACHABLE = ProviderUnavailableError("refused", unreachable=True)
UNKNOWN = ProviderUnavailableError("timed out", outcome_unknown=True)
THROTTLED = ProviderUnavailableError("429", throttled=True)
REFUSED = ProviderRejectedError("content policy")
BAD_REQUEST = ProviderRejectedError("400", lasting=False)
FORM = RequestFormError("400: response_format")
TOO_LARGE = ProviderRejectedError("413", too_large=True)
OFF_LIST = AnswerError("unicorn", off_list=True)
MALFORMED = AnswerError("no JSON")
STOPPED = ProviderStoppedError("401")
DOWN = ProviderDownError("down for two minutes")
BUDGET = BudgetReachedError("--max-calls")
LEASE = LeaseLostError("claim ran out")
NOBODY = NoProviderLeftError("nobody", exit_code=ExitCode.NO_CLASSIFIER)

OUT = FallBack(Reason.OUTAGE)


def throttled_for(seconds: float) -> ProviderUnavailableError:
    return ProviderUnavailableError("429", throttled=True, retry_after_seconds=seconds)


def unavailable_for(seconds: float) -> ProviderUnavailableError:
    return ProviderUnavailableError("503", retry_after_seconds=seconds)


# Jitter is drawn as 0.5: half of 0.5 s after the first failure, half of 1 s after the second.
@pytest.mark.parametrize(
    ("error", "tried", "standing", "expected"),
    [
        # 5xx: three attempts, from the budget, half the back-off
        (SERVER_ERROR, Tried(attempts=1), Standing(), Retry(0.25, from_budget=True)),
        (SERVER_ERROR, Tried(attempts=2), Standing(), Retry(0.5, from_budget=True)),
        (SERVER_ERROR, Tried(attempts=3), Standing(), OUT),
        (SERVER_ERROR, Tried(attempts=1), Standing(budget_left=False), OUT),
        (UNREACHABLE, Tried(attempts=1), Standing(), Retry(0.25, from_budget=True)),
        (UNREACHABLE, Tried(attempts=3), Standing(), OUT),
        (unavailable_for(7), Tried(attempts=1), Standing(), Retry(7, from_budget=True)),
        # three failures in a second, and nobody has been answered since: an outage begins?
        (
            SERVER_ERROR,
            Tried(attempts=3),
            Standing(vouched_for=False, others_try=True),
            AwaitVerdict(),
        ),
        (
            SERVER_ERROR,
            Tried(attempts=1),
            Standing(vouched_for=False, others_try=True, budget_left=False),
            AwaitVerdict(),
        ),
        (SERVER_ERROR, Tried(attempts=3), Standing(vouched_for=False), OUT),
        # the breaker is open: the photo keeps its attempts and waits, within its patience
        (SERVER_ERROR, Tried(attempts=0), Standing(down=True), Retry(0.0)),
        (SERVER_ERROR, Tried(attempts=3), Standing(down=True, budget_left=False), Retry(0.0)),
        (SERVER_ERROR, Tried(waited_seconds=120.0), Standing(down=True), Retry(0.0)),
        (SERVER_ERROR, Tried(waited_seconds=120.1), Standing(down=True), OUT),
        (unavailable_for(3600), Tried(), Standing(down=True), Retry(0.0)),
        (DOWN, Tried(), Standing(down=True), OUT),
        # 429: as long as told, else a back-off; no attempt, no budget; but not for ever
        (throttled_for(30), Tried(throttled=1), Standing(), Retry(30)),
        (throttled_for(60), Tried(throttled=1), Standing(), Retry(60)),
        (throttled_for(0), Tried(throttled=1), Standing(), Retry(0.0)),
        (THROTTLED, Tried(throttled=1), Standing(), Retry(0.25)),
        (THROTTLED, Tried(throttled=2), Standing(budget_left=False), Retry(0.5)),
        (THROTTLED, Tried(attempts=3, throttled=1), Standing(), Retry(0.25)),
        (THROTTLED, Tried(throttled=1, waited_seconds=121), Standing(), OUT),
        (THROTTLED, Tried(throttled=MOST_THROTTLED), Standing(), OUT),
        (THROTTLED, Tried(throttled=MOST_THROTTLED), Standing(vouched_for=False), Retry(8.0)),
        # sent, and no reply: it may have been billed, so once more at most
        (
            UNKNOWN,
            Tried(attempts=1, unknown_outcomes=1),
            Standing(),
            Retry(0.25, from_budget=True),
        ),
        (
            UNKNOWN,
            Tried(attempts=1, unknown_outcomes=1),
            Standing(vouched_for=False, others_try=True),
            AwaitVerdict(),
        ),
        (UNKNOWN, Tried(attempts=2, unknown_outcomes=2), Standing(), OUT),
        (UNKNOWN, Tried(unknown_outcomes=2), Standing(down=True), OUT),
        # an answer that cannot be understood: asked once more, whatever the budget
        (MALFORMED, Tried(attempts=1, misread=1), Standing(budget_left=False), Retry(0.0)),
        (MALFORMED, Tried(attempts=2, misread=2), Standing(), FallBack(Reason.MALFORMED)),
        (MALFORMED, Tried(attempts=3, misread=1), Standing(), FallBack(Reason.MALFORMED)),
        (OFF_LIST, Tried(attempts=1, misread=1), Standing(), Retry(0.0)),
        (OFF_LIST, Tried(attempts=2, misread=2), Standing(), FallBack(Reason.OFF_LIST)),
        # too large: smaller, once
        (TOO_LARGE, Tried(attempts=1), Standing(), Retry(0.0, smaller=True)),
        (
            TOO_LARGE,
            Tried(attempts=2, smaller=True),
            Standing(),
            FallBack(Reason.TOO_LARGE, refused=True),
        ),
        (TOO_LARGE, Tried(attempts=3), Standing(), FallBack(Reason.TOO_LARGE, refused=True)),
        # refusals: never again; a request it does not take is no refusal of the photo
        (REFUSED, Tried(attempts=1), Standing(), FallBack(Reason.REFUSED, refused=True)),
        (BAD_REQUEST, Tried(attempts=1), Standing(), FallBack(Reason.REFUSED)),
        # a form of request it does not know: at once, in the next one, whatever was tried
        (FORM, Tried(attempts=3, reformed=1), Standing(budget_left=False), Retry(0.0)),
        (FORM, Tried(reformed=MOST_FORMS), Standing(), Retry(0.0)),
        (FORM, Tried(reformed=MOST_FORMS + 1), Standing(), FallBack(Reason.REFUSED)),
        # credentials, money: this provider never
        (STOPPED, Tried(attempts=1), Standing(), Stop(Reason.STOPPED)),
        # not the provider's: the photo ends as it is
        (BUDGET, Tried(), Standing(), GiveUp()),
        (LEASE, Tried(), Standing(), GiveUp()),
        (NOBODY, Tried(), Standing(), GiveUp()),
    ],
)
def test_table(error: XintuError, tried: Tried, standing: Standing, expected: Decision) -> None:
    assert expected == decide(error, tried, standing, lambda: 0.5)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (SERVER_ERROR, OUT),
        (DOWN, OUT),
        (REFUSED, FallBack(Reason.REFUSED, refused=True)),
        (BAD_REQUEST, FallBack(Reason.REFUSED)),
        (TOO_LARGE, FallBack(Reason.TOO_LARGE, refused=True)),
        (OFF_LIST, FallBack(Reason.OFF_LIST)),
        (MALFORMED, FallBack(Reason.MALFORMED)),
        (STOPPED, Stop()),
        (BUDGET, GiveUp()),
        (LEASE, GiveUp()),
    ],
)
def test_where_a_photo_goes_that_its_provider_has_done_with(
    error: XintuError, expected: Decision
) -> None:
    assert expected == after_last_attempt(error)


@pytest.mark.parametrize(
    ("error", "provider_down", "expected"),
    [
        (SERVER_ERROR, False, Tried(attempts=1)),
        (SERVER_ERROR, True, Tried()),
        (THROTTLED, False, Tried(throttled=1)),
        (UNKNOWN, False, Tried(attempts=1, unknown_outcomes=1)),
        (UNKNOWN, True, Tried(unknown_outcomes=1)),
        (MALFORMED, False, Tried(attempts=1, misread=1)),
        (MALFORMED, True, Tried(attempts=1, misread=1)),
        (TOO_LARGE, False, Tried(attempts=1)),
        (FORM, False, Tried(reformed=1)),
    ],
)
def test_throttling_and_outages_cost_a_photo_no_attempt(
    error: ProviderError, provider_down: bool, expected: Tried
) -> None:
    assert expected == Tried().and_failed(error, provider_down=provider_down)


@pytest.mark.parametrize(
    ("failures", "longest"),
    [(0, 0.5), (1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 20.0), (1000, 20.0)],
)
def test_back_off_doubles_up_to_twenty_seconds(failures: int, longest: float) -> None:
    assert longest == full_jitter(failures, lambda: 1.0)
    assert full_jitter(failures, lambda: 0.0) == 0.0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (SERVER_ERROR, Signal.DOWN),
        (UNREACHABLE, Signal.DOWN),
        (UNKNOWN, Signal.DOWN),
        (THROTTLED, Signal.THROTTLED),
        (throttled_for(60), Signal.THROTTLED),
        (throttled_for(61), Signal.DOWN),
        (REFUSED, Signal.ALIVE),
        (TOO_LARGE, Signal.ALIVE),
        (MALFORMED, Signal.ALIVE),
        (FORM, Signal.ALIVE),
        (STOPPED, Signal.STOPPED),
        (BUDGET, Signal.SILENT),
        (LEASE, Signal.SILENT),
    ],
)
def test_only_infrastructure_failures_are_signs_of_an_outage(
    error: XintuError, expected: Signal
) -> None:
    assert expected == signal_of(error)


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        ((), Reason.ASKED),
        ((Reason.REFUSED,), Reason.REFUSED),
        ((Reason.REFUSED, Reason.OUTAGE), Reason.OUTAGE),
        ((Reason.OFF_LIST, Reason.STOPPED), Reason.STOPPED),
        ((Reason.REFUSED, Reason.MALFORMED), Reason.MALFORMED),
    ],
)
def test_the_most_curable_reason_is_kept(reasons: tuple[Reason, ...], expected: Reason) -> None:
    assert expected == reason_to_keep(reasons)


def test_errors_carry_attempts_from_the_start() -> None:
    assert ProviderError("x", (attempt(),)).attempts == (attempt(),)
