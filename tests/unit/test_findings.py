"""What the doctor's findings come to, and what it says of terminals."""

from __future__ import annotations

import pytest

from xintu_cli.errors import (
    ConfigurationError,
    CredentialsError,
    OutputError,
    ProviderUnavailableError,
    StorageError,
    TryLaterError,
    XintuError,
)
from xintu_cli.jobs.findings import Finding, Verdict, broken, exit_code_of, ok, warning
from xintu_cli.jobs.surroundings import Terminal, look_at_terminal
from xintu_cli.reporting.phrases import speaker

STORAGE, CREDENTIALS = StorageError("disk"), CredentialsError("key")
CONFIGURATION, NOBODY = ConfigurationError("key"), ProviderUnavailableError("nobody")


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ((), 0),
        ((STORAGE,), 74),
        ((CREDENTIALS,), 77),
        ((CONFIGURATION,), 78),
        ((NOBODY,), 69),
        ((OutputError("o"),), 74),
        ((TryLaterError("away"),), 74),
        ((NOBODY, STORAGE), 74),
        ((STORAGE, CREDENTIALS, NOBODY), 77),
        ((NOBODY, STORAGE, CREDENTIALS, CONFIGURATION), 78),
    ],
)  # fmt: skip
def test_the_gravest_broken_part_decides_the_exit_code(
    errors: tuple[XintuError, ...], code: int
) -> None:
    findings = [ok("clock", "right"), warning("disk", "small", "free some")]
    assert exit_code_of([*findings, *(broken("part", error) for error in errors)]) == code


def test_a_broken_part_says_what_its_error_says() -> None:
    assert broken("disk", STORAGE, "mend it") == Finding(
        "disk", Verdict.BROKEN, "disk", "mend it", STORAGE.exit_code
    )


@pytest.mark.parametrize(
    ("is_terminal", "encoding", "columns", "kind", "verdict"),
    [
        (True, "utf-8", 80, "xterm", Verdict.OK),
        (True, "UTF-8", 200, "tmux-256color", Verdict.OK),
        (False, "utf-8", 80, "", Verdict.OK),
        (True, "ascii", 80, "xterm", Verdict.WARNING),
        (False, "iso8859-1", 80, "xterm", Verdict.WARNING),
        (True, "utf-8", 80, "dumb", Verdict.WARNING),
        (True, "utf-8", 80, "", Verdict.WARNING),
        (True, "utf-8", 40, "xterm", Verdict.WARNING),
    ],
)
def test_a_terminal_that_shows_less_is_told_how_to_show_more(
    is_terminal: bool, encoding: str, columns: int, kind: str, verdict: Verdict
) -> None:
    terminal = Terminal(is_terminal=is_terminal, encoding=encoding, columns=columns, kind=kind)
    [finding] = look_at_terminal(terminal, speaker("en"))
    assert finding.verdict is verdict
    assert bool(finding.mend) == (verdict is Verdict.WARNING)
