"""Addresses, keys and defaults of providers, before anything is sent."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend

from xintu_cli.errors import ConfigurationError
from xintu_cli.providers.catalog import CATALOG, default_providers, vendor_of
from xintu_cli.providers.endpoint import (
    certificates,
    checked_base_url,
    host_of,
    is_loopback,
    proxy_for,
)
from xintu_cli.providers.keys import find_key
from xintu_cli.providers.profile import ApiKey, Kind, ProviderProfile

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


# ---- addresses -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("https://api.example.org/v1", "https://api.example.org/v1"),
        (" https://api.example.org/v1/ ", "https://api.example.org/v1"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
        ("http://localhost:11434/v1", "http://localhost:11434/v1"),
        ("http://[::1]:1234", "http://[::1]:1234"),
    ],
)
def test_an_address_is_taken(given: str, taken: str) -> None:
    assert taken == checked_base_url(given, provider="p")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("http://api.example.org/v1", "unencrypted"),
        ("http://192.168.1.5:8000", "unencrypted"),
        ("http://localhost.example.org", "unencrypted"),
        ("http://127.0.0.1.example.org", "unencrypted"),
        ("api.example.org/v1", "is no address: give one like"),
        ("ftp://api.example.org", "is no address: give one like"),
        ("https://", "is no address: give one like"),
        ("https://host:port/v1", "no address"),
        ("https://[::1/v1", "no address"),
        ("sk-CANARY", "is no address: give one like"),
        ("https://api.example.org/v1?key=CANARY", "at api.example.org goes on too far"),
        ("https://me:CANARY@api.example.org", "holds a password"),
    ],
)
def test_an_address_is_refused_with_the_reason(given: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        checked_base_url(given, provider="p")
    assert "CANARY" not in str(caught.value)


def test_a_network_of_ones_own_may_be_plain_where_the_user_says_so() -> None:
    address = "http://192.168.1.5:8000"
    assert checked_base_url(address, provider="p", allow_http=True) == address


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://api.example.org/v1/secret", "api.example.org"),
        ("http://127.0.0.1:80/x", "127.0.0.1:80"),
        ("http://user:pass@h:1", "h:1"),
    ],
)
def test_a_host_is_named_without_anything_secret(url: str, host: str) -> None:
    assert host == host_of(url)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_is_known_by_name(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        ({}, "https://a.example", None),
        ({"https_proxy": "http://p:1"}, "https://a.example", "http://p:1"),
        ({"https_proxy": "p:1"}, "https://a.example", "http://p:1"),
        ({"http_proxy": "http://p:1"}, "https://a.example", None),
        ({"all_proxy": "http://p:1"}, "https://a.example", "http://p:1"),
        ({"https_proxy": "http://p:1", "no_proxy": "a.example"}, "https://a.example", None),
        ({"https_proxy": "http://p:1", "no_proxy": ".example"}, "https://a.example", None),
        ({"http_proxy": "http://p:1", "all_proxy": "http://p:1"}, "http://127.0.0.1:5", None),
        ({"http_proxy": "http://p:1"}, "http://localhost:5", None),
    ],
)
def test_the_environments_proxy_is_used_but_never_for_this_machine(
    environ: Mapping[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in PROXY_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    assert proxy == proxy_for(url)


def test_a_proxy_of_a_kind_that_nobody_speaks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://p:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(ConfigurationError, match="socks5 proxy"):
        proxy_for("https://a.example")


def test_certificates_come_from_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert certificates() == str(bundle)


def test_certificates_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
        certificates()


# ---- keys ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the keyring of whoever runs the tests out of them."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")


def key_in(environ: Mapping[str, str], file: Path | None = None, *, required: bool = True) -> str:
    found = find_key(
        provider="p", environ=environ, variable="P_API_KEY", file=file, required=required
    )
    return found.reveal()


def test_a_key_is_taken_from_the_environment_without_its_blanks() -> None:
    assert key_in({"P_API_KEY": " CANARY-123 \n"}) == "CANARY-123"


def test_a_key_file_that_only_its_owner_reads_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("CANARY-123\n")
    file.chmod(0o600)
    assert key_in({}, file) == "CANARY-123"


def test_a_key_file_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("CANARY-123\n")
    file.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600") as caught:
        key_in({}, file)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("place", ["~nobody-of-that-name/key", "none"])
def test_a_key_file_that_is_not_there_is_named(tmp_path: Path, place: str) -> None:
    file = Path(place) if place.startswith("~") else tmp_path / place
    with pytest.raises(ConfigurationError, match="No such file"):
        key_in({}, file)


def test_a_key_file_that_is_no_text_is_refused_without_showing_it(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"CANARY\xff\xfe")
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match="not text") as caught:
        key_in({}, file)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "value",
    [
        "sk-xxxx",
        "sk-...",
        "<your key>",
        "your-api-key",
        "YOUR_API_KEY_HERE",
        "changeme",
        "CANARY 123",
        "CANARY\n123",
        "CANARY\x00",
        "CANARY密",
        "CANARY" * 1000,
    ],
)
def test_what_cannot_be_a_key_is_refused_before_it_costs_a_call(value: str) -> None:
    with pytest.raises(ConfigurationError, match="P_API_KEY") as caught:
        key_in({"P_API_KEY": value})
    assert value not in str(caught.value)


def test_a_missing_key_says_where_it_could_be() -> None:
    with pytest.raises(ConfigurationError, match="Set P_API_KEY, name a file with api_key_file"):
        key_in({"P_API_KEY": " "})


class Broken(KeyringBackend):
    """A keyring whose backend raises what its libraries raise, with anything in it."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        raise ConnectionResetError(f"no bus for {service} {username} CANARY")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError


def test_a_keyring_that_fails_is_told_where_the_key_is_missed() -> None:
    backend: Callable[[], KeyringBackend] = Broken
    before = keyring.get_keyring()
    keyring.set_keyring(backend())
    try:
        with pytest.raises(ConfigurationError, match=r"asked \(ConnectionResetError\)") as caught:
            key_in({})
        assert key_in({}, required=False) == ""
    finally:
        keyring.set_keyring(before)
    assert "CANARY" not in str(caught.value)


def test_a_server_that_wants_no_key_gets_none() -> None:
    assert key_in({}, required=False) == ""


@pytest.mark.parametrize("word", ["none", "x", "xxxx", "EMPTY", "ollama", "lm-studio", "changeme"])
def test_a_server_on_this_machine_is_content_with_any_word(word: str) -> None:
    assert key_in({"P_API_KEY": word}, required=False) == word


def test_a_key_shows_itself_to_nobody_who_prints_it() -> None:
    key = ApiKey("CANARY-123")
    profile = ProviderProfile("p", Kind.OPENAI, "m", "https://h", key)
    shown = f"{key} {key!r} {profile} {profile!r} {[key]}"
    assert "CANARY" not in shown
    with pytest.raises(TypeError):
        pickle.dumps(key)


# ---- the catalog -----------------------------------------------------------------------------


def test_the_vendors_stand_in_failover_order() -> None:
    assert [entry.name for entry in CATALOG] == ["dashscope", "openai", "anthropic"]


def test_a_key_in_the_environment_makes_a_default_provider() -> None:
    found = default_providers({"ANTHROPIC_API_KEY": "x", "DASHSCOPE_API_KEY": "y"})
    assert [entry.name for entry in found] == ["dashscope", "anthropic"]


def test_no_key_makes_none() -> None:
    assert default_providers({"OPENAI_API_KEY": "", "DASHSCOPE_API_KEY": " "}) == ()


def test_an_address_in_the_environment_replaces_the_vendors_own() -> None:
    environ = {"OPENAI_API_KEY": "x", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}
    (entry,) = default_providers(environ)
    assert entry.base_url == "http://127.0.0.1:1/v1"


def test_every_default_address_is_one_that_is_taken() -> None:
    for entry in CATALOG:
        assert entry.base_url == checked_base_url(entry.base_url, provider=entry.name)
        assert entry is vendor_of(entry.kind)
