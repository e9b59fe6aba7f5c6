import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.support import tiny_onnx
from xintu_cli.errors import ModelFileError
from xintu_cli.providers.coverage import coverage
from xintu_cli.providers.manifest import load_manifest
from xintu_cli.taxonomy import Taxonomy, load_taxonomy, parse_taxonomy

CONTENT = tiny_onnx.brightness()
GOOD = f"""
name = "tiny"
version = "1"
licence = "MIT"
file = "model.onnx"
sha256 = "{hashlib.sha256(CONTENT).hexdigest()}"
taxonomy = "colours"
labels = ["red", "green", "blue"]

[[input]]
name = "image"
view = "crop"
width = 8
height = 8

[output]
probabilities = "answer"
embedding = "embedding"

[categories]
blue = "other"

[thresholds]
cascade = 0.9
keep_local = {{ red = 0.25 }}
"""


def written(directory: Path, text: str = GOOD, content: bytes = CONTENT) -> Path:
    (directory / "model.toml").write_text(text, encoding="utf-8")
    (directory / "model.onnx").write_bytes(content)
    return directory


def colours(*keys: str) -> Taxonomy:
    document: dict[str, Any] = {"category": [{"key": key, "en": key, "zh": key} for key in keys]}
    return parse_taxonomy(document, origin="colours.toml", default_name="colours")


def test_a_good_manifest_is_read_with_its_defaults(tmp_path: Path) -> None:
    manifest = load_manifest(written(tmp_path))
    assert manifest.labels == ("red", "green", "blue")
    assert manifest.categories == ("red", "green", "other")
    assert manifest.inputs[0].shape == (1, 8, 8, 3)
    assert manifest.inputs[0].dtype == "uint8"
    assert manifest.thresholds.cascade == 0.9
    assert manifest.thresholds.keep_local == {"red": 0.25}
    assert manifest.barcode is None
    assert manifest.read_model() == CONTENT


def test_the_fingerprint_changes_with_the_manifest_and_with_the_model(tmp_path: Path) -> None:
    first = load_manifest(written(tmp_path)).fingerprint
    other_digest = hashlib.sha256(b"other").hexdigest()
    digest = hashlib.sha256(CONTENT).hexdigest()
    by_threshold = load_manifest(written(tmp_path, GOOD.replace("0.25", "0.2"))).fingerprint
    by_model = load_manifest(written(tmp_path, GOOD.replace(digest, other_digest))).fingerprint
    assert first == load_manifest(written(tmp_path)).fingerprint
    assert len({first, by_threshold, by_model}) == 3
    name, _, digits = first.partition("@")
    assert (name, len(digits)) == ("tiny", 12)


def test_labels_may_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n", encoding="utf-8")
    text = GOOD.replace('labels = ["red", "green", "blue"]', 'labels_file = "labels.txt"')
    assert load_manifest(written(tmp_path, text)).labels == ("red", "green", "blue")


def test_files_written_on_windows_are_read(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(b"\xef\xbb\xbfred\r\ngreen\r\nblue\r\n\r\n")
    text = GOOD.replace('labels = ["red", "green", "blue"]', 'labels_file = "labels.txt"')
    directory = written(tmp_path, "\ufeff" + text.replace("\n", "\r\n"))
    assert load_manifest(directory).labels == ("red", "green", "blue")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "tiny"', "", "lacks 'name'"),
        ('taxonomy = "colours"', "", "lacks 'taxonomy'"),
        ("[output]", "[ouput]", "unknown key 'ouput', did you mean output"),
        ('view = "crop"', 'view = "zoom"', "'view' must be one of crop, squash, pad, not 'zoom'"),
        ("width = 8", "width = 0", "'width' of the input 'image' must be 1 to 4096"),
        ("width = 8", 'width = "8"', "'width' of the input 'image'"),
        ("height = 8", "height = 8\nlayout = 'NWHC'", "'layout' must be one of NCHW, NHWC"),
        ("height = 8", "height = 8\nstd = [1, 1, 0]", "'std' of the input 'image'"),
        (
            "height = 8",
            "height = 8\nmean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]",
            "pixels are 0..255 here: multiply both by 255",
        ),
        ("height = 8", "height = 8\nmean = [1, 1]", "'mean' must be three numbers"),
        ("height = 8", "height = 8\nmean = [nan, 1, 1]", "'mean' must be three numbers"),
        ('labels = ["red", "green", "blue"]', "", "either 'labels' or 'labels_file'"),
        ('["red", "green", "blue"]', '["red", "red", "blue"]', "'red' stands there 2 times"),
        ('["red", "green", "blue"]', '["red"]', "at least two labels"),
        ('["red", "green", "blue"]', "[1, 2, 3]", "each a text"),
        ('labels = ["red", "green", "blue"]', 'labels_file = "gone"', "labels_file"),
        ('blue = "other"', 'bleu = "other"', "unknown key 'bleu' in [categories]"),
        ('blue = "other"', "blue = 3", "[categories] must map"),
        ('probabilities = "answer"', "", "either 'probabilities' or 'logits'"),
        ('= "answer"', '= "answer"\ntemperature = 2.0', "'temperature' in [output] needs 'logits'"),
        ("cascade = 0.9", "cascade = 9", "'cascade' in [thresholds] must be a number from 0 to 1"),
        ("red = 0.25", "red = true", "'keep_local.red' must be a number from 0 to 1"),
        ('file = "model.onnx"', 'file = "../model.onnx"', "'file' must lie"),
        ("[thresholds]", "[thresholds", "is not TOML"),
        ("[thresholds]", '[barcode]\ncategory = "red"\n[thresholds]', "[barcode] needs 'formats'"),
    ],
)
def test_a_wrong_manifest_says_what_is_wrong(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(ModelFileError) as caught:
        load_manifest(written(tmp_path, GOOD.replace(old, new, 1)))
    assert said in str(caught.value)
    assert "model.toml" in str(caught.value)


def test_a_missing_manifest_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"cannot read .*model\.toml.*Install xintu again"):
        load_manifest(tmp_path)


def test_an_exchanged_model_file_is_refused(tmp_path: Path) -> None:
    manifest = load_manifest(written(tmp_path, content=CONTENT + b" "))
    with pytest.raises(ModelFileError, match="not the one its manifest describes"):
        manifest.read_model()


def test_a_missing_model_file_is_told(tmp_path: Path) -> None:
    manifest = load_manifest(written(tmp_path))
    manifest.path.unlink()
    with pytest.raises(ModelFileError, match="cannot read the local model"):
        manifest.read_model()


def test_a_category_outside_the_models_own_taxonomy_is_refused(tmp_path: Path) -> None:
    manifest = load_manifest(written(tmp_path))
    manifest.check_taxonomy(colours("red", "green", "other"))
    with pytest.raises(ModelFileError, match="answers 'green', which the taxonomy colours"):
        manifest.check_taxonomy(colours("red", "greens", "other"))


def test_coverage_says_what_a_users_taxonomy_gets(tmp_path: Path) -> None:
    manifest = load_manifest(written(tmp_path))
    users = coverage(manifest, colours("red", "yellow", "other"))
    assert users.served == ("red", "other")
    assert users.unserved == ("yellow",)
    assert users.unknown == ("green",)
    assert users.usable
    assert not users.complete
    assert str(users) == (
        "the local model tiny, for the taxonomy colours: serves red, other; "
        "cannot serve yellow; takes green for other"
    )


def test_a_model_that_knows_no_category_but_the_fallback_is_not_usable(tmp_path: Path) -> None:
    assert not coverage(load_manifest(written(tmp_path)), colours("yellow", "other")).usable


def test_the_shipped_model_serves_the_shipped_taxonomy_completely() -> None:
    shipped = load_manifest(Path(__file__).parents[2] / "models" / "xintu-lite")
    taxonomy = load_taxonomy("xintu")
    shipped.check_taxonomy(taxonomy)
    assert coverage(shipped, taxonomy).complete
    assert set(shipped.thresholds.keep_local) == set(taxonomy.keep_local)
