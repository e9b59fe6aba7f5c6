"""Which runs of a machine are alive: told by locks that the kernel gives back, whatever happens."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from xintu_cli.errors import StorageError
from xintu_cli.jobs.living import LivingRuns, Place

LIVE = """
import sys
from pathlib import Path
from xintu_cli.jobs.living import LivingRuns
directory, cache_id, run_id, claims = sys.argv[1:]
living = LivingRuns(Path(directory), cache_id)
with living.joined(run_id, may_have_claims=lambda: claims == "claims"):
    print("alive", flush=True)
    sys.stdin.readline()
"""


class Run:
    """Another process that is among the living until it is told to end, or killed."""

    def __init__(self, directory: Path, run_id: str, *, cache_id: str, claims: bool) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LIVE, directory, cache_id, run_id, "claims" if claims else "no"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "alive\n"

    def end(self) -> None:
        """Let it end well."""
        self.process.communicate("\n", timeout=60)

    def kill(self) -> None:
        """End it by force."""
        self.process.kill()
        self.process.communicate(timeout=60)


@contextmanager
def run(
    directory: Path, run_id: str, *, cache_id: str = "cache", claims: bool = True
) -> Iterator[Run]:
    living = Run(directory, run_id, cache_id=cache_id, claims=claims)
    try:
        yield living
    finally:
        living.kill()


def dead(directory: Path, cache_id: str = "cache") -> list[str]:
    with LivingRuns(directory, cache_id).dead() as found:
        return list(found)


def test_a_run_that_was_killed_is_dead_and_told_once(tmp_path: Path) -> None:
    with run(tmp_path, "a" * 32) as one, run(tmp_path, "b" * 32):
        assert dead(tmp_path) == []
        one.kill()
        assert dead(tmp_path) == ["a" * 32]
        assert dead(tmp_path) == []
    assert dead(tmp_path) == ["b" * 32]
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_only_stopped_lives(tmp_path: Path) -> None:
    with run(tmp_path, "a" * 32) as one:
        one.process.send_signal(signal.SIGSTOP)
        assert dead(tmp_path) == []
        one.process.send_signal(signal.SIGCONT)


def test_the_dead_of_another_cache_wait_for_who_comes_with_it(tmp_path: Path) -> None:
    with run(tmp_path, "a" * 32, cache_id="another"):
        pass
    assert dead(tmp_path) == []
    assert dead(tmp_path, "another") == ["a" * 32]


def test_a_run_that_gave_its_claims_back_leaves_nothing(tmp_path: Path) -> None:
    with run(tmp_path, "a" * 32, claims=False) as one:
        one.end()
        assert list(tmp_path.iterdir()) == []


def test_a_run_that_ends_with_claims_is_found(tmp_path: Path) -> None:
    with run(tmp_path, "a" * 32) as one:
        one.end()
    assert dead(tmp_path) == ["a" * 32]


def test_the_dead_are_found_again_where_what_was_done_about_them_failed(tmp_path: Path) -> None:
    living = LivingRuns(tmp_path, "cache")
    with run(tmp_path, "a" * 32):
        pass

    def fail() -> None:
        with living.dead() as found:
            assert found == ["a" * 32]
            with living.dead() as for_another:
                assert for_another == [], "one run inherits"
            raise OSError("the cache is away")

    with pytest.raises(OSError, match="away"):
        fail()
    assert dead(tmp_path) == ["a" * 32]


def test_a_run_does_not_find_itself(tmp_path: Path) -> None:
    living = LivingRuns(tmp_path, "../cache")
    with living.joined("a" * 32, may_have_claims=lambda: False), living.dead() as found:
        assert found == []
        assert [path.parent for path in tmp_path.rglob("*")] == [tmp_path]


@pytest.mark.parametrize(
    ("there", "told"),
    [
        (Place("anna", "boot 1"), True),
        (Place("anna", "boot 2"), True),  # it was started anew
        (Place("container", "boot 1"), True),
        (Place("bob", "boot 7"), False),
    ],
)
def test_only_who_shares_machine_or_kernel_can_tell_the_dead(
    tmp_path: Path, there: Place, told: bool
) -> None:
    """Many machines may share a home directory; a lock may be seen on one of them only."""
    with LivingRuns(tmp_path, "cache", there).joined("a" * 32, may_have_claims=lambda: True):
        pass
    with LivingRuns(tmp_path, "cache", Place("anna", "boot 1")).dead() as found:
        assert found == (["a" * 32] if told else [])


def test_a_place_that_cannot_be_locked_is_an_error_in_words(tmp_path: Path) -> None:
    place = tmp_path / "locks"
    place.write_bytes(b"")
    living = LivingRuns(place, "cache")
    with (
        pytest.raises(StorageError, match="Set XINTU_HOME"),
        living.joined("a" * 32, may_have_claims=lambda: False),
    ):
        pass
