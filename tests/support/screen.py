"""A small terminal: interprets what a display writes, folds lines when it is made narrower.

It knows what a live display uses (text, CR, LF, cursor up, erase line, styles, the cursor's
visibility) and refuses everything else, so that no stray escape code goes unseen.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field

from rich.cells import cell_len

_TOKEN = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|([\r\n])|([^\x00-\x1f\x7f]+)")


@dataclass
class _Row:
    """Cells (a wide character's second one is empty); `continued`: folded into the next row."""

    cells: list[str] = field(default_factory=list)
    continued: bool = False


class Screen(io.StringIO):
    """A terminal as a stream. Rows that have scrolled off the top cannot be reached again."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__()
        self.width = width
        self.height = height
        self.cursor_is_visible = True
        self._rows = [_Row()]
        self._row = 0
        self._column = 0

    @property
    def encoding(self) -> str:  # type: ignore[override]  # StringIO says None
        """Be a UTF-8 terminal."""
        return "utf-8"

    def isatty(self) -> bool:
        """Be a terminal."""
        return True

    def lines(self) -> list[str]:
        """Return all rows, the scrolled ones first, without trailing blanks."""
        rows = ["".join(row.cells).rstrip() for row in self._rows]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def write(self, text: str) -> int:
        """Interpret text; raise `AssertionError` at what no display should write."""
        position = 0
        for token in _TOKEN.finditer(text):
            assert token.start() == position, f"unknown code in {text[position:][:20]!r}"
            position = token.end()
            parameter, code, control, words = token.groups()
            if code:
                self._obey(parameter, code)
            elif control:
                self._column = 0
                if control == "\n":
                    self._down()
            else:
                for character in words:
                    self._put(character)
        assert position == len(text), f"unknown code in {text[position:][:20]!r}"
        return len(text)

    def resize(self, width: int, height: int) -> None:
        """Fold and unfold lines as terminals do; the cursor stays with its text."""
        rows, self._rows = self._rows, []
        cursor = self._row
        self.width, self.height = width, height
        line: list[str] = []
        place = 0
        for number, row in enumerate(rows):
            if number == cursor:
                place = len(line) + self._column
                self._row = -1
            line += row.cells
            if row.continued:
                continue
            first = len(self._rows)
            self._fold(line)
            if self._row < 0:
                self._find_cursor(first, place)
            line = []

    def _fold(self, line: list[str]) -> None:
        """Append a line's rows: the last ones of the screen."""
        self._rows.append(_Row())
        for number, cell in enumerate(line):
            is_wide = number + 1 < len(line) and line[number + 1] == ""
            if cell and len(self._rows[-1].cells) + 1 + is_wide > self.width:
                self._rows[-1].continued = True
                self._rows.append(_Row())
            self._rows[-1].cells.append(cell)

    def _find_cursor(self, first: int, place: int) -> None:
        """Put the cursor behind `place` cells of the line that starts in row `first`."""
        self._row = first
        while self._rows[self._row].continued and place > len(self._rows[self._row].cells):
            place -= len(self._rows[self._row].cells)
            self._row += 1
        self._column = place

    def _obey(self, parameter: str, code: str) -> None:
        if code == "m":
            return
        if code == "A":
            top = max(0, len(self._rows) - self.height)
            self._row = max(top, self._row - int(parameter or 1))
        elif code == "K" and parameter == "2":
            self._rows[self._row] = _Row()
        elif parameter == "?25":
            self.cursor_is_visible = code == "h"
        else:
            raise AssertionError(f"unknown code {parameter}{code}")

    def _put(self, character: str) -> None:
        cells = [character] + [""] * (cell_len(character) - 1)
        if self._column + len(cells) > self.width:
            self._rows[self._row].continued = True
            self._column = 0
            self._down()
        row = self._rows[self._row].cells
        row += [" "] * (self._column - len(row))
        row[self._column : self._column + len(cells)] = cells
        self._column += len(cells)

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self._rows):
            self._rows.append(_Row())
