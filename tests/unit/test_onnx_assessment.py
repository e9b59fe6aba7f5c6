"""What an answer is made of: labels, barcodes, heads, and what must stay at home."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import zxingcpp
from PIL import Image

from tests.support import tiny_onnx
from tests.support.tiny_onnx import Node
from xintu_cli.errors import ModelFileError
from xintu_cli.providers.manifest import ModelManifest, load_manifest
from xintu_cli.providers.onnx import OnnxClassifier
from xintu_cli.records import PhotoFacts
from xintu_cli.taxonomy import Taxonomy, parse_taxonomy


class Picture:
    image_hash = "0" * 32
    facts = PhotoFacts(1, 1, None, "grey")

    def __init__(self, picture: Image.Image) -> None:
        self._picture = picture

    def image(self) -> Image.Image:
        return self._picture

    def jpeg(self, *, max_edge: int, max_bytes: int) -> bytes:
        raise NotImplementedError

    def compact(self, *, max_edge: int, max_bytes: int) -> None:
        raise NotImplementedError


def tinted_code(colour: tuple[int, int, int]) -> Image.Image:
    """Return a QR code on a ground of one colour."""
    code = zxingcpp.create_barcode("https://example.org", zxingcpp.BarcodeFormat.QRCode)
    bits = np.asarray(code.to_image(scale=4))
    picture = np.where(bits[..., None] > 127, np.array(colour), 0).astype(np.uint8)
    ground = Image.new("RGB", (400, 400), colour)
    ground.paste(Image.fromarray(picture), (100, 100))
    return ground


def taxonomy(*keys: str) -> Taxonomy:
    document = {"category": [{"key": key} for key in keys]}
    return parse_taxonomy(document, origin="colours.toml", default_name="colours")


@pytest.fixture
def manifest(tmp_path: Path) -> ModelManifest:
    """Return a model whose confidence grows with how much of a colour there is."""
    content = tiny_onnx.brightness(scale=0.05)
    (tmp_path / "model.onnx").write_bytes(content)
    (tmp_path / "model.toml").write_text(
        f"""
        name = "tiny"
        version = "1"
        file = "model.onnx"
        sha256 = "{hashlib.sha256(content).hexdigest()}"
        taxonomy = "colours"
        labels = ["red", "green", "blue"]
        [[input]]
        name = "image"
        view = "squash"
        width = 8
        height = 8
        [output]
        probabilities = "answer"
        embedding = "embedding"
        [barcode]
        category = "code"
        formats = ["QRCode"]
        confidence = 0.9
        [thresholds]
        keep_local = {{ red = 0.6 }}
        """,
        encoding="utf-8",
    )
    return load_manifest(tmp_path)


ALL = ("red", "green", "blue", "code", "other")


@pytest.mark.anyio
async def test_a_code_speaks_for_its_category(manifest: ModelManifest) -> None:
    found = await OnnxClassifier(manifest, taxonomy(*ALL)).assess(
        Picture(tinted_code((210, 210, 210)))
    )
    assert found.answer.classification.category == "code"
    assert found.probabilities["code"] == pytest.approx(0.9)
    assert sum(found.probabilities.values()) == pytest.approx(1.0)


@pytest.mark.anyio
async def test_a_code_never_opens_what_the_picture_keeps_at_home(manifest: ModelManifest) -> None:
    """An identity card with a code on it is an identity card."""
    found = await OnnxClassifier(manifest, taxonomy(*ALL)).assess(
        Picture(tinted_code((255, 150, 150)))
    )
    assert found.protected == ("red",)
    assert found.answer.classification.category == "red"


@pytest.mark.anyio
async def test_labels_a_taxonomy_lacks_count_for_its_fallback(manifest: ModelManifest) -> None:
    users = taxonomy("green", "code", "other")
    users = Taxonomy("mine", users.categories, "other")
    classifier = OnnxClassifier(manifest, users)
    found = await classifier.assess(Picture(Image.new("RGB", (50, 50), (200, 20, 20))))
    assert found.answer.classification.category == "other"
    assert set(found.probabilities) == {"green", "code", "other"}
    assert found.protected == ("red",)


@pytest.mark.anyio
async def test_a_runner_up_is_named_only_when_it_is_likely(manifest: ModelManifest) -> None:
    classifier = OnnxClassifier(manifest, taxonomy(*ALL))
    sure = await classifier.classify(Picture(Image.new("RGB", (50, 50), (200, 20, 20))))
    torn = await classifier.classify(Picture(Image.new("RGB", (50, 50), (200, 190, 20))))
    assert sure.classification.second_category is None
    assert torn.classification.second_category == "green"


def test_a_taxonomy_of_which_the_model_knows_nothing_is_refused(manifest: ModelManifest) -> None:
    users = Taxonomy("mine", taxonomy("roses", "other").categories, "other")
    with pytest.raises(ModelFileError, match=r"cannot serve roses.*xintu models train DIR"):
        OnnxClassifier(manifest, users)


@pytest.mark.parametrize("name", ["Klingon"])
def test_an_unknown_barcode_format_is_told(tmp_path: Path, name: str) -> None:
    from xintu_cli.providers.onnx_model import OnnxModel

    content = tiny_onnx.brightness()
    (tmp_path / "model.onnx").write_bytes(content)
    (tmp_path / "model.toml").write_text(
        f"""
        name = "tiny"
        version = "1"
        file = "model.onnx"
        sha256 = "{hashlib.sha256(content).hexdigest()}"
        taxonomy = "colours"
        labels = ["red", "green", "blue"]
        input = [{{ name = "image", view = "squash", width = 8, height = 8 }}]
        output = {{ probabilities = "answer" }}
        barcode = {{ category = "code", formats = ["{name}"], confidence = 0.9 }}
        """,
        encoding="utf-8",
    )
    with pytest.raises(ModelFileError, match=name):
        OnnxModel.load(load_manifest(tmp_path))


def half_lit(*, width: int = 0, height: int = 0) -> Picture:
    """Return a picture of which this part, from the left and the top, is white."""
    picture = Image.new("RGB", (64, 64), "black")
    picture.paste("white", (0, 0, width or 64, height or 64))
    return Picture(picture)


@pytest.fixture
def upright(tmp_path: Path) -> ModelManifest:
    """Return a model that knows red by the light that falls on it from above."""
    above = np.array([[0.03, 0.0, 0.0]] * 4 + [[-0.03, 0.0, 0.0]] * 4, np.float32)
    content = tiny_onnx.model(
        [
            Node("Cast", ["image"], "floats", {"to": 1}),
            Node("ReduceMean", ["floats"], "rows", {"axes": [2, 3], "keepdims": 0}),
            Node("MatMul", ["rows", "above"], "scores"),
            Node("Add", ["scores", "bias"], "answer"),
        ],
        weights={"above": above, "bias": np.array([0, 2, 0], np.float32)},
        inputs={"image": ("uint8", (1, 8, 8, 3))},
        outputs={"answer": (1, 3)},
    )
    (tmp_path / "model.onnx").write_bytes(content)
    (tmp_path / "model.toml").write_text(
        f"""
        name = "upright"
        version = "1"
        file = "model.onnx"
        sha256 = "{hashlib.sha256(content).hexdigest()}"
        taxonomy = "colours"
        labels = ["red", "green", "blue"]
        [[input]]
        name = "image"
        view = "squash"
        width = 8
        height = 8
        [output]
        logits = "answer"
        [thresholds]
        keep_local = {{ red = 0.6 }}
        """,
        encoding="utf-8",
    )
    return load_manifest(tmp_path)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("photo", "category", "protected"),
    [
        (half_lit(height=32), "red", ("red",)),
        (half_lit(width=32), "green", ("red",)),
        (half_lit(), "green", ()),
    ],
    ids=["upright", "on its side", "no document"],
)
async def test_what_must_stay_is_recognised_on_its_side_too(
    upright: ModelManifest, photo: Picture, category: str, protected: tuple[str, ...]
) -> None:
    """The answer is the same as ever; only the door stays shut."""
    classifier = OnnxClassifier(upright, taxonomy(*ALL))
    found = await classifier.assess(photo)
    assert found.answer.classification.category == category
    assert found.protected == protected
    assert (await classifier.classify(photo)).classification == found.answer.classification
