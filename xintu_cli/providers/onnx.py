"""The local classifier: one ONNX file with a manifest, run by onnxruntime in worker threads.

In: decoded photos. Out: answers whose `model` is the fingerprint of manifest and head. Loaded
on first use, once; damaged, exchanged or untruthful files are a `ModelFileError` at that moment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import anyio
import anyio.to_thread

from xintu_cli.errors import AnswerError, ModelFileError
from xintu_cli.interfaces import DecodedPhoto
from xintu_cli.providers.coverage import Coverage, coverage
from xintu_cli.providers.head_files import KeptHead
from xintu_cli.providers.manifest import ModelManifest
from xintu_cli.providers.onnx_model import OnnxModel
from xintu_cli.providers.onnx_turned import kept_when_turned
from xintu_cli.providers.onnx_views import needed_edge
from xintu_cli.records import Answer, Attempt, Classification, Source
from xintu_cli.taxonomy import Taxonomy

if TYPE_CHECKING:
    from xintu_cli.providers.head import Head
    from xintu_cli.providers.onnx_answers import Interpreter

_WORTH_NAMING = 0.1
"""From this probability on, a runner-up is told as the second category."""


class _Loaded(NamedTuple):
    model: OnnxModel
    head: Head | None
    interpreter: Interpreter


@dataclass(frozen=True, slots=True)
class Assessment:
    """One photo's answer and all that stands behind it.

    `probabilities` by category of the taxonomy, sum 1. `protected` are the categories whose
    probability reaches their `keep_local` threshold, or would if the photo were turned by a
    quarter: such a photo should not be sent.
    """

    answer: Answer
    probabilities: Mapping[str, float]
    protected: tuple[str, ...]


class OnnxClassifier:
    """Answers photos with a local model; a `Classifier`."""

    def __init__(
        self,
        manifest: ModelManifest,
        taxonomy: Taxonomy,
        *,
        head: KeptHead | None = None,
        workers: int | None = None,
        name: str = "local",
        proven: bool = False,
    ) -> None:
        if head is None:
            manifest.check_taxonomy(taxonomy)
        else:
            head.check(base=manifest.sha256, taxonomy=taxonomy.name)
        self._coverage = coverage(manifest, taxonomy, head=head.notes.categories if head else ())
        if not self._coverage.usable:
            raise ModelFileError(
                f"no local model serves the taxonomy {taxonomy.name}: {self._coverage}. Train one "
                "on photos of yours (xintu models train DIR --taxonomy …), choose another model, "
                "or an LLM provider."
            )
        self._manifest = manifest
        self._taxonomy = taxonomy
        self._kept = head
        self._fingerprint = head.fingerprint(manifest) if head else manifest.fingerprint
        self._name = name
        self._proven = proven
        self._loading = anyio.Lock()
        self._loaded: _Loaded | None = None
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
        return needed_edge(self._manifest.inputs)

    @property
    def manifest(self) -> ModelManifest:
        """The model's manifest: name, licence, thresholds."""
        return self._manifest

    @property
    def head(self) -> KeptHead | None:
        """The trained head that answers; None where the network itself does."""
        return self._kept

    @property
    def cascade_threshold(self) -> float | None:
        """From which confidence on an answer needs no second opinion; None: nobody measured."""
        own = self._kept.notes.cascade if self._kept else None
        return self._manifest.thresholds.cascade if own is None else own

    def check_judges(self, kept: Collection[str]) -> None:
        """Raise `ModelFileError` if there is one among these categories it could not tell."""
        known = {*self._coverage.served, *self._manifest.thresholds.keep_local}
        if strange := sorted(set(kept) - known):
            raise ModelFileError(
                f"the local model {self._manifest.name} does not know {', '.join(strange)}. "
                "Train it on photos of them: xintu models train DIR --taxonomy …."
            )

    @property
    def coverage(self) -> Coverage:
        """Which categories of the taxonomy this model can answer."""
        return self._coverage

    async def verify(self) -> None:
        """Check the model before a run; raise `ModelFileError`.

        One that is `proven` by its checksum alone: 5 ms instead of 400. Of any other nobody
        knows yet whether its manifest tells the truth: it is loaded and tried.
        """
        if not self._proven:
            await self.load()
            return
        await anyio.to_thread.run_sync(self._manifest.read_model, limiter=self._inference_limiter)

    async def load(self) -> None:
        """Load the model now; without this, the first photo does. Raises `ModelFileError`."""
        await self._ready()

    async def _ready(self) -> _Loaded:
        if self._loaded is not None:
            return self._loaded
        async with self._loading:
            if self._broken is not None:
                raise self._broken
            if self._loaded is None:
                try:
                    self._loaded = await anyio.to_thread.run_sync(
                        self._load, limiter=self._inference_limiter
                    )
                except ModelFileError as error:
                    self._broken = error
                    raise
            return self._loaded

    def _load(self) -> _Loaded:
        model = OnnxModel.load(self._manifest)
        # Only now: if numpy cannot be imported, loading has told so in words.
        from xintu_cli.providers.onnx_answers import Interpreter

        if self._kept is None:
            return _Loaded(model, None, Interpreter(self._manifest, self._taxonomy))
        head = self._kept.head(model.embedding_size)
        own = self._kept.notes.keep_local
        return _Loaded(model, head, Interpreter(self._manifest, self._taxonomy, own))

    async def classify(self, photo: DecodedPhoto) -> Answer:
        """Answer one photo: nobody wants to send it, so nobody asks what must stay."""
        return (await self._in_thread(photo, guards=False)).answer

    async def assess(self, photo: DecodedPhoto) -> Assessment:
        """Answer one photo and tell what the answer rests on, and whether it must stay."""
        return await self._in_thread(photo, guards=True)

    async def _in_thread(self, photo: DecodedPhoto, *, guards: bool) -> Assessment:
        loaded = await self._ready()
        return await anyio.to_thread.run_sync(
            partial(self._assess, loaded, guards=guards), photo, limiter=self._inference_limiter
        )

    def _assess(self, loaded: _Loaded, photo: DecodedPhoto, *, guards: bool) -> Assessment:
        started = time.perf_counter()
        try:
            picture = photo.image()
            prediction = loaded.model.predict(picture)
            turned = kept_when_turned(picture, loaded.model, prediction) if guards else ()
        except ModelFileError as error:
            failed = self._attempt(started, "failed", str(error))
            raise AnswerError(str(error), (failed,)) from error
        reader = loaded.interpreter
        said = reader.answers(prediction.outputs(), loaded.head)
        probabilities = dict(zip(reader.keys, said.probabilities[0].tolist(), strict=True))
        held = zip(reader.protects, said.protected[0].tolist(), strict=True)
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
        protected = (*(key for key, is_it in held if is_it), *turned)
        return Assessment(answer, probabilities, protected)

    def _attempt(self, started: float, outcome: str, error: str) -> Attempt:
        return Attempt(
            source=Source.LOCAL,
            provider=self._name,
            model=self.fingerprint,
            outcome=outcome,
            latency_ms=(time.perf_counter() - started) * 1e3,
            error=error,
        )
