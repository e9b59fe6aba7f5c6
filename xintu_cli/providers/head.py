"""A head: one linear layer that turns the local model's embedding into categories.

In: embeddings (N × D, float32, as `OnnxModel.predict` gives them), and what the network itself
says of the same photos. Out: probabilities. `head_fitting` learns one, `head_files` keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Embeddings = NDArray[np.float32]

_UNLIKELIEST = 1e-9
"""The network's softmax may give an exact 0, whose logarithm nothing could outweigh."""


@dataclass(frozen=True, slots=True)
class Head:
    """probabilities = softmax(embedding · weight + bias + prior · log(the network's own)).

    `weight` is D × categories; the temperature is already divided out. `prior` 0: it stands
    alone; else it corrects the network, whose word it starts from.
    """

    categories: tuple[str, ...]
    weight: Embeddings
    bias: Embeddings
    prior: float = 0.0

    def probabilities(self, embeddings: Embeddings, network: Array) -> Array:
        """Return N × categories (rows sum to 1); `network`: its own, in the same columns."""
        logits = (embeddings @ self.weight + self.bias).astype(np.float64)
        if self.prior:
            logits += self.prior * logarithm(network)
        return softmax(logits)


def softmax(logits: NDArray[Any]) -> Array:
    """Return exp(logits) normalised by row."""
    powers: Array = np.exp(logits - logits.max(axis=1, keepdims=True)).astype(np.float64)
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def logarithm(probabilities: NDArray[Any]) -> Array:
    """Return log(probabilities), bounded below."""
    logarithms: Array = np.log(np.maximum(probabilities, _UNLIKELIEST)).astype(np.float64)
    return logarithms
