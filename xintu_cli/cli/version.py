"""`xintu --version`: the versions that matter in a bug report, without importing any of them."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from xintu_cli import __version__
from xintu_cli.errors import ConfigurationError
from xintu_cli.storage.localfile import engine_version

_PACKAGES = (
    *("anyio", "typer", "rich", "pydantic", "pydantic-settings", "numpy", "onnxruntime"),
    *("pillow", "pillow-heif", "zxing-cpp", "xxhash", "aiosqlite", "aiomysql", "PyMySQL"),
    *("dashscope", "openai", "httpx", "httpx2", "requests", "keyring"),
)


def version_lines() -> Iterator[str]:
    """Yield the version alone, then what it runs on and with."""
    yield f"xintu {__version__}"
    yield f"Python {platform.python_version()} ({platform.python_implementation()})"
    yield platform.platform()
    yield f"SQLite {engine_version()}"
    yield from (f"model {fingerprint}" for fingerprint in _models())
    yield ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _models() -> Iterator[str]:
    """Yield the fingerprints of the models that ship with xintu, or what is wrong with them."""
    from xintu_cli.providers.manifest import load_manifest
    from xintu_cli.resources import data_directory

    try:
        directories = sorted(data_directory("models").glob("*/model.toml"))
        for manifest in directories:
            yield load_manifest(manifest.parent).fingerprint
    except ConfigurationError as error:
        yield f"unusable: {error}"
