"""The READMEs tell the truth: settings with their defaults, exit codes, categories, links."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from xintu_cli.cloud import estimated, find_cloud
from xintu_cli.errors import ExitCode
from xintu_cli.providers.catalog import CATALOG
from xintu_cli.routing import Policy
from xintu_cli.settings import Settings
from xintu_cli.taxonomy import load_taxonomy

ROOT = Path(__file__).parents[2]
READMES = ["README.md", "README.zh-CN.md"]
MOST_LINES = 200


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table behind a line that starts like `heading`."""
    table = text[text.index(heading) :].partition("\n|---")[2].partition("\n\n")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]
    ]


@pytest.mark.parametrize("name", READMES)
def test_it_is_short_enough_to_be_read(name: str) -> None:
    assert len(read(name).splitlines()) <= MOST_LINES


@pytest.mark.parametrize("name", READMES)
def test_its_settings_are_those_of_the_program(name: str) -> None:
    expected = {}
    for key, value in Settings().model_dump(mode="json").items():
        expected[f"`{key}`"] = "–" if value is None else f"`{json.dumps(value)}`"
    told = {key: default for key, default, *_ in rows(read(name), "<!-- settings")}
    assert told == expected


@pytest.mark.parametrize(
    ("name", "heading"), [(READMES[0], "## Exit codes"), (READMES[1], "## 退出码")]
)
def test_it_explains_every_exit_code(name: str, heading: str) -> None:
    told = [int(code) for code, _ in rows(read(name), heading) if code.isdigit()]
    assert told == sorted(int(code) for code in ExitCode)


@pytest.mark.parametrize(
    ("name", "heading"), [(READMES[0], "## Categories"), (READMES[1], "## 类别")]
)
def test_its_categories_are_those_of_the_taxonomy(name: str, heading: str) -> None:
    expected = [[f"`{c.key}`", c.en, c.zh] for c in load_taxonomy("xintu").categories]
    assert rows(read(name), heading) == expected


@pytest.mark.parametrize("name", READMES)
def test_its_providers_and_prices_are_those_of_the_program(name: str) -> None:
    expected = []
    for vendor in CATALOG:
        found = find_cloud(Settings(policy=Policy.HYBRID), {vendor.key_variable: "sk-readme-1"})
        price = found.endpoints[0].price
        assert price is not None
        cost = estimated(found, load_taxonomy("xintu"), 1000).cost
        names = (vendor.name, vendor.kind, vendor.key_variable, vendor.model)
        first = price.tiers[0]
        each = f"{first.per_million_in:.2f}, {first.per_million_out:.2f} {price.currency}"
        expected.append(
            [*(f"`{n}`" for n in names), f"{each} ({price.as_of})", f"{cost:.2f} {price.currency}"]
        )
    assert rows(read(name), "<!-- providers") == expected


@pytest.mark.parametrize("name", [*READMES, "CHANGELOG.md", "models/xintu-lite/README.md"])
def test_every_file_it_links_to_exists(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", read(name))
    here = [link for link in links if not link.startswith("http")]
    assert [link for link in here if not (ROOT / name).parent.joinpath(link).exists()] == []
