"""From what the network says to what is answered: categories, heads, codes, what stays at home.

In: rows of the network's outputs, one a photo. Out: rows of probabilities by category of the
taxonomy. The same code answers one photo in a run and measures a thousand for a new head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from xintu_cli.providers.manifest import ModelManifest
from xintu_cli.taxonomy import Taxonomy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xintu_cli.providers.head import Array, Embeddings, Head

    Flags = NDArray[np.bool_]


class Outputs(NamedTuple):
    """What the network says, N rows: probabilities by label, embeddings, decoded barcodes."""

    network: Array
    embeddings: Embeddings
    barcodes: Flags


class Said(NamedTuple):
    """The answers: N × categories of the taxonomy, and what each photo may be of the protected.

    `protected` is N × `Interpreter.protects`: the probability reaches the threshold.
    """

    probabilities: Array
    protected: Flags


@dataclass(frozen=True)
class Interpreter:
    """Reads a network's outputs for a taxonomy; `keep_local` are a head's own thresholds."""

    manifest: ModelManifest
    taxonomy: Taxonomy
    keep_local: Mapping[str, float] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        """The columns of every result: the taxonomy's categories in their order."""
        return [category.key for category in self.taxonomy.categories]

    @property
    def protects(self) -> list[str]:
        """The categories that have a threshold from which a photo is not sent."""
        return [*self.manifest.thresholds.keep_local, *self._own_thresholds]

    def of_network(self, network: Array, categories: Sequence[str]) -> Array:
        """Sum the network's probabilities, N × labels, by category; N × categories."""
        summed = np.zeros((len(network), len(categories)))
        for column, category in enumerate(self.manifest.categories):
            if category in categories:
                summed[:, categories.index(category)] += network[:, column]
        return summed

    def answers(self, outputs: Outputs, head: Head | None) -> Said:
        """Answer with a head, or with the network's own word."""
        if head is None:
            said = self.spread(outputs.network, self.manifest.categories)
        else:
            known = self.of_network(outputs.network, head.categories)
            said = self.spread(head.probabilities(outputs.embeddings, known), head.categories)
        return self.finish(said, outputs)

    def spread(self, values: Array, categories: Sequence[str]) -> Array:
        """Sum values by category of the taxonomy; strangers count for the fallback."""
        summed = np.zeros((len(values), len(self.keys)))
        for column, category in enumerate(categories):
            known = category if category in self.taxonomy else self.taxonomy.fallback
            summed[:, self.keys.index(known)] += values[:, column]
        return summed

    def finish(self, said: Array, outputs: Outputs) -> Said:
        """Say what is protected, and let decoded codes speak for the rest."""
        protected = self._protected(said, outputs.network)
        rule = self.manifest.barcode
        if rule is None or rule.category not in self.taxonomy:
            return Said(said, protected)
        # A code on an identity card must not open the door that its picture closes.
        told = outputs.barcodes & ~protected.any(axis=1)
        mixed = said.copy()
        mixed[told] *= 1.0 - rule.confidence
        mixed[told, self.keys.index(rule.category)] += rule.confidence
        return Said(mixed, protected)

    @property
    def _own_thresholds(self) -> dict[str, float]:
        known = self.manifest.thresholds.keep_local
        return {
            key: least
            for key, least in self.keep_local.items()
            if key not in known and key in self.taxonomy
        }

    def _protected(self, said: Array, network: Array) -> Flags:
        """Return what to keep at home, by the network's own word where it was measured on it.

        Neither a trained head nor a user's taxonomy without identity cards moves that; a head
        may only add categories that the network does not know.
        """
        thresholds = self.manifest.thresholds.keep_local
        columns = [
            self.of_network(network, [key])[:, 0] >= least for key, least in thresholds.items()
        ]
        columns += [
            said[:, self.keys.index(key)] >= least for key, least in self._own_thresholds.items()
        ]
        return np.array(columns, bool).reshape(len(columns), len(said)).T
