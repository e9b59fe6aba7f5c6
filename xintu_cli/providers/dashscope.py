"""Aliyun DashScope (Qwen-VL) through the `dashscope` SDK's synchronous call.

The SDK blocks, so every call has a worker thread, of a limiter of its own. What the SDK does on
its own account (time-outs, redirects, second sends) is taken from it in `dashscope_session`.
Imported only where such a provider is used: the SDK takes 0.5 s and 70 MB to load.

The SDK takes every text of a user message that is the path of a file for one, and uploads the
file. The question's user text cannot be one (see `prompt`), the picture is a `data:` address, and
the taxonomy is in the system message, which the SDK does not look at.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import requests
from anyio import CapacityLimiter, get_cancelled_exc_class, to_thread
from dashscope import MultiModalConversation
from dashscope.api_entities.dashscope_response import MultiModalConversationResponse

from xintu_cli.errors import AnswerError, ProviderUnavailableError
from xintu_cli.prompt import Question
from xintu_cli.providers.connections import connection_error
from xintu_cli.providers.dashscope_session import (
    StatusError,
    UnreadableReplyError,
    WireCall,
    WireError,
    current_call,
    open_session,
)
from xintu_cli.providers.dialect import Dialect, Part
from xintu_cli.providers.endpoint import host_of
from xintu_cli.providers.llm import CallFailedError, Reply
from xintu_cli.providers.profile import ProviderProfile
from xintu_cli.providers.replies import count, first, json_object, member, object_or_empty, text_of
from xintu_cli.providers.vendor_errors import (
    House,
    Meaning,
    VendorFault,
    meaning_of,
    provider_error,
)
from xintu_cli.providers.vendor_words import shown

_GRACE_SECONDS = 1.0
_FIRST_PARTS = frozenset({Part.JSON_OBJECT, Part.MAX_TOKENS, Part.NO_THINKING})


@asynccontextmanager
async def open_dashscope(
    profile: ProviderProfile, *, concurrency: int
) -> AsyncIterator[DashScopeVendor]:
    """Open the session; leaving the block closes its connections."""
    # Above ERROR: the SDK logs a traceback for every broken connection, and at DEBUG (which
    # DASHSCOPE_LOGGING_LEVEL turns on) whole requests, pictures included.
    logging.getLogger("dashscope").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    session = open_session(profile.base_url, concurrency=concurrency)
    try:
        yield DashScopeVendor(profile, session, CapacityLimiter(concurrency))
    finally:
        session.close()


class DashScopeVendor:
    """The wire to DashScope's native interface."""

    def __init__(
        self, profile: ProviderProfile, session: requests.Session, callers: CapacityLimiter
    ) -> None:
        """Take an open session; `callers` limits the threads that wait for replies."""
        self._profile = profile
        self._session = session
        self._callers = callers
        self._host = host_of(profile.base_url)

    @property
    def first_dialect(self) -> Dialect:
        """JSON mode, which only models that do not think have; so thinking is turned off."""
        return Dialect(_FIRST_PARTS)

    @property
    def dialect_known(self) -> bool:
        """True: there is one vendor, and its documents were read."""
        return True

    async def ask(self, question: Question, picture: str, dialect: Dialect) -> Reply:
        """Send one conversation from a thread; cancelled, the thread is ended too."""
        # The caller's deadline comes first; the thread's own is for when nobody is left to abort.
        call = WireCall(self._profile.timeout_seconds + _GRACE_SECONDS)
        try:
            return await to_thread.run_sync(
                self._call,
                call,
                _messages(question, picture),
                _parameters(dialect),
                abandon_on_cancel=True,
                limiter=self._callers,
            )
        except get_cancelled_exc_class():
            call.abort()
            raise

    def _call(
        self, call: WireCall, messages: list[dict[str, Any]], parameters: dict[str, Any]
    ) -> Reply:
        current_call.set(call)
        try:
            response = MultiModalConversation.call(
                model=self._profile.model,
                messages=messages,
                api_key=self._profile.api_key.reveal(),
                base_address=self._profile.base_url,
                session=self._session,
                **parameters,
            )
        except WireError as error:
            raise CallFailedError(self._broken(error, sent=call.sent)) from error
        except UnreadableReplyError as error:
            raise CallFailedError(self._not_understood(str(error))) from error
        except StatusError as error:
            raise self._unfit(error) from error
        except TypeError as error:
            # The SDK turns the objects in a reply into keyword arguments, whatever they are.
            raise CallFailedError(self._not_understood("the reply has another form")) from error
        assert isinstance(response, MultiModalConversationResponse)  # not streamed
        if response.status_code != requests.codes.ok:
            document = {"code": response.code, "message": response.message}
            headers = {name.lower(): value for name, value in (response.headers or {}).items()}
            raise self._fault(response.status_code, document, headers)
        return self._read(response)

    def _read(self, response: Mapping[str, Any]) -> Reply:
        choice = first(member(response, "output"), "choices")
        usage = member(response, "usage")
        reply = Reply(
            text=text_of(member(choice, "message").get("content")),
            tokens_in=count(usage, "input_tokens"),
            tokens_out=count(usage, "output_tokens"),
            cut=choice.get("finish_reason") == "length",
        )
        if not reply.text and not reply.cut:
            what = "an empty message" if choice else "no choices"
            raise CallFailedError(self._not_understood(f"the reply has {what}"), reply)
        return reply

    def _unfit(self, unfit: StatusError) -> CallFailedError:
        document = object_or_empty(unfit.content)
        if unfit.status != requests.codes.ok or document.get("code"):
            return self._fault(unfit.status, document, unfit.headers)
        try:
            json_object(unfit.content)
        except AnswerError as error:
            return CallFailedError(self._not_understood(str(error)))
        return CallFailedError(self._not_understood("the reply has no output"))

    def _fault(
        self, status: int, document: Mapping[str, Any], headers: Mapping[str, str]
    ) -> CallFailedError:
        secret = self._profile.api_key.reveal()
        fault = VendorFault(
            status=status,
            code=shown(document.get("code"), secret=secret),
            message=shown(document.get("message"), secret=secret),
            headers=headers,
        )
        raised = provider_error(
            fault, House.DASHSCOPE, provider=self._profile.name, host=self._host
        )
        is_about_form = meaning_of(fault, House.DASHSCOPE) is Meaning.NOT_UNDERSTOOD
        return CallFailedError(raised, complaint=str(document) if is_about_form else "")

    def _broken(self, error: WireError, *, sent: bool) -> ProviderUnavailableError:
        return connection_error(error, provider=self._profile.name, host=self._host, sent=sent)

    def _not_understood(self, what: str) -> AnswerError:
        return AnswerError(f"{self._profile.name}: {what}")


def _messages(question: Question, picture: str) -> list[dict[str, Any]]:
    return [
        {"role": "system", "content": [{"text": question.system}]},
        {
            "role": "user",
            "content": [
                {"image": f"data:image/jpeg;base64,{picture}"},
                {"text": question.user},
            ],
        },
    ]


def _parameters(dialect: Dialect) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    if Part.JSON_OBJECT in dialect.parts:
        parameters["response_format"] = {"type": "json_object"}
    if Part.MAX_TOKENS in dialect.parts:
        parameters["max_tokens"] = dialect.most_output_tokens
    if Part.NO_THINKING in dialect.parts:
        parameters["enable_thinking"] = False
    return parameters
