"""What a local model may do wrong is told when it is loaded, not in the middle of a run."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support import tiny_onnx
from tests.support.tiny_onnx import Node
from xintu_cli.errors import ModelFileError
from xintu_cli.providers.manifest import load_manifest
from xintu_cli.providers.onnx_model import OnnxModel

RED = Image.new("RGB", (40, 30), (200, 10, 10))


def loaded(
    directory: Path,
    content: bytes,
    *,
    labels: str = '["red", "green", "blue"]',
    image: str = "width = 8\nheight = 8",
    output: str = 'probabilities = "answer"\nembedding = "embedding"',
) -> OnnxModel:
    """Write model and manifest, and load them."""
    (directory / "model.onnx").write_bytes(content)
    (directory / "model.toml").write_text(
        f"""
        name = "tiny"
        version = "1"
        file = "model.onnx"
        sha256 = "{hashlib.sha256(content).hexdigest()}"
        taxonomy = "colours"
        labels = {labels}
        [[input]]
        name = "image"
        view = "squash"
        {image}
        [output]
        {output}
        """,
        encoding="utf-8",
    )
    return OnnxModel.load(load_manifest(directory))


def test_a_model_gives_probabilities_by_label_and_its_embedding(tmp_path: Path) -> None:
    prediction = loaded(tmp_path, tiny_onnx.brightness()).predict(RED)
    assert max(prediction.probabilities, key=lambda key: prediction.probabilities[key]) == "red"
    assert sum(prediction.probabilities.values()) == pytest.approx(1.0)
    assert prediction.embedding.tolist() == [200.0, 10.0, 10.0]
    assert not prediction.barcode


def test_logits_become_probabilities_at_the_manifests_temperature(tmp_path: Path) -> None:
    content = tiny_onnx.brightness(logits=True, scale=0.01)
    output = 'logits = "answer"\ntemperature = 2.0'
    found = loaded(tmp_path, content, output=output).predict(RED)
    scores = np.exp(np.array([2.0, 0.1, 0.1]) / 2.0)
    assert list(found.probabilities.values()) == pytest.approx(scores / scores.sum(), rel=1e-5)
    assert found.embedding.size == 0


def test_channels_first_and_floats_are_served(tmp_path: Path) -> None:
    content = tiny_onnx.brightness(layout="NCHW", dtype="float32")
    image = 'width = 8\nheight = 8\nlayout = "NCHW"\ndtype = "float32"\nstd = [2.0, 2.0, 2.0]'
    prediction = loaded(tmp_path, content, image=image).predict(RED)
    assert prediction.embedding.tolist() == [100.0, 5.0, 5.0]


def test_halves_are_served(tmp_path: Path) -> None:
    content = tiny_onnx.brightness(dtype="float16")
    prediction = loaded(
        tmp_path, content, image='width = 8\nheight = 8\ndtype = "float16"'
    ).predict(RED)
    assert prediction.embedding.tolist() == [200.0, 10.0, 10.0]


@pytest.mark.parametrize(
    ("content", "changes", "said"),
    [
        (b"not a model", {}, "cannot load the local model"),
        (tiny_onnx.brightness()[:-40], {}, "cannot load the local model"),
        (
            tiny_onnx.brightness(extra=[Node("Frobnicate", ["answer"], "x", domain="ours")]),
            {},
            "Frobnicate",
        ),
        (tiny_onnx.brightness(edge=9), {}, "has the shape [1, 9, 9, 3], not [1, 8, 8, 3]"),
        (tiny_onnx.brightness(layout="NCHW"), {}, "has the shape [1, 3, 8, 8]"),
        (tiny_onnx.brightness(dtype="float32"), {}, "is tensor(float), not uint8"),
        (
            tiny_onnx.brightness(),
            {"output": 'probabilities = "answers"'},
            "no output 'answers', but answer, embedding",
        ),
        (
            tiny_onnx.brightness(),
            {"labels": '["red", "green"]'},
            "gives 3 values for 2 labels",
        ),
        (
            tiny_onnx.brightness(logits=True),
            {},
            "does not hold probabilities (name it as 'logits'",
        ),
    ],
)
def test_a_model_that_is_not_what_its_manifest_says_is_refused_on_loading(
    tmp_path: Path, content: bytes, changes: dict[str, str], said: str
) -> None:
    with pytest.raises(ModelFileError) as caught:
        loaded(tmp_path, content, **changes)
    assert said in str(caught.value)


def test_outputs_that_are_not_numbers_are_refused_on_loading(tmp_path: Path) -> None:
    content = tiny_onnx.model(
        [
            Node("Cast", ["image"], "floats", {"to": 1}),
            Node("ReduceMean", ["floats"], "means", {"axes": [1, 2], "keepdims": 0}),
            Node("Sub", ["means", "means"], "zero"),
            Node("Div", ["zero", "zero"], "answer"),
        ],
        weights={},
        inputs={"image": ("uint8", (1, 8, 8, 3))},
        outputs={"answer": (1, 3)},
    )
    with pytest.raises(ModelFileError, match=r"not a number \(NaN or infinite\)"):
        loaded(tmp_path, content, output='probabilities = "answer"')


def test_an_input_the_manifest_does_not_name_is_told(tmp_path: Path) -> None:
    content = tiny_onnx.model(
        [Node("Softmax", ["picture"], "answer")],
        weights={},
        inputs={"picture": ("float32", (1, 3))},
        outputs={"answer": (1, 3)},
    )
    with pytest.raises(ModelFileError, match="its inputs are picture, not image"):
        loaded(tmp_path, content, output='probabilities = "answer"')


def test_names_in_place_of_numbers_are_refused_on_loading(tmp_path: Path) -> None:
    """Classifiers out of scikit-learn give the name of the class."""
    content = tiny_onnx.model(
        [
            Node("Cast", ["image"], "floats", {"to": 1}),
            Node("ReduceMean", ["floats"], "means", {"axes": [1, 2], "keepdims": 0}),
            Node("ArgMax", ["means"], "which", {"axis": 1}),
            Node("Gather", ["names", "which"], "answer"),
        ],
        weights={"names": ["red", "green", "blue"]},
        inputs={"image": ("uint8", (1, 8, 8, 3))},
        outputs={"answer": (1, 1)},
        gives="string",
    )
    with pytest.raises(ModelFileError, match="'answer' does not hold numbers"):
        loaded(tmp_path, content, output='probabilities = "answer"')


def test_an_embedding_that_is_not_a_number_is_refused_on_loading(tmp_path: Path) -> None:
    nan = Node("Sub", ["embedding", "embedding"], "zero"), Node("Div", ["zero", "zero"], "nan")
    content = tiny_onnx.brightness(extra=nan, more={"nan": (1, 3)})
    with pytest.raises(ModelFileError, match="its embedding is not a number"):
        loaded(tmp_path, content, output='probabilities = "answer"\nembedding = "nan"')


def test_weights_that_no_checksum_covers_are_refused_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights.bin").write_bytes(np.eye(3, dtype=np.float32).tobytes())
    content = tiny_onnx.model(
        [
            Node("Cast", ["image"], "floats", {"to": 1}),
            Node("ReduceMean", ["floats"], "means", {"axes": [1, 2], "keepdims": 0}),
            Node("MatMul", ["means", "weight"], "answer"),
        ],
        weights={"weight": tiny_onnx.Elsewhere("weights.bin", (3, 3))},
        inputs={"image": ("uint8", (1, 8, 8, 3))},
        outputs={"answer": (1, 3)},
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelFileError, match="save the model with them inside"):
        loaded(tmp_path, content, output='logits = "answer"')


def test_a_model_that_declares_no_shape_is_tried(tmp_path: Path) -> None:
    content = tiny_onnx.brightness(declared=False)
    assert loaded(tmp_path, content).predict(RED).embedding.tolist() == [200.0, 10.0, 10.0]
