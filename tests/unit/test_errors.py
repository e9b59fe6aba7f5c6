"""The error tree: every class is drawn, and ends a run with its exit code."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from xintu_cli import errors
from xintu_cli.errors import (
    AnswerError,
    BudgetReachedError,
    CacheUnreachableError,
    ChangedPhotoError,
    ConfigurationError,
    CredentialsError,
    DamagedError,
    ExitCode,
    LeaseLostError,
    ModelFileError,
    NoProviderLeftError,
    OldSchemaError,
    OutputError,
    PhotoError,
    ProviderDownError,
    ProviderError,
    ProviderRejectedError,
    ProviderStoppedError,
    ProviderUnavailableError,
    RequestFormError,
    RootMissingError,
    SchemaError,
    StorageError,
    TryLaterError,
    UnansweredPhotoError,
    UnreadablePhotoError,
    UsageError,
    VanishedPhotoError,
    XintuError,
)
from xintu_cli.records import Attempt, Source


def tree(error: type[XintuError]) -> Iterator[type[XintuError]]:
    yield error
    for child in error.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


CODES: list[tuple[XintuError, int]] = [
    (XintuError("x"), 1),
    (UsageError("x"), 2),
    (RootMissingError("x"), 66),
    (OutputError("x"), 73),
    (DamagedError("x"), 74),
    (StorageError("x"), 74),
    (TryLaterError("x"), 75),
    (CacheUnreachableError("x"), 75),
    (CredentialsError("x"), 77),
    (ConfigurationError("x"), 78),
    (SchemaError("x"), 78),
    (OldSchemaError("x"), 78),
    (ModelFileError("x"), 78),
    (PhotoError("x"), 3),
    (UnreadablePhotoError("x"), 3),
    (UnansweredPhotoError("x"), 3),
    (LeaseLostError("x"), 3),
    (ChangedPhotoError("x"), 3),
    (VanishedPhotoError("x"), 3),
    (ProviderError("x"), 69),
    (BudgetReachedError("x"), 4),
    (NoProviderLeftError("x", exit_code=ExitCode.CREDENTIALS), 77),
    (ProviderUnavailableError("x"), 69),
    (ProviderDownError("x"), 69),
    (ProviderRejectedError("x"), 69),
    (AnswerError("x"), 69),
    (RequestFormError("x"), 69),
    (ProviderStoppedError("x"), 77),
    (ProviderStoppedError("x", out_of_money=True), 69),
    (ProviderStoppedError("x", misconfigured=True), 78),
]


@pytest.mark.parametrize(
    ("error", "code"), CODES, ids=[f"{type(error).__name__}-{code}" for error, code in CODES]
)
def test_every_error_has_its_exit_code_and_shows_its_message(error: XintuError, code: int) -> None:
    assert (int(error.exit_code), str(error)) == (code, "x")


def test_the_table_has_every_error() -> None:
    assert {type(error) for error, _ in CODES} == set(tree(XintuError))


def test_the_drawing_shows_every_error_once() -> None:
    drawn = re.findall(r"\b\w+Error\b", (errors.__doc__ or "").split("A message says")[0])
    assert sorted(drawn) == sorted(error.__name__ for error in tree(XintuError))


def test_the_drawing_indents_every_class_under_its_parent() -> None:
    parents: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ([│ ]*[├└]── )?(\w+Error)\b", line)
        if match is None:
            continue
        depth = len(match.group(1) or "") // 4
        parents = [*parents[:depth], match.group(2)]
        if depth:
            error = getattr(errors, parents[-1])
            assert parents[-2] in [base.__name__ for base in error.__bases__]


def test_what_was_paid_for_travels_with_the_error() -> None:
    attempts = (Attempt(Source.LLM, "qwen", "vl", "throttled", 1.0),)
    for error in (
        ProviderError("x", attempts),
        BudgetReachedError("x", attempts),
        ProviderUnavailableError("x", attempts, retry_after_seconds=1.0),
        ProviderRejectedError("x", attempts, too_large=True),
        AnswerError("x", attempts, off_list=True),
        ProviderStoppedError("x", attempts),
        NoProviderLeftError("x", attempts, exit_code=ExitCode.NO_CLASSIFIER),
        UnansweredPhotoError("x", attempts),
    ):
        assert error.attempts == attempts


def test_exit_codes_are_those_of_the_manual() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "BUG": 1,
        "USAGE": 2,
        "SOME_FAILED": 3,
        "SOME_PENDING": 4,
        "ROOT_MISSING": 66,
        "NO_CLASSIFIER": 69,
        "OUTPUT": 73,
        "STORAGE": 74,
        "TRY_LATER": 75,
        "CREDENTIALS": 77,
        "CONFIGURATION": 78,
    }
