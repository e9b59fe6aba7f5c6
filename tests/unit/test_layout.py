"""The house rules that no linter knows: sizes, names, and what the sources may speak of."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "xintu_cli"

MODULE_LINES = 400
FUNCTION_LINES = 60
RUN_LINES = 45

# One word per idea; these say nothing of what is inside.
EMPTY_NAMES = {"common", "core", "helper", "helpers", "manager", "misc", "util", "utils"}
EMPTY_CLASS_NAME = re.compile(r"(Data|Helper|Info|Manager|Util|Utils)\Z")
# `CacheInfo` is what `cache info` shows: the command's own word.
MEANT_SO = {"CacheInfo"}

# The hosts that sources and documents may name: vendors, standards, and examples.
KNOWN_HOSTS = re.compile(
    r"(localhost|127\.0\.0\.1|\[::1\]|.*\.(example|test|invalid|lan|local)|example\.(com|org|net)"
    r"|dashscope(-intl)?\.aliyuncs\.com|help\.aliyun\.com|bailian\.console\.aliyun\.com"
    r"|api\.openai\.com|platform\.openai\.com|api\.anthropic\.com|(docs|platform)\.(claude|anthropic)\.com"
    r"|api\.moonshot\.cn|keepachangelog\.com|semver\.org|www\.apache\.org|www\.apple\.com"
    r"|www\.w3\.org|github\.com|docs\.python\.org|dev\.mysql\.com|mariadb\.com|www\.sqlite\.org"
    r"|sqlite\.org|arxiv\.org)\Z"
)
URL = re.compile(r"https?://([^\s/:\"'`)>{}]+|\[::1\])")
SOMEBODYS_HOME = re.compile(r"/(home|Users)/(?!YOU\b|you\b)\w+")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def texts() -> Iterator[Path]:
    """Yield every text of the project that people read."""
    for pattern in ("*.md", "*.toml", "Makefile", "models/NOTICE", ".ci/*"):
        yield from ROOT.glob(pattern)
    for folder in ("xintu_cli", "tests", "configs", "models"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".md", ".toml", ".service", ".timer", ".plist", ".sh"}:
                yield path


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", modules(), ids=named)
def test_a_module_is_small_enough_to_be_read_at_once(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MODULE_LINES
    assert path.stem not in EMPTY_NAMES
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES or _is_a_command(path, node), node.name
        if isinstance(node, ast.ClassDef) and node.name not in MEANT_SO:
            assert not EMPTY_CLASS_NAME.search(node.name), node.name


def _is_a_command(path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Excuse a command: its signature is its list of options, as long as they are many."""
    return path.parent.name == "cli" and node.name == path.stem


def test_the_run_fits_on_one_screen() -> None:
    tree = ast.parse((PACKAGE / "pipeline.py").read_text(encoding="utf-8"))
    [run] = [
        node for node in tree.body if isinstance(node, ast.AsyncFunctionDef) and node.name == "run"
    ]
    assert (run.end_lineno or 0) - run.lineno + 1 <= RUN_LINES


def test_every_module_says_what_it_is() -> None:
    silent = [
        named(path)
        for path in modules()
        if (source := path.read_text(encoding="utf-8")).strip()
        and ast.get_docstring(ast.parse(source)) is None
    ]
    assert silent == []


def test_every_package_that_is_imported_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {_distribution(word) for word in project["dependencies"]}
    installed = packages_distributions()
    undeclared = {
        name
        for path in modules()
        for name in _imported(ast.parse(path.read_text(encoding="utf-8")))
        if name not in sys.stdlib_module_names and name != "xintu_cli"
        if not declared & {_distribution(word) for word in installed.get(name, [name])}
    }
    assert undeclared == set()


def test_what_a_run_reads_travels_in_the_wheel() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]
    travels = build["build"]["targets"]["wheel"]["force-include"]
    read = [
        *(
            path
            for path in (ROOT / "configs").glob("*.toml")
            if not path.name.startswith("example")
        ),
        ROOT / "configs" / "taxonomies",
        *(path for path in (ROOT / "models").glob("*/*") if path.suffix not in {".py", ".json"}),
    ]
    read = [path for path in read if path.name != "__pycache__"]
    expected = {named(path): f"xintu_cli/_data/{named(path)}" for path in read}
    assert travels == expected


def _distribution(requirement: str) -> str:
    """Return the normalised name of a requirement's or an installed distribution."""
    return re.split(r"[\s<>=!~;\[]", requirement)[0].lower().replace("_", "-")


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def test_no_text_names_a_machine_or_somebodys_home() -> None:
    machine = [str(place) for place in (ROOT, Path(sys.prefix)) if len(place.parts) > 2]
    found = []
    for path in texts():
        text = path.read_text(encoding="utf-8")
        found += [(named(path), place) for place in machine if place in text]
        if path.relative_to(ROOT).parts[0] != "tests":  # whose paths are inputs
            found += [(named(path), match.group()) for match in SOMEBODYS_HOME.finditer(text)]
    assert found == []


def test_every_host_that_is_named_is_a_vendors_a_standards_or_an_example() -> None:
    strange = [
        (named(path), host)
        for path in texts()
        if path.relative_to(ROOT).parts[0] != "tests"  # whose hosts are inputs
        for host in URL.findall(path.read_text(encoding="utf-8"))
        if "." in host and not KNOWN_HOSTS.match(host)
    ]
    assert strange == []


def test_every_file_ends_with_a_newline_and_has_no_tab() -> None:
    wrong = [
        named(path)
        for path in texts()
        if path.name != "Makefile"
        and (text := path.read_text(encoding="utf-8"))
        and (not text.endswith("\n") or "\t" in text)
    ]
    assert wrong == []


def test_the_top_level_is_what_everybody_expects() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    if not tracked:
        pytest.skip("no git checkout: what lies here besides is not ours to judge")
    assert {name.split("/")[0] for name in tracked.splitlines()} == {
        *("xintu_cli", "tests", "models", "configs", "pyproject.toml", "README.md", "LICENSE"),
        *("Makefile", "ARCHITECTURE.md", "CHANGELOG.md", "README.zh-CN.md", ".ci", ".gitignore"),
    }
