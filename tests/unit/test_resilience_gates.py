"""The gates as state machines: breaker, pace, rates, concurrency, with a clock in the hand."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import pytest

from xintu_cli.decisions import Signal
from xintu_cli.resilience.breaker import Breaker, BreakerRules, State
from xintu_cli.resilience.concurrency import Concurrency
from xintu_cli.resilience.gates import Call, Gate
from xintu_cli.resilience.lease import LeaseBook
from xintu_cli.resilience.pace import Climb, Pace
from xintu_cli.resilience.rate import Bucket, Limits, Ramp, RateLimits
from xintu_cli.resilience.refusals import Refusals, Send
from xintu_cli.resilience.retry import RetryBudget

ALIVE, DOWN, THROTTLED = Signal.ALIVE, Signal.DOWN, Signal.THROTTLED


@dataclass(slots=True)
class Driver:
    """Sends calls through one gate, and lets them end."""

    gate: Gate
    calls: int = 0
    sent: dict[int, float] = field(default_factory=dict)

    def send(self, now: float) -> int:
        assert self.gate.wait_seconds(now) == 0
        self.calls += 1
        self.gate.enter(now, self.calls)
        self.sent[self.calls] = now
        return self.calls

    def end(
        self,
        number: int,
        now: float,
        signal: Signal,
        *,
        told: float | None = None,
        tokens: int | None = None,
    ) -> None:
        self.gate.leave(now, Call(number, self.sent.pop(number), signal, told, tokens))

    def send_at_once(self, now: float, count: int) -> list[float]:
        """Send so many as soon as the gate allows; return when."""
        sent_at = []
        for _ in range(count):
            while (wait := self.gate.wait_seconds(now)) > 0:
                now += wait
            self.send(now)
            sent_at.append(now)
        return sent_at

    def call(self, now: float, signal: Signal, *, told: float | None = None) -> None:
        """Send, and end at once."""
        self.end(self.send(now), now, signal, told=told)


# ---- breaker ---------------------------------------------------------------------------------


@pytest.mark.row("C5")
def test_five_failures_in_a_row_open_it_and_four_do_not() -> None:
    breaker = Breaker()
    vendor = Driver(breaker)
    for signals in ([DOWN] * 4, [ALIVE], [DOWN] * 4, [Signal.SILENT, DOWN]):
        assert not breaker.is_down
        for signal in signals:
            vendor.call(1.0, signal)
    assert breaker.is_down
    assert breaker.wait_seconds(1.0) == 5.0


@pytest.mark.parametrize("signal", [ALIVE, THROTTLED, Signal.STOPPED, Signal.SILENT])
def test_what_is_no_infrastructure_failure_never_opens_it(signal: Signal) -> None:
    breaker = Breaker()
    vendor = Driver(breaker)
    for _ in range(1000):
        vendor.call(1.0, signal)
    assert breaker.state is State.CLOSED


def test_failures_among_calls_that_are_still_in_flight_are_not_in_a_row() -> None:
    """Failures come back at once and answers after seconds: a burst of sends is no outage."""
    breaker = Breaker()
    vendor = Driver(breaker)
    burst = [vendor.send(0.0) for _ in range(64)]
    for number in burst[::8]:
        vendor.end(number, 0.05, DOWN)
    assert not breaker.is_down
    for number in burst[1:5]:
        vendor.end(number, 0.06, DOWN)
    assert breaker.is_down


def test_more_than_half_of_twenty_failures_in_two_minutes_open_it() -> None:
    breaker = Breaker()
    vendor = Driver(breaker)
    for second in range(9):
        vendor.call(second, DOWN)
        vendor.call(second, ALIVE)
    vendor.call(9, DOWN)
    assert not breaker.is_down
    vendor.call(9, DOWN)
    assert breaker.is_down


def test_failures_are_forgotten_after_two_minutes() -> None:
    breaker = Breaker()
    vendor = Driver(breaker)
    for _ in range(9):
        vendor.call(0.0, ALIVE)
        vendor.call(0.0, DOWN)
    for _ in range(9):
        vendor.call(121.0, ALIVE)
        vendor.call(121.0, DOWN)
    vendor.call(121.0, DOWN)
    assert breaker.state is State.CLOSED


def test_half_open_lets_exactly_one_photo_try_and_doubles_the_period_when_it_fails() -> None:
    breaker = Breaker(BreakerRules(max_wait_seconds=10_000))
    vendor = Driver(breaker)
    vendor.call(0.0, ALIVE)
    for _ in range(5):
        vendor.call(0.0, DOWN)
    now, periods = 0.0, []
    for _ in range(7):
        periods.append(breaker.wait_seconds(now))
        now += breaker.wait_seconds(now)
        probe = vendor.send(now)
        assert breaker.state is State.HALF_OPEN
        assert breaker.wait_seconds(now) == math.inf
        vendor.end(probe, now, DOWN)
    assert periods == [5, 10, 20, 40, 80, 120, 120]


@pytest.mark.parametrize(
    ("signal", "state", "wait"),
    [
        (ALIVE, State.CLOSED, 0.0),
        (THROTTLED, State.CLOSED, 0.0),
        (DOWN, State.OPEN, 10.0),
        (Signal.STOPPED, State.OPEN, 10.0),
        (Signal.SILENT, State.OPEN, 0.0),
    ],
)
def test_what_the_one_photo_brings_back_decides(signal: Signal, state: State, wait: float) -> None:
    breaker = Breaker()
    vendor = Driver(breaker)
    vendor.call(0.0, ALIVE)
    for _ in range(5):
        vendor.call(0.0, DOWN)
    vendor.call(5.0, signal)
    assert breaker.state is state
    assert breaker.wait_seconds(5.0) == wait


def test_calls_sent_before_it_opened_change_nothing_afterwards() -> None:
    breaker = Breaker()
    vendor = Driver(breaker)
    slow = [vendor.send(0.0) for _ in range(30)]
    for _ in range(5):
        vendor.call(1.0, DOWN)
    vendor.end(slow.pop(), 2.0, ALIVE)
    vendor.end(slow.pop(), 2.0, DOWN)
    assert breaker.is_down
    assert breaker.wait_seconds(2.0) == 4.0
    vendor.call(6.0, ALIVE)
    for number in slow:
        vendor.end(number, 60.0, DOWN)  # time-outs of the outage, long after it is over
    assert not breaker.is_down


def test_a_failure_is_old_news_once_a_later_send_was_answered() -> None:
    breaker = Breaker()
    vendor = Driver(breaker)
    hung = [vendor.send(0.0) for _ in range(10)]
    vendor.call(30.0, ALIVE)
    for number in hung:
        vendor.end(number, 60.0, DOWN)
    assert breaker.state is State.CLOSED


def test_photos_wait_until_the_last_try_within_their_patience_has_failed() -> None:
    breaker = Breaker(BreakerRules(max_wait_seconds=120))
    vendor = Driver(breaker)
    vendor.call(0.0, ALIVE)
    for _ in range(5):
        vendor.call(100.0, DOWN)
    tries = []
    now = 100.0
    while not breaker.is_hopeless(now):
        now += breaker.wait_seconds(now)
        tries.append(now)
        probe = vendor.send(now)
        assert not breaker.is_hopeless(now)
        vendor.end(probe, now, DOWN)
    # 5, 10, 20, 40 seconds apart, and once more when patience ends
    assert tries == [105, 115, 135, 175, 220]


def test_after_patience_is_over_photos_pass_on_while_one_tries_now_and_then() -> None:
    breaker = Breaker(BreakerRules(max_wait_seconds=4))
    vendor = Driver(breaker)
    vendor.call(0.0, ALIVE)
    for _ in range(5):
        vendor.call(0.0, DOWN)
    vendor.call(4.0, DOWN)
    assert breaker.is_hopeless(5.0)
    due = breaker.due
    assert due is not None
    assert not breaker.is_hopeless(due)
    probe = vendor.send(due)
    assert breaker.is_hopeless(due)
    vendor.end(probe, due + 1, ALIVE)
    assert not breaker.is_hopeless(due + 1)


def test_a_provider_that_never_answered_is_given_up_within_ten_seconds() -> None:
    breaker = Breaker(BreakerRules(max_wait_seconds=120, first_answer_seconds=10))
    vendor = Driver(breaker)
    for _ in range(5):
        vendor.call(0.0, DOWN)
    assert not breaker.is_hopeless(0.0)
    vendor.call(5.0, DOWN)
    assert breaker.is_hopeless(5.0)
    assert not breaker.answered


@pytest.mark.row("C1")
@pytest.mark.parametrize(
    ("told", "wait", "hopeless"),
    [(60.0, 0.0, False), (61.0, 61.0, False), (119.0, 119.0, False), (3600.0, 3600.0, True)],
)
def test_a_pause_of_more_than_a_minute_is_an_outage(
    told: float, wait: float, hopeless: bool
) -> None:
    breaker = Breaker(BreakerRules(max_wait_seconds=120))
    vendor = Driver(breaker)
    vendor.call(0.0, ALIVE)
    vendor.call(0.0, DOWN, told=told)
    assert wait == breaker.wait_seconds(0.0)
    assert hopeless == breaker.is_hopeless(0.0)


def test_a_vendor_that_only_says_slow_down_is_out_once_patience_is_over() -> None:
    breaker = Breaker(BreakerRules(max_wait_seconds=120))
    vendor = Driver(breaker)
    vendor.call(0.0, ALIVE)
    for second in range(1, 121):
        vendor.call(second, THROTTLED)
        assert breaker.state is State.CLOSED
    vendor.call(121.0, THROTTLED)
    assert breaker.is_hopeless(121.0)
    vendor.call(126.0, THROTTLED)
    assert breaker.is_hopeless(126.0)
    vendor.call(136.0, ALIVE)
    assert breaker.state is State.CLOSED


# ---- concurrency -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "seconds"), [(300, 0.5), (64, 0.5), (16, 0.25), (4, 0.05), (1, 0)]
)
def test_the_asked_concurrency_opens_evenly_within_half_a_second(
    asked: int, seconds: float
) -> None:
    places = Concurrency(asked)
    vendor = Driver(places)
    sent_at = vendor.send_at_once(0.0, asked)
    assert places.wait_seconds(sent_at[-1]) == math.inf
    assert sent_at[-1] <= seconds
    gaps = [later - before for before, later in itertools.pairwise(sent_at)]
    assert gaps == pytest.approx([min(1 / 64, 0.5 / asked)] * (asked - 1))


def test_one_call_goes_ahead_where_it_is_to_find_something_out() -> None:
    places = Concurrency(64, head_start_seconds=0.2)
    vendor = Driver(places)
    sent_at = vendor.send_at_once(0.0, 64)
    assert sent_at[1] == pytest.approx(0.2)
    assert sent_at[-1] == pytest.approx(0.2 + 62 / 128)
    ended = Concurrency(64, head_start_seconds=0.2)
    vendor = Driver(ended)
    vendor.call(0.0, ALIVE)
    assert ended.wait_seconds(0.05) == 0.0


def test_places_that_a_busy_loop_missed_do_not_open_all_at_once() -> None:
    places = Concurrency(64)
    vendor = Driver(places)
    vendor.send(0.0)
    sent_at = vendor.send_at_once(0.4, 63)
    assert sent_at[-1] == pytest.approx(0.4 + 62 / 128)


def test_places_open_anew_after_a_time_with_nothing_in_flight() -> None:
    """After an outage or a long pause too, the first refusal is to stop the rest."""
    places = Concurrency(64)
    vendor = Driver(places)
    for number in range(1, 65):
        vendor.send_at_once(0.0, 1)
        assert places.in_flight == number
    for number in range(1, 65):
        vendor.end(number, 2.0, ALIVE)
    assert vendor.send_at_once(2.5, 1) == [2.5]
    assert places.wait_seconds(2.5) == 0.0
    vendor.end(65, 2.5, ALIVE)
    sent_at = vendor.send_at_once(30.0, 64)
    assert sent_at[0] == 30.0
    assert sent_at[-1] == pytest.approx(30.5, abs=0.01)


def test_it_is_cut_by_three_tenths_at_most_once_a_second() -> None:
    places = Concurrency(100)
    vendor = Driver(places)
    limits = []
    for now in (0.0, 0.5, 0.999, 1.0, 1.5, 2.0):
        vendor.call(now, THROTTLED)
        limits.append(places.limit)
    assert limits == [70, 70, 70, 49, 49, 34]


def test_a_refusal_of_a_call_sent_before_the_cut_is_part_of_what_was_cut_for() -> None:
    places = Concurrency(100)
    vendor = Driver(places)
    vendor.send_at_once(0.0, 100)
    for number in range(1, 51):
        vendor.end(number, 0.5, THROTTLED)
    for number in range(51, 101):
        vendor.end(number, 5.0, THROTTLED)
    assert places.limit == 70


def test_it_never_sinks_below_one_and_recovers_step_by_step_to_what_was_asked() -> None:
    places = Concurrency(8)
    vendor = Driver(places)
    for second in range(20):
        vendor.call(second, THROTTLED)
    assert places.limit == 1
    limits = []
    for _ in range(9):
        vendor.call(30.0, ALIVE)
        limits.append(places.limit)
    assert limits == [2, 3, 4, 5, 6, 7, 8, 8, 8]


# ---- pace ------------------------------------------------------------------------------------


def test_without_a_refusal_there_is_no_pace() -> None:
    pace = Pace(lambda: 0.5)
    vendor = Driver(pace)
    for _ in range(1000):
        vendor.call(0.0, ALIVE)
    assert pace.rate(0.0) is None


@pytest.mark.parametrize(
    ("signal", "told", "expected"),
    [
        (THROTTLED, 30.0, 130.0),
        (THROTTLED, 60.0, 160.0),
        (DOWN, 7.5, 107.5),
        (THROTTLED, 0.0, None),
        (THROTTLED, -3.0, None),
        (DOWN, 61.0, None),  # an outage: the breaker's business
        (ALIVE, None, None),
        (THROTTLED, None, 100.25),  # half of the first back-off
    ],
)
def test_everybody_pauses_for_as_long_as_the_vendor_says(
    signal: Signal, told: float | None, expected: float | None
) -> None:
    pace = Pace(lambda: 0.5)
    Driver(pace).call(100.0, signal, told=told)
    assert expected == pace.paused_until(100.0)


def test_the_longer_of_two_pauses_counts() -> None:
    pace = Pace(lambda: 0.5)
    vendor = Driver(pace)
    first, second = vendor.send(0.0), vendor.send(0.0)
    vendor.end(first, 0.0, THROTTLED, told=30.0)
    vendor.end(second, 1.0, THROTTLED, told=10.0)
    assert pace.wait_seconds(1.0) == 29.0


def bucket_run(
    pace: Pace, *, rate: float, burst: float, seconds: float, start: float = 0.0
) -> list[tuple[float, bool]]:
    """Send as fast as the pace allows to a bucket, which tells at once; return what it said."""
    vendor = Driver(pace)
    vendor.calls = 1_000_000 if start else 0
    level, filled_at, now = burst, start, start
    said: list[tuple[float, bool]] = []
    while now < start + seconds:
        while (wait := pace.wait_seconds(now)) > 1e-9:
            now += wait
        now += 0.001  # no loop is faster
        level, filled_at = min(burst, level + (now - filled_at) * rate), now
        accepted = level >= 1
        level -= accepted
        vendor.sent[vendor.calls + 1] = now
        vendor.calls += 1
        pace.enter(now, vendor.calls)
        vendor.end(vendor.calls, now, ALIVE if accepted else THROTTLED)
        said.append((now, accepted))
    return said


@pytest.mark.row("C2")
@pytest.mark.parametrize("rate", [5.0, 20.0, 80.0])
@pytest.mark.parametrize("burst_seconds", [0.0, 1.0, 3.0])
def test_the_rate_of_a_bucket_is_found_from_a_few_refusals(
    rate: float, burst_seconds: float
) -> None:
    burst = max(1.0, rate * burst_seconds)
    said = bucket_run(Pace(lambda: 0.5), rate=rate, burst=burst, seconds=60.0)
    assert sum(not accepted for _, accepted in said) <= 20
    late = [accepted for at, accepted in said if at >= 20.0]
    assert sum(late) / 40.0 >= 0.93 * rate
    assert late.count(False) <= 0.03 * len(late)


def test_two_refusals_prove_what_was_accepted_in_between() -> None:
    refusals = Refusals()
    sends = [Send(number, number / 10, number / 10, 10.0) for number in range(1, 101)]
    for number in (41, 42, 44, 80):
        refusals.add(sends[number - 1], first_number=1)
    assert refusals.burst == 40
    assert refusals.accepted_since(sends[41], sends[79]) == 36
    assert refusals.follows_another(sends[41])
    assert not refusals.follows_another(sends[79])
    # 35 accepted in 3.6 s, and one may have been left.
    assert refusals.proven_rate(sends[79]) == pytest.approx(36 / 3.9, rel=0.05)


def test_a_refusal_that_comes_after_all_others_are_forgotten_is_old_news() -> None:
    refusals = Refusals()
    for number in (*range(10, 2000), 5):
        refusals.add(Send(number, number / 10, number / 10, 10.0), first_number=1)
    old = Send(5, 0.5, 0.5, 10.0)
    assert not refusals.follows_another(old)
    assert refusals.proven_rate(old) == 0.0


def test_of_a_first_refusal_only_what_no_burst_explains_is_taken_for_the_rate() -> None:
    """20 a second for 10 s may be 15 a second and three seconds' worth that had been saved."""
    pace = Pace(lambda: 0.0)
    vendor = Driver(pace)
    for step in range(200):
        vendor.call(step / 20, ALIVE)
    vendor.call(10.0, THROTTLED)
    rate = pace.rate(10.0)
    assert rate is not None
    assert 200 / 13.5 <= rate <= 200 / 12.5
    assert pace.wait_seconds(10.0) == pytest.approx(1 / rate)


def test_the_pace_comes_back_to_what_was_refused_lingers_there_and_goes_on() -> None:
    climb = Climb(low=10.0, high=20.0, seconds=10.0, began_at=100.0)
    rates = [round(climb.rate(100.0 + seconds), 1) for seconds in (0, 2, 5, 10, 12, 15, 20, 25)]
    assert rates == [10.0, 14.0, 18.3, 20.0, 20.1, 21.8, 40.0, 207.5]


def test_a_silence_is_no_recovery() -> None:
    """Who sends nothing for an hour has not been told that the vendor can take more."""
    pace = Pace(lambda: 0.0)
    bucket_run(pace, rate=20.0, burst=20.0, seconds=30.0)
    before = pace.rate(30.0)
    pace.enter(3630.0, 1_000_000)
    after = pace.rate(3630.0)
    assert before is not None
    assert after == pytest.approx(before, rel=0.03)


def test_a_door_that_was_closed_for_everybody_opens_at_the_rate_from_before() -> None:
    pace = Pace(lambda: 1.0)
    vendor = Driver(pace)
    for step in range(400):
        vendor.call(step / 20, ALIVE)
    now = 20.0
    while now < 60.0:
        now += pace.wait_seconds(now)
        vendor.call(now, THROTTLED)
    now += pace.wait_seconds(now)
    vendor.call(now, ALIVE)
    rate = pace.rate(now)
    assert rate is not None
    assert 400 / 23.5 <= rate <= 20


def test_pauses_grow_while_nothing_is_accepted() -> None:
    pace = Pace(lambda: 1.0)
    vendor = Driver(pace)
    now, pauses = 0.0, []
    for _ in range(8):
        now += pace.wait_seconds(now)
        vendor.call(now, THROTTLED)
        until = pace.paused_until(now)
        assert until is not None
        pauses.append(until - now)
    assert pauses == pytest.approx([0.5, 1, 2, 4, 8, 16, 20, 20])


# ---- configured limits -----------------------------------------------------------------------


def sends_until(gate: Gate, end: float) -> list[float]:
    """Send as fast as the gate allows; return when."""
    calls, now = 0, 0.0
    times: list[float] = []
    while True:
        while (wait := gate.wait_seconds(now)) > 1e-9:
            now += wait
        if now > end:
            return times
        times.append(now)
        calls += 1
        gate.enter(now, calls)


def test_requests_per_minute_are_kept_by_the_second_and_used_up() -> None:
    limits = RateLimits(Limits(requests_per_minute=1200), tokens_expected=0)
    times = sends_until(limits, 60.0)
    assert 1200 <= len(times) <= 1221
    assert sum(time < 1.0 for time in times) <= 40
    assert all(later - earlier >= 1.0 for earlier, later in zip(times, times[41:], strict=False))


def test_tokens_per_minute_are_taken_as_expected_and_corrected_by_what_was_used() -> None:
    limits = RateLimits(Limits(tokens_per_minute=60_000), tokens_expected=500)
    vendor = Driver(limits)
    first = vendor.send(0.0)
    vendor.send(0.0)
    assert limits.wait_seconds(0.0) == pytest.approx(0.5)
    vendor.end(first, 0.0, ALIVE, tokens=1500)  # a thousand more than expected
    assert limits.wait_seconds(0.0) == pytest.approx(1.55)


def test_a_call_larger_than_a_second_of_tokens_goes_when_the_bucket_is_full() -> None:
    limits = RateLimits(Limits(tokens_per_minute=6000), tokens_expected=1500)
    times = sends_until(limits, 60.0)
    assert len(times) == 5
    assert times == pytest.approx([0, 15, 30, 45, 60])


def test_no_limit_is_no_wait() -> None:
    limits = RateLimits(Limits(), tokens_expected=1000)
    vendor = Driver(limits)
    for _ in range(1000):
        vendor.send(0.0)


def test_a_bucket_never_holds_more_than_a_second() -> None:
    bucket = Bucket(per_second=10)
    assert bucket.wait_seconds(0.0) == 0
    bucket.take(1000.0, 10)
    assert bucket.wait_seconds(1000.0) == pytest.approx(0.1)
    bucket.give_back(500)
    bucket.take(1000.0, 10)
    assert bucket.wait_seconds(1000.0) == pytest.approx(0.1)


def test_a_ramp_doubles_every_two_seconds_and_starts_anew_after_a_minute_of_silence() -> None:
    ramp = Ramp()
    times = sends_until(ramp, 12.0)
    by_second = [sum(second <= time < second + 1 for time in times) for second in range(12)]
    assert by_second[0] in {8, 9, 10}
    for earlier, later in zip(by_second[2:], by_second[4:], strict=False):
        assert later / earlier == pytest.approx(2, rel=0.3)
    vendor = Driver(ramp)
    vendor.send(12.0 + 60.0)
    assert ramp.wait_seconds(72.0) == pytest.approx(1 / 8)


# ---- retry budget, leases --------------------------------------------------------------------


def test_a_tenth_of_the_sends_and_ten_to_begin_with_may_be_retries() -> None:
    budget = RetryBudget()
    spent = 0
    for _ in range(1000):
        budget.note_sends(1)
        if budget.has_one_left:
            budget.spend()
            spent += 1
    assert spent == 110


def test_a_lease_is_good_for_three_quarters_of_its_time_and_only_while_held() -> None:
    now = 1000.0
    book = LeaseBook(seconds=180, boottime=lambda: now)
    assert not book("a")
    book.claimed(["a", "b"], asked_at=book.now())
    now += 134.9
    assert book("a")
    now += 0.1
    assert not book("a")
    book.claimed(["a"], asked_at=now)
    assert book("a")
    assert not book("b")
    book.ended(["a"])
    assert not book("a")


def test_a_renewal_saves_what_had_not_run_out_and_counts_from_before_it_was_asked() -> None:
    now = 0.0
    book = LeaseBook(seconds=180, boottime=lambda: now)
    book.claimed(["slept through"], asked_at=0.0)
    book.claimed(["late"], asked_at=100.0)
    asked_at = now = 175.0
    now = 181.0  # the database took six seconds
    book.renewed(asked_at=asked_at)
    assert not book("slept through")
    assert book("late")
    now = asked_at + 134.9
    assert book("late")
    now = asked_at + 135.0
    assert not book("late")
