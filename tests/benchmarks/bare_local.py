"""The bare loop of local classification: two threads that decode and run the network.

`bare_local FOLDER` prints the seconds that the loop itself took. It decodes
as the product does (JPEG draft, same edge, same tensors) and does nothing else: no walk, no
hash, no cache, no colour, no barcode, no order.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnxruntime
from PIL import Image

from xintu_cli.providers.manifest import load_manifest
from xintu_cli.providers.onnx_views import DECODE_EDGE, prepare
from xintu_cli.resources import data_directory

_THREADS = 2


def main(folder: Path) -> None:
    """Classify every photo of `folder` with two threads; print the seconds."""
    manifest = load_manifest(data_directory("models") / "xintu-lite")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(manifest.path), options, providers=["CPUExecutionProvider"]
    )

    def classify(path: Path) -> None:
        with Image.open(path) as image:
            image.draft("RGB", (DECODE_EDGE, DECODE_EDGE))
            image.thumbnail((DECODE_EDGE, DECODE_EDGE), reducing_gap=2.0)
            session.run([manifest.output], prepare(image, manifest.inputs))

    paths = sorted(folder.iterdir())
    started = time.perf_counter()
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(classify, paths):
            pass
    sys.stdout.write(f"{time.perf_counter() - started}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
