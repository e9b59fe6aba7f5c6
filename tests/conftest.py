"""Fixtures that every tier shares."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.command import Home

pytest_plugins = [
    "tests.support.machine",
    "tests.support.databases",
    "tests.support.loop_watch",
    "tests.support.sick_disk",
]


def pytest_configure() -> None:
    """Heed Ctrl-C where a script runs the tests in the background (`make test &`).

    There it is ignored, and would be by every command that they start and send one to.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, which is what the product runs on."""
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a user's machine on which xintu has never run."""
    path = tmp_path / "home"
    path.mkdir()
    return Home(path, {})
