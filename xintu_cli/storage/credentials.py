"""Where a MySQL password comes from, so that it need not stand in a URL.

In this order: the URL, `XINTU_CACHE_PASSWORD`, the option file ~/.my.cnf (groups [xintu] and
[client]), the system's keyring (service `xintu`, name `user@host:port`).
"""

from __future__ import annotations

import configparser
import getpass
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from xintu_cli.storage.urls import MysqlAddress

PASSWORD_VARIABLE = "XINTU_CACHE_PASSWORD"  # noqa: S105 - the variable's name
KEYRING_SERVICE = "xintu"
_GROUPS = ("client", "xintu")


def with_credentials(
    address: MysqlAddress,
    environ: Mapping[str, str] = os.environ,
    option_file: Path | None = None,
) -> MysqlAddress:
    """Return the address with a user and a password; asks the keyring last, as it is slow."""
    options = _read_options(option_file or Path("~/.my.cnf").expanduser())
    user = address.user or options.get("user") or getpass.getuser()
    password = address.password
    if password is None:
        password = environ.get(PASSWORD_VARIABLE)
    if password is None:
        password = options.get("password")
    if password is None:
        password = _ask_keyring(f"{user}@{address.host}:{address.port}")
    return replace(address, user=user, password=password or "")


def _read_options(path: Path) -> dict[str, str]:
    """Read user and password from a MySQL option file; a later group wins over an earlier.

    `!include` lines are left out, names without a value are allowed: see the manual of
    `my_print_defaults`.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
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
                found[name] = _unquoted(value)
    return found


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value


def _ask_keyring(name: str) -> str | None:
    """Ask the keyring; a machine without one has no password there."""
    import keyring
    from keyring.errors import KeyringError

    try:
        return keyring.get_password(KEYRING_SERVICE, name)
    except KeyringError:
        return None
