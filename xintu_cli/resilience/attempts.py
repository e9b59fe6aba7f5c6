"""Carry what was sent, and perhaps paid for, out of every way a photo can end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from xintu_cli.errors import ProviderError, UnansweredPhotoError
from xintu_cli.interfaces import DecodedPhoto
from xintu_cli.records import Attempt

Abandoned = Callable[[str, tuple[Attempt, ...]], None]
"""Takes the attempts of a photo (its image hash) whose classification was cut short.

A cancelled call returns nothing and raises nothing of ours, and a broken model file ends the
whole run, so this is their only way out. It must not block, and it cannot wait.
"""

FailedPhoto = ProviderError | UnansweredPhotoError
"""The errors that carry attempts."""


def forget(image_hash: str, attempts: tuple[Attempt, ...]) -> None:
    """Drop abandoned attempts: for callers that account for nothing."""


@contextmanager
def handed_over(
    attempts: Sequence[Attempt], photo: DecodedPhoto, abandoned: Abandoned
) -> Iterator[None]:
    """Hand `attempts`, as they are by then, to `abandoned` if nothing else carries them out."""
    try:
        yield
    except (ProviderError, UnansweredPhotoError):
        raise
    except BaseException:
        if attempts:
            abandoned(photo.image_hash, tuple(attempts))
        raise
