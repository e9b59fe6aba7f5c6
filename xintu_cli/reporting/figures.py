"""Numbers as people read them: durations, rates, shares, money, bars."""

from __future__ import annotations

from xintu_cli.money import Estimate
from xintu_cli.records import ProviderState
from xintu_cli.reporting.escape import display_text
from xintu_cli.reporting.phrases import Phrase, Say

_EIGHTHS = " ▏▎▍▌▋▊▉"


def duration(seconds: float, say: Say) -> str:
    """Return a duration with as many digits as matter."""
    if seconds < 9.95:
        return say(Phrase.SECONDS, s=f"{seconds:.1f}")
    return whole_duration(round(seconds), say)


def whole_duration(seconds: float, say: Say) -> str:
    """Return the whole seconds that have passed: for a clock that runs before one's eyes."""
    whole = int(seconds)
    if whole < 60:
        return say(Phrase.SECONDS, s=whole)
    if whole < 3600:
        return say(Phrase.MINUTES_SECONDS, m=whole // 60, s=whole % 60)
    return say(Phrase.HOURS_MINUTES, h=whole // 3600, m=whole % 3600 // 60)


def coarse_duration(seconds: float, say: Say) -> str:
    """Return an estimate that does not change with every breath."""
    if seconds < 55:
        step = 1 if seconds < 10 else 5
        return say(Phrase.SECONDS, s=max(1, round(seconds / step) * step))
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return say(Phrase.MINUTES, m=minutes)
    return say(Phrase.HOURS_MINUTES, h=minutes // 60, m=minutes % 60)


def rate(per_second: float, say: Say) -> str:
    """Return a rate with two or more digits that matter."""
    digits = 1 if per_second < 9.95 else 0
    return say(Phrase.PER_SECOND, rate=f"{per_second:,.{digits}f}")


def counted(count: int, noun: str) -> str:
    """Return `1 photo`, `1,234 photos`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def percent(part: int, whole: int, digits: int = 0) -> str:
    """Return a share; never 100 % while something is missing."""
    share = 100 * part / whole if whole else 100.0
    if part < whole:
        share = min(share, 100 - 10**-digits)
    return f"{share:.{digits}f} %"


def money(amount: float | None, currency: str, say: Say) -> str:
    """Return an amount; what is unknown is called unknown, never 0."""
    if amount is None:
        return say(Phrase.UNKNOWN_PRICE)
    digits = 2 if amount >= 1 or amount == 0 else 4
    return f"{amount:,.{digits}f} {display_text(currency)}".rstrip()


def trouble_of(state: ProviderState, now: float, say: Say) -> str:
    """Return why a provider gets no photos at this moment; nothing where it does."""
    if state.stopped:
        return say(Phrase.STOPPED)
    left = 0.0 if state.paused_until_seconds is None else state.paused_until_seconds - now
    time = coarse_duration(left, say)
    if state.open:
        words = say(Phrase.OPEN)
        return f"{words}, {say(Phrase.NEXT_TRY, time=time)}" if left > 0 else words
    return say(Phrase.PAUSED, time=time) if left > 0 else ""


def estimate_text(estimate: Estimate, say: Say, *, at_most: bool = False) -> str:
    """Return an estimate's calls, tokens and money."""
    if estimate.cost is None:
        cost = say(Phrase.UNKNOWN_PRICE)
    else:
        cost = say(Phrase.ABOUT_MONEY, money=money(float(estimate.cost), estimate.currency, say))
    return say(
        Phrase.AT_MOST if at_most else Phrase.ABOUT,
        calls=say(Phrase.CALLS, n=estimate.calls),
        tokens=say(Phrase.TOKENS, inward=estimate.tokens_in, outward=estimate.tokens_out),
        money=cost,
    )


def estimate_basis(estimate: Estimate, say: Say) -> str:
    """Return what an estimate rests on: real calls, or formulas alone."""
    if estimate.measured_calls:
        return say(Phrase.MEASURED, n=estimate.measured_calls)
    return say(Phrase.BY_FORMULA)


def bar(share: float, cells: int, *, unicode: bool) -> str:
    """Return a horizontal bar of at most `cells` cells, in steps of an eighth of one."""
    if not unicode:
        return "#" * (max(1, round(share * cells)) if share > 0 else 0)
    eighths = max(1, round(share * cells * 8)) if share > 0 else 0
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
