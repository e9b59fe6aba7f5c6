"""OpenAI and every server that speaks its chat completions, through the `openai` SDK.

Ollama, vLLM, LM Studio, Moonshot and DashScope's compatible mode are such servers; what each of
them understands is found out by `dialect`. Imported only where such a provider is used: the SDK
takes 0.4 s to load.

The SDK's own HTTP client (httpx2) carries the calls. Beneath aiohttp, which the SDK also offers, a
call of 130 kB costs 1.4 to 2.0 ms of CPU instead of 2.3 (300 and 64 in flight, one busy core), but
its transport is a private part of the SDK, which leaves no place to bound a reply before it is in
memory and to keep the SDK's headers from strangers; and at 300 photos it is a quarter of a second.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import openai
from openai import AsyncOpenAI

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
from xintu_cli.providers.replies import count, first, json_object, member, object_or_empty, text_of
from xintu_cli.providers.slots import Slots
from xintu_cli.providers.vendor_errors import (
    House,
    Meaning,
    VendorFault,
    house_of,
    meaning_of,
    provider_error,
)
from xintu_cli.providers.vendor_words import shown

_OWN_HOST = "api.openai.com"
_NO_KEY = "none"
"""Sent to servers that want no key: the SDK refuses to start without one."""

_PLAIN_HEADERS = frozenset(
    b"host authorization content-type content-length accept accept-encoding user-agent "
    b"connection".split()
)
"""What a compatible server gets. The SDK adds OPENAI_ORG_ID, OPENAI_PROJECT_ID and
OPENAI_CUSTOM_HEADERS of the environment to every request, which are not everybody's business."""

_FIRST_PARTS = {
    "own": {Part.JSON_SCHEMA, Part.MAX_COMPLETION_TOKENS, Part.REASONING_EFFORT},
    "dashscope": {Part.JSON_OBJECT, Part.MAX_TOKENS, Part.NO_THINKING},
    # An old server ignores the limit it does not know, and then there is none: the old name first.
    "other": {Part.JSON_SCHEMA, Part.MAX_TOKENS, Part.REASONING_EFFORT},
}
_UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)


@asynccontextmanager
async def open_openai(profile: ProviderProfile) -> AsyncIterator[OpenAIVendor]:
    """Open the client; leaving the block closes its connections."""
    # OPENAI_LOG=debug makes the SDK log whole requests, pictures included.
    for name in ("openai", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    async with httpx2.AsyncClient(
        transport=_BoundedTransport(profile), trust_env=False, follow_redirects=False
    ) as http_client:
        client = AsyncOpenAI(
            api_key=profile.api_key.reveal() or _NO_KEY,
            base_url=profile.base_url,
            # The caller keeps the deadline of a whole call; the SDK's would be one per read.
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
            max_retries=0,
            default_headers={"accept-encoding": "identity"},
            http_client=http_client,
        )
        yield OpenAIVendor(profile, client)


class OpenAIVendor:
    """The wire to a server of OpenAI's format."""

    def __init__(self, profile: ProviderProfile, client: AsyncOpenAI) -> None:
        """Take an open client."""
        self._profile = profile
        self._client = client
        self._host = host_of(profile.base_url)
        self._house = house_of(profile.kind, self._host)
        if self._house is House.DASHSCOPE:
            self._habit = "dashscope"
        else:
            self._habit = "own" if self._host == _OWN_HOST else "other"

    @property
    def first_dialect(self) -> Dialect:
        """Everything that the server's documents say it knows."""
        return Dialect(frozenset(_FIRST_PARTS[self._habit]))

    @property
    def dialect_known(self) -> bool:
        """True for the two vendors that have documents."""
        return self._habit != "other"

    async def ask(self, question: Question, picture: str, dialect: Dialect) -> Reply:
        """Send one chat completion."""
        try:
            # Not chat.completions.create: it walks the whole request to rename members that need
            # no renaming, and parses the reply with exceptions of its own; 1.9 ms against 0.7.
            response = await self._client.post(
                "/chat/completions",
                cast_to=httpx2.Response,
                body={
                    "model": self._profile.model,
                    "messages": _messages(question, picture),
                    **_options(question, dialect),
                },
            )
        except openai.APIStatusError as error:
            failure = self._status(error.response)
        except openai.APIConnectionError as error:
            failure = self._broken(error)
        except _UnreadableReplyError as error:
            failure = CallFailedError(AnswerError(f"{self._profile.name}: {error}"))
        else:
            return self._read(response)
        # Outside the handlers, so that it does not drag the SDK's error along: that quotes the
        # vendor's, which may quote the key.
        raise failure

    def _read(self, response: httpx2.Response) -> Reply:
        name = self._profile.name
        try:
            document = json_object(response.content)
        except AnswerError as error:
            raise CallFailedError(AnswerError(f"{name}: {error}")) from error
        if "error" in document and "choices" not in document:
            raise self._fault(response.status_code, document, response.headers)
        choice = first(document, "choices")
        message = member(choice, "message")
        reply = _reply(document, choice, message)
        refusal = message.get("refusal")
        if choice.get("finish_reason") == "content_filter" or refusal:
            said = shown(refusal, secret=self._profile.api_key.reveal()) or "content filter"
            rejection = ProviderRejectedError(f"{name} refused the photo: {said}.")
            raise CallFailedError(rejection, reply)
        if not reply.text and not reply.cut:
            what = "an empty message" if message else "no choices"
            raise CallFailedError(AnswerError(f"{name} answered with {what}."), reply)
        return reply

    def _status(self, response: httpx2.Response) -> CallFailedError:
        document = object_or_empty(response.content)
        return self._fault(response.status_code, document, response.headers, response.content)

    def _fault(
        self, status: int, document: dict[str, Any], headers: Any, content: bytes = b""
    ) -> CallFailedError:
        said = document.get("error", document)
        error = said if isinstance(said, dict) else {"message": said}
        secret = self._profile.api_key.reveal()
        fault = VendorFault(
            status=status,
            code=shown(error.get("code") or error.get("type"), secret=secret),
            message=shown(error.get("message"), secret=secret),
            headers={name.lower(): value for name, value in headers.items()},
        )
        raised = provider_error(fault, self._house, provider=self._profile.name, host=self._host)
        is_about_form = meaning_of(fault, self._house) is Meaning.NOT_UNDERSTOOD
        complaint = content[:2000].decode("utf-8", "replace") or "?" if is_about_form else ""
        return CallFailedError(raised, complaint=complaint)

    def _broken(self, error: openai.APIConnectionError) -> CallFailedError:
        sent = not isinstance(error.__cause__, _UNSENT)
        return CallFailedError(
            connection_error(error, provider=self._profile.name, host=self._host, sent=sent)
        )


def _messages(question: Question, picture: str) -> list[dict[str, Any]]:
    return [
        {"role": "system", "content": question.system},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{picture}"}},
                {"type": "text", "text": question.user},
            ],
        },
    ]


def _options(question: Question, dialect: Dialect) -> dict[str, Any]:
    """Return the parts of a request that not every server understands."""
    options: dict[str, Any] = {}
    if Part.JSON_SCHEMA in dialect.parts:
        schema = {"name": "classification", "strict": True, "schema": question.schema}
        options["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif Part.JSON_OBJECT in dialect.parts:
        options["response_format"] = {"type": "json_object"}
    if Part.MAX_COMPLETION_TOKENS in dialect.parts:
        options["max_completion_tokens"] = dialect.most_output_tokens
    elif Part.MAX_TOKENS in dialect.parts:
        options["max_tokens"] = dialect.most_output_tokens
    if Part.REASONING_EFFORT in dialect.parts:
        options["reasoning_effort"] = "none"
    if Part.NO_THINKING in dialect.parts:
        options["enable_thinking"] = False
    return options


def _reply(document: dict[str, Any], choice: dict[str, Any], message: dict[str, Any]) -> Reply:
    usage = member(document, "usage")
    return Reply(
        text=text_of(message.get("content")),
        tokens_in=count(usage, "prompt_tokens"),
        tokens_out=count(usage, "completion_tokens"),
        cut=choice.get("finish_reason") == "length",
    )


class _UnreadableReplyError(Exception):
    """A reply that is not read to its end; httpx2 and the SDK let it pass as it is."""


class _BoundedTransport(httpx2.AsyncBaseTransport):
    """Never holds more of a reply than an answer can need, and sends no header too many."""

    def __init__(self, profile: ProviderProfile) -> None:
        context, proxy = tls_context(), proxy_for(profile.base_url)
        self._is_plain = host_of(profile.base_url) != _OWN_HOST
        self._transports = Slots(
            lambda: httpx2.AsyncHTTPTransport(
                verify=context,
                trust_env=False,
                proxy=proxy,
                limits=httpx2.Limits(max_connections=1, keepalive_expiry=KEEPALIVE_SECONDS),
            )
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        transport = self._transports.take()
        try:
            sent = _plain(request) if self._is_plain else request
            response = await transport.handle_async_request(sent)
        except BaseException:
            self._transports.give_back(transport)
            raise
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _BoundedStream(
            response.stream, lambda: self._transports.give_back(transport)
        )
        # A megabyte of gzip can hold a gigabyte. None was asked for, so none is taken.
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            await response.stream.aclose()
            raise _UnreadableReplyError(f"the reply is compressed ({encoding!r:.20}), unasked")
        return response

    async def aclose(self) -> None:
        for transport in self._transports.drain():
            await transport.aclose()


def _plain(request: httpx2.Request) -> httpx2.Request:
    """Return the request without the SDK's extra headers, which the SDK itself still looks at."""
    return httpx2.Request(
        request.method,
        request.url,
        headers=[(k, v) for k, v in request.headers.raw if k.lower() in _PLAIN_HEADERS],
        stream=request.stream,
        extensions=request.extensions,
    )


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, give_back: Callable[[], None]) -> None:
        self._stream = stream
        self._give_back = give_back
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > LARGEST_REPLY:
                raise _UnreadableReplyError(f"the reply is longer than {LARGEST_REPLY} bytes")
            yield chunk

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        try:
            await self._stream.aclose()
        finally:
            self._give_back()
