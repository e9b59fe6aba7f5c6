"""Which photos resemble each other: they must be held out together, or a head is overrated.

In: where and when photos were taken, and their embeddings. Out: a group's name a photo.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from xintu_cli.jobs.looking import Page

if TYPE_CHECKING:
    from xintu_cli.providers.head import Embeddings

TWINS = 0.85
"""Cosine of the embeddings from which on two photos are taken for shots of one scene. Of the
471 000 pairs of the shipped model's photos 19 reach it, all of one category."""
_TELLING_WIDTH = 256
"""Among embeddings of fewer numbers everything is near something."""
_MOST_IN_A_GROUP = 0.1
"""A folder with more than this part of all photos (`Camera`) says nothing about likeness."""
_BLOCK = 256


def groups_of(pages: Sequence[Page], embeddings: Embeddings) -> list[str]:
    """Return each photo's group: its folder and day, near copies joined to it."""
    most = max(2.0, _MOST_IN_A_GROUP * len(pages))
    folders = [os.fsdecode(page.lesson.path.rpartition(b"/")[0]) for page in pages]
    days = [f"{folder}\0{page.day}" for folder, page in zip(folders, pages, strict=True)]
    in_folder, on_day = Counter(folders), Counter(days)
    names = []
    for page, folder, day in zip(pages, folders, days, strict=True):
        if in_folder[folder] <= most:
            names.append(folder)
        elif page.day and on_day[day] <= most:
            names.append(day)
        else:
            names.append(page.image_hash)
    return _joined(names, embeddings) if embeddings.shape[1] >= _TELLING_WIDTH else names


def _joined(names: Sequence[str], embeddings: Embeddings) -> list[str]:
    """Give photos that are nearly the same one group."""
    group = {name: name for name in names}

    def root(name: str) -> str:
        while group[name] != name:
            group[name] = group[group[name]]
            name = group[name]
        return name

    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    directions = embeddings / np.maximum(lengths, 1e-9)
    for start in range(0, len(names), _BLOCK):
        alike = directions[start : start + _BLOCK] @ directions[start:].T > TWINS
        for first, second in np.argwhere(alike).tolist():
            group[root(names[start + first])] = root(names[start + second])
    return [root(name) for name in names]
