"""Exported rows: one a path, as CSV, JSON or JSON lines, in one step and in flat memory.

In: a target, a format and `ExportRow`s. Out: the file. Text in a CSV is made harmless to
spreadsheets (`escape.csv_cell`); JSON keeps it exact.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from xintu_cli.errors import UsageError
from xintu_cli.reporting.escape import csv_cell, csv_path, display_text, json_text, path_text
from xintu_cli.reporting.outputs import Output, Target, open_output

_BYTE_ORDER_MARK = "\ufeff"
# float32 models carry seven digits: 0.9 is not to be shown as 0.8999999761581421.
_CONFIDENCE_DIGITS = 6


class ExportFormat(StrEnum):
    """The formats of an export; each is its files' suffix, too."""

    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"


class ExportRow(NamedTuple):
    """What is exported of one path, in the order of the columns.

    A photo without an answer has an empty category; `confidence` and `classified_at` (aware)
    are None then. `taken_at` is the camera's naive ISO 8601 time.
    """

    path: bytes
    image_hash: str
    category: str
    category_name: str
    confidence: float | None
    description: str
    second_category: str | None
    background_color: str | None
    source: str
    provisional: bool
    provider: str
    model: str
    classified_at: datetime | None
    size_bytes: int
    width: int | None
    height: int | None
    taken_at: str | None


class ExportWriter(Protocol):
    """Whatever rows are written to."""

    def write(self, row: ExportRow) -> None:
        """Write one row; raise `OutputError`."""


def format_for(path: Path, *, remedy: str = "") -> ExportFormat:
    """Return the format that a file's suffix names; raise `UsageError` where it names none.

    `remedy`: what else there is to do about it, beside another suffix.
    """
    suffix = path.suffix.removeprefix(".").lower()
    try:
        return ExportFormat(suffix)
    except ValueError:
        name = display_text(str(path))
        known = ", ".join(f".{format_}" for format_ in ExportFormat)
        raise UsageError(
            f"cannot tell the format of {name}: its suffix is none of {known}. "
            f"Use one of these{remedy}."
        ) from None


@contextmanager
def open_export(target: Target, format_: ExportFormat) -> Iterator[ExportWriter]:
    """Open an export; the target is replaced on leaving without an exception.

    Raises `OutputError` where it cannot be written; see `outputs.open_output`.
    """
    with open_output(target) as output:
        match format_:
            case ExportFormat.CSV:
                # Excel takes a file without the mark for the local 8-bit code page; a pipe's
                # reader would take the mark for a part of the first column's name.
                output.write("" if target == "-" else _BYTE_ORDER_MARK)
                yield _CsvWriter(output)
            case ExportFormat.JSON:
                writer = _JsonWriter(output)
                yield writer
                writer.end()
            case ExportFormat.JSONL:
                yield _JsonLinesWriter(output)


class _CsvWriter:
    """RFC 4180: CRLF, quotes where needed; None is an empty cell."""

    def __init__(self, output: Output) -> None:
        self._write_cells = csv.writer(output, lineterminator="\r\n").writerow
        self._write_cells(ExportRow._fields)

    def write(self, row: ExportRow) -> None:
        values = _plain_values(row)
        cells = [csv_cell(v) if isinstance(v, str) else v for v in values]
        cells[0] = csv_path(row.path)
        cells[_PROVISIONAL] = "true" if row.provisional else "false"
        self._write_cells(cells)


class _JsonWriter:
    """One array, a row a line."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._before = "[\n"

    def write(self, row: ExportRow) -> None:
        self._output.write(self._before + _json_row(row))
        self._before = ",\n"

    def end(self) -> None:
        self._output.write("[]\n" if self._before == "[\n" else "\n]\n")


class _JsonLinesWriter:
    """One object a line."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def write(self, row: ExportRow) -> None:
        self._output.write(_json_row(row) + "\n")


_PROVISIONAL = ExportRow._fields.index("provisional")


def _json_row(row: ExportRow) -> str:
    return json_text(dict(zip(ExportRow._fields, _plain_values(row), strict=True)))


def _plain_values(row: ExportRow) -> list[Any]:
    """Return the row's values in JSON's types."""
    values: list[Any] = list(row)
    values[0] = path_text(row.path)
    if row.confidence is not None:
        values[_CONFIDENCE] = round(row.confidence, _CONFIDENCE_DIGITS)
    if row.classified_at is not None:
        utc = row.classified_at.astimezone(UTC).replace(tzinfo=None)
        values[_CLASSIFIED_AT] = utc.isoformat(timespec="seconds") + "Z"
    return values


_CONFIDENCE = ExportRow._fields.index("confidence")
_CLASSIFIED_AT = ExportRow._fields.index("classified_at")
