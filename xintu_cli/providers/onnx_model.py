"""A loaded ONNX network: pictures in, what its outputs say out; onnxruntime stands behind it.

Damaged, exchanged or untruthful files are a `ModelFileError` when it is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xintu_cli.errors import ModelFileError
from xintu_cli.providers.manifest import InputSpec, ModelManifest
from xintu_cli.providers.onnx_session import open_session
from xintu_cli.providers.onnx_views import prepare

if TYPE_CHECKING:
    # numpy takes 90 to 150 ms to import: a run whose photos are all known does without it.
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    from xintu_cli.providers.onnx_answers import Outputs

    Vector = NDArray[np.float32]

_BARCODE_EDGE = 1024
"""Barcodes are looked for at most at this edge, in pixels: 2 ms a photo; larger finds no more."""
_SUM_TOLERANCE = 0.01
"""How far probabilities may sum from 1; the int8 and fp16 softmax of onnxruntime stay at 1e-6."""
_TENSOR_TYPES = {
    "uint8": "tensor(uint8)",
    "float16": "tensor(float16)",
    "float32": "tensor(float)",
}
_WHERE_IT_WAS = re.compile(r"/onnxruntime_src/\S+:\d+ .*?\) (?=ONNX|[A-Z])")
"""The place in onnxruntime's own source that its messages may begin with."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network says of one picture.

    `probabilities` by label, sum 1. `embedding` is what a head is trained on (float32,
    one-dimensional; empty where the model gives none). `barcode`: one was decoded that the
    manifest's rule speaks of; it is not yet in the probabilities.
    """

    probabilities: Mapping[str, float]
    embedding: Vector
    barcode: bool = False

    def outputs(self) -> Outputs:
        """Return the same as one row of a table."""
        import numpy as np

        from xintu_cli.providers.onnx_answers import Outputs

        network = np.array([list(self.probabilities.values())])
        return Outputs(network, self.embedding[None], np.array([self.barcode]))


class OnnxModel:
    """A loaded network; `predict` may be called from any number of threads at once."""

    def __init__(self, manifest: ModelManifest, session: Any, barcodes: Any) -> None:
        self.manifest = manifest
        self.embedding_size = 0
        self._session = session
        self._barcodes = barcodes
        self._outputs = [manifest.output] + ([manifest.embedding] if manifest.embedding else [])

    @classmethod
    def load(cls, manifest: ModelManifest) -> OnnxModel:
        """Read, check and try the model; blocks for some 100 ms. Raises `ModelFileError`."""
        content = manifest.read_model()
        with _foreign_errors(manifest, "load"):
            session = open_session(content)
        _check_inputs(manifest, session.get_inputs())
        names = [output.name for output in session.get_outputs()]
        for wanted in (manifest.output, manifest.embedding):
            if wanted is not None and wanted not in names:
                raise _lie(manifest, f"it has no output {wanted!r}, but {', '.join(names)}")
        model = cls(manifest, session, _barcode_formats(manifest))
        model._try_out()
        return model

    def predict(self, picture: Picture) -> Prediction:
        """Classify an upright RGB picture; blocks. Raises `ModelFileError` on a wrong output."""
        import numpy as np

        with _foreign_errors(self.manifest, "run"):
            raw = self._session.run(self._outputs, prepare(picture, self.manifest.inputs))
        values = self._probabilities(raw[0])
        embedding = np.zeros(0, np.float32)
        if self.manifest.embedding is not None:
            embedding = self._numbers(raw[1], self.manifest.embedding).astype(np.float32)
            if not np.isfinite(embedding).all():
                raise _lie(self.manifest, "its embedding is not a number (NaN or infinite)")
        named = dict(zip(self.manifest.labels, values.tolist(), strict=True))
        return Prediction(named, embedding, barcode=self._has_barcode(picture))

    def _numbers(self, raw: Any, output: str) -> NDArray[np.float64]:
        """Return one output as a row of numbers; a classifier may give names or maps instead."""
        import numpy as np

        try:
            numbers: NDArray[np.float64] = np.asarray(raw, np.float64).reshape(-1)
        except (TypeError, ValueError) as error:
            raise _lie(
                self.manifest, f"the output {output!r} does not hold numbers, one for each label"
            ) from error
        return numbers

    def _probabilities(self, raw: Any) -> NDArray[np.float64]:
        import numpy as np

        values = self._numbers(raw, self.manifest.output)
        labels = len(self.manifest.labels)
        if values.size != labels:
            raise _lie(self.manifest, f"it gives {values.size} values for {labels} labels")
        if not np.isfinite(values).all():
            raise _lie(self.manifest, "its output is not a number (NaN or infinite)")
        if self.manifest.output_is_logits:
            powers = np.exp((values - values.max()) / self.manifest.temperature)
            likely: NDArray[np.float64] = powers / powers.sum()
            return likely
        if values.min() < -_SUM_TOLERANCE or abs(values.sum() - 1) > _SUM_TOLERANCE:
            raise _lie(
                self.manifest,
                f"the output {self.manifest.output!r} does not hold probabilities "
                "(name it as 'logits' if softmax is still to come)",
            )
        return values.clip(0.0, 1.0)

    def _has_barcode(self, picture: Picture) -> bool:
        if self._barcodes is None:
            return False
        import numpy as np
        import zxingcpp

        grey = picture.convert("L")
        grey.thumbnail((_BARCODE_EDGE, _BARCODE_EDGE))
        return bool(zxingcpp.read_barcodes(np.asarray(grey), formats=self._barcodes))

    def _try_out(self) -> None:
        """Run once on grey: what is wrong with the outputs shows before the first photo."""
        from PIL import Image

        seen = self.predict(Image.new("RGB", (64, 48), (127, 127, 127)))
        self.embedding_size = seen.embedding.size


def _barcode_formats(manifest: ModelManifest) -> Any:
    """Return the rule's formats as zxing-cpp knows them; None where rule or package lacks."""
    if manifest.barcode is None:
        return None
    try:
        import zxingcpp
    except ImportError:  # no wheel for this platform: the network answers alone
        return None
    try:
        return [getattr(zxingcpp.BarcodeFormat, name) for name in manifest.barcode.formats]
    except AttributeError as error:
        raise _lie(manifest, f"the barcode reader does not know a format: {error}") from error


def _check_inputs(manifest: ModelManifest, actual: list[Any]) -> None:
    """Compare the graph's inputs with the manifest's: names, types, every fixed dimension."""
    nodes = {node.name: node for node in actual}
    described = {spec.name for spec in manifest.inputs}
    if described != set(nodes):
        raise _lie(
            manifest,
            f"its inputs are {', '.join(sorted(nodes))}, not {', '.join(sorted(described))}",
        )
    for spec in manifest.inputs:
        node = nodes[spec.name]
        if node.type != _TENSOR_TYPES[spec.dtype]:
            raise _lie(manifest, f"the input {spec.name!r} is {node.type}, not {spec.dtype}")
        if not _fits(spec, node.shape):
            raise _lie(
                manifest,
                f"the input {spec.name!r} has the shape {node.shape}, not {list(spec.shape)}",
            )


def _fits(spec: InputSpec, shape: list[Any]) -> bool:
    """Compare shapes; a dimension that is not a number may be anything, and so may no shape."""
    return not shape or (
        len(shape) == 4
        and all(
            not isinstance(actual, int) or actual == wanted
            for actual, wanted in zip(shape, spec.shape, strict=True)
        )
    )


_LACK_OF_MEMORY = ("bad_alloc", "Failed to allocate memory")


@contextmanager
def _foreign_errors(manifest: ModelManifest, doing: str) -> Iterator[None]:
    """Translate whatever onnxruntime raises; its classes derive from Exception alone."""
    try:
        yield
    except ImportError as error:
        raise ModelFileError(
            f"cannot {doing} the local model {manifest.name}: onnxruntime cannot be imported "
            f"({_first_words(error)}). Give it more memory, or install xintu again."
        ) from error
    except Exception as error:
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        first_line = _WHERE_IT_WAS.sub("", str(error).strip().split("\n", 1)[0])[:300]
        if any(told in first_line for told in _LACK_OF_MEMORY):
            raise MemoryError(f"the local model {manifest.name} does not fit") from error
        raise ModelFileError(
            f"cannot {doing} the local model {manifest.path}: {first_line}. {_remedy(first_line)}"
        ) from error


def _remedy(complaint: str) -> str:
    if "External data" in complaint:
        return (
            "Its weights lie in a file of their own, which no checksum covers: save the model "
            "with them inside (torch.onnx.export(…, external_data=False))."
        )
    return (
        "The file is damaged, or needs a newer onnxruntime: install xintu again, or export the "
        "model for opset 17."
    )


def _first_words(error: BaseException) -> str:
    """Return what an import failed of in the first place; numpy wraps that into a page."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().split("\n", 1)[0]


def _lie(manifest: ModelManifest, what: str) -> ModelFileError:
    return ModelFileError(
        f"the local model {manifest.path} is not what its manifest says: {what}. "
        "Correct the manifest, or choose another model."
    )
