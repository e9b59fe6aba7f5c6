"""What a command that only reads says of the directories it could not look into."""

from __future__ import annotations

from xintu_cli.cli.exits import say
from xintu_cli.errors import ExitCode
from xintu_cli.reporting.command_phrases import Deed
from xintu_cli.reporting.escape import display_text
from xintu_cli.reporting.phrases import Say
from xintu_cli.stages.walk import WalkReport

_NAMED = 10


def tell_of_unread(report: WalkReport, tell: Say) -> ExitCode:
    """Name the directories whose photos are missing; return the exit code that follows."""
    for path, reason in report.problems[:_NAMED]:
        say(f"{display_text(path)}: {reason}")
    if len(report.problems) > _NAMED:
        say(tell(Deed.MORE, n=len(report.problems) - _NAMED))
    return ExitCode.SOME_FAILED if report.problems else ExitCode.DONE
