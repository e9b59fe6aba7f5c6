"""Which providers a run has, and what each of them is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from xintu_cli.errors import ConfigurationError
from xintu_cli.providers.configured import profile_of, providers_in_use
from xintu_cli.providers.profile import Kind
from xintu_cli.settings import ProviderConfig

KEYS = {"OPENAI_API_KEY": "sk-openai-1", "DASHSCOPE_API_KEY": "sk-qwen-1"}
OWN = ProviderConfig(
    name="mine", kind="openai", model="llava", base_url="http://localhost:11434/v1"
)


@pytest.mark.parametrize(
    ("chosen", "environ", "wanted", "names"),
    [
        ((), {}, False, []),
        ((), KEYS, False, []),
        ((), {}, True, []),
        ((), KEYS, True, ["dashscope", "openai"]),
        (("openai",), KEYS, True, ["openai"]),
        (("openai", "dashscope"), KEYS, False, ["openai", "dashscope"]),
        (("dashscope",), {}, True, ["dashscope"]),
        ((OWN, "anthropic"), KEYS, True, ["mine", "anthropic"]),
    ],
)
def test_a_choice_counts_before_keys_and_keys_only_where_an_llm_is_wanted(
    chosen: tuple[str | ProviderConfig, ...],
    environ: Mapping[str, str],
    wanted: bool,
    names: list[str],
) -> None:
    found = providers_in_use(chosen, environ, wanted=wanted)
    assert [provider.name for provider in found] == names


def test_a_name_nobody_has_is_refused_with_those_there_are() -> None:
    known = "dashscope, openai, anthropic"
    with pytest.raises(ConfigurationError, match=f"'dashscop': xintu knows {known}"):
        providers_in_use(["dashscop"], KEYS, wanted=True)


def profile(config: ProviderConfig, environ: Mapping[str, str]) -> Any:
    return profile_of(config, environ, max_edge=768, language="zh")


def test_what_a_table_leaves_out_is_its_vendors() -> None:
    [config] = providers_in_use(["openai"], KEYS, wanted=True)
    made = profile(config, KEYS)
    assert (made.name, made.kind, made.base_url) == (
        "openai",
        Kind.OPENAI,
        "https://api.openai.com/v1",
    )
    assert (made.api_key.reveal(), made.max_edge, made.language) == ("sk-openai-1", 768, "zh")
    assert made.model


def test_the_environment_moves_the_vendors_own_provider_alone() -> None:
    environ = {**KEYS, "OPENAI_BASE_URL": "https://proxy.example.org/v1"}
    [config] = providers_in_use(["openai"], environ, wanted=True)
    assert profile(config, environ).base_url == "https://proxy.example.org/v1"
    other = ProviderConfig(name="second", kind="openai")
    assert profile(other, environ).base_url == "https://api.openai.com/v1"


def test_a_server_on_this_machine_needs_no_key_and_any_other_does() -> None:
    assert not profile(OWN, {}).api_key
    away = OWN.model_copy(update={"base_url": "https://llm.example.org/v1"})
    with pytest.raises(ConfigurationError, match="no API key for the provider mine"):
        profile(away, {})


def test_a_key_may_lie_in_a_variable_of_its_own() -> None:
    config = OWN.model_copy(update={"api_key_env": "MY_KEY"})
    assert profile(config, {"MY_KEY": "sk-mine-1", **KEYS}).api_key.reveal() == "sk-mine-1"
