"""Carry what was sent, and perhaps paid for, out of every way a photo can end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from anyio import get_cancelled_exc_class

from xintu_cli.errors import ProviderError, UnansweredPhotoError
from xintu_cli.interfaces import DecodedPhoto
from xintu_cli.records import Attempt

Abandoned = Callable[[str, tuple[Attempt, ...]], None]
"""Takes the attempts of a photo (its image hash) whose classification was cancelled.

A cancelled call returns nothing and raises nothing of ours, so this is their only way out. It
must not block, and it cannot wait.
"""

FailedPhoto = ProviderError | UnansweredPhotoError
"""The errors that carry attempts."""


def forget(image_hash: str, attempts: tuple[Attempt, ...]) -> None:
    """Drop abandoned attempts: for callers that account for nothing."""


@contextmanager
def handed_over(
    attempts: Sequence[Attempt], photo: DecodedPhoto, abandoned: Abandoned
) -> Iterator[None]:
    """Hand `attempts`, as they are by then, to `abandoned` if the block is cancelled."""
    try:
        yield
    except get_cancelled_exc_class():
        if attempts:
            abandoned(photo.image_hash, tuple(attempts))
        raise
