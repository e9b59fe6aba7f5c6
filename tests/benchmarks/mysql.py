"""The cache on MariaDB over loopback: beside its bare driver, and beside an SQLite file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks import trees
from tests.benchmarks.measure import Place, run, succeed
from tests.benchmarks.table import Row, ratio_row

NAME = "mysql"
PHOTOS = 100_000
_ROUNDS = 3


def measure(place: Place) -> list[Row]:
    """Start a server; work through it, past it, and without it."""
    with _server(place) as url:
        script = [sys.executable, "-m", "tests.benchmarks.bare_mysql", url]
        best = json.loads(succeed(run(script)).stdout)
        rows = [
            ratio_row(what, *best[name], at_most=1.3, bare="aiomysql")
            for name, what in (
                ("look_up", "look up 50 000 photos on MariaDB"),
                ("upsert", "store 50 000 answers on MariaDB"),
            )
        ]
        return [*rows, _rescan_row(place, url)]


def _rescan_row(place: Place, mysql: str) -> Row:
    """Time the unchanged rescan of one tree over either cache, in turns."""
    photos = trees.small_photos(place.path / "photos", PHOTOS)
    place.state.mkdir(mode=0o700)
    sqlite = f"sqlite:///{place.state}/cache.db"
    best: dict[str, float] = {}
    for url in (sqlite, mysql):
        succeed(run([sys.executable, "-m", "tests.benchmarks.seed", photos, url]))
        succeed(place.xintu("classify", photos, "--cache", url))
    for _ in range(_ROUNDS):
        for url in (sqlite, mysql):
            measured = succeed(place.xintu("classify", photos, "--cache", url, "--summary", "-"))
            if json.loads(measured.stdout)["unchanged"] != PHOTOS:
                raise RuntimeError(f"no unchanged rescan: {measured.stdout}")
            best[url] = min(measured.seconds, best.get(url, measured.seconds))
    return ratio_row(
        f"unchanged rescan of {PHOTOS:,} photos, MariaDB",
        best[mysql], best[sqlite], at_most=1.5, bare="SQLite",
    )  # fmt: skip


@contextmanager
def _server(place: Place) -> Iterator[str]:
    """Run a server of our own; its module is for tests, and heavy: not before it is needed."""
    from tests.support.databases import MariaDb
    from tests.support.machine import require_tool

    directory = place.path / "db"
    directory.mkdir()
    server = MariaDb(directory, require_tool("mariadbd", "mariadb-server"))
    server.install()
    server.certify()
    server.start()
    try:
        yield server.url(server.create_database())
    finally:
        server.kill()
