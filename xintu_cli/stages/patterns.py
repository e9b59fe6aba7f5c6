"""The patterns of `--include` and `--exclude`: gitignore's, relative to their root."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from xintu_cli.errors import UsageError


class Patterns:
    """What is wanted; true where there is any pattern to ask."""

    def __init__(self, include: tuple[str, ...], exclude: tuple[str, ...]) -> None:
        self._included = _matcher(include)
        self._excluded = _matcher(exclude)

    def __bool__(self) -> bool:
        return self._included is not None or self._excluded is not None

    def want(self, path: bytes, prefix: int) -> bool:
        """Ask about what is left of a path behind `prefix` bytes; a directory's ends with /."""
        relative = os.fsdecode(path[prefix:])
        if self._excluded is not None and self._excluded(relative):
            return False
        return self._included is None or relative.endswith("/") or self._included(relative)


def _matcher(patterns: tuple[str, ...]) -> Callable[[str], bool] | None:
    """Compile gitignore patterns, or return None where there are none."""
    if not patterns:
        return None
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(patterns).match_file
    except (ValueError, re.error) as error:
        raise UsageError(
            f"cannot read the patterns {', '.join(patterns)}: {error}. "
            "They are gitignore patterns: *.png, raw/, !keep.png."
        ) from error
