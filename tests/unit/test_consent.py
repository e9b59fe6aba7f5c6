"""Where photos may go: what a remembered word means, as a table, and the file it stands in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from xintu_cli.configuration import DEFAULT, Configuration
from xintu_cli.consent import Word, in_words, read_words, remember, standing, with_consent
from xintu_cli.errors import ConfigurationError, StorageError
from xintu_cli.routing import Policy
from xintu_cli.settings import Settings

KEYS = {"DASHSCOPE_API_KEY": "sk-qwen-1", "OPENAI_API_KEY": "sk-openai-1"}
QWEN, OPENAI = "dashscope.aliyuncs.com", "api.openai.com"
YES, NO = (Word(allowed=allowed, day="2026-11-24") for allowed in (True, False))


def configuration(origin: str = DEFAULT) -> Configuration:
    origins = dict.fromkeys(Settings.model_fields, DEFAULT) | {"policy": origin}
    return Configuration(Settings(), origins, ())


@pytest.mark.parametrize(
    ("environ", "words", "allowed", "unasked"),
    [
        ({}, {QWEN: YES}, [], []),
        (KEYS, {}, [], ["dashscope", "openai"]),
        (KEYS, {QWEN: YES}, ["dashscope"], []),
        (KEYS, {OPENAI: YES}, ["openai"], []),
        (KEYS, {QWEN: NO}, [], ["openai"]),
        (KEYS, {QWEN: NO, OPENAI: NO}, [], []),
        (KEYS, {QWEN: NO, OPENAI: YES}, ["openai"], []),
        (KEYS, {QWEN: YES, OPENAI: YES}, ["dashscope", "openai"], []),
        # The word is about a host: another address is not covered by it.
        (
            {**KEYS, "OPENAI_BASE_URL": "https://proxy.example.org:8443/v1"},
            {QWEN: NO, OPENAI: YES},
            [],
            ["openai"],
        ),
        (
            {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "https://proxy.example.org:8443/v1"},
            {"proxy.example.org:8443": YES},
            ["openai"],
            [],
        ),
    ],
)
def test_a_word_counts_for_its_host_alone(
    environ: Mapping[str, str], words: Mapping[str, Word], allowed: list[str], unasked: list[str]
) -> None:
    found = standing(configuration(), words, environ)
    assert [entry.name for entry in found.allowed] == allowed
    assert [entry.name for entry in found.open] == unasked


@pytest.mark.parametrize("origin", ["flag", "environment", "/home/a/config.toml"])
def test_a_policy_that_was_chosen_counts_before_any_word(origin: str) -> None:
    found = standing(configuration(origin), {QWEN: YES}, KEYS)
    assert (found.allowed, found.open) == ((), ())


def test_consent_means_hybrid_with_those_hosts_and_tells_its_origin() -> None:
    found = standing(configuration(), {OPENAI: YES}, KEYS)
    agreed = with_consent(configuration(), found.allowed, "consent.json")
    assert (agreed.settings.policy, agreed.settings.provider) == (Policy.HYBRID, ("openai",))
    assert (agreed.origins["policy"], agreed.origins["provider"]) == ("consent.json",) * 2
    assert with_consent(configuration(), (), "consent.json").settings.policy is Policy.LOCAL


def test_words_are_added_to_the_file_and_read_back(tmp_path: Path) -> None:
    file = tmp_path / "consent.json"
    assert read_words(file) == {}
    remember(file, [QWEN], NO)
    remember(file, [OPENAI], YES)
    remember(file, [QWEN], YES)
    assert read_words(file) == {QWEN: YES, OPENAI: YES}
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["consent.json"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "yes",
        '{"a": true}',
        '{"a": {"allowed": "yes", "day": "2026-11-24"}}',
        '{"a": {"allowed": true}}',
        '{"a": {"allowed": 1, "day": "2026-11-24"}}',
        "\xff",
    ],
)
def test_a_file_that_says_nothing_clear_allows_nothing(tmp_path: Path, content: str) -> None:
    file = tmp_path / "consent.json"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigurationError, match="Delete it, to be asked again"):
        read_words(file)


def test_what_cannot_be_remembered_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot remember the answer"):
        remember(tmp_path / "nowhere" / "consent.json", [QWEN], YES)


def test_words_are_told_in_words() -> None:
    assert in_words({}) == ""
    told = in_words({QWEN: NO, OPENAI: YES})
    assert told == (
        "photos may be sent to api.openai.com (said on 2026-11-24), "
        "photos must not be sent to dashscope.aliyuncs.com (said on 2026-11-24)"
    )
