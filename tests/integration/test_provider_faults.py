"""Networks, certificates, environments and processes around a provider."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute

from tests.support.certificates import Authority
from tests.support.providers import CANARY, TAXONOMY, Rig, open_rig, photo, profile_for
from tests.support.vendor import Received, open_vendor
from tests.support.vendor_process import VendorProcess
from tests.support.vendor_script import Script, Then, When
from xintu_cli.decisions import Retry, Standing, Tried, decide
from xintu_cli.errors import (
    ProviderError,
    ProviderRejectedError,
    ProviderStoppedError,
    ProviderUnavailableError,
    RequestFormError,
)
from xintu_cli.providers.opening import open_provider
from xintu_cli.providers.profile import ApiKey, Kind

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]
KINDS = [pytest.param(kind, id=kind.value) for kind in Kind]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    value: Kind = request.param
    return value


async def error_at(kind: Kind, base_url: str) -> ProviderError:
    """Ask at an address, and return the error."""
    async with open_provider(profile_for(kind, base_url), TAXONOMY, concurrency=2) as provider:
        with pytest.raises(ProviderError) as caught:
            await provider.classify(photo(edge=64))
    return caught.value


def assert_unreachable(error: ProviderError, *words: str) -> None:
    assert isinstance(error, ProviderUnavailableError)
    assert (error.unreachable, error.outcome_unknown) == (True, False)
    assert [attempt.was_sent for attempt in error.attempts] == [False]
    assert all(word in str(error) for word in words), str(error)


# ---- nobody there ----------------------------------------------------------------------------


@pytest.mark.row("C9")
async def test_a_port_where_nobody_listens_is_unreachable(kind: Kind) -> None:
    async with open_vendor() as gone:
        url = gone.base_url(kind)
        address = f"127.0.0.1:{gone.port}"
    assert_unreachable(
        await error_at(kind, url), f"cannot reach vendor at {address}: connection refused"
    )


@pytest.mark.row("C9")
async def test_a_host_that_nobody_knows_is_unreachable(kind: Kind) -> None:
    error = await error_at(kind, "https://nobody.invalid/v1")
    assert_unreachable(error, "cannot reach vendor at nobody.invalid", "Check the address")


@pytest.mark.row("C9")
async def test_a_connection_that_is_reset_when_accepted_is_unavailable(kind: Kind) -> None:
    async with open_rig(kind, Script(reset_connections=1)) as rig:
        error = await rig.fail()
        assert (await rig.ask()).classification.category == "pets"
    assert isinstance(error, ProviderUnavailableError)


# ---- TLS -------------------------------------------------------------------------------------


@asynccontextmanager
async def tls_rig(
    kind: Kind, context: ssl.SSLContext, host: str = "127.0.0.1"
) -> AsyncIterator[Rig]:
    async with open_vendor(tls=context) as vendor:
        profile = profile_for(kind, vendor.base_url(kind, host=host))
        async with open_provider(profile, TAXONOMY, concurrency=2) as provider:
            yield Rig(kind, vendor, provider)


@pytest.mark.row("C18")
async def test_a_certificate_of_an_authority_one_names_is_trusted(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Authority.in_directory(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(own.file))
    async with tls_rig(kind, own.server()) as rig:
        assert (await rig.ask()).classification.category == "pets"


@pytest.mark.row("C19")
@pytest.mark.parametrize("fault", ["stranger", "expired", "other host"])
async def test_a_certificate_that_is_not_to_be_trusted_ends_the_call_before_anything_is_sent(
    kind: Kind, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Authority.in_directory(tmp_path)
    if fault != "stranger":
        monkeypatch.setenv("SSL_CERT_FILE", str(own.file))
    name = "elsewhere.example" if fault == "other host" else "127.0.0.1"
    async with tls_rig(kind, own.server(name, expired=fault == "expired")) as rig:
        error = await rig.fail()
        assert rig.vendor.received == []
    reason = {
        "stranger": "unable to get local issuer certificate",
        "expired": "certificate has expired",
        "other host": "127.0.0.1",
    }
    assert_unreachable(
        error, f"127.0.0.1:{rig.vendor.port}", "certificate is not to be trusted", reason[fault]
    )


@pytest.mark.row("C19")
async def test_tls_that_is_cut_in_the_handshake_is_unreachable(kind: Kind) -> None:
    async def cut(stream: ByteStream) -> None:
        async with stream:
            await stream.receive()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 (no Django)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, cut)
        error = await error_at(kind, f"https://127.0.0.1:{port}/v1")
        tasks.cancel_scope.cancel()
    assert_unreachable(error, f"127.0.0.1:{port}")


# ---- the environment -------------------------------------------------------------------------


async def test_netrc_does_not_replace_the_key(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    async with open_rig(kind) as rig:
        await rig.ask()
        (request,) = rig.vendor.received
    assert CANARY in request.headers.get("authorization", request.headers.get("x-api-key", ""))
    assert "Basic" not in str(request.headers)


@pytest.mark.row("C18")
async def test_a_proxy_carries_what_goes_out_but_nothing_to_this_machine(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    async with open_vendor() as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        async with open_rig(kind) as rig:
            await rig.ask()
            assert (len(rig.vendor.received), len(proxy.received)) == (1, 0)
        outside = profile_for(kind, "http://photos.example/v1")
        async with open_provider(outside, TAXONOMY, concurrency=2) as provider:
            await provider.classify(photo(edge=64))
        (request,) = proxy.received
    assert request.path.startswith("http://photos.example/v1/")


async def test_the_sdks_variables_send_nothing_elsewhere_and_tell_strangers_nothing(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in {
        "OPENAI_BASE_URL": "http://127.0.0.1:1/v1",
        "OPENAI_API_KEY": "sk-of-somebody-else",
        "OPENAI_ORG_ID": "org-of-somebody",
        "OPENAI_PROJECT_ID": "proj-of-somebody",
        "OPENAI_CUSTOM_HEADERS": "x-secret: of-somebody",
        "DASHSCOPE_API_KEY": "sk-of-somebody-else",
        "DASHSCOPE_HTTP_BASE_URL": "http://127.0.0.1:1/api/v1",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(variable, value)
    async with open_rig(kind) as rig:
        await rig.ask()
        (request,) = rig.vendor.received
    assert "of-somebody" not in str(request.headers)


async def test_a_local_server_that_wants_no_key_is_asked_without_one() -> None:
    async with open_rig(Kind.OPENAI, api_key=ApiKey("")) as rig:
        await rig.ask()
        (request,) = rig.vendor.received
    assert request.headers["authorization"] == "Bearer none"


async def test_anthropics_version_is_the_one_configured() -> None:
    async with open_rig(Kind.ANTHROPIC, api_version="2023-06-01") as rig:
        await rig.ask()
        assert rig.vendor.received[0].headers["anthropic-version"] == "2023-06-01"


# ---- what a server understands ---------------------------------------------------------------

REFUSES_SCHEMA = (
    When(contains='"json_schema"'),
    Then(status=400, code="x", message="'response_format.type' must be 'json_object' or 'text'"),
)
REFUSES_JSON_MODE = (
    When(contains='"json_object"'),
    Then(status=400, code="x", message="response_format is not supported by this model"),
)
WANTS_THE_NEW_LIMIT = (
    When(contains='"max_tokens"'),
    Then(status=400, code="x", message="Use 'max_completion_tokens' instead of 'max_tokens'."),
)
CANNOT_STOP_THINKING = (
    When(contains='"thinking"'),
    Then(status=400, code="x", message="thinking: this model always thinks"),
)
EXPLAINS_NOTHING = (When(contains="reasoning_effort"), Then(status=422, body="Unprocessable"))


async def ask_until_answered(rig: Rig) -> int:
    """Ask as the retry layer does; return how many requests it took."""
    sends = 1
    while True:
        try:
            await rig.ask()
        except RequestFormError:
            sends += 1
        else:
            return sends


@pytest.mark.parametrize(
    ("rules", "gone"),
    [
        ([REFUSES_SCHEMA], ["json_schema"]),
        ([REFUSES_SCHEMA, REFUSES_JSON_MODE], ["response_format"]),
        ([WANTS_THE_NEW_LIMIT], ["max_tokens"]),
        ([EXPLAINS_NOTHING], ["json_schema", "json_object", "reasoning_effort"]),
    ],
)
async def test_a_compatible_server_gets_what_it_understands_and_that_is_found_out_once(
    rules: list[tuple[When, Then]], gone: list[str]
) -> None:
    async with open_rig(Kind.OPENAI, Script.of(*rules)) as rig:
        assert await ask_until_answered(rig) > 1
        found_out = len(rig.vendor.received)
        await rig.ask()
        assert len(rig.vendor.received) == found_out + 1
        last = rig.vendor.received[-1].body
    assert not any(f'"{part}"'.encode() in last for part in gone)


async def test_a_model_that_cannot_stop_thinking_is_let_think_and_given_room() -> None:
    thinking = (When(contains='"max_tokens": 400'), Then(content=None, finish="max_tokens"))
    async with open_rig(Kind.ANTHROPIC, Script.of(CANNOT_STOP_THINKING, thinking)) as rig:
        with pytest.raises(RequestFormError):
            await rig.ask()
        assert "cut off at 60 tokens" in str(await rig.fail())
        assert (await rig.ask()).classification.category == "pets"
        last = rig.vendor.received[-1].document
    assert ("thinking" in last, last["max_tokens"]) == (False, 2000)


async def test_first_calls_do_not_all_pay_for_finding_out() -> None:
    async with open_rig(Kind.OPENAI, Script.of(REFUSES_SCHEMA, REFUSES_JSON_MODE)) as rig:
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(ask_until_answered, rig)
        refused = [request for request in rig.vendor.received if request.outcome == "400"]
    assert (len(refused), len(rig.vendor.received)) == (2, 10)


AskedThroughProxy = Callable[[str], Awaitable[tuple[ProviderError, Received]]]


@pytest.fixture
def over_quota_at(monkeypatch: pytest.MonkeyPatch) -> AskedThroughProxy:
    """Ask a vendor known by its host, through a proxy: it answers in the vendor's stead."""
    for variable in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(variable, raising=False)

    async def ask(url: str) -> tuple[ProviderError, Received]:
        script = Script.always(status=429, code="insufficient_quota", message="your quota")
        async with open_vendor(script) as proxy:
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
            error = await error_at(Kind.OPENAI, url)
            (request,) = proxy.received
        return error, request

    return ask


async def test_dashscopes_compatible_mode_is_asked_as_dashscope_wants_it(
    over_quota_at: AskedThroughProxy,
) -> None:
    error, request = await over_quota_at("http://dashscope.aliyuncs.com/compatible-mode/v1")
    asked = request.document
    assert (asked["enable_thinking"], asked["response_format"]["type"]) == (False, "json_object")
    assert isinstance(error, ProviderUnavailableError)
    assert error.throttled


async def test_openai_itself_is_asked_in_its_newest_words_and_told_whose_bill_it_is(
    over_quota_at: AskedThroughProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    error, request = await over_quota_at("http://api.openai.com/v1")
    asked = request.document
    assert asked["max_completion_tokens"] == 200
    assert (asked["reasoning_effort"], asked["response_format"]["type"]) == ("none", "json_schema")
    assert request.headers["openai-organization"] == "org-1"
    assert isinstance(error, ProviderStoppedError)
    assert error.out_of_money


def test_a_refused_form_is_retried_at_once_and_costs_the_photo_no_attempt() -> None:
    error = RequestFormError("no JSON schema")
    tried = Tried(attempts=2).and_failed(error, provider_down=False)
    assert tried.attempts == 2
    assert decide(error, tried, Standing(), lambda: 0.5) == Retry(0.0)
    assert isinstance(error, ProviderRejectedError)
    assert not error.lasting


# ---- processes -------------------------------------------------------------------------------

# What a run does when it is interrupted: one call hangs, and is cancelled.
INTERRUPTED = """
import sys, anyio
from tests.support.providers import TAXONOMY, open_provider, photo, profile_for
from xintu_cli.providers.profile import Kind

async def main():
    profile = profile_for(Kind(sys.argv[1]), sys.argv[2], timeout_seconds=300)
    async with open_provider(profile, TAXONOMY, concurrency=4) as provider:
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(provider.classify, photo(edge=64))
            await anyio.to_thread.run_sync(sys.stdin.readline)
            tasks.cancel_scope.cancel()

anyio.run(main)
"""

LOUD = {
    "OPENAI_LOG": "debug",
    "DASHSCOPE_LOGGING_LEVEL": "debug",
    "HTTPX_LOG_LEVEL": "debug",
    "PYTHONWARNINGS": "error",
    "PYTHONPATH": str(ROOT),
}


def test_a_process_ends_at_once_though_its_calls_would_hang_for_minutes(kind: Kind) -> None:
    with VendorProcess({"rules": [{"then": {"fault": "black_hole"}}]}) as vendor:
        command = [sys.executable, "-c", INTERRUPTED, kind.value, vendor.base_url(kind)]
        with subprocess.Popen(
            command,
            env={**os.environ, **LOUD},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            vendor.wait_for(requests=4)
            output, _ = process.communicate("\n", timeout=60)
    assert (process.returncode, output) == (0, "")


ASKED_AND_REFUSED = """
import logging, sys, anyio
from tests.support.providers import TAXONOMY, open_provider, photo, profile_for
from xintu_cli.errors import ProviderError
from xintu_cli.providers.profile import Kind

logging.basicConfig(level=logging.DEBUG)

async def main():
    profile = profile_for(Kind(sys.argv[1]), sys.argv[2])
    async with open_provider(profile, TAXONOMY, concurrency=4) as provider:
        await provider.classify(photo(edge=64))
        await provider.classify(photo(edge=64))

anyio.run(main)
"""


def test_the_loudest_settings_and_a_traceback_show_no_key_and_no_picture(kind: Kind) -> None:
    echo = {"status": 401, "code": "invalid_api_key", "message": f"bad key {CANARY}"}
    with VendorProcess({"rules": [{"when": {"numbers": [2]}, "then": echo}]}) as vendor:
        command = [sys.executable, "-c", ASKED_AND_REFUSED, kind.value, vendor.base_url(kind)]
        finished = subprocess.run(
            command,
            check=False,
            env={**os.environ, **LOUD},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert finished.returncode == 1
    assert "ProviderStoppedError" in finished.stderr
    assert "bad key ***" in finished.stderr
    assert CANARY not in finished.stdout + finished.stderr
    assert not re.search(r"[A-Za-z0-9+/]{200}", finished.stdout + finished.stderr)


def test_no_sdk_is_imported_before_its_provider_is_opened() -> None:
    code = (
        "import sys, xintu_cli.providers.opening, xintu_cli.providers.catalog\n"
        "sys.exit(str([m for m in ('openai', 'dashscope', 'httpx', 'httpx2', 'requests', 'PIL')"
        " if m in sys.modules]))"
    )
    command = [sys.executable, "-c", code]
    finished = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert finished.stderr.strip() == "[]"
