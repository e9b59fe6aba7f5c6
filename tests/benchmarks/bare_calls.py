"""The simplest honest tool: a thread pool, Pillow, the vendor's SDK; no cache, no retry.

`bare_calls FOLDER CONCURRENCY BASE_URL` asks about every photo of `FOLDER` and ends. With a
CONCURRENCY of 0 it asks nobody: two threads only prepare what would be sent.
"""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

_EDGE = 1024
_CORES = 2
_QUESTION = "Answer with JSON: category, confidence, description, second_category."


def prepare(path: Path) -> str:
    """Return what is sent: a JPEG of at most 1024 pixels, as base64."""
    with Image.open(path) as image:
        image.draft("RGB", (_EDGE, _EDGE))
        image.thumbnail((_EDGE, _EDGE), reducing_gap=2.0)
        encoded = io.BytesIO()
        image.convert("RGB").save(encoded, "JPEG", quality=85)
    return base64.b64encode(encoded.getvalue()).decode("ascii")


def asking(base_url: str, concurrency: int) -> Callable[[Path], object]:
    """Return what asks the vendor about one photo and waits for the reply."""
    import httpx2
    from openai import OpenAI

    limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    client = OpenAI(
        api_key="sk-bench-1", base_url=base_url, http_client=httpx2.Client(limits=limits)
    )

    def ask(path: Path) -> object:
        picture = {"url": f"data:image/jpeg;base64,{prepare(path)}"}
        return client.chat.completions.create(
            model="gpt-6-luna",
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": picture["url"]}},
                        {"type": "text", "text": _QUESTION},
                    ],
                }
            ],
            response_format={"type": "json_object"},
        )

    return ask


def main(folder: Path, concurrency: int, base_url: str) -> None:
    """Ask about every photo, or only prepare it."""
    work: Callable[[Path], object] = asking(base_url, concurrency) if concurrency else prepare
    with ThreadPoolExecutor(concurrency or _CORES) as pool:
        for _ in pool.map(work, sorted(folder.rglob("*.jpg"))):
            pass


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
