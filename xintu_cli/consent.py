"""The user's word on where photos may go, by host: asked for once on a terminal, remembered.

In: `consent.json` of the state directory and the environment's keys. Out: the settings that
follow from them. It counts only where nothing else says a policy or a provider.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from xintu_cli.configuration import DEFAULT, Configuration
from xintu_cli.errors import ConfigurationError, StorageError
from xintu_cli.providers.catalog import CatalogEntry, default_providers
from xintu_cli.providers.endpoint import host_of
from xintu_cli.routing import Policy


class Word(NamedTuple):
    """What was answered about one host, and on which day (ISO 8601)."""

    allowed: bool
    day: str


Words = Mapping[str, Word]
"""Host (with its port where it has one) to what was answered."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the providers whose key lies in the environment stand with the user.

    `allowed` may be sent photos; `open` are to be asked about, which is done only while none
    is allowed: whoever has said yes once is not asked about every further key.
    """

    allowed: tuple[CatalogEntry, ...]
    open: tuple[CatalogEntry, ...]


def read_words(path: Path) -> Words:
    """Read what was answered; nothing where there is no file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise _unclear(path) from error
    except OSError as error:
        raise StorageError(
            f"cannot read {path}: {error.strerror}. Check its permissions."
        ) from error
    try:
        return {
            host: Word(_yes_or_no(word["allowed"]), str(word["day"]))
            for host, word in json.loads(text).items()
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unclear(path) from error


def in_words(words: Words) -> str:
    """Say what was answered, for a person; nothing where nothing was."""
    return ", ".join(
        f"photos {'may' if word.allowed else 'must not'} be sent to {host} (said on {word.day})"
        for host, word in sorted(words.items())
    )


def remember(path: Path, hosts: Iterable[str], word: Word) -> None:
    """Add one word about these hosts to the file; it is replaced as a whole, or not at all."""
    words = {**read_words(path), **dict.fromkeys(hosts, word)}
    temporary = path.with_name(f".{path.name}.new")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            json.dump({host: said._asdict() for host, said in words.items()}, f, indent=2)
        temporary.replace(path)
    except OSError as error:
        raise StorageError(
            f"cannot remember the answer in {path}: {error.strerror}. "
            "Say it with --policy, or in your configuration."
        ) from error


def standing(configuration: Configuration, words: Words, environ: Mapping[str, str]) -> Standing:
    """Part the environment's providers by what was answered; none where a policy was chosen."""
    if configuration.origins["policy"] != DEFAULT:
        return Standing((), ())
    entries = default_providers(environ)
    allowed = tuple(e for e in entries if (word := words.get(host_of(e.base_url))) and word.allowed)
    unasked = tuple(e for e in entries if host_of(e.base_url) not in words)
    return Standing(allowed, () if allowed else unasked)


def with_consent(
    configuration: Configuration, allowed: Iterable[CatalogEntry], origin: str
) -> Configuration:
    """Return the configuration of a user who lets photos go to these providers, if any."""
    names = tuple(entry.name for entry in allowed)
    if not names:
        return configuration
    update = {"policy": Policy.HYBRID, "provider": names}
    return replace(
        configuration,
        settings=configuration.settings.model_copy(update=update),
        origins={**configuration.origins, **dict.fromkeys(update, origin)},
    )


def _unclear(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{path} does not say where photos may be sent. Delete it, to be asked again."
    )


def _yes_or_no(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("neither yes nor no")
    return value
