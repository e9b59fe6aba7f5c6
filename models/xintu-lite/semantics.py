"""What ImageNet's classes say about photo categories: 32 groups of its 1 000 class numbers.

The backbones were trained on ImageNet; the logarithm of a group's probability is a feature
that knows every breed of dog although the training photos show but a few dozen pets.
Numbers are those of ILSVRC 2012 in the usual (WordNet id) order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from graph import Array, GraphBuilder


def _numbers(*parts: int | tuple[int, int]) -> list[int]:
    """Expand single numbers and inclusive ranges."""
    expanded: set[int] = set()
    for part in parts:
        first, last = part if isinstance(part, tuple) else (part, part)
        expanded.update(range(first, last + 1))
    return sorted(expanded)


GROUPS: dict[str, list[int]] = {
    "dog": _numbers((151, 268)),
    "cat": _numbers((281, 285)),
    "smallpet": _numbers(1, (330, 333), 338),
    "wildmammal": _numbers((101, 106), (269, 280), (286, 299), (334, 337), (339, 388)),
    "bird": _numbers((7, 24), (80, 100), (127, 146)),
    "reptile": _numbers((25, 68)),
    "sea": _numbers(0, (2, 6), (107, 126), (147, 150), (327, 329), (389, 397)),
    "insect": _numbers((69, 79), (300, 326)),
    "dish": _numbers((924, 935), (959, 965)),
    "produce": _numbers((936, 957)),
    "drink": _numbers((440, 441), 504, 572, 720, 737, (898, 899), 901, 907, (966, 969)),
    "tableware": _numbers(521, 550, 567, 659, 809, 813, 828, 849, 868, 891, 923),
    "grocery": _numbers(415, 467, 509, 582, 762),
    "nature": _numbers(970, 972, (974, 980)),
    "landmark": _numbers(
        406,
        425,
        437,
        449,
        460,
        483,
        497,
        500,
        525,
        536,
        538,
        562,
        580,
        634,
        649,
        660,
        663,
        668,
        682,
        698,
        706,
        716,
        718,
        727,
        743,
        821,
        825,
        832,
        839,
        858,
        863,
        873,
        884,
        888,
        900,
        915,
    ),
    "screen": _numbers(487, 508, 527, 590, 605, 620, 664, 681, 688, 782, 851, 916),
    "paper": _numbers(446, 549, 692, 700, 714, (917, 918), (921, 922), 999),
    "sign": _numbers((919, 920)),
    "vehicle": _numbers(
        (403, 404),
        407,
        436,
        444,
        468,
        479,
        484,
        (510, 511),
        (554, 555),
        561,
        569,
        573,
        (575, 576),
        581,
        586,
        609,
        625,
        (627, 628),
        654,
        656,
        661,
        665,
        (670, 671),
        675,
        705,
        717,
        734,
        751,
        757,
        (779, 780),
        (802, 803),
        814,
        817,
        820,
        829,
        833,
        847,
        856,
        864,
        (866, 867),
        871,
        874,
        880,
        895,
        908,
        914,
    ),
    "attire": _numbers(
        400,
        433,
        439,
        445,
        452,
        457,
        459,
        474,
        501,
        515,
        518,
        552,
        568,
        578,
        601,
        610,
        614,
        617,
        (638, 639),
        643,
        655,
        678,
        689,
        735,
        748,
        775,
        785,
        796,
        808,
        834,
        (836, 837),
        (841, 842),
        869,
        887,
        903,
        906,
    ),
    "event": _numbers(416, 422, 430, 522, 543, 667, 702, 722, 764, 768, 819, 890, (981, 983)),
    "flower": _numbers((984, 997)),
    "ball": _numbers(574, 722, 768, 805, 852),
    "room": _numbers(
        (423, 424),
        (453, 454),
        493,
        495,
        516,
        520,
        526,
        532,
        548,
        553,
        559,
        564,
        598,
        624,
        648,
        703,
        736,
        765,
        789,
        799,
        831,
        857,
        861,
        894,
        896,
    ),
}
_GROUPED = {number for numbers in GROUPS.values() for number in numbers}
GROUPS["object"] = [number for number in range(398, 1000) if number not in _GROUPED]

_UNIONS = {
    "pet": ("dog", "cat", "smallpet"),
    "food": ("dish", "produce", "drink", "grocery"),
    "scenery": ("nature", "landmark"),
    "wild": ("wildmammal", "bird", "reptile", "sea", "insect"),
    "thing": ("object", "vehicle", "ball", "tableware", "room", "flower"),
    "flat": ("screen", "paper", "sign"),
    "person": ("attire", "event"),
}
"""Groups of groups: what is learnt of dogs holds for the hamster nobody has a photo of."""
for _union, _parts in _UNIONS.items():
    GROUPS[_union] = [number for part in _parts for number in GROUPS[part]]


def append_semantics(builder: GraphBuilder, pooled: str, weight: Array, bias: Array) -> str:
    """Append log P(group) of every group: pooled features N×1280 to N×groups.

    log Σ exp over a group = log of (softmax · membership); the floor keeps the logarithm
    finite where a group is out of the question.
    """
    logits = builder.linear(pooled, weight, bias)
    probabilities = builder.add("Softmax", logits, axis=1)
    membership = np.zeros((1000, len(GROUPS)), np.float32)
    for column, numbers in enumerate(GROUPS.values()):
        membership[numbers, column] = 1.0
    grouped = builder.add("MatMul", probabilities, builder.constant(membership))
    floor = builder.constant(np.array(1e-6, np.float32))
    return builder.add("Log", builder.add("Add", grouped, floor))
