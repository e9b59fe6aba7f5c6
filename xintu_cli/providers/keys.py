"""Find a provider's key: in the environment, a file that only its owner reads, or the keyring.

Out: an `ApiKey`, or a `ConfigurationError` that says where the key was looked for and what to
do. No message ever holds a part of what was found.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from xintu_cli.errors import ConfigurationError
from xintu_cli.locations import expand_home
from xintu_cli.providers.profile import ApiKey

KEYRING_SERVICE = "xintu"
"""`keyring set xintu NAME` stores the key of the provider NAME."""

_LONGEST_KEY = 4096
_PLACEHOLDER = re.compile(
    r"(sk-)?(x{3,}|\.{3,}|\*{3,}|<.*>|your[-_ ].*|my[-_ ]?api[-_ ]?key|changeme|replace[-_ ]?me"
    r"|api[-_ ]?key|todo|none|null)\Z",
    re.IGNORECASE,
)


def find_key(
    *,
    provider: str,
    environ: Mapping[str, str],
    variable: str,
    file: Path | None = None,
    required: bool = True,
) -> ApiKey:
    """Return the provider's key from the first place that has one.

    `required` is False for servers on this machine, which often want none: the key is then
    empty where none is found, and may be any word.
    """
    checked = partial(_checked, provider=provider, any_word=not required)
    if value := environ.get(variable, "").strip():
        return checked(value, place=f"the environment variable {variable}")
    if file is not None:
        return checked(_read_private(file), place=f"the key file {file}")
    value, trouble = _from_keyring(provider)
    if value:
        return checked(value, place=f"the keyring ({KEYRING_SERVICE})")
    if not required:
        return ApiKey("")
    raise ConfigurationError(
        f"there is no API key for the provider {provider}{trouble}. Set {variable}, "
        "name a file with api_key_file, or store it with "
        f"`keyring set {KEYRING_SERVICE} {provider}`."
    )


def _checked(value: str, *, provider: str, any_word: bool, place: str) -> ApiKey:
    """Refuse what cannot be a key before it costs a call: it came from a slip of the hand."""

    def wrong(what: str) -> ConfigurationError:
        return ConfigurationError(
            f"the API key of the provider {provider} in {place} {what}. Correct it there."
        )

    key = value.strip()
    if not key:
        raise wrong("is empty")
    if len(key) > _LONGEST_KEY:
        raise wrong(f"is longer than {_LONGEST_KEY} characters: that is no key")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise wrong("has spaces, line breaks or other characters that no key has")
    if _PLACEHOLDER.match(key) and not any_word:
        raise wrong("is a placeholder")
    return ApiKey(key)


def _read_private(file: Path) -> str:
    try:
        with expand_home(file).open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            content = opened.read(_LONGEST_KEY + 2)
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the key file {file}: {error.strerror}. Check api_key_file."
        ) from error
    # Windows keeps permissions elsewhere; its mode bits say nothing about other readers.
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(
            f"the key file {file} can be read by others (mode {stat.S_IMODE(mode):04o}). "
            f"Close it: chmod 600 {file}"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # The error itself would show the bytes of what may well be a key.
        raise ConfigurationError(
            f"the key file {file} is not text. It must hold the key and nothing else."
        ) from None


def _from_keyring(provider: str) -> tuple[str, str]:
    """Ask the system's keyring, where there is one; return the key, and what kept it from us."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return "", ""
    try:
        return (keyring.get_password(KEYRING_SERVICE, provider) or "").strip(), ""
    except KeyringError:
        # A server has no keyring daemon: then the key is nowhere, which the caller says.
        return "", ""
    except Exception as error:  # noqa: BLE001 - a backend raises what its own libraries raise
        # Its words are not shown: nobody knows what is in them.
        return "", f", and the keyring cannot be asked ({type(error).__name__})"
