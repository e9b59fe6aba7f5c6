"""Which categories of a taxonomy a local model can answer.

In: a model's manifest and a run's taxonomy. Out: a `Coverage` that says it in one line. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xintu_cli.providers.manifest import ModelManifest
from xintu_cli.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which categories of a taxonomy a model can answer.

    `unserved` ones never come from it; `unknown` are categories of the model that the
    taxonomy lacks: their probability goes to the taxonomy's fallback category.
    """

    model: str
    taxonomy: str
    served: tuple[str, ...]
    unserved: tuple[str, ...]
    unknown: tuple[str, ...]
    fallback: str

    @property
    def usable(self) -> bool:
        """True if the model can say anything but "falls through"."""
        return any(category != self.fallback for category in self.served)

    @property
    def complete(self) -> bool:
        """True if every category can be answered."""
        return not self.unserved

    def __str__(self) -> str:
        if self.complete and not self.unknown:
            return f"the local model {self.model} serves every category of {self.taxonomy}"
        parts = [f"serves {', '.join(self.served) or 'none'}"]
        if self.unserved:
            parts.append(f"cannot serve {', '.join(self.unserved)}")
        if self.unknown:
            parts.append(f"takes {', '.join(self.unknown)} for {self.fallback}")
        return f"the local model {self.model}, for the taxonomy {self.taxonomy}: " + "; ".join(
            parts
        )


def coverage(manifest: ModelManifest, taxonomy: Taxonomy, *, head: Sequence[str] = ()) -> Coverage:
    """Compare what a model answers with what a taxonomy asks.

    `head`: the categories of a trained head that answers in place of the built-in one.
    """
    answers = manifest.served
    if head:
        barcode = {manifest.barcode.category} if manifest.barcode else set()
        answers = frozenset(head) | (barcode & taxonomy.keys)
    unknown = tuple(sorted(answers - taxonomy.keys))
    if unknown:
        answers |= {taxonomy.fallback}
    keys = [category.key for category in taxonomy.categories]
    return Coverage(
        model=manifest.name,
        taxonomy=taxonomy.name,
        served=tuple(key for key in keys if key in answers),
        unserved=tuple(key for key in keys if key not in answers),
        unknown=unknown,
        fallback=taxonomy.fallback,
    )
