"""Frozen records of how a photo ended: what reaches the sink, and after it the report."""

from __future__ import annotations

from dataclasses import dataclass

from xintu_cli.records import (
    Answer,
    Attempt,
    CachedRow,
    IndexEntry,
    PhotoFacts,
    Refusal,
    Task,
)


@dataclass(frozen=True, slots=True)
class Found:
    """So many more photos of this run are known (hashed, or found unreadable)."""

    photos: int


@dataclass(frozen=True, slots=True)
class Hits:
    """A batch of photos that the cache answers, each by the row at its place.

    Columns instead of a record a photo: an unchanged rescan passes 100 000 of them, and a
    record of eight fields for each would be a fifth of its time.
    """

    photos: tuple[IndexEntry, ...]
    rows: tuple[CachedRow, ...]
    unchanged: bool
    duplicates: int = 0
    """How many of the photos this run had seen the image of before."""
    new_here: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Classified:
    """A photo that a classifier answered, with what its decode told."""

    task: Task
    answer: Answer
    facts: PhotoFacts | None


@dataclass(frozen=True, slots=True)
class Failed:
    """A file that cannot be read as a photo. `known`: an earlier run said so, nothing was read.

    `is_directory`: a directory that could not be listed; named among the failures, but no
    photo, so not counted as found.
    """

    path: bytes
    reason: str
    image_hash: str = ""
    known: bool = False
    is_directory: bool = False


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not there (any more)."""

    path: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Pending:
    """A photo nobody answered in this run; a later one will try again."""

    task: Task
    reason: str
    attempts: tuple[Attempt, ...] = ()
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Returned:
    """A photo that waits in the backlog again: its claim was lost after something was sent."""

    task: Task
    attempts: tuple[Attempt, ...] = ()
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class AnsweredElsewhere:
    """A photo of the backlog that another run (or another file of this one) had answered."""

    task: Task
    category: str
    source: str
    provisional: bool


Outcome = Found | Hits | Classified | Failed | Skipped | Pending | Returned | AnsweredElsewhere
"""What the sink takes."""


@dataclass(frozen=True, slots=True)
class Settled:
    """An outcome that is stored, and the other paths of the same image that it settles."""

    outcome: Outcome
    copies: tuple[bytes, ...] = ()
