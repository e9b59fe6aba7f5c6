"""Heads for tests: examples, notes, and a head kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xintu_cli.providers.head import Head
from xintu_cli.providers.head_files import HeadNotes, KeptHead, pack_head
from xintu_cli.providers.head_fitting import Examples
from xintu_cli.providers.heads import HeadShelf

if TYPE_CHECKING:
    from numpy.typing import NDArray


def examples(
    rows: NDArray[np.float32],
    labels: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    network: NDArray[np.float64] | None = None,
    categories: Sequence[str] | None = None,
) -> Examples:
    """Return examples that all count the same; without groups every photo is its own."""
    keys = tuple(categories or sorted(set(labels)))
    return Examples(
        categories=keys,
        embeddings=rows,
        numbers=np.array([keys.index(label) for label in labels], np.int64),
        groups=groups if groups is not None else [str(number) for number in range(len(rows))],
        weights=np.ones(len(rows)),
        network=network,
    )


def notes(categories: Sequence[str], **changes: Any) -> HeadNotes:
    """Return the notes of a head for `tiny` and the taxonomy `animals`."""
    fields: dict[str, Any] = {
        "model": "tiny",
        "base": "ab" * 32,
        "taxonomy": "animals",
        "task": "0" * 16,
        "categories": tuple(categories),
        "prior": 0.0,
        "cascade": 0.9,
        "keep_local": {},
        "made_at": "2026-01-02T03:04:05Z",
        "made_by": "train",
        "photos": dict.fromkeys(categories, 10),
        "labels": {"folder": 10 * len(categories)},
        "figures": {"accuracy": 0.9},
    }
    return HeadNotes(**{**fields, **changes})


def kept_head(home: Path, head: Head, **changes: Any) -> KeptHead:
    """Adopt a head; return it as it lies there."""
    its = notes(head.categories, prior=head.prior, **changes)
    shelf = HeadShelf.of(home, its.model, its.taxonomy)
    return shelf.adopt(its, pack_head(head, {}))
