"""The three wire formats from the server's side: find the picture, write replies and errors."""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.vendor_script import Then

DASHSCOPE = "dashscope"
OPENAI = "openai"
ANTHROPIC = "anthropic"

_PATHS = {
    "/services/aigc/multimodal-generation/generation": DASHSCOPE,
    "/chat/completions": OPENAI,
    "/messages": ANTHROPIC,
}
_BASE_PATHS = {DASHSCOPE: "/api/v1", OPENAI: "/v1", ANTHROPIC: ""}
_PICTURE_MARKS = (b"data:image/jpeg;base64,", b'"data": "', b'"data":"')


def base_path(kind: str) -> str:
    """Return what a kind's base_url ends with."""
    return _BASE_PATHS[kind]


def kind_of(path: str) -> str:
    """Return the wire format that a path belongs to; empty for any other path."""
    return next((kind for end, kind in _PATHS.items() if path.endswith(end)), "")


def picture_in(body: bytes) -> bytes:
    """Return the JPEG in a request; found by its marks, since parsing megabytes would be slow."""
    for mark in _PICTURE_MARKS:
        start = body.find(mark)
        if start >= 0:
            start += len(mark)
            return binascii.a2b_base64(body[start : body.index(b'"', start)])
    return b""


def reply(kind: str, then: Then, text: str | None) -> dict[str, Any]:
    """Return a good reply with this text, as the vendor would send it."""
    match kind:
        case "dashscope":
            content = [] if text is None else [{"text": text}]
            message: dict[str, Any] = {"role": "assistant", "content": content}
            choice: dict[str, Any] = {"finish_reason": then.finish or "stop", "message": message}
            usage = {"input_tokens": then.tokens_in, "output_tokens": then.tokens_out}
            document = {"output": {"choices": [choice]}, "usage": usage, "request_id": "r-1"}
        case "anthropic":
            blocks = [{"type": "thinking", "thinking": "", "signature": "s"}]
            if text is not None:
                blocks.append({"type": "text", "text": text})
            document = {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "content": blocks,
                "stop_reason": then.finish or "end_turn",
                "usage": {"input_tokens": then.tokens_in, "output_tokens": then.tokens_out},
            }
        case _:
            message = {"role": "assistant", "content": text}
            document = {
                "id": "c-1",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [
                    {"index": 0, "finish_reason": then.finish or "stop", "message": message}
                ],
                "usage": {
                    "prompt_tokens": then.tokens_in,
                    "completion_tokens": then.tokens_out,
                    "total_tokens": then.tokens_in + then.tokens_out,
                },
            }
    return document | dict(then.members)


def error(kind: str, then: Then) -> dict[str, Any]:
    """Return an error as the vendor would send it."""
    match kind:
        case "dashscope":
            return {"code": then.code, "message": then.message, "request_id": "r-1"}
        case "anthropic":
            inner = {"type": then.code, "message": then.message}
            return {"type": "error", "error": inner, "request_id": "r-1"}
        case _:
            return {"error": {"message": then.message, "type": then.code, "code": then.code}}


def response(status: int, headers: dict[str, str], body: bytes) -> bytes:
    """Return a whole HTTP response."""
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def encoded(document: Any) -> bytes:
    """Return JSON in UTF-8."""
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class JPEGFacts:
    """What a JPEG's header tells: its pixels and the marker codes of its segments."""

    width: int
    height: int
    segments: tuple[int, ...]

    @property
    def holds_metadata(self) -> bool:
        """True for APP1 to APP15 (EXIF, XMP, ICC, IPTC) and comments; APP0 is JFIF's own."""
        return any(0xE1 <= code <= 0xEF or code == 0xFE for code in self.segments)


def jpeg_facts(jpeg: bytes) -> JPEGFacts:
    """Read a JPEG's segments up to its pixels."""
    width = height = 0
    codes = []
    for code, start in _segments(jpeg):
        codes.append(code)
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            height = int.from_bytes(jpeg[start + 3 : start + 5], "big")
            width = int.from_bytes(jpeg[start + 5 : start + 7], "big")
    return JPEGFacts(width, height, tuple(codes))


def _segments(jpeg: bytes) -> Iterator[tuple[int, int]]:
    position = 2
    while position + 4 <= len(jpeg) and jpeg[position] == 0xFF:
        code = jpeg[position + 1]
        yield code, position + 2
        if code == 0xDA:
            return
        position += 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
