"""Text that others wrote (file names, model answers), made safe to show and to store.

In: bytes of a path, or text from a model or a database. Out: text without a character that
could act on a terminal, a spreadsheet or a UTF-8 encoder. `display_text` is for people;
`path_text` and `path_from_text` are exact in both directions, for files that programs read.
"""

from __future__ import annotations

import json
import shlex
import unicodedata
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

_ACTING_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Emoji families and Persian words are spelled with the two joiners; neither moves a cursor
# nor turns the writing direction.
_JOINERS = frozenset("\u200c\u200d")
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# The last four are the full-width = + - @, which spreadsheets understand as well.
_FORMULA_STARTS = frozenset("=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20")
_GUARD = "'"
_URI_SCHEME = "file:"


def display_text(text: str | bytes) -> str:
    r"""Return `text` with every acting character spelled out: `\x1b`, `\n`, `\u202e`.

    Acting are controls (C0, DEL, C1), bidirectional and other format controls, line and
    paragraph separators, lone surrogates, and bytes that are not UTF-8. For people only:
    a backslash stands for itself, so the result cannot be read back.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    return _escape_acting(text)


def shell_word(path: bytes) -> str:
    """Return `path` as one word that can be pasted into a shell, free of acting characters."""
    text = path.decode("utf-8", "surrogateescape")
    shown = _escape_acting(text)
    if shown == text:
        return shlex.quote(text)
    # bash, zsh and ksh read $'…' with the very escapes that display_text writes.
    return "$'" + _escape_acting(text.replace("\\", "\\\\").replace("'", "\\'")) + "'"


def path_text(path: bytes) -> str:
    """Return a path as text that `path_from_text` turns back into exactly these bytes.

    A path in UTF-8 stands as it is. Any other becomes a file URI (RFC 8089) with its odd
    bytes percent-encoded, `file:///photos/%FF.jpg`; so does a relative path that starts
    with `file:`, which could otherwise be taken for one.
    """
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        return _file_uri(path)
    return _file_uri(path) if text.startswith(_URI_SCHEME) else text


def path_from_text(text: str) -> bytes:
    """Return the bytes of a path that `path_text` or `csv_path` wrote, or that a person did."""
    if not text.startswith(_URI_SCHEME):
        return text.encode("utf-8", "surrogateescape")
    rest = text.removeprefix(_URI_SCHEME)
    return unquote_to_bytes(rest.removeprefix("//"))


def csv_cell(text: str) -> str:
    """Return `text` as a cell that no spreadsheet takes for a formula.

    A cell that starts like one (in full-width signs too) gets a leading apostrophe, and so
    does one that starts like a guarded cell: `text_of_csv_cell` takes exactly one away.
    Acting characters other than a newline, which RFC 4180 quotes, are spelled out.
    """
    start = text[:1]
    if start == _GUARD:
        start = text.lstrip(_GUARD)[:1]
    return _escape_acting(_GUARD + text if start in _FORMULA_STARTS else text, keep="\n")


def text_of_csv_cell(cell: str) -> str:
    """Take the apostrophe away that `csv_cell` put before a formula start."""
    guarded = cell.startswith(_GUARD) and cell.lstrip(_GUARD)[:1] in _FORMULA_STARTS
    return cell[1:] if guarded else cell


def csv_path(path: bytes) -> str:
    """Return a path as a CSV cell: like `path_text`, but acting characters make it a URI.

    A newline stays: RFC 4180 quotes it.
    """
    text = path_text(path)
    acts = _escape_acting(text, keep="\n") != text
    return _file_uri(path) if acts else csv_cell(text)


def json_text(value: Any, *, indent: int | None = None) -> str:
    r"""Return `value` as JSON that reads well and is exact, its acting characters as `\uXXXX`.

    Chinese stays legible; a lone surrogate does not break the encoder; printed to a terminal
    nothing in it acts.
    """
    encoder = _INDENTED if indent else _COMPACT
    text = encoder.encode(value)
    if text.isprintable():
        return text
    # json itself escapes newlines inside strings: one that is left is layout.
    return "".join(c if c == "\n" or not _acts(c) else json.dumps(c)[1:-1] for c in text)


_COMPACT = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_INDENTED = json.JSONEncoder(ensure_ascii=False, allow_nan=False, indent=2)


def encodable(text: str, encoding: str) -> str:
    r"""Return `text` with what `encoding` cannot write as `\uXXXX`."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _escape_acting(text: str, *, keep: str = "") -> str:
    if text.isprintable():
        return text
    return "".join(c if c in keep or not _acts(c) else _spelled_out(c) for c in text)


def _acts(character: str) -> bool:
    return unicodedata.category(character) in _ACTING_CATEGORIES and character not in _JOINERS


def _spelled_out(character: str) -> str:
    short = _SHORT_ESCAPES.get(character)
    if short:
        return short
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how surrogateescape carries a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _file_uri(path: bytes) -> str:
    authority = "//" if path.startswith(b"/") else ""
    return _URI_SCHEME + authority + quote_from_bytes(path, safe="/")
