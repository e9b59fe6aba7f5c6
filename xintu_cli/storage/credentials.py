"""Where a MySQL password comes from, so that it need not stand in a URL.

In this order: the URL, `XINTU_CACHE_PASSWORD`, the option file ~/.my.cnf (groups [xintu] and
[client]), the system's keyring (service `xintu`, name `user@host:port`).
"""

from __future__ import annotations

import configparser
import getpass
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from xintu_cli.errors import ConfigurationError
from xintu_cli.locations import expand_home
from xintu_cli.storage.urls import MysqlAddress

PASSWORD_VARIABLE = "XINTU_CACHE_PASSWORD"  # noqa: S105 - the variable's name
KEYRING_SERVICE = "xintu"
_GROUPS = ("client", "xintu")
_QUOTED = re.compile(r"""(['"])((?:\\.|(?!\1).)*)\1\s*(?:#.*)?$""")
_ESCAPED = {"s": " ", "t": "\t", "n": "\n", "r": "\r", "b": "\b"} | {c: c for c in "\\'\""}
_ESCAPE = re.compile(r"""\\([stnrb\\'"])""")


def with_credentials(
    address: MysqlAddress,
    environ: Mapping[str, str] = os.environ,
    option_file: Path | None = None,
) -> MysqlAddress:
    """Return the address with a user and a password; asks the keyring last, as it is slow."""
    options = _read_options(option_file or expand_home("~/.my.cnf"))
    user = address.user or options.get("user") or _own_name(address)
    password = address.password
    if password is None:
        # Set to nothing, it is taken for not set, as everywhere.
        password = environ.get(PASSWORD_VARIABLE) or None
    if password is None:
        password = options.get("password")
    if password is None:
        password = _ask_keyring(f"{user}@{address.host}:{address.port}")
    return replace(address, user=user, password=password or "")


def _own_name(address: MysqlAddress) -> str:
    """Return the name of whoever runs this, as the mysql client does."""
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        # In a container, under a number that has no name.
        raise ConfigurationError(
            f"the cache {address.url} names no user, and the one who runs this has no name. "
            "Use mysql://user@host/database."
        ) from error


def _read_options(path: Path) -> dict[str, str]:
    """Read user and password from a MySQL option file; a later group wins over an earlier.

    `!include` lines are left out, names without a value are allowed: see the manual of
    `my_print_defaults`.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return {}
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("!")]
    parser = configparser.RawConfigParser(allow_no_value=True, strict=False)
    try:
        parser.read_string("\n".join(lines))
    except configparser.Error:
        return {}
    found: dict[str, str] = {}
    for group in _GROUPS:
        for name in ("user", "password"):
            value = parser.get(group, name, fallback=None)
            if value is not None:
                found[name] = _option_value(value)
    return found


def _option_value(text: str) -> str:
    r"""Read a value as the mysql client does: `"a#b"  # a comment`, `\s` for a blank."""
    quoted = _QUOTED.match(text)
    value = quoted[2] if quoted else text.partition("#")[0].rstrip()
    return _ESCAPE.sub(lambda found: _ESCAPED[found[1]], value)


def _ask_keyring(name: str) -> str | None:
    """Ask the keyring; a machine without one has no password there."""
    import keyring
    from keyring.errors import KeyringError

    try:
        return keyring.get_password(KEYRING_SERVICE, name)
    except KeyringError:
        return None
    except Exception as error:
        # Its words are not shown: nobody knows what is in them.
        raise ConfigurationError(
            f"cannot ask the keyring for the password of {name}: its backend fails "
            f"({type(error).__name__}). Mend it (`keyring diagnose`), or set {PASSWORD_VARIABLE}."
        ) from error
