"""The model that ships: it loads, answers, and is prepared for as it was trained."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import numpy as np
import pytest
import zxingcpp
from PIL import Image

from tests.support.heads import examples, kept_head
from tests.support.photos import make_picture
from xintu_cli.errors import ModelFileError
from xintu_cli.providers.head_fitting import train_head
from xintu_cli.providers.manifest import ModelManifest, load_manifest
from xintu_cli.providers.onnx import OnnxClassifier
from xintu_cli.providers.onnx_model import OnnxModel
from xintu_cli.providers.onnx_views import prepare
from xintu_cli.records import PhotoFacts, Source
from xintu_cli.resources import data_directory
from xintu_cli.taxonomy import load_taxonomy, parse_taxonomy

SHIPPED = data_directory("models") / "xintu-lite"
TAXONOMY = load_taxonomy("xintu")


@pytest.fixture(scope="module")
def manifest() -> ModelManifest:
    return load_manifest(SHIPPED)


@pytest.fixture(scope="module")
def model(manifest: ModelManifest) -> OnnxModel:
    return OnnxModel.load(manifest)


class Picture:
    """A `DecodedPhoto` of pixels that are already there."""

    image_hash = "0" * 32

    def __init__(self, picture: Image.Image) -> None:
        self.facts = PhotoFacts(picture.width, picture.height, None, "grey")
        self._picture = picture

    def image(self) -> Image.Image:
        return self._picture

    def jpeg(self, *, max_edge: int, max_bytes: int) -> bytes:
        raise NotImplementedError

    def compact(self, *, max_edge: int, max_bytes: int) -> None:
        raise NotImplementedError


def qr_code(edge: int = 320) -> Image.Image:
    code = zxingcpp.create_barcode("https://example.org/menu", zxingcpp.BarcodeFormat.QRCode)
    picture = Image.fromarray(np.asarray(code.to_image(scale=4))).convert("RGB")
    table = Image.new("RGB", (512, 384), (180, 150, 120))
    table.paste(picture.resize((edge, edge)), (90, 30))
    return table


def test_probabilities_sum_to_one_and_the_embedding_is_finite(model: OnnxModel) -> None:
    prediction = model.predict(make_picture(1, (512, 384)))
    assert sum(prediction.probabilities.values()) == pytest.approx(1.0, abs=1e-3)
    assert prediction.embedding.ndim == 1
    assert prediction.embedding.dtype == np.float32
    assert np.isfinite(prediction.embedding).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (900, 2), (260, 260), (1024, 683)])
def test_any_size_of_picture_is_answered(model: OnnxModel, size: tuple[int, int]) -> None:
    assert sum(model.predict(Image.new("RGB", size)).probabilities.values()) == pytest.approx(
        1.0, abs=1e-3
    )


def test_threads_share_one_model_and_get_the_answers_they_would_get_alone(
    model: OnnxModel,
) -> None:
    pictures = [make_picture(seed, (300, 200)) for seed in range(8)]
    alone = [model.predict(picture).probabilities for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = [p.probabilities for p in pool.map(model.predict, pictures)]
    assert together == alone


def views_digest(manifest: ModelManifest) -> str:
    """Digest the tensors of a picture that is made of arithmetic, as train.py does."""
    y, x = np.mgrid[0:384, 0:512]
    picture = Image.fromarray(
        np.stack([x * y % 251, (x + 3 * y) % 256, x * 7 % 253], axis=2).astype(np.uint8)
    )
    digest = hashlib.sha256()
    for tensor in prepare(picture, manifest.inputs).values():
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def test_run_time_prepares_a_picture_as_training_did(manifest: ModelManifest) -> None:
    """train.py notes the digest of its own tensors; the same bytes come out here."""
    figures = json.loads((Path(__file__).parents[2] / "models/xintu-lite/figures.json").read_text())
    assert views_digest(manifest) == figures["views_digest"]


def assess_all(classifier: OnnxClassifier, pictures: Sequence[Image.Image]) -> list[str]:
    categories = [""] * len(pictures)

    async def one(number: int) -> None:
        answer = await classifier.classify(Picture(pictures[number]))
        categories[number] = answer.classification.category

    async def everything() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(len(pictures)):
                tasks.start_soon(one, number)

    anyio.run(everything)
    return categories


def test_a_decoded_qr_code_decides(manifest: ModelManifest) -> None:
    assert assess_all(OnnxClassifier(manifest, TAXONOMY), [qr_code()]) == ["qrcode"]


@pytest.mark.anyio
async def test_an_answer_names_the_model_and_its_attempt(manifest: ModelManifest) -> None:
    classifier = OnnxClassifier(manifest, TAXONOMY)
    answer = await classifier.classify(Picture(make_picture(3, (512, 384))))
    assert answer.source is Source.LOCAL
    assert answer.provider == classifier.name == "local"
    assert answer.model == classifier.fingerprint == manifest.fingerprint
    assert answer.classification.category in TAXONOMY
    assert 0.0 <= answer.classification.confidence <= 1.0
    assert answer.classification.second_category != answer.classification.category
    assert [attempt.outcome for attempt in answer.attempts] == ["ok"]


@pytest.mark.anyio
async def test_an_assessment_covers_the_whole_taxonomy(manifest: ModelManifest) -> None:
    assessment = await OnnxClassifier(manifest, TAXONOMY).assess(Picture(make_picture(4)))
    assert set(assessment.probabilities) == TAXONOMY.keys
    assert sum(assessment.probabilities.values()) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.anyio
async def test_many_workers_load_the_model_once(
    manifest: ModelManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []
    original = OnnxModel.load

    def counted(wanted: ModelManifest) -> OnnxModel:
        loads.append(wanted.name)
        return original(wanted)

    monkeypatch.setattr(OnnxModel, "load", counted)
    classifier = OnnxClassifier(manifest, TAXONOMY)
    photo = Picture(make_picture(5))
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(classifier.classify, photo)
    assert loads == ["xintu-lite"]


@pytest.mark.anyio
async def test_a_damaged_model_is_told_to_every_worker_and_read_once(tmp_path: Path) -> None:
    for name in ("model.onnx", "model.toml"):
        (tmp_path / name).write_bytes((SHIPPED / name).read_bytes())
    content = bytearray((tmp_path / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "model.onnx").write_bytes(content)
    classifier = OnnxClassifier(load_manifest(tmp_path), TAXONOMY)
    messages = []
    for _ in range(2):
        with pytest.raises(ModelFileError) as caught:
            await classifier.load()
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "damaged or was exchanged" in messages[0]


def test_a_trained_head_answers_in_place_of_the_built_in_one(
    manifest: ModelManifest, model: OnnxModel, tmp_path: Path
) -> None:
    """A taxonomy of one's own: soft colours against codes, learnt from a few pictures."""
    pictures = [make_picture(seed, (300, 200)) for seed in range(6)]
    pictures += [qr_code(edge) for edge in range(240, 330, 15)]
    labels = ["soft"] * 6 + ["code"] * 6
    embeddings = np.stack([model.predict(picture).embedding for picture in pictures])
    trained = train_head(examples(embeddings, labels))
    head = kept_head(tmp_path, trained, base=manifest.sha256, taxonomy="mine")
    document = {"category": [{"key": key} for key in ("soft", "code", "other")]}
    taxonomy = parse_taxonomy(document, origin="mine.toml", default_name="mine")
    classifier = OnnxClassifier(manifest, taxonomy, head=head)
    assert classifier.coverage.unserved == ("other",)
    assert classifier.fingerprint != OnnxClassifier(manifest, TAXONOMY).fingerprint
    said = assess_all(classifier, [make_picture(99, (300, 200)), qr_code(333)])
    assert said == ["soft", "code"]


def test_the_model_says_where_it_comes_from(manifest: ModelManifest) -> None:
    card = (SHIPPED / "README.md").read_text(encoding="utf-8")
    assert manifest.licence == "Apache-2.0"
    assert manifest.version in card
    for word in ("Apache", "EfficientNet-Lite", "BlazeFace", "macro-F1"):
        assert word in card
