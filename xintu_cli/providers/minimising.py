"""Minimise a smooth convex function with numpy alone: L-BFGS (Nocedal and Wright, 7.4, 7.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_STEPS = 200
_MEMORY = 10


def minimise(
    function: Callable[[Array], tuple[float, Array]], start: Array, *, tolerance: float
) -> Array:
    """Return where `function` (value and gradient) is least; no gradient exceeds `tolerance`."""
    point = start
    value, slope = function(point)
    pairs: list[tuple[Array, Array]] = []
    for _ in range(_STEPS):
        if np.abs(slope).max() < tolerance:
            break
        direction = -_scaled(slope, pairs)
        along = float(direction @ slope)
        step = 1.0 if pairs else min(1.0, 1.0 / float(np.abs(slope).sum()))
        for candidate in _halved(step):
            new_point = point + candidate * direction
            new_value, new_slope = function(new_point)
            if new_value <= value + 1e-4 * candidate * along:
                break
        else:
            break  # no step improves: this is the minimum, as far as floats can tell
        move, turn = new_point - point, new_slope - slope
        if float(move @ turn) > 1e-12:
            pairs = [*pairs[-(_MEMORY - 1) :], (move, turn)]
        point, value, slope = new_point, new_value, new_slope
    return point


def least_between(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function of one number is least; golden-section search."""
    golden = (5**0.5 - 1) / 2
    for _ in range(40):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if function(left) < function(right):
            high = right
        else:
            low = left
    return (low + high) / 2


def _halved(step: float) -> Iterator[float]:
    for power in range(30):
        yield step / 2**power


def _scaled(slope: Array, pairs: Sequence[tuple[Array, Array]]) -> Array:
    """Multiply by the approximate inverse Hessian (two-loop recursion, algorithm 7.4)."""
    vector = slope.copy()
    shares = []
    for move, turn in reversed(pairs):
        share = float(move @ vector) / float(move @ turn)
        shares.append(share)
        vector -= share * turn
    if pairs:
        move, turn = pairs[-1]
        vector *= float(move @ turn) / float(turn @ turn)
    for (move, turn), share in zip(pairs, reversed(shares), strict=True):
        vector += (share - float(turn @ vector) / float(move @ turn)) * move
    return vector
