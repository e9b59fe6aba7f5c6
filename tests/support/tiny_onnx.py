"""Write small ONNX files without the `onnx` package: models that lie, break or work.

In: nodes, weights, inputs and outputs. Out: the bytes of a model. Field numbers are those of
onnx.proto3; only what these tests need is here.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TYPES = {"float32": 1, "uint8": 2, "int64": 7, "string": 8, "float16": 10}
Shape = Sequence[int | str]


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    parts = bytearray()
    while True:
        part, number = number & 0x7F, number >> 7
        parts.append(part | (0x80 if number else 0))
        if not number:
            return bytes(parts)


def _int(tag: int, value: int) -> bytes:
    return _varint(tag << 3) + _varint(value)


def _bytes(tag: int, value: bytes | str) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    return _varint(tag << 3 | 2) + _varint(len(content)) + content


@dataclass(frozen=True)
class Node:
    """One operator: kind, names of inputs, name of its output, attributes (int, float, ints)."""

    kind: str
    inputs: Sequence[str]
    output: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""

    def encoded(self) -> bytes:
        """Return a NodeProto."""
        content = b"".join(_bytes(1, name) for name in self.inputs) + _bytes(2, self.output)
        content += _bytes(4, self.kind) + (_bytes(7, self.domain) if self.domain else b"")
        for name, value in self.attributes.items():
            attribute = _bytes(1, name)
            if isinstance(value, float):
                attribute += _varint(2 << 3 | 5) + struct.pack("<f", value) + _int(20, 1)
            elif isinstance(value, int):
                attribute += _int(3, value) + _int(20, 2)
            else:
                attribute += b"".join(_int(8, number) for number in value) + _int(20, 7)
            content += _bytes(5, attribute)
        return content


@dataclass(frozen=True)
class Elsewhere:
    """Weights (float32) that lie in a file beside the model."""

    file: str
    shape: Sequence[int]


def _tensor(name: str, value: NDArray[Any] | Elsewhere | Sequence[str]) -> bytes:
    if isinstance(value, Elsewhere):
        place = _bytes(13, _bytes(1, "location") + _bytes(2, value.file)) + _int(14, 1)
        dims = b"".join(_int(1, size) for size in value.shape)
        return dims + _int(2, _TYPES["float32"]) + _bytes(8, name) + place
    if not isinstance(value, np.ndarray):
        texts = b"".join(_bytes(6, text) for text in value)
        return _int(1, len(value)) + _int(2, _TYPES["string"]) + texts + _bytes(8, name)
    dims = b"".join(_int(1, size) for size in value.shape)
    return dims + _int(2, _TYPES[value.dtype.name]) + _bytes(8, name) + _bytes(9, value.tobytes())


def _declared(name: str, kind: str, shape: Shape | None) -> bytes:
    dims = b"".join(
        _bytes(1, _int(1, size) if isinstance(size, int) else _bytes(2, size))
        for size in shape or ()
    )
    its_shape = b"" if shape is None else _bytes(2, dims)
    return _bytes(1, name) + _bytes(2, _bytes(1, _int(1, _TYPES[kind]) + its_shape))


def model(
    nodes: Sequence[Node],
    *,
    weights: Mapping[str, NDArray[Any] | Elsewhere | Sequence[str]],
    inputs: Mapping[str, tuple[str, Shape | None]],
    outputs: Mapping[str, Shape],
    gives: str = "float32",
) -> bytes:
    """Return a ModelProto of opset 17; inputs are (type, shape), outputs are what it `gives`."""
    graph = b"".join(_bytes(1, node.encoded()) for node in nodes) + _bytes(2, "tiny")
    graph += b"".join(_bytes(5, _tensor(name, value)) for name, value in weights.items())
    graph += b"".join(_bytes(11, _declared(n, kind, s)) for n, (kind, s) in inputs.items())
    graph += b"".join(_bytes(12, _declared(n, gives, s)) for n, s in outputs.items())
    opsets = _bytes(8, _bytes(1, "") + _int(2, 17)) + _bytes(8, _bytes(1, "ours") + _int(2, 1))
    return _int(1, 8) + _bytes(7, graph) + opsets


def brightness(
    *,
    labels: int = 3,
    edge: int = 8,
    logits: bool = False,
    layout: str = "NHWC",
    dtype: str = "uint8",
    extra: Sequence[Node] = (),
    more: Mapping[str, Shape] | None = None,
    scale: float = 1.0,
    declared: bool = True,
) -> bytes:
    """Return a model that sorts pictures by their mean red, green and blue.

    Outputs `answer` (1 × labels) and `embedding` (1 × 3, the mean colour in 0..255), and `more`.
    `declared` False: the input may have any shape, as far as it says.
    """
    shape = (1, edge, edge, 3) if layout == "NHWC" else (1, 3, edge, edge)
    weight = np.eye(3, labels, dtype=np.float32) * np.float32(scale)
    nodes = [
        Node("Cast", ["image"], "floats", {"to": 1}),
        Node(
            "ReduceMean",
            ["floats"],
            "embedding",
            {"axes": [1, 2] if layout == "NHWC" else [2, 3], "keepdims": 0},
        ),
        Node("MatMul", ["embedding", "weight"], "scores"),
        Node("Identity" if logits else "Softmax", ["scores"], "answer"),
        *extra,
    ]
    return model(
        nodes,
        weights={"weight": weight},
        inputs={"image": (dtype, shape if declared else None)},
        outputs={"answer": (1, labels), "embedding": (1, 3), **(more or {})},
    )
