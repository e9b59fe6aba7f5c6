"""Anthropic's Messages API over `httpx`.

Without the vendor's SDK: the product needs one request of it, and the SDK has ways of its own to
retry, to log and to parse. Facts of the API as of 2026-11-23: the models of 5.x
take no temperature, no prefill and no token budget for thinking, may begin their reply with a
`thinking` block, and refuse with status 200 and `stop_reason` "refusal". Haiku 5.5 thinks unless
told not to, which it can be up to effort "high"; the larger 5.x models cannot.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from anyio import CancelScope

from xintu_cli.errors import AnswerError, ProviderRejectedError
from xintu_cli.prompt import Question
from xintu_cli.providers.connections import connection_error
from xintu_cli.providers.dialect import Dialect, Part
from xintu_cli.providers.endpoint import (
    CONNECT_SECONDS,
    KEEPALIVE_SECONDS,
    LARGEST_REPLY,
    host_of,
    proxy_for,
    tls_context,
)
from xintu_cli.providers.llm import CallFailedError, Reply
from xintu_cli.providers.profile import ProviderProfile
from xintu_cli.providers.replies import count, json_object, member, object_or_empty
from xintu_cli.providers.slots import Slots
from xintu_cli.providers.vendor_errors import (
    House,
    Meaning,
    VendorFault,
    meaning_of,
    provider_error,
)
from xintu_cli.providers.vendor_words import shown

API_VERSION = "2026-10-21"
"""Gateways may know only 2023-06-01: `api_version` of the provider says which one to send."""

_MOST_OUTPUT_TOKENS = 400
"""Twice the others': these models' tokenizer makes a third more of the same text."""

_FIRST_PARTS = frozenset({Part.JSON_SCHEMA, Part.NO_THINKING, Part.EFFORT})
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


@asynccontextmanager
async def open_anthropic(profile: ProviderProfile) -> AsyncIterator[AnthropicVendor]:
    """Open the way to the vendor; leaving the block closes all connections."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    context, proxy = tls_context(), proxy_for(profile.base_url)

    def new_client() -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=context,
            trust_env=False,
            proxy=proxy,
            follow_redirects=False,
            # The caller keeps the deadline of a whole call; httpx's would be one per read.
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=1, keepalive_expiry=KEEPALIVE_SECONDS),
        )

    clients = Slots(new_client)
    try:
        yield AnthropicVendor(profile, clients)
    finally:
        with CancelScope(shield=True):
            for client in clients.drain():
                await client.aclose()


class AnthropicVendor:
    """The wire to the Messages API."""

    def __init__(self, profile: ProviderProfile, clients: Slots[httpx.AsyncClient]) -> None:
        """Take the clients to send with."""
        self._profile = profile
        self._clients = clients
        self._host = host_of(profile.base_url)
        self._url = f"{profile.base_url.removesuffix('/v1')}/v1/messages"

    @property
    def first_dialect(self) -> Dialect:
        """Everything that the default model knows."""
        no_json_mode = frozenset({Part.JSON_OBJECT})
        return Dialect(_FIRST_PARTS, _MOST_OUTPUT_TOKENS, refused=no_json_mode)

    @property
    def dialect_known(self) -> bool:
        """True at the vendor itself with the model that was read about."""
        own = self._host == "api.anthropic.com"
        return own and self._profile.model.startswith("claude-haiku-5-5")

    async def ask(self, question: Question, picture: str, dialect: Dialect) -> Reply:
        """Send one message."""
        body = _body(self._profile.model, question, picture, dialect)
        client = self._clients.take()
        try:
            async with client.stream(
                "POST", self._url, content=json.dumps(body), headers=self._headers()
            ) as response:
                content = await _bounded(response)
        except httpx.HTTPError as error:
            sent = not isinstance(error, _UNSENT)
            broken = connection_error(
                error, provider=self._profile.name, host=self._host, sent=sent
            )
            raise CallFailedError(broken) from error
        except AnswerError as error:
            raise CallFailedError(AnswerError(f"{self._profile.name}: {error}")) from error
        finally:
            self._clients.give_back(client)
        if response.status_code != httpx.codes.OK:
            raise self._fault(response, content)
        return self._read(content)

    def _headers(self) -> dict[str, str]:
        return {
            "x-api-key": self._profile.api_key.reveal(),
            "anthropic-version": self._profile.api_version or API_VERSION,
            "content-type": "application/json",
            "accept-encoding": "identity",
            "user-agent": "xintu",
        }

    def _read(self, content: bytes) -> Reply:
        name = self._profile.name
        try:
            document = json_object(content)
        except AnswerError as error:
            raise CallFailedError(AnswerError(f"{name}: {error}")) from error
        reply = _reply(document)
        if document.get("stop_reason") == "refusal":
            details = member(document, "stop_details")
            said = shown(
                details.get("explanation") or details.get("category"),
                secret=self._profile.api_key.reveal(),
            )
            refusal = ProviderRejectedError(f"{name} refused the photo{said and ': '}{said}.")
            raise CallFailedError(refusal, reply)
        if not reply.text and not reply.cut:
            raise CallFailedError(AnswerError(f"{name} answered without a text."), reply)
        return reply

    def _fault(self, response: httpx.Response, content: bytes) -> CallFailedError:
        error = member(object_or_empty(content), "error")
        secret = self._profile.api_key.reveal()
        code = member(error, "details").get("error_code") or error.get("type")
        fault = VendorFault(
            status=response.status_code,
            code=shown(code, secret=secret),
            message=shown(error.get("message"), secret=secret),
            headers=response.headers,
        )
        raised = provider_error(
            fault, House.ANTHROPIC, provider=self._profile.name, host=self._host
        )
        is_about_form = meaning_of(fault, House.ANTHROPIC) is Meaning.NOT_UNDERSTOOD
        complaint = content[:2000].decode("utf-8", "replace") or "?" if is_about_form else ""
        return CallFailedError(raised, complaint=complaint)


def _body(model: str, question: Question, picture: str, dialect: Dialect) -> dict[str, Any]:
    source = {"type": "base64", "media_type": "image/jpeg", "data": picture}
    content = [{"type": "image", "source": source}, {"type": "text", "text": question.user}]
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": dialect.most_output_tokens,
        "system": question.system,
        "messages": [{"role": "user", "content": content}],
    }
    output: dict[str, Any] = {}
    if Part.JSON_SCHEMA in dialect.parts:
        output["format"] = {"type": "json_schema", "schema": question.schema}
    if Part.EFFORT in dialect.parts:
        output["effort"] = "low"
    if output:
        body["output_config"] = output
    if Part.NO_THINKING in dialect.parts:
        body["thinking"] = {"type": "disabled"}
    return body


def _reply(document: dict[str, Any]) -> Reply:
    """Return the text blocks, by type: thinking may stand before them."""
    blocks = document.get("content")
    texts = [
        block.get("text")
        for block in (blocks if isinstance(blocks, list) else [])
        if isinstance(block, dict) and block.get("type") == "text"
    ]
    usage = member(document, "usage")
    return Reply(
        text="".join(text for text in texts if isinstance(text, str)),
        tokens_in=count(
            usage, "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"
        ),
        tokens_out=count(usage, "output_tokens"),
        cut=document.get("stop_reason") in ("max_tokens", "model_context_window_exceeded"),
    )


async def _bounded(response: httpx.Response) -> bytes:
    """Read a reply as it is on the wire, up to the most an answer can need."""
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise AnswerError(f"the reply is compressed ({encoding!r:.20}), unasked")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > LARGEST_REPLY:
            raise AnswerError(f"the reply is longer than {LARGEST_REPLY} bytes")
    return bytes(content)
