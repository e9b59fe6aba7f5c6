"""What is asked of a vision model, and what is taken from its answer. Pure."""

from xintu_cli.prompt.answer import read_answer
from xintu_cli.prompt.description import clean_description
from xintu_cli.prompt.question import (
    MOST_OUTPUT_TOKENS,
    PROMPT_VERSION,
    AskedAgain,
    Question,
    answer_schema,
    question,
)

__all__ = [
    "MOST_OUTPUT_TOKENS",
    "PROMPT_VERSION",
    "AskedAgain",
    "Question",
    "answer_schema",
    "clean_description",
    "question",
    "read_answer",
]
