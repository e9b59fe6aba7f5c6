"""Leave the process: the only place that exits, and the only broad `except`.

In: whatever a command raises. Out: one message on stderr and the exit code of the error tree.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

import typer

from xintu_cli.cli.interrupts import INTERRUPTS, quit_at_signals
from xintu_cli.errors import ExitCode, XintuError

INTERRUPTED = 130
"""What Ctrl-C comes to; other signals have a code of their own, which is put in at the end."""
_TOO_MANY_OPEN = {errno.EMFILE, errno.ENFILE}
_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


_DEBUGGING: list[bool] = []
"""Filled where the environment or a file says `debug`: by then the command is under way."""


def show_tracebacks() -> None:
    """Show the traceback of errors of ours, too, from now on."""
    _DEBUGGING.append(True)


def leave(command: Callable[[], object]) -> NoReturn:
    """Run `command` and exit with what it comes to."""
    with INTERRUPTS:
        code = _run(command)
    if code == INTERRUPTED:
        code = INTERRUPTS.exit_code
    unwritten = _flush()
    if unwritten and code == ExitCode.DONE:
        say(_unwritable(unwritten))
        code = ExitCode.OUTPUT
    if any(not thread.daemon for thread in threading.enumerate() if _is_foreign(thread)):
        # A thread hangs in a read of a dead disk, or in a call that was given up; everything
        # is stored by now, and waiting for that thread could take for ever.
        os._exit(code)
    sys.exit(code)


def _run(command: Callable[[], object]) -> int:
    """Run `command` and return the exit code it comes to."""
    try:
        command()
    except SystemExit as exit_:
        return _code_of(exit_)
    except KeyboardInterrupt:
        quit_at_signals()  # those who press once more want to be gone
        say("interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough: `xintu export … | head`.
        return ExitCode.DONE
    except BaseException as error:  # noqa: BLE001  # the one place that may
        return _explain(error)
    return ExitCode.DONE


def _code_of(exit_: SystemExit) -> int:
    """Return the code that Typer leaves with, but where it says 1: that is a bug of ours."""
    if isinstance(exit_.__context__, BrokenPipeError):
        return ExitCode.DONE
    if isinstance(exit_.__context__, typer.Abort):
        # Ctrl-C or the end of the input, in answer to a question.
        return INTERRUPTED
    return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)


def say(message: str) -> None:
    """Write one line for a person to stderr, if there is one."""
    if sys.stderr is None or sys.stderr.closed:
        return
    encoding = sys.stderr.encoding or "utf-8"
    line = f"xintu: {message}\n".encode(encoding, "backslashreplace").decode(encoding)
    try:
        sys.stderr.write(line)
    except OSError:
        return


def exit_code_of(error: BaseException) -> int:
    """Return what the process ends with when `error` reaches its end."""
    single = first_error(error)
    match single:
        case XintuError():
            return int(single.exit_code)
        case KeyboardInterrupt() | typer.Abort():
            return INTERRUPTED
        case BrokenPipeError():
            return int(ExitCode.DONE)
        case OSError() if single.errno in _TOO_MANY_OPEN:
            return int(ExitCode.TRY_LATER)
        case OSError() if single.errno in _FULL:
            # Whoever writes files translates its errors there: what arrives here is stdout's.
            return int(ExitCode.OUTPUT)
        case _:
            return int(ExitCode.BUG if _lack_of_memory(single) is None else ExitCode.TRY_LATER)


def _explain(error: BaseException) -> int:
    """Say what went wrong; return the exit code."""
    single = first_error(error)
    code = exit_code_of(single)
    if isinstance(single, XintuError):
        from xintu_cli.reporting.escape import display_text

        say(display_text(str(single)))
        if _DEBUGGING or "--debug" in sys.argv:
            traceback.print_exception(error)
    elif code == INTERRUPTED:
        say("interrupted.")
    elif code == ExitCode.OUTPUT:
        say(_unwritable(getattr(single, "strerror", None) or str(single)))
    elif isinstance(single, OSError) and single.errno in _TOO_MANY_OPEN:
        reason = (single.strerror or "too many open files").lower()
        say(f"{reason} at once. What was finished is stored. Raise the limit: ulimit -n 256")
    elif code == ExitCode.TRY_LATER:
        say(
            f"not enough memory: {_lack_of_memory(single)}. What was finished is stored. Raise the "
            "limit, lower --concurrency, or run it again when less else is running."
        )
    elif code == ExitCode.BUG:
        traceback.print_exception(error)
        say("this is a bug in xintu; please report it with the lines above.")
    return code


def _lack_of_memory(error: BaseException) -> str | None:
    """Return the words in which memory was refused, None for any other error.

    A library that does not fit any more is an ImportError, in the dynamic linker's words; a
    thread's stack that does not, a RuntimeError.
    """
    while isinstance(error, ImportError) and error.__cause__ is not None:
        error = error.__cause__
    words = str(error).strip().split("\n", 1)[0]
    if isinstance(error, MemoryError):
        return words or "the system gives no more"
    refused = ("failed to map segment", "annot allocate memory", "can't start new thread")
    is_foreign = isinstance(error, (ImportError, OSError, RuntimeError))
    return words if is_foreign and any(told in words for told in refused) else None


def first_error(error: BaseException) -> BaseException:
    """Return the error that a group is about: a bug before errors of ours, the first of each."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    flat = [first_error(inner) for inner in error.exceptions]
    return next((inner for inner in flat if not isinstance(inner, XintuError)), flat[0])


def _is_foreign(thread: threading.Thread) -> bool:
    return thread is not threading.main_thread() and thread.is_alive()


def _flush() -> str:
    """Flush what there is; return why stdout does not take it, "" if it does.

    A reader that went away is no news any more.
    """
    unwritten = ""
    for stream in (sys.stdout, sys.stderr):
        if stream is None or stream.closed:
            continue
        try:
            stream.flush()
        except OSError as error:
            if stream is sys.stdout and not isinstance(error, BrokenPipeError):
                unwritten = error.strerror or str(error)
            # Else the interpreter tries again on its way out, and complains.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return unwritten


def _unwritable(reason: str) -> str:
    return f"cannot write to stdout: {reason}. Free some space, or write somewhere else."
