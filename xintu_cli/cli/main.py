"""The command line: one Typer app, a file a command, `exits` around it all.

Commands import what they need when they run: `xintu --help` knows neither settings nor
providers (a budget of 150 ms, of which typer takes 80).
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Annotated

import typer

from xintu_cli.cli import (
    cache,
    classify,
    config,
    doctor,
    evaluate,
    exits,
    export,
    label,
    models,
    report,
    stats,
)
from xintu_cli.errors import OutputError

app = typer.Typer(
    name="xintu",
    help=(
        "Classify photo folders in batch. Every photo is looked up in a cache first, so none "
        "is paid for twice; without an account a local model does the work."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Rich help imports a Markdown parser: 170 ms, more than everything else of `--help`.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="classify", short_help="Classify photos; what is known costs nothing.")(
    classify.classify
)
app.command(name="export", short_help="Write the labels as CSV or JSON.")(export.export)
app.command(name="label", short_help="Say what photos are.")(label.label)
app.command(name="report", short_help="Write a page with gallery and charts.")(report.report)
app.command(name="stats", short_help="Show the past at a glance.")(stats.stats)
app.command(name="evaluate", short_help="Measure how right the answers are.")(evaluate.evaluate)
app.command(name="doctor", short_help="Check everything a run stands on.")(doctor.doctor)
app.add_typer(cache.app)
app.add_typer(models.app)
app.add_typer(config.app)


def _show_version(wanted: bool) -> None:
    if wanted:
        from xintu_cli.cli.version import version_lines

        for line in version_lines():
            typer.echo(line)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version, and those it stands on, and exit.",
        ),
    ] = False,
) -> None:
    """Classify photo folders in batch."""


def main() -> None:
    """Run the command line; never returns."""
    fill_standard_descriptors()
    _prepare_stdout()
    exits.leave(app)


def fill_standard_descriptors() -> None:
    """Open the null device where a standard stream is closed (`2>&-`).

    Else the next file of ours would get its number, and what a C library has to say would be
    written into that.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number is this one


def _prepare_stdout() -> None:
    """Have what the locale's encoding lacks (照片 in Latin-1) written as JSON spells it.

    A figure is never lost to a file's name; and it is JSON still where it was.
    """
    codecs.register_error("xintu-spelled-out", _spelled_out)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="xintu-spelled-out")
    elif sys.stdout is None:  # started with `>&-`
        sys.stdout = _ClosedStdout()


class _ClosedStdout(io.TextIOBase):
    """Stands where there is no stdout: what was asked for is an output that cannot be written."""

    def write(self, text: str) -> int:
        if text:
            raise OutputError("cannot write to stdout: it is closed. Write somewhere else.")
        return 0


def _spelled_out(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # nothing is read from stdout
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return "".join(f"\\u{pair}" for pair in pairs), error.end
