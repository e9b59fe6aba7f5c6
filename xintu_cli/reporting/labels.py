"""Labels that a person keeps in a CSV, for `xintu label --from FILE`.

In: a CSV with a header that has the columns `path` and `category`: an export, as it was
written or edited in a spreadsheet, or any other. Out: the rows that name a category.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from xintu_cli.errors import UsageError
from xintu_cli.reporting.escape import display_text, path_from_text, text_of_csv_cell

_NEEDED = ("path", "category")


class LabelRow(NamedTuple):
    """A person's word on one path; `line` is where the row ends in the file, from 1."""

    path: bytes
    category: str
    line: int


def read_labels_csv(path: Path) -> Iterator[LabelRow]:
    """Stream the rows whose category is not empty.

    Commas, semicolons (Excel in half of Europe) and tabs separate; the header decides.
    Guarded cells and file URIs of an export are read back. Raises `UsageError`.
    """
    name = display_text(os.fsencode(path))
    try:
        # utf-8-sig takes Excel's mark away; newline="" leaves quoted newlines to csv.
        with path.open(encoding="utf-8-sig", newline="") as lines:
            header = lines.readline()
            separator = max(",;\t", key=header.count)
            columns = _columns(header, separator, name)
            yield from _rows(lines, separator, columns)
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read {name}: it is not UTF-8. Save it as CSV UTF-8.") from error
    except csv.Error as error:
        raise UsageError(f"cannot read {name}: {error}. Save it as CSV again.") from error


def _columns(header: str, separator: str, name: str) -> tuple[int, int]:
    """Find the two columns, whatever the others are."""
    names = [cell.strip().casefold() for cell in next(csv.reader([header], delimiter=separator))]
    missing = [column for column in _NEEDED if column not in names]
    if missing:
        raise UsageError(
            f"cannot use {name}: its first line has no column {' and no column '.join(missing)}. "
            "Give it a header with path and category."
        )
    return names.index("path"), names.index("category")


def _rows(lines: IO[str], separator: str, columns: tuple[int, int]) -> Iterator[LabelRow]:
    path_column, category_column = columns
    reader = csv.reader(lines, delimiter=separator, strict=True)
    for cells in reader:
        if len(cells) <= max(columns):
            continue
        path = text_of_csv_cell(cells[path_column])
        category = text_of_csv_cell(cells[category_column]).strip()
        if path and category:
            yield LabelRow(path_from_text(path), category, reader.line_num + 1)
