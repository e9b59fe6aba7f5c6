"""What a display and a closing word need to know of the run they speak about."""

from __future__ import annotations

from dataclasses import dataclass

from xintu_cli.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class RunFacts:
    """`roots` as they were typed; `cache_url` without secrets; `language` is en or zh."""

    roots: tuple[bytes, ...]
    taxonomy: Taxonomy
    cache_url: str
    language: str = "en"
