"""Read price tables: `configs/prices.toml`, and the user's own before it.

Raises `ConfigurationError` naming the file, the row and what is wrong with it.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from xintu_cli.errors import ConfigurationError
from xintu_cli.locations import expand_home
from xintu_cli.money.prices import FamilyRow, Price, PriceRow, PriceTable, Tier
from xintu_cli.money.tokens import Grid, Patches, Tiles
from xintu_cli.resources import data_directory


def load_prices(own: str = "") -> PriceTable:
    """Read the table that ships with xintu, and before it the user's own file, if any."""
    shipped = _read(data_directory("configs") / "prices.toml")
    return _read(expand_home(own)).followed_by(shipped) if own else shipped


def _read(path: Path) -> PriceTable:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the price table {path}: {error.strerror}. Check the path."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the price table {path} is not TOML: {error}. Correct it there."
        ) from error
    return parse_prices(document, origin=str(path))


def parse_prices(document: Mapping[str, Any], *, origin: str) -> PriceTable:
    """Build a table from a parsed document; `origin` is named in every error."""
    reader = _Reader(origin)
    reader.only(document, {"price", "image_tokens"}, "the table")
    prices = [reader.price_row(row, n) for n, row in enumerate(document.get("price", []), 1)]
    families = [
        reader.family_row(row, n) for n, row in enumerate(document.get("image_tokens", []), 1)
    ]
    return PriceTable(tuple(prices), tuple(families))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the rows of one file and says where one is wrong."""

    origin: str

    def wrong(self, where: str, what: str) -> ConfigurationError:
        return ConfigurationError(
            f"the price table {self.origin} is wrong: {where} {what}. Correct it there."
        )

    def only(self, table: Any, known: set[str], where: str) -> None:
        if not isinstance(table, Mapping):
            raise self.wrong(where, "is not a table")
        for key in table:
            if key not in known:
                raise self.wrong(where, f"has an unknown key {key!r}")

    def price_row(self, row: Any, number: int) -> PriceRow:
        where = f"price {number}"
        self.only(
            row, {"models", "hosts", "currency", "as_of", "source", "in", "out", "tiers"}, where
        )
        currency, as_of = row.get("currency"), row.get("as_of")
        if not isinstance(currency, str) or len(currency) != 3 or not currency.isupper():
            raise self.wrong(where, 'needs a currency of three capitals, as "USD"')
        if as_of is not None and not isinstance(as_of, date):
            raise self.wrong(where, "has an as_of that is no date")
        parts = row.get("tiers", [row])
        if not isinstance(parts, list) or not parts:
            raise self.wrong(where, "has tiers that are no list")
        tiers = tuple(self._tier(part, where) for part in parts)
        bounds = [math.inf if t.up_to_tokens is None else t.up_to_tokens for t in tiers]
        if bounds != sorted(set(bounds)) or bounds[-1] != math.inf:
            raise self.wrong(where, "needs tiers that rise and end with one without up_to_tokens")
        models, hosts = self._texts(row, "models", where), self._texts(row, "hosts", where)
        return PriceRow(models, hosts, Price(currency, tiers, as_of))

    def _tier(self, part: Any, where: str) -> Tier:
        if not isinstance(part, Mapping):
            raise self.wrong(where, "has a tier that is no table")
        up_to = part.get("up_to_tokens")
        if up_to is not None and (not isinstance(up_to, int) or up_to < 1):
            raise self.wrong(where, "has an up_to_tokens that is no number of tokens")
        return Tier(up_to, self._amount(part, "in", where), self._amount(part, "out", where))

    def _amount(self, table: Mapping[str, Any], key: str, where: str) -> Decimal:
        value: Any = table.get(key)
        if not _is_number(value, int | Decimal) or value < 0:
            raise self.wrong(where, f"needs {key!r}: a price per million tokens, 0 or more")
        return Decimal(value)

    def _texts(self, row: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
        value = row.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            raise self.wrong(where, f"needs {key}: a list of names, * for any letters")
        return tuple(value)

    def family_row(self, row: Any, number: int) -> FamilyRow:
        where = f"image_tokens {number}"
        families: dict[str, type[Patches | Tiles | Grid]] = {
            "patches": Patches,
            "tiles": Tiles,
            "grid": Grid,
        }
        kind = row.get("family") if isinstance(row, Mapping) else None
        if kind not in families:
            raise self.wrong(where, "needs a family: patches, tiles or grid")
        numbers = {k: v for k, v in row.items() if k not in {"models", "family"}}
        for key, value in numbers.items():
            fits = int | Decimal if key == "multiplier" else int
            if not _is_number(value, fits) or value <= 0:
                raise self.wrong(where, f"has a {key} that is no number above 0")
        if "multiplier" in numbers:
            numbers["multiplier"] = float(numbers["multiplier"])
        try:
            tokens = families[kind](**numbers)
        except TypeError as error:
            raise self.wrong(where, f"does not describe {kind}: {error}") from error
        return FamilyRow(self._texts(row, "models", where), tokens)


def _is_number(value: Any, kind: Any) -> bool:
    """Tell numbers from TOML's true, nan and inf, which Python would take for numbers too."""
    return isinstance(value, kind) and not isinstance(value, bool) and Decimal(value).is_finite()
