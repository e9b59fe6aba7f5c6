"""Database work as scripts: generators that yield statements and are sent their replies.

A script knows the domain and its SQL, never a driver. The SQLite connector runs a whole
script in one hop to its thread (a hop costs more than most statements); the MySQL connector
awaits it statement by statement. So both caches share one body for every verb.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from xintu_cli.storage.dialect import Dialect

T = TypeVar("T")

Row = tuple[Any, ...]

BATCH = 1000
"""Most parameters of one IN list and most rows of one reply that is read as a page."""


class Statement(NamedTuple):
    """One statement with `?` for its parameters.

    `many`: `parameters` is a sequence of rows, and the statement is run for each of them.
    """

    sql: str
    parameters: Sequence[Any] = ()
    many: bool = False


class Reply(NamedTuple):
    """The rows a query gave, and how many rows any other statement matched."""

    rows: Sequence[Row]
    touched: int


Script = Generator[Statement, Reply, T]
"""What a verb is; running it to its end gives a T."""

Verb = Callable[[Dialect], Script[T]]
"""Makes a script. Called again when the database asks for the transaction to be repeated."""


class Connector(Protocol):
    """Runs scripts on one database: the only thing in which the caches differ.

    A call that is cancelled or runs out of time either happened or did not; it is never
    half done, and the connection stays usable for the next one.
    """

    @property
    def url(self) -> str:
        """Where the database is, without any secret."""

    async def read(self, verb: Verb[T], *, doing: str, is_long: bool = False) -> T:
        """Run a script that only reads; `doing` completes "cannot … the cache".

        `is_long`: it reads whole tables, and may take as long as they are large.
        """

    async def write(self, verb: Verb[T], *, doing: str) -> T:
        """Run a script as one transaction."""

    async def shrink(self) -> None:
        """Give free space back to the disk, where that is ours to do and worth its while."""


def batches(values: Sequence[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    """Cut a sequence into slices of at most `size`."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
