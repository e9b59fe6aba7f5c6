"""Every way a command can end, and the exit code and words it leaves with."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Callable

import pytest

from xintu_cli.cli.exits import first_error, leave, say
from xintu_cli.errors import (
    BudgetReachedError,
    CacheUnreachableError,
    ConfigurationError,
    CredentialsError,
    ExitCode,
    NoProviderLeftError,
    OutputError,
    RootMissingError,
    StorageError,
    UsageError,
    XintuError,
)

BUG = ZeroDivisionError("a bug")


def raising(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


def code_of(command: Callable[[], object]) -> int:
    with pytest.raises(SystemExit) as caught:
        leave(command)
    assert isinstance(caught.value.code, int)
    return int(caught.value.code)


def group(*errors: BaseException) -> BaseExceptionGroup[BaseException]:
    return BaseExceptionGroup("several", errors)


@pytest.fixture(autouse=True)
def no_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command line be that of a command without flags."""
    monkeypatch.setattr(sys, "argv", ["xintu", "classify"])


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (SystemExit(), 0),
        (SystemExit(0), 0),
        (SystemExit(4), 4),
        (SystemExit("words"), 1),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 0),
        (UsageError("x"), 2),
        (RootMissingError("x"), 66),
        (NoProviderLeftError("x", exit_code=ExitCode.NO_CLASSIFIER), 69),
        (OutputError("x"), 73),
        (StorageError("x"), 74),
        (CacheUnreachableError("x"), 75),
        (CredentialsError("x"), 77),
        (ConfigurationError("x"), 78),
        (BudgetReachedError("x"), 4),
        (NoProviderLeftError("x", exit_code=ExitCode.CONFIGURATION), 78),
        (BUG, 1),
        (OSError(errno.ENOSPC, "No space left on device"), 73),
        (OSError(errno.EIO, "Input/output error"), 1),
        (group(StorageError("x")), 74),
        (group(group(StorageError("x")), UsageError("y")), 74),
        (group(StorageError("x"), group(BUG)), 1),
        (group(KeyboardInterrupt()), 130),
        (group(BrokenPipeError()), 0),
    ],
    ids=repr,
)
def test_every_ending_has_its_exit_code(error: BaseException, expected: int) -> None:
    assert code_of(raising(error)) == expected


def test_a_command_that_returns_is_done() -> None:
    assert code_of(lambda: "whatever it returns") == 0


def test_an_error_of_ours_is_one_line_without_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code_of(raising(StorageError("cannot read x: it is broken. Mend it.")))
    assert capsys.readouterr() == ("", "xintu: cannot read x: it is broken. Mend it.\n")


def test_debug_shows_the_traceback_of_an_error_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["xintu", "classify", "--debug"])
    code_of(raising(StorageError("it is broken.")))
    said = capsys.readouterr().err
    assert said.startswith("xintu: it is broken.\nTraceback (most recent call last):\n")


def test_a_bug_shows_its_traceback_and_asks_to_be_reported(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code_of(raising(group(StorageError("its consequence"), BUG)))
    said = capsys.readouterr().err
    assert "ZeroDivisionError: a bug" in said
    assert said.endswith("xintu: this is a bug in xintu; please report it with the lines above.\n")


def test_a_full_disk_behind_stdout_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    code_of(raising(OSError(errno.ENOSPC, "No space left on device")))
    assert capsys.readouterr().err == (
        "xintu: cannot write to stdout: No space left on device. "
        "Free some space, or write somewhere else.\n"
    )


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("a name \x1b[31m\r\x07 here.", "a name \\x1b[31m\\r\\x07 here."),
        ("a name [red]%s{0} here.", "a name [red]%s{0} here."),
    ],
)
def test_what_a_file_is_called_cannot_change_the_terminal(
    capsys: pytest.CaptureFixture[str], message: str, said: str
) -> None:
    code_of(raising(StorageError(message)))
    assert capsys.readouterr().err == f"xintu: {said}\n"


def test_a_lone_surrogate_is_said_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file name that is not UTF-8, quoted in a message."""
    for encoding in ("utf-8", "ascii"):
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding=encoding))
        say("cannot read caf\udce9 or 照片")
        sys.stderr.flush()
        shown = raw.getvalue().decode(encoding)
        assert shown.startswith("xintu: cannot read caf\\udce9 or ")
        monkeypatch.undo()


def test_without_a_stderr_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    say("nobody hears this")
    assert code_of(raising(StorageError("x"))) == 74
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    say("nor this")
    assert code_of(raising(StorageError("x"))) == 74


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([StorageError("a"), UsageError("b")], "a"),
        ([StorageError("a"), BUG], "a bug"),
        ([BUG, StorageError("a")], "a bug"),
        ([group(UsageError("b")), StorageError("a")], "b"),
    ],
)
def test_a_group_is_about_a_bug_first_then_about_the_first(
    errors: list[BaseException], expected: str
) -> None:
    assert str(first_error(group(*errors))) == expected


def test_an_error_alone_is_what_it_is_about() -> None:
    error = XintuError("x")
    assert first_error(error) is error


def numpy_that_does_not_fit() -> None:
    linker = ImportError("libgfortran.so: failed to map segment from shared object")
    raise ImportError("IMPORTANT: PLEASE READ THIS\n\nfor advice") from linker


@pytest.mark.parametrize(
    "command",
    [
        raising(MemoryError()),
        numpy_that_does_not_fit,
        raising(RuntimeError("can't start new thread")),
    ],
    ids=["memory", "library", "thread"],
)
def test_a_lack_of_memory_is_told_as_such_and_is_no_bug(
    command: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(command) == ExitCode.TRY_LATER
    said = capsys.readouterr().err
    assert "not enough memory: " in said
    assert "Traceback" not in said


def test_too_few_file_descriptors_are_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(raising(OSError(errno.EMFILE, "Too many open files"))) == ExitCode.TRY_LATER
    assert "ulimit -n" in capsys.readouterr().err


def test_a_module_that_is_not_there_is_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(raising(ImportError("No module named 'xintu_cli.nothing'"))) == ExitCode.BUG
    assert "Traceback" in capsys.readouterr().err
