"""The local classifier: one ONNX file with a manifest, run by onnxruntime in worker threads.

In: decoded photos. Out: answers whose `model` is the manifest's fingerprint. Loaded on first
use, once; damaged, exchanged or untruthful files are a `ModelFileError` at that moment.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from xintu_cli.errors import AnswerError, ModelFileError
from xintu_cli.interfaces import DecodedPhoto
from xintu_cli.providers.coverage import Coverage, coverage
from xintu_cli.providers.manifest import InputSpec, ModelManifest
from xintu_cli.providers.onnx_session import open_session
from xintu_cli.providers.onnx_views import DECODE_EDGE, prepare
from xintu_cli.records import Answer, Attempt, Classification, Source
from xintu_cli.taxonomy import Taxonomy

if TYPE_CHECKING:
    # numpy takes 90 to 150 ms to import: a run whose photos are all known does without it.
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    from xintu_cli.providers.head import Head

    Vector = NDArray[np.float32]

_BARCODE_EDGE = 1024
"""Barcodes are looked for at most at this edge, in pixels: 2 ms a photo; larger finds no more."""
_WORTH_NAMING = 0.1
"""From this probability on, a runner-up is told as the second category."""
_SUM_TOLERANCE = 0.01
"""How far probabilities may sum from 1; the int8 and fp16 softmax of onnxruntime stay at 1e-6."""
_TENSOR_TYPES = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}


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


class OnnxModel:
    """A loaded network; `predict` may be called from any number of threads at once."""

    def __init__(self, manifest: ModelManifest, session: Any, barcodes: Any) -> None:
        self.manifest = manifest
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
        embedding = np.asarray(raw[1] if len(raw) > 1 else (), np.float32).reshape(-1)
        named = dict(zip(self.manifest.labels, values.tolist(), strict=True))
        return Prediction(named, embedding, barcode=self._has_barcode(picture))

    def _probabilities(self, raw: NDArray[Any]) -> NDArray[np.float64]:
        import numpy as np

        values: NDArray[np.float64] = np.asarray(raw, np.float64).reshape(-1)
        labels = len(self.manifest.labels)
        if values.size != labels:
            raise _lie(self.manifest, f"it gives {values.size} values for {labels} labels")
        if not np.isfinite(values).all():
            raise _lie(self.manifest, "its output is not a number (NaN or infinite)")
        if self.manifest.output_is_logits:
            values = np.exp((values - values.max()) / self.manifest.temperature)
            values /= values.sum()
            return values
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

        self.predict(Image.new("RGB", (64, 48), (127, 127, 127)))


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
    """Compare shapes; a dimension that is not a number may be anything."""
    return len(shape) == 4 and all(
        not isinstance(actual, int) or actual == wanted
        for actual, wanted in zip(shape, spec.shape, strict=True)
    )


@contextmanager
def _foreign_errors(manifest: ModelManifest, doing: str) -> Iterator[None]:
    """Translate whatever onnxruntime raises; its classes derive from Exception alone."""
    try:
        yield
    except ImportError as error:
        raise ModelFileError(
            f"cannot {doing} the local model {manifest.name}: onnxruntime cannot be imported "
            f"({error}). Install xintu again for this platform."
        ) from error
    except Exception as error:
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        first_line = str(error).strip().split("\n", 1)[0][:300]
        raise ModelFileError(
            f"cannot {doing} the local model {manifest.path}: {first_line}. The file is damaged, "
            "or needs a newer onnxruntime: install xintu again, or export the model for opset 17."
        ) from error


def _lie(manifest: ModelManifest, what: str) -> ModelFileError:
    return ModelFileError(
        f"the local model {manifest.path} is not what its manifest says: {what}. "
        "Correct the manifest, or choose another model."
    )


def _fingerprint(manifest: ModelManifest, head: Head | None) -> str:
    """Name model and head in one word."""
    if head is None:
        return manifest.fingerprint
    digest = hashlib.sha256(f"{manifest.fingerprint} {head.digest}".encode()).hexdigest()
    return f"{manifest.name}@{digest[:12]}"


@dataclass(frozen=True, slots=True)
class Assessment:
    """One photo's answer and all that stands behind it.

    `probabilities` by category of the taxonomy, sum 1. `protected` are the categories whose
    probability reaches their `keep_local` threshold: such a photo should not be sent.
    """

    answer: Answer
    probabilities: Mapping[str, float]
    protected: tuple[str, ...]
    embedding: Vector


class OnnxClassifier:
    """Answers photos with a local model; a `Classifier`."""

    def __init__(
        self,
        manifest: ModelManifest,
        taxonomy: Taxonomy,
        *,
        head: Head | None = None,
        workers: int | None = None,
        name: str = "local",
    ) -> None:
        if head is None:
            manifest.check_taxonomy(taxonomy)
        self._coverage = coverage(manifest, taxonomy, head=head.categories if head else ())
        if not self._coverage.usable:
            raise ModelFileError(f"{self._coverage}. Choose another model, or an LLM provider.")
        self._manifest = manifest
        self._taxonomy = taxonomy
        self._head = head
        self._fingerprint = _fingerprint(manifest, head)
        self._name = name
        self._loading = anyio.Lock()
        self._model: OnnxModel | None = None
        self._broken: ModelFileError | None = None
        self._inference_limiter = anyio.CapacityLimiter(workers or os.cpu_count() or 1)

    @property
    def name(self) -> str:
        """The provider's name."""
        return self._name

    @property
    def fingerprint(self) -> str:
        """What is stored as the model of an answer; another head makes another model."""
        return self._fingerprint

    @property
    def needed_edge(self) -> int:
        """The smallest decode edge, in pixels, that loses nothing."""
        largest = max(max(spec.width, spec.height) for spec in self._manifest.inputs)
        return max(DECODE_EDGE, largest)

    @property
    def manifest(self) -> ModelManifest:
        """The model's manifest: name, licence, thresholds."""
        return self._manifest

    @property
    def coverage(self) -> Coverage:
        """Which categories of the taxonomy this model can answer."""
        return self._coverage

    async def verify(self) -> None:
        """Check the file's checksum without loading it: 5 ms instead of 400."""
        await anyio.to_thread.run_sync(self._manifest.read_model, limiter=self._inference_limiter)

    async def load(self) -> None:
        """Load the model now; without this, the first photo does. Raises `ModelFileError`."""
        async with self._loading:
            if self._broken is not None:
                raise self._broken
            if self._model is None:
                try:
                    self._model = await anyio.to_thread.run_sync(
                        OnnxModel.load, self._manifest, limiter=self._inference_limiter
                    )
                except ModelFileError as error:
                    self._broken = error
                    raise

    async def classify(self, photo: DecodedPhoto) -> Answer:
        """Answer one photo."""
        return (await self.assess(photo)).answer

    async def assess(self, photo: DecodedPhoto) -> Assessment:
        """Answer one photo and tell what the answer rests on."""
        if self._model is None:
            await self.load()
        assert self._model is not None
        return await anyio.to_thread.run_sync(
            partial(self._assess, self._model), photo, limiter=self._inference_limiter
        )

    def _assess(self, model: OnnxModel, photo: DecodedPhoto) -> Assessment:
        started = time.perf_counter()
        try:
            prediction = model.predict(photo.image())
        except ModelFileError as error:
            failed = self._attempt(started, "failed", str(error))
            raise AnswerError(str(error), (failed,)) from error
        protected = self._protected(prediction)
        probabilities = self._by_category(prediction)
        # A code on an identity card must not open the door that its picture closes.
        if prediction.barcode and not protected:
            probabilities = self._with_barcode(probabilities)
        ranked = sorted(probabilities, key=lambda key: -probabilities[key])
        second = ranked[1] if probabilities[ranked[1]] >= _WORTH_NAMING else None
        answer = Answer(
            classification=Classification(
                category=ranked[0],
                confidence=min(1.0, probabilities[ranked[0]]),
                second_category=second,
            ),
            source=Source.LOCAL,
            provider=self._name,
            model=self.fingerprint,
            attempts=(self._attempt(started, "ok", ""),),
        )
        return Assessment(answer, probabilities, protected, prediction.embedding)

    def _attempt(self, started: float, outcome: str, error: str) -> Attempt:
        return Attempt(
            source=Source.LOCAL,
            provider=self._name,
            model=self.fingerprint,
            outcome=outcome,
            latency_ms=(time.perf_counter() - started) * 1e3,
            error=error,
        )

    def _protected(self, prediction: Prediction) -> tuple[str, ...]:
        """Return the categories to keep at home, by the network's own word alone.

        The thresholds were measured on it: neither a trained head nor a user's taxonomy
        without identity cards moves them.
        """
        found = dict.fromkeys(self._manifest.categories, 0.0)
        for value, category in zip(
            prediction.probabilities.values(), self._manifest.categories, strict=True
        ):
            found[category] += value
        thresholds = self._manifest.thresholds.keep_local.items()
        return tuple(key for key, least in thresholds if found.get(key, 0.0) >= least)

    def _by_category(self, prediction: Prediction) -> dict[str, float]:
        """Sum probabilities by category of the taxonomy; strangers count for the fallback."""
        categories: Sequence[str] = self._manifest.categories
        values: Sequence[float] = tuple(prediction.probabilities.values())
        if self._head is not None:
            categories = self._head.categories
            values = self._head.probabilities(prediction.embedding[None])[0].tolist()
        summed = dict.fromkeys((category.key for category in self._taxonomy.categories), 0.0)
        for value, category in zip(values, categories, strict=True):
            summed[category if category in summed else self._taxonomy.fallback] += value
        return summed

    def _with_barcode(self, probabilities: dict[str, float]) -> dict[str, float]:
        """Let a decoded code speak: its category gets at least the rule's confidence."""
        rule = self._manifest.barcode
        if rule is None or rule.category not in probabilities:
            return probabilities
        share = 1.0 - rule.confidence
        mixed = {key: value * share for key, value in probabilities.items()}
        mixed[rule.category] += rule.confidence
        return mixed
