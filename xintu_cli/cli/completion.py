"""The values that a shell completes; each is imported and read only when Tab asks for it.

In: what was typed of a word. Out: the words it may become. A configuration that is wrong is told
by the command, not in the middle of a line that somebody types.
"""

from __future__ import annotations

from collections.abc import Iterable


def policies(incomplete: str) -> list[str]:
    """Complete `--policy`."""
    from xintu_cli.routing import Policy

    return _matching(Policy, incomplete)


def refreshes(incomplete: str) -> list[str]:
    """Complete `--refresh`."""
    from xintu_cli.routing import Refresh

    return _matching(Refresh, incomplete)


def languages(incomplete: str) -> list[str]:
    """Complete `--lang`."""
    return _matching(("en", "zh"), incomplete)


def categories(incomplete: str) -> list[str]:
    """Complete a category of the taxonomy that the configuration names."""
    from xintu_cli.cli.session import open_session
    from xintu_cli.errors import XintuError

    try:
        taxonomy = open_session({}).workspace.taxonomy
    except XintuError:
        return []
    return _matching((category.key for category in taxonomy.categories), incomplete)


def providers(incomplete: str) -> list[str]:
    """Complete the providers that are known by name, and those of the configuration."""
    from xintu_cli.cli.session import open_session
    from xintu_cli.errors import XintuError
    from xintu_cli.providers.catalog import CATALOG

    known = [entry.name for entry in CATALOG]
    try:
        chosen = open_session({}).workspace.settings.chosen_providers
    except XintuError:
        chosen = ()
    return _matching(dict.fromkeys([*chosen, *known]), incomplete)


def _matching(words: Iterable[str], incomplete: str) -> list[str]:
    return [str(word) for word in words if word and str(word).startswith(incomplete)]
