"""Answers and settlements by the handful, for tests of caches."""

from __future__ import annotations

from dataclasses import replace

from xintu_cli.records import Answer, Attempt, Classification, Settlement, Source

TASK = "0123456789abcdef"
OTHER_TASK = "fedcba9876543210"
RUN = "a" * 32
OTHER_RUN = "b" * 32


def photo(number: int) -> str:
    """Return the image hash of the n-th photo."""
    return f"{number:032x}"


PHOTOS = [photo(number) for number in range(1, 2_501)]
CAT, DOG, BIRD = PHOTOS[:3]


def attempt(**changes: object) -> Attempt:
    """Return a successful call, changed as named."""
    made = Attempt(Source.LLM, "qwen", "qwen3-vl-plus", "ok", 100.0, 900, 60, 0.25, "USD")
    return replace(made, **changes)  # type: ignore[arg-type]


def llm(category: str = "pets", **changes: object) -> Answer:
    """Return an LLM's answer after one call, changed as named."""
    answer = Answer(
        Classification(category, 0.75, f"a {category} 🐈", "foods"),
        Source.LLM,
        "qwen",
        "qwen3-vl-plus",
        prompt_version="p1",
        preparation_version="v1",
        attempts=(attempt(),),
    )
    return replace(answer, **changes)  # type: ignore[arg-type]


def local(category: str = "other", reason: str = "outage", model: str = "lite@1") -> Answer:
    """Return the local model's answer, without an attempt."""
    return Answer(Classification(category, 0.5), Source.LOCAL, "local", model, reason)


def settlement(*answers: tuple[str, Answer], **changes: object) -> Settlement:
    """Return a settlement of these answers, changed as named."""
    made = Settlement(RUN, TASK, answers=answers)
    return replace(made, **changes) if changes else made  # type: ignore[arg-type]
