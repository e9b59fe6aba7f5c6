"""What the doctor finds: one line each, and what a program makes of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from xintu_cli.errors import (
    AnswerError,
    ExitCode,
    ProviderRejectedError,
    ProviderUnavailableError,
    XintuError,
)
from xintu_cli.reporting.doctor_phrases import Mend
from xintu_cli.reporting.phrases import Say

_GRAVEST_FIRST = (
    ExitCode.CONFIGURATION,
    ExitCode.CREDENTIALS,
    ExitCode.STORAGE,
    ExitCode.NO_CLASSIFIER,
)
"""Who reads the exit code mends the first of these first: the rest may be its consequence."""


class Verdict(StrEnum):
    """How something is."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `mend` is what to do about it, a command if there is one.

    `exit_code` counts where it is broken.
    """

    part: str
    verdict: Verdict
    said: str
    mend: str = ""
    exit_code: ExitCode = ExitCode.DONE


def ok(part: str, said: str) -> Finding:
    """Find nothing wrong."""
    return Finding(part, Verdict.OK, said)


def warning(part: str, said: str, mend: str) -> Finding:
    """Find something that works, but not well."""
    return Finding(part, Verdict.WARNING, said, mend)


def broken(part: str, error: XintuError, mend: str = "") -> Finding:
    """Find something that does not work; what the error says to do stays in its message."""
    code = error.exit_code if error.exit_code in _GRAVEST_FIRST else ExitCode.STORAGE
    return Finding(part, Verdict.BROKEN, str(error), mend, code)


def mend_provider(error: XintuError, say: Say) -> str:
    """Say what to do about a provider that failed, where its own message does not."""
    match error:
        case ProviderUnavailableError(unreachable=True):
            return ""
        case ProviderUnavailableError(throttled=True):
            return say(Mend.BUSY)
        case ProviderUnavailableError():
            return say(Mend.LATER)
        case AnswerError():
            return say(Mend.CHECK_ANSWERS)
        case ProviderRejectedError():
            return say(Mend.CHECK_REQUEST)
        case _:
            return ""


def exit_code_of(findings: Iterable[Finding]) -> ExitCode:
    """Return the gravest broken part's exit code; warnings are no failure."""
    found = {f.exit_code for f in findings if f.verdict is Verdict.BROKEN}
    return next((code for code in _GRAVEST_FIRST if code in found), ExitCode.DONE)
