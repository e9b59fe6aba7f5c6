"""Where requests go: the address, the proxy before it, the certificates it must show.

What is read from the environment, the same for every vendor: HTTPS_PROXY, HTTP_PROXY,
ALL_PROXY and NO_PROXY (loopback is never proxied), SSL_CERT_FILE and SSL_CERT_DIR (else the
certifi bundle). What is not: `~/.netrc`, whose entry would replace the key, and
REQUESTS_CA_BUNDLE, which only one of the three clients knows.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from urllib.parse import urlsplit

from xintu_cli.errors import ConfigurationError

LARGEST_REPLY = 1_000_000
"""Bytes of a reply that are read: an answer has about 600."""

KEEPALIVE_SECONDS = 30.0
"""How long an idle connection is kept: less than the 60 s after which balancers drop theirs."""

CONNECT_SECONDS = 5.0
"""Until TCP and TLS stand. Less than the 10 s after which a vendor that is not there is known."""


def checked_base_url(url: str, *, provider: str, allow_http: bool = False) -> str:
    """Return the address without a trailing slash, or raise `ConfigurationError`.

    Photos and keys go there: plain HTTP is for this machine alone, unless the user says so.
    """

    def wrong(what: str) -> ConfigurationError:
        return ConfigurationError(f"the base_url of the provider {provider} {what}.")

    address = url.strip()
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise wrong("is no address: give one like https://host/v1") from error
    if parts.username or parts.password:
        raise wrong("holds a password: take it out, keys belong into the environment")
    if parts.scheme not in ("http", "https") or not host:
        # Not shown: it may be the key, in the wrong variable.
        raise wrong("is no address: give one like https://host/v1")
    if parts.query or parts.fragment:
        # Nor is what follows: some vendors' addresses hold the key there.
        raise wrong(f"at {host_of(address)} goes on too far: end it before the ? or #")
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise wrong(
            f"is http://{host}: photos and the key would travel unencrypted. "
            "Use https, or set allow_http = true if the network is yours"
        )
    return address.rstrip("/")


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name or address alone (no look-up)."""
    if host.casefold() in ("localhost", "localhost.localdomain"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(url: str) -> str:
    """Return host and port of an address, for messages: never a path, never a secret."""
    parts = urlsplit(url)
    host = parts.hostname or "?"
    return f"{host}:{parts.port}" if parts.port else host


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment wants for an address, None for a direct way."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if is_loopback(parts.hostname or "") or proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    scheme = urlsplit(proxy).scheme
    if scheme not in ("http", "https"):
        raise ConfigurationError(
            f"the environment asks for a {scheme} proxy, xintu knows http and https proxies. "
            f"Unset {parts.scheme.upper()}_PROXY and ALL_PROXY, or add "
            f"{parts.hostname} to NO_PROXY."
        )
    return proxy


def certificates() -> str:
    """Return the file or directory of trusted certificates."""
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        path = os.environ.get(variable)
        if not path:
            continue
        if not os.path.exists(path):  # noqa: PTH110 (the clients take a text, not a Path)
            raise ConfigurationError(
                f"there are no certificates at {path}, where {variable} says they are. "
                "Correct the variable, or unset it."
            )
        return path
    import certifi

    return certifi.where()


def tls_context() -> ssl.SSLContext:
    """Return a context that trusts `certificates()`, checks names, and speaks TLS 1.2 or later."""
    path = certificates()
    if os.path.isdir(path):  # noqa: PTH112 (see above)
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=path)
