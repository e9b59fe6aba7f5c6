"""Write EfficientNet-Lite as an ONNX graph, straight from its PyTorch weights.

In: a loaded `efficientnet_lite_pytorch` network. Out: ONNX nodes with batch normalisation
folded into the convolutions, and TensorFlow's asymmetric SAME padding as a convolution
attribute: an exporter leaves 22 `Pad` nodes that quantisation cannot pass.
"""

# ruff: noqa: SLF001 - the package keeps its layers in private attributes, and offers no others
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
Array = NDArray[Any]


@dataclass
class GraphBuilder:
    """Collects nodes and weights; names are made here, so that every run names alike."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)

    def add(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Append a node with one output and return the output's name."""
        output = name or f"{op.lower()}_at_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], output, **attributes))
        return output

    def constant(self, value: Array, name: str = "") -> str:
        """Store a tensor beside the graph and return its name."""
        name = name or f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def input(self, name: str, shape: list[int], kind: int = TensorProto.UINT8) -> str:
        """Declare an input of the graph."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, shape: list[int]) -> None:
        """Declare a float output; `name` must be what a node wrote."""
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    @classmethod
    def continued(cls, model: onnx.ModelProto) -> GraphBuilder:
        """Go on with a finished graph: everything but its outputs."""
        graph = model.graph
        return cls(list(graph.node), list(graph.initializer), list(graph.input))

    def linear(self, x: str, weight: Array, bias: Array, name: str = "") -> str:
        """Append x·weight + bias; weight is inputs × outputs."""
        product = self.add("MatMul", x, self.constant(weight.astype(np.float32)))
        return self.add("Add", product, self.constant(bias.astype(np.float32)), name=name)

    def model(self, producer: str) -> onnx.ModelProto:
        """Close the graph and check it."""
        graph = helper.make_graph(self.nodes, "xintu", self.inputs, self.outputs, self.weights)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, producer_name=producer, opset_imports=opsets)
        model.ir_version = 8  # the oldest that opset 17 allows: any onnxruntime of 2022 on reads it
        onnx.checker.check_model(model, full_check=True)
        return model


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding of one axis (before, after): the odd pixel goes after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def efficientnet_lite(builder: GraphBuilder, network: Any, image: str, size: int) -> str:
    """Append the backbone; `image` is N×3×size×size, the result its last map N×1280×h×h."""
    x, size = _convolution(builder, image, network._conv_stem, network._bn0, size=size, clip=True)
    for block in network._blocks:
        x, size = _block(builder, x, block, size)
    x, _ = _convolution(builder, x, network._conv_head, network._bn1, size=size, clip=True)
    return x


def _block(builder: GraphBuilder, x: str, block: Any, size: int) -> tuple[str, int]:
    """One inverted residual: expand, depthwise, project, and the short cut where it fits."""
    y = x
    if block._block_args.expand_ratio != 1:
        y, size = _convolution(builder, y, block._expand_conv, block._bn0, size=size, clip=True)
    y, smaller = _convolution(builder, y, block._depthwise_conv, block._bn1, size=size, clip=True)
    y, smaller = _convolution(builder, y, block._project_conv, block._bn2, size=smaller, clip=False)
    arguments = block._block_args
    if block.id_skip and smaller == size and arguments.input_filters == arguments.output_filters:
        y = builder.add("Add", y, x)
    return y, smaller


def _convolution(
    builder: GraphBuilder, x: str, layer: Any, norm: Any, *, size: int, clip: bool
) -> tuple[str, int]:
    """Append a convolution with its normalisation folded in, and ReLU6; tell the new edge."""
    weight = layer.weight.detach().numpy().astype(np.float64)
    scale = norm.weight.detach().numpy() / np.sqrt(norm.running_var.numpy() + norm.eps)
    bias = norm.bias.detach().numpy() - norm.running_mean.numpy() * scale
    kernel, stride = int(weight.shape[-1]), int(layer.stride[0])
    before, after = same_padding(size, kernel, stride)
    x = builder.add(
        "Conv",
        x,
        builder.constant((weight * scale[:, None, None, None]).astype(np.float32)),
        builder.constant(bias.astype(np.float32)),
        kernel_shape=[kernel, kernel],
        strides=[stride, stride],
        pads=[before, before, after, after],
        group=int(layer.groups),
    )
    if clip:
        x = builder.add("Clip", x, _bound(builder, 0.0), _bound(builder, 6.0))
    return x, -(-size // stride)


def _bound(builder: GraphBuilder, value: float) -> str:
    name = f"bound_{value:g}"
    if all(weight.name != name for weight in builder.weights):
        builder.constant(np.array(value, np.float32), name)
    return name
