"""The closed list of categories, and the fingerprint of what an answer is an answer to.

In: a TOML file (`configs/taxonomies/xintu.toml` shows the form). Out: a frozen `Taxonomy`.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import xxhash

from xintu_cli.errors import ConfigurationError, UsageError
from xintu_cli.locations import expand_home
from xintu_cli.resources import data_directory

HASH_VERSION = 1
"""Version of the image hash (`imaging.identity`): part of the task, since a new way of
hashing makes new identities."""

_KEY = re.compile(r"[a-z0-9][a-z0-9_]{0,63}\Z")
_MOST_CATEGORIES = 200
_LONGEST_NAME = 64
"""Of a taxonomy: a person's word is stored under it."""
_TOP_LEVEL_KEYS = {"name", "fallback", "keep_local", "category"}
_CATEGORY_KEYS = {"key", "en", "zh", "description"}


@dataclass(frozen=True, slots=True)
class Category:
    """One category: `key` is stored and exported, the names are shown, the description asks."""

    key: str
    en: str
    zh: str
    description: str

    def name(self, language: str) -> str:
        """Return the name to show in `language` ("zh", else English)."""
        return self.zh if language == "zh" else self.en


@dataclass(frozen=True)
class Taxonomy:
    """A closed list of categories; `fallback` is the key for whatever fits nowhere else."""

    name: str
    categories: tuple[Category, ...]
    fallback: str
    keep_local: tuple[str, ...] = ()

    @cached_property
    def keys(self) -> frozenset[str]:
        """The categories' keys."""
        return frozenset(category.key for category in self.categories)

    @cached_property
    def task(self) -> str:
        """16 hex digits: fingerprint of keys, descriptions and hash version.

        Names, order, prompt wording, provider and model are not in it: changing them must
        not bill a library again.
        """
        question = sorted((c.key, c.description) for c in self.categories)
        canonical = json.dumps([HASH_VERSION, question], ensure_ascii=False, separators=(",", ":"))
        return xxhash.xxh3_64_hexdigest(canonical.encode())

    def __getitem__(self, key: str) -> Category:
        return self._by_key[key]

    def __contains__(self, key: object) -> bool:
        return key in self.keys

    def display_name(self, key: str, language: str) -> str:
        """Return the name to show for a key; a key that is not in the list shows as itself."""
        category = self._by_key.get(key)
        return category.name(language) if category else key

    def require(self, key: str, *, purpose: str) -> str:
        """Return `key` if it is a category, else raise `UsageError` naming the nearest one.

        A display name in either language is understood too.
        """
        try:
            return self.find(key)
        except UsageError as error:
            raise UsageError(f"{purpose}: {error}") from None

    def find(self, key: str) -> str:
        """Do as `require` does, for whoever says himself what the category is for."""
        wanted = key.strip()
        folded = wanted.casefold()
        if folded in self.keys:
            return folded
        for category in self.categories:
            if folded in (category.en.casefold(), category.zh.casefold()):
                return category.key
        near = get_close_matches(folded, sorted(self.keys), n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]}?" if near else f"It has: {', '.join(sorted(self.keys))}."
        raise UsageError(f"the taxonomy {self.name} has no category {wanted!r}. {hint}")

    @cached_property
    def _by_key(self) -> dict[str, Category]:
        return {category.key: category for category in self.categories}


def load_taxonomy(name_or_path: str) -> Taxonomy:
    """Read a taxonomy that ships with xintu by name, or any other from its file.

    Raises `ConfigurationError` naming the file and what is wrong with it.
    """
    path = _find(name_or_path)
    try:
        # -sig: editors on Windows begin a file with a byte order mark, which TOML does not know.
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the taxonomy {path}: {error.strerror}. Check the path."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the taxonomy {path} is not TOML: {error}. Correct it there."
        ) from error
    return parse_taxonomy(document, origin=str(path), default_name=path.stem)


def parse_taxonomy(document: dict[str, Any], *, origin: str, default_name: str) -> Taxonomy:
    """Build a taxonomy from a parsed document; `origin` is named in every error."""

    def wrong(what: str) -> ConfigurationError:
        return ConfigurationError(f"the taxonomy {origin} is wrong: {what}.")

    _refuse_unknown(document, _TOP_LEVEL_KEYS, wrong)
    rows = document.get("category")
    if not isinstance(rows, list) or len(rows) < 2:
        raise wrong("it needs at least two [[category]] tables")
    if len(rows) > _MOST_CATEGORIES:
        raise wrong(f"it has {len(rows)} categories, at most {_MOST_CATEGORIES} make a question")
    categories = tuple(_category(row, number, wrong) for number, row in enumerate(rows, 1))
    keys = [category.key for category in categories]
    for key in keys:
        if keys.count(key) > 1:
            raise wrong(f"the key {key!r} stands there {keys.count(key)} times")
    fallback = document.get("fallback", "other")
    if fallback not in keys:
        raise wrong(f"its fallback {fallback!r} is none of its categories")
    keep_local = document.get("keep_local", [])
    if not isinstance(keep_local, list) or any(key not in keys for key in keep_local):
        raise wrong("keep_local must be a list of its categories' keys")
    name = document.get("name", default_name)
    if not isinstance(name, str) or not name.strip():
        raise wrong("its name must be a text")
    if len(name) > _LONGEST_NAME:
        raise wrong(f"its name has {len(name)} letters, at most {_LONGEST_NAME} are kept")
    return Taxonomy(name.strip(), categories, fallback, tuple(keep_local))


def _find(name_or_path: str) -> Path:
    """Tell a name that ships with xintu from a file, which has a suffix or a separator."""
    looks_like_file = name_or_path.endswith(".toml") or "/" in name_or_path or "\\" in name_or_path
    if looks_like_file:
        return expand_home(name_or_path)
    shipped = data_directory("configs") / "taxonomies"
    path = shipped / f"{name_or_path}.toml"
    if path.is_file():
        return path
    names = sorted(p.stem for p in shipped.glob("*.toml"))
    raise ConfigurationError(
        f"there is no taxonomy {name_or_path!r}: xintu ships {', '.join(names)}. "
        "Name one of them, or a .toml file of your own."
    )


def _category(row: Any, number: int, wrong: Any) -> Category:
    if not isinstance(row, dict):
        raise wrong(f"category {number} is not a table")
    _refuse_unknown(row, _CATEGORY_KEYS, wrong, where=f" in category {number}")
    values: dict[str, str] = {}
    for field in ("key", "en", "zh", "description"):
        value = row.get(field, row.get("en", row.get("key", "")) if field != "key" else None)
        if not isinstance(value, str) or not value.strip():
            raise wrong(f"category {number} needs a {field} that is a text")
        values[field] = " ".join(value.split())
    if not _KEY.match(values["key"]):
        raise wrong(f"the key {values['key']!r} must be lower-case letters, digits and _")
    return Category(**values)


def _refuse_unknown(table: dict[str, Any], known: set[str], wrong: Any, where: str = "") -> None:
    for key in table:
        if key not in known:
            near = get_close_matches(key, sorted(known), n=1)
            hint = f", did you mean {near[0]}?" if near else ""
            raise wrong(f"unknown key {key!r}{where}{hint}")
