"""Leave the process: the only place that exits, and the only broad `except`.

In: whatever a command raises. Out: one message on stderr and the exit code of the error tree.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

from xintu_cli.errors import ExitCode, XintuError

INTERRUPTED = 130


def leave(command: Callable[[], object]) -> NoReturn:
    """Run `command` and exit with what it comes to."""
    code: int
    try:
        command()
        code = ExitCode.DONE
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except KeyboardInterrupt:
        say("interrupted.")
        code = INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough: `xintu export … | head`.
        code = ExitCode.DONE
    except BaseException as error:  # noqa: BLE001  # the one place that may
        code = _explain(error)
    _flush()
    if any(not thread.daemon for thread in threading.enumerate() if _is_foreign(thread)):
        # A thread hangs in a read of a dead disk, or in a call that was given up; everything
        # is stored by now, and waiting for that thread could take for ever.
        os._exit(code)
    sys.exit(code)


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


def _explain(error: BaseException) -> int:
    """Say what went wrong; return the exit code."""
    single = first_error(error)
    if isinstance(single, XintuError):
        from xintu_cli.reporting.escape import display_text

        say(display_text(str(single)))
        if "--debug" in sys.argv:
            traceback.print_exception(error)
        return int(single.exit_code)
    if isinstance(single, KeyboardInterrupt):
        say("interrupted.")
        return INTERRUPTED
    if isinstance(single, BrokenPipeError):
        return int(ExitCode.DONE)
    traceback.print_exception(error)
    say("this is a bug in xintu; please report it with the lines above.")
    return int(ExitCode.BUG)


def first_error(error: BaseException) -> BaseException:
    """Return the error that a group is about: ours before others, the first before the rest."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    flat = [first_error(inner) for inner in error.exceptions]
    return next((inner for inner in flat if not isinstance(inner, XintuError)), flat[0])


def _is_foreign(thread: threading.Thread) -> bool:
    return thread is not threading.main_thread() and thread.is_alive()


def _flush() -> None:
    """Flush what there is; a reader that went away is no news any more."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None or stream.closed:
            continue
        try:
            stream.flush()
        except OSError:
            # Else the interpreter tries again on its way out, and complains.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
