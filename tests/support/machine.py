"""What this machine can provoke: tools, privileges, small disks, other users, other clocks.

Every function returns the beginning of a command line that runs another command in that
condition. A tool that `make test` installs may be missing on a developer's machine, where the
test is skipped with the reason; with `CI=true` it may not. A privilege that the kernel
refuses (a container without mounts) skips everywhere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest


def in_ci() -> bool:
    """Tell whether nothing may be skipped that could be had."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def require_tool(name: str, package: str = "") -> str:
    """Return the path of a program; skip the test, or fail it in CI, where there is none."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found:
        return found
    reason = f"{name} is not installed. Install the package {package or name}."
    if in_ci():
        pytest.fail(reason)
    pytest.skip(reason)


def require_condition(wrapper: list[str], what: str) -> list[str]:
    """Return `wrapper` if the kernel lets it run a command, else skip the test."""
    refusal = _refusal(tuple(wrapper))
    if refusal is not None:
        pytest.skip(f"this machine does not let us {what}: {refusal}")
    return wrapper


@cache
def _refusal(wrapper: tuple[str, ...]) -> str | None:
    tried = subprocess.run([*wrapper, "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else tried.stderr.strip() or f"exit {tried.returncode}"


@pytest.fixture
def strace() -> Callable[..., list[str]]:
    """Return a maker of strace command lines: `strace("-e", "inject=…", "-P", path)`."""
    program = require_tool("strace")
    require_condition([program, "-f", "-qq", "-e", "trace=none"], "trace a process")

    def wrapper(*options: str) -> list[str]:
        return [program, "-f", "-qq", *options]

    return wrapper


@pytest.fixture
def no_network() -> list[str]:
    """Return a wrapper in which there is no network but loopback: nothing can leave."""
    inner = 'ip link set lo up 2>/dev/null; exec "$@"'
    wrapper = [require_tool("unshare", "util-linux"), "-n", "sh", "-c", inner, "sh"]
    return require_condition(wrapper, "make a network of our own")


@pytest.fixture
def bound_by_modes() -> list[str]:
    """Return a wrapper in which file modes count: as root, `chmod 000` proves nothing."""
    if os.geteuid() != 0:
        return []
    capabilities = "-dac_override,-dac_read_search"
    program = require_tool("setpriv", "util-linux")
    wrapper = [program, f"--inh-caps={capabilities}", f"--bounding-set={capabilities}"]
    return require_condition(wrapper, "give up capabilities")


@pytest.fixture
def other_clock() -> Callable[[str], list[str]]:
    """Return a maker of wrappers with another wall clock: `other_clock("+400d")`.

    The monotonic clock stays real: it is what durations are measured with.
    """
    program = require_tool("faketime")

    def wrapper(offset: str) -> list[str]:
        return ["env", "FAKETIME_DONT_FAKE_MONOTONIC=1", program, "-f", offset]

    return wrapper


@pytest.fixture
def small_disk() -> Iterator[Callable[[str], Path]]:
    """Return a maker of file systems of a given size: `small_disk("256k")` is a directory."""
    mounted: list[Path] = []

    def mount(size: str, *options: str) -> Path:
        point = Path(tempfile.mkdtemp(prefix="xintu-disk-"))
        what = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "none"]
        tried = subprocess.run([*what, point], capture_output=True, text=True, check=False)
        if tried.returncode != 0:
            point.rmdir()
            pytest.skip(f"this machine does not let us mount a tmpfs: {tried.stderr.strip()}")
        mounted.append(point)
        return point

    yield mount
    for point in reversed(mounted):
        subprocess.run(["umount", "--lazy", point], check=True)
        point.rmdir()


_HANGING_READS = '''\
"""A disk that went away in mid-read: reading one file takes until the disk is well again."""
import os
import time

real_open, real_read, hanging = os.open, os.read, set()

def open_(path, *arguments, **options):
    descriptor = real_open(path, *arguments, **options)
    (hanging.add if os.fsencode(path) == NAME else hanging.discard)(descriptor)
    return descriptor

def read(descriptor, size):
    while descriptor in hanging and not os.path.exists(WELL):
        time.sleep(0.02)
    return real_read(descriptor, size)

os.open, os.read = open_, read
'''


def dead_disk_under(path: Path, place: Path) -> dict[str, str]:
    """Return an environment in which xintu's reads of one file hang; `place` is to work in.

    Where strace holds a system call back, it also keeps the process from ending: so the
    interpreter itself is taught to hang, in the thread that reads.
    """
    named = f"NAME, WELL = {os.fsencode(path)!r}, {str(_well(place))!r}\n"
    (place / "sitecustomize.py").write_text(named + _HANGING_READS, encoding="utf-8")
    return {"PYTHONPATH": str(place)}


def revive_disk(place: Path) -> None:
    """Let reads go on that hang since `dead_disk_under(…, place)`.

    So a run is not over before a test is ready for its end, however busy the machine is.
    """
    _well(place).touch()


def _well(place: Path) -> Path:
    return place / "the disk is well"
