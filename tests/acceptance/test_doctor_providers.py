"""The doctor asks each provider in use one tiny question, and tells no secret."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.command import Finished, Home
from tests.support.invariants import check_streams
from tests.support.vendor_process import VendorProcess

CANARY = "sk-cnry-77aa01"
VARIABLES = {
    "dashscope": ("DASHSCOPE_API_KEY", "DASHSCOPE_HTTP_BASE_URL"),
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
}


def visit(home: Home, vendor: VendorProcess, kind: str, *arguments: str) -> Finished:
    key, address = VARIABLES[kind]
    env = {key: CANARY, address: vendor.base_url(kind)}
    finished = home.run("doctor", *arguments, env=env)
    check_streams(finished, [CANARY])
    return finished


def providers(finished: Finished) -> list[str]:
    return [line for line in finished.lines() if line.split()[1].startswith("provider")]


@pytest.mark.parametrize("kind", sorted(VARIABLES))
def test_a_provider_that_answers_is_well(home: Home, kind: str) -> None:
    with VendorProcess() as vendor:
        finished = visit(home, vendor, kind, "--policy", "hybrid")
        assert finished.exit_code == 0, finished
        [line] = providers(finished)
        assert line.startswith("ok")
        assert "900 tokens in, 60 out" in line
        [request] = vendor.received()
        assert max(request["width"], request["height"]) <= 64


@pytest.mark.parametrize(
    ("then", "exit_code", "remedy"),
    [
        (
            {"status": 401, "code": "invalid_api_key", "message": f"bad key {CANARY}"},
            77,
            "Check its key",
        ),
        ({"status": 429, "message": "slow down"}, 69, "→ it is there and busy"),
        ({"status": 503, "message": "come back later"}, 69, "→ try again later"),
        ({"content": "I like cats."}, 69, "→ check its base_url, and that its model"),
        ({"status": 400, "message": "no"}, 69, "→ check its model, kind and base_url"),
    ],
)
@pytest.mark.parametrize("kind", sorted(VARIABLES))
def test_a_provider_that_fails_is_broken_with_its_code_and_a_remedy(
    home: Home, kind: str, then: dict[str, Any], exit_code: int, remedy: str
) -> None:
    with VendorProcess({"rules": [{"then": then}]}) as vendor:
        finished = visit(home, vendor, kind, "--policy", "cloud")
    assert finished.exit_code == exit_code, finished
    [line] = providers(finished)
    assert line.startswith("broken")
    assert remedy in finished.stdout


def test_a_provider_that_is_not_in_use_is_not_asked(home: Home) -> None:
    with VendorProcess() as vendor:
        finished = visit(home, vendor, "openai")
        assert (finished.exit_code, vendor.received()) == (0, [])
    [line] = providers(finished)
    assert "OPENAI_API_KEY lies in the environment unused" in line


def test_a_policy_without_a_provider_is_a_configuration_error(home: Home) -> None:
    finished = home.run("doctor", "--policy", "hybrid")
    assert finished.exit_code == 78, finished
    assert "OPENAI_API_KEY" in finished.stdout
