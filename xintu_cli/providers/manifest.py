"""A local model's manifest: what `model.toml` says of an ONNX file, checked before it is used.

In: a directory with `model.toml`. Out: a frozen `ModelManifest`. Anything missing, unknown,
contradictory or untrue is a `ModelFileError` that names the file, the key and what to do.

    name = "garden"                 version = "1"          licence = "MIT"
    file = "model.onnx"             sha256 = "…64 hex digits…"
    taxonomy = "xintu"              labels = ["rose", "cat"]   # or labels_file = "labels.txt"

    [[input]]                       # one per input of the graph
    name = "image"                  view = "crop"   width = 224   height = 224
    layout = "NCHW"                 dtype = "float32"   mean = [127, 127, 127]   std = [128, …]

    [output]                        # `logits` in place of `probabilities`: softmax is applied
    probabilities = "probabilities" embedding = "embedding"   temperature = 1.0

    [categories]                    # optional: label → category; a label not named is its own
    rose = "other"

    [barcode]                       # optional: a decoded code speaks for a category
    category = "qrcode"   formats = ["QRCode"]   confidence = 0.97

    [thresholds]                    # optional
    cascade = 0.9
    keep_local = { idcard = 0.1 }
"""

from __future__ import annotations

import hashlib
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, cast, get_args

from xintu_cli.errors import ModelFileError
from xintu_cli.taxonomy import Taxonomy

MANIFEST_NAME = "model.toml"

View = Literal["crop", "squash", "pad"]
Layout = Literal["NCHW", "NHWC"]
Dtype = Literal["uint8", "float32", "float16"]

_KEYS = {
    "name": str,
    "version": str,
    "licence": str,
    "file": str,
    "sha256": str,
    "taxonomy": str,
    "labels": list,
    "labels_file": str,
    "input": list,
    "output": dict,
    "categories": dict,
    "barcode": dict,
    "thresholds": dict,
}
_REQUIRED = ("name", "version", "file", "sha256", "taxonomy", "input", "output")
_INPUT_KEYS = {"name", "view", "width", "height", "layout", "dtype", "mean", "std"}
_OUTPUT_KEYS = {"probabilities", "logits", "embedding", "temperature"}
_BARCODE_KEYS = {"category", "formats", "confidence"}
_THRESHOLD_KEYS = {"cascade", "keep_local"}
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_LARGEST_EDGE = 4096


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input tensor: batch 1, three RGB channels.

    `view` says how the picture becomes width × height pixels: `crop` (the central part of
    that shape), `squash` (all of it, its shape lost), `pad` (all of it on black).
    Float inputs are (pixel - mean) / std over pixels of 0..255.
    """

    name: str
    view: View
    width: int
    height: int
    layout: Layout = "NHWC"
    dtype: Dtype = "uint8"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The tensor's shape, batch of one."""
        if self.layout == "NCHW":
            return (1, 3, self.height, self.width)
        return (1, self.height, self.width, 3)


@dataclass(frozen=True, slots=True)
class BarcodeRule:
    """A photo in which one of `formats` can be decoded is `category`, this sure (0..1)."""

    category: str
    formats: tuple[str, ...]
    confidence: float


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What decisions are taken by, as chosen when the model was measured.

    `cascade`: at or over this confidence a local answer needs no second opinion.
    `keep_local`: per protected category, the probability from which a photo is not sent.
    """

    cascade: float | None = None
    keep_local: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """Everything `model.toml` says, checked for itself; the ONNX file is checked on loading."""

    directory: Path
    name: str
    version: str
    licence: str
    file: str
    sha256: str
    taxonomy: str
    labels: tuple[str, ...]
    inputs: tuple[InputSpec, ...]
    output: str
    output_is_logits: bool
    embedding: str | None
    temperature: float
    categories: tuple[str, ...]
    """The category each label stands for, in the order of `labels`."""
    barcode: BarcodeRule | None
    thresholds: Thresholds
    fingerprint: str
    """`<name>@<first 12 hex digits of the SHA-256 over manifest and model>`: the model of a
    local row, and what tells the present local model from any other."""

    @property
    def path(self) -> Path:
        """The ONNX file."""
        return self.directory / self.file

    @property
    def served(self) -> frozenset[str]:
        """The categories this model can answer."""
        extra = {self.barcode.category} if self.barcode else set()
        return frozenset(self.categories) | extra

    def read_model(self) -> bytes:
        """Read the ONNX file; raise `ModelFileError` where it is not the one described."""
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise ModelFileError(
                f"cannot read the local model {self.path}: {error.strerror}. "
                "Install xintu again, or correct `file` in its manifest."
            ) from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise ModelFileError(
                f"the local model {self.path} is not the one its manifest describes: its SHA-256 "
                f"is {found[:12]}…, expected {self.sha256[:12]}…. The file is damaged or was "
                "exchanged: install xintu again, or correct sha256 in the manifest."
            )
        return content

    def check_taxonomy(self, taxonomy: Taxonomy) -> None:
        """Raise `ModelFileError` if the model answers outside the taxonomy it was made for."""
        if taxonomy.name != self.taxonomy:
            return
        for category in sorted(self.served | set(self.thresholds.keep_local)):
            if category not in taxonomy:
                near = get_close_matches(category, sorted(taxonomy.keys), n=1)
                hint = f", the nearest is {near[0]!r}" if near else ""
                raise ModelFileError(
                    f"the local model {self.name} answers {category!r}, which the taxonomy "
                    f"{taxonomy.name} does not have{hint}. Map the label in [categories] of "
                    f"{self.directory / MANIFEST_NAME}, or choose another model."
                )


def load_manifest(directory: Path) -> ModelManifest:
    """Read and check `directory`/model.toml; the ONNX file itself is not opened."""
    path = directory / MANIFEST_NAME
    try:
        raw = path.read_bytes()
        # -sig: editors on Windows begin a file with a byte order mark, which TOML does not know.
        document = tomllib.loads(raw.decode("utf-8-sig"))
    except OSError as error:
        raise ModelFileError(
            f"cannot read the local model's manifest {path}: {error.strerror}. "
            "Install xintu again, or name the directory of a model."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelFileError(
            f"the local model's manifest {path} is not TOML: {error}. Correct it there."
        ) from error
    return _Reader(path, document).manifest(raw)


class _Reader:
    """Takes one parsed manifest apart; every complaint names the file."""

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self.path = path
        self.document = document

    def wrong(self, what: str) -> ModelFileError:
        return ModelFileError(f"the local model's manifest {self.path} is wrong: {what}.")

    def manifest(self, raw: bytes) -> ModelManifest:
        document = self.document
        self.known(document, set(_KEYS), "")
        for key in _REQUIRED:
            if key not in document:
                raise self.wrong(f"it lacks {key!r}")
        for key, kind in _KEYS.items():
            if key in document and (not isinstance(document[key], kind) or not document[key]):
                raise self.wrong(f"{key!r} must be a {kind.__name__} that is not empty")
        sha256 = document["sha256"].lower()
        if not _SHA256.match(sha256):
            raise self.wrong("'sha256' must be 64 hex digits")
        file = Path(document["file"])
        if file.is_absolute() or ".." in file.parts:
            raise self.wrong("'file' must lie in the manifest's own directory")
        labels = self.labels()
        output, is_logits, embedding, temperature = self.output()
        fingerprint = hashlib.sha256(raw + bytes.fromhex(sha256)).hexdigest()[:12]
        return ModelManifest(
            directory=self.path.parent,
            name=document["name"],
            version=document["version"],
            licence=document.get("licence", ""),
            file=document["file"],
            sha256=sha256,
            taxonomy=document["taxonomy"],
            labels=labels,
            inputs=self.inputs(),
            output=output,
            output_is_logits=is_logits,
            embedding=embedding,
            temperature=temperature,
            categories=self.categories(labels),
            barcode=self.barcode(),
            thresholds=self.thresholds(),
            fingerprint=f"{document['name']}@{fingerprint}",
        )

    def labels(self) -> tuple[str, ...]:
        """Return the labels, from the manifest or a text file beside it, one a line."""
        if ("labels" in self.document) == ("labels_file" in self.document):
            raise self.wrong("it needs either 'labels' or 'labels_file'")
        values: list[Any] = self.document.get("labels", [])
        if "labels_file" in self.document:
            file = self.path.parent / self.document["labels_file"]
            try:
                values = [line.strip() for line in file.read_text("utf-8-sig").splitlines()]
            except (OSError, UnicodeDecodeError) as error:
                raise self.wrong(f"its labels_file {file} cannot be read: {error}") from error
            while values and not values[-1]:
                values.pop()
        labels = tuple(values)
        if len(labels) < 2 or not all(isinstance(label, str) and label for label in labels):
            raise self.wrong("it needs at least two labels, each a text")
        for label in labels:
            if labels.count(label) > 1:
                raise self.wrong(f"the label {label!r} stands there {labels.count(label)} times")
        return labels

    def inputs(self) -> tuple[InputSpec, ...]:
        specs = tuple(self.input(table) for table in self.document["input"])
        if len({spec.name for spec in specs}) != len(specs):
            raise self.wrong("two [[input]] tables have the same name")
        return specs

    def input(self, table: Any) -> InputSpec:
        if not isinstance(table, dict):
            raise self.wrong("each [[input]] must be a table")
        self.known(table, _INPUT_KEYS, " in [[input]]")
        name = table.get("name")
        if not isinstance(name, str) or not name:
            raise self.wrong("each [[input]] needs the 'name' of an input of the graph")
        for key in ("width", "height"):
            if not isinstance(table.get(key), int) or not 1 <= table[key] <= _LARGEST_EDGE:
                raise self.wrong(f"{key!r} of the input {name!r} must be 1 to {_LARGEST_EDGE}")
        mean, std = self.triple(table, "mean", 0.0), self.triple(table, "std", 1.0)
        if min(std) <= 0:
            raise self.wrong(f"'std' of the input {name!r} must be greater than 0")
        if max(std) < 1 and max(map(abs, mean)) <= 1:
            # Nothing would fail: every photo would be dazzling white to the network.
            raise self.wrong(
                f"'mean' and 'std' of the input {name!r} look like those of pixels of 0..1; "
                "pixels are 0..255 here: multiply both by 255"
            )
        return InputSpec(
            name=name,
            view=cast("View", self.choice(table, "view", get_args(View), None)),
            width=table["width"],
            height=table["height"],
            layout=cast("Layout", self.choice(table, "layout", get_args(Layout), "NHWC")),
            dtype=cast("Dtype", self.choice(table, "dtype", get_args(Dtype), "uint8")),
            mean=mean,
            std=std,
        )

    def output(self) -> tuple[str, bool, str | None, float]:
        """Name of the class output, whether it is logits, name of the embedding, temperature."""
        table = self.document["output"]
        self.known(table, _OUTPUT_KEYS, " in [output]")
        if ("probabilities" in table) == ("logits" in table):
            raise self.wrong("[output] needs either 'probabilities' or 'logits'")
        is_logits = "logits" in table
        name = table["logits" if is_logits else "probabilities"]
        embedding = table.get("embedding")
        if not isinstance(name, str) or not isinstance(embedding, str | None):
            raise self.wrong("[output] must name outputs of the graph")
        temperature = table.get("temperature", 1.0)
        if not _is_number(temperature) or not 0.01 <= temperature <= 100:
            raise self.wrong("'temperature' in [output] must be a number from 0.01 to 100")
        if not is_logits and temperature != 1.0:
            raise self.wrong("'temperature' in [output] needs 'logits'")
        return name, is_logits, embedding, float(temperature)

    def categories(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        mapping = self.document.get("categories", {})
        self.known(mapping, set(labels), " in [categories], it is not a label")
        if not all(isinstance(value, str) and value for value in mapping.values()):
            raise self.wrong("[categories] must map labels to keys of categories")
        return tuple(mapping.get(label, label) for label in labels)

    def barcode(self) -> BarcodeRule | None:
        table = self.document.get("barcode")
        if table is None:
            return None
        self.known(table, _BARCODE_KEYS, " in [barcode]")
        category, formats = table.get("category"), table.get("formats")
        if not isinstance(category, str) or not category:
            raise self.wrong("[barcode] needs a 'category'")
        if not isinstance(formats, list) or not formats:
            raise self.wrong("[barcode] needs 'formats', a list such as [\"QRCode\"]")
        confidence = self.probability(table.get("confidence"), "'confidence' in [barcode]")
        return BarcodeRule(category, tuple(str(name) for name in formats), confidence)

    def thresholds(self) -> Thresholds:
        table = self.document.get("thresholds", {})
        self.known(table, _THRESHOLD_KEYS, " in [thresholds]")
        keep = table.get("keep_local", {})
        if not isinstance(keep, dict):
            raise self.wrong("'keep_local' in [thresholds] must map categories to probabilities")
        kept = {str(k): self.probability(v, f"'keep_local.{k}'") for k, v in keep.items()}
        cascade = table.get("cascade")
        if cascade is not None:
            cascade = self.probability(cascade, "'cascade' in [thresholds]")
        return Thresholds(cascade, kept)

    def probability(self, value: Any, what: str) -> float:
        if not _is_number(value) or not 0.0 <= value <= 1.0:
            raise self.wrong(f"{what} must be a number from 0 to 1")
        return float(value)

    def triple(self, table: dict[str, Any], key: str, default: float) -> tuple[float, float, float]:
        values = table.get(key, [default] * 3)
        if not isinstance(values, list) or len(values) != 3 or not all(map(_is_number, values)):
            raise self.wrong(f"{key!r} must be three numbers, for red, green and blue")
        return (float(values[0]), float(values[1]), float(values[2]))

    def choice(
        self, table: dict[str, Any], key: str, allowed: tuple[str, ...], default: str | None
    ) -> str:
        value = table.get(key, default)
        if value not in allowed:
            raise self.wrong(f"{key!r} must be one of {', '.join(allowed)}, not {value!r}")
        return str(value)

    def known(self, table: Mapping[str, Any], keys: set[str], where: str) -> None:
        for key in table:
            if key not in keys:
                near = get_close_matches(key, sorted(keys), n=1)
                hint = f", did you mean {near[0]}?" if near else ""
                raise self.wrong(f"unknown key {key!r}{where}{hint}")


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)
