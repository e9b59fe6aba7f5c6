"""What a vendor's error means to a run: one table per vendor, read from the top.

In: HTTP status, the vendor's code, its message, its headers. Out: a `Meaning`, and from that
the `ProviderError` to raise. Pure.

The same words mean different things: `insufficient_quota` with 429 is "no money" at OpenAI and
"too many tokens this minute" at DashScope; 429 itself can be "slow down", "no money" or "your
rate rises too fast". So the vendor chooses the table, its code comes before the status, and the
status decides only what no code explains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from xintu_cli.errors import (
    ProviderError,
    ProviderRejectedError,
    ProviderStoppedError,
    ProviderUnavailableError,
)
from xintu_cli.providers.vendor_words import retry_after_seconds


class Meaning(Enum):
    """What an error asks of whoever made the call."""

    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    REFUSED = "refused"
    TOO_LARGE = "too large"
    NOT_UNDERSTOOD = "not understood"
    NO_MONEY = "no money"
    BAD_KEY = "bad key"
    BAD_SETUP = "bad setup"


class House(Enum):
    """Whose error codes an endpoint speaks: not the wire format, but the vendor behind it."""

    DASHSCOPE = "dashscope"
    OPENAI = "openai"
    ANTHROPIC = "anthropic"


@dataclass(frozen=True, slots=True)
class VendorFault:
    """An error as the vendor put it. Header names are lower case."""

    status: int
    code: str = ""
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Rule:
    """Applies where the code starts with one of `codes` or the message holds one of `words`."""

    meaning: Meaning
    codes: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()

    def applies(self, status: int, code: str, message: str) -> bool:
        if self.statuses and status not in self.statuses:
            return False
        return code.startswith(self.codes) or any(word in message for word in self.words)


_BAD_PICTURE = _Rule(
    Meaning.REFUSED,
    words=(
        "could not process image",
        "unable to process image",
        "image format",
        "invalid image",
        "image length and width",
        "image dimensions",
        "aspect ratio",
        "download multimodal",
        "failed to decode the image",
        "cannot identify image",
    ),
    statuses=(400, 415, 422),
)

_TABLES: dict[House, tuple[_Rule, ...]] = {
    House.DASHSCOPE: (
        _Rule(
            Meaning.NO_MONEY,
            codes=(
                "arrearage",
                "prepaidbilloverdue",
                "postpaidbilloverdue",
                "commoditynotpurchased",
                "allocationquota.freetieronly",
            ),
            words=("good standing", "free tier of the model has been exhausted", "overdue"),
        ),
        _Rule(Meaning.BAD_KEY, codes=("invalidapikey", "invalid_api_key", "invalidapi-key")),
        _Rule(
            Meaning.REFUSED,
            codes=(
                "datainspectionfailed",
                "data_inspection_failed",
                "datainspection",
                "invalidparameter.datainspection",
            ),
            words=("inappropriate content", "sensitive content"),
        ),
        _Rule(
            Meaning.THROTTLED,
            codes=("throttling", "limitrequests", "limit_requests", "limit_burst_rate"),
            words=("request rate increased too quickly",),
        ),
        # The compatible mode says "tokens per minute" in OpenAI's words for "no money".
        _Rule(Meaning.THROTTLED, codes=("insufficient_quota",), statuses=(429,)),
        _Rule(
            Meaning.BAD_SETUP,
            codes=("model.", "modelnotfound", "model_not_found", "modelnotexist", "invalidurl"),
        ),
        _Rule(
            Meaning.BAD_KEY,
            codes=("accessdenied", "access_denied", "workspace.", "modelaccessdenied"),
        ),
        _Rule(
            Meaning.TOO_LARGE,
            codes=("badrequest.toolarge", "requestentitytoolarge"),
            words=("exceeded limit on max bytes", "range of input length", "image size"),
        ),
        _Rule(
            Meaning.UNAVAILABLE,
            codes=(
                "internalerror",
                "internal_error",
                "internal_server_error",
                "requesttimeout",
                "request_timeout",
                "serviceunavailable",
                "modelunavailable",
                "modelservingerror",
                "gatewaytimeout",
                "systemerror",
            ),
        ),
        _BAD_PICTURE,
    ),
    House.OPENAI: (
        _Rule(
            Meaning.NO_MONEY,
            codes=(
                "insufficient_quota",
                "billing_",
                "exceeded_current_quota",
                "insufficient_balance",
                "insufficient_funds",
            ),
            words=("insufficient balance", "insufficient credits", "check your plan and billing"),
        ),
        _Rule(
            Meaning.BAD_KEY,
            codes=("invalid_api_key", "invalid_authentication", "account_deactivated"),
        ),
        _Rule(
            Meaning.REFUSED,
            codes=("content_filter", "content_policy", "responsibleaipolicy", "moderation"),
            words=("content management policy", "was flagged", "safety system"),
        ),
        _Rule(Meaning.TOO_LARGE, codes=("context_length_exceeded", "string_above_max_length")),
        _Rule(Meaning.TOO_LARGE, words=("image is too large", "image too large")),
        _Rule(Meaning.REFUSED, codes=("invalid_image", "image_parse_error", "image_content")),
        _Rule(
            Meaning.BAD_SETUP,
            codes=("model_not_found", "unsupported_country", "invalid_model", "deploymentnotfound"),
            words=("does not support image", "support image input", "not a multimodal model"),
        ),
        _Rule(Meaning.THROTTLED, codes=("engine_overloaded", "slow_down", "rate_limit")),
        _BAD_PICTURE,
    ),
    House.ANTHROPIC: (
        _Rule(
            Meaning.NO_MONEY,
            codes=("billing_error", "enforced_spend_limit"),
            words=("credit balance is too low", "spend limit"),
        ),
        _Rule(Meaning.BAD_KEY, codes=("authentication_error",)),
        _Rule(Meaning.BAD_SETUP, codes=("permission_error", "not_found_error")),
        _Rule(Meaning.TOO_LARGE, codes=("request_too_large",)),
        _Rule(Meaning.TOO_LARGE, words=("image exceeds", "prompt is too long")),
        _Rule(Meaning.REFUSED, words=("content filtering policy", "usage policy")),
        _Rule(Meaning.THROTTLED, codes=("rate_limit_error", "overloaded_error")),
        _Rule(Meaning.UNAVAILABLE, codes=("api_error", "timeout_error", "conflict_error")),
        _BAD_PICTURE,
    ),
}

_BY_STATUS = {
    401: Meaning.BAD_KEY,
    402: Meaning.NO_MONEY,
    403: Meaning.BAD_KEY,
    404: Meaning.BAD_SETUP,
    405: Meaning.BAD_SETUP,
    408: Meaning.UNAVAILABLE,
    409: Meaning.UNAVAILABLE,
    413: Meaning.TOO_LARGE,
    425: Meaning.UNAVAILABLE,
    429: Meaning.THROTTLED,
    451: Meaning.REFUSED,
    529: Meaning.THROTTLED,
}


def house_of(kind: str, host: str) -> House:
    """Return whose codes an endpoint speaks; DashScope also answers in OpenAI's wire format."""
    name = host.partition(":")[0].casefold()
    if kind == "dashscope" or name == "aliyuncs.com" or name.endswith(".aliyuncs.com"):
        return House.DASHSCOPE
    return House.ANTHROPIC if kind == "anthropic" else House.OPENAI


def meaning_of(fault: VendorFault, house: House) -> Meaning:
    """Read the vendor's table, then the status."""
    code, message = fault.code.casefold(), fault.message.casefold()
    for rule in _TABLES[house]:
        if rule.applies(fault.status, code, message):
            return rule.meaning
    if fault.status in _BY_STATUS:
        return _BY_STATUS[fault.status]
    if 300 <= fault.status < 400:
        return Meaning.BAD_SETUP
    # An error inside a reply of status 200 that no rule knows is the vendor's own trouble.
    return Meaning.NOT_UNDERSTOOD if 400 <= fault.status < 500 else Meaning.UNAVAILABLE


def provider_error(fault: VendorFault, house: House, *, provider: str, host: str) -> ProviderError:
    """Return the error to raise for a fault; its message is already free of secrets."""
    meaning = meaning_of(fault, house)
    said = f"{provider} ({host}) answered {_said(fault)}"
    match meaning:
        case Meaning.THROTTLED | Meaning.UNAVAILABLE:
            return ProviderUnavailableError(
                said,
                retry_after_seconds=retry_after_seconds(fault.headers),
                throttled=meaning is Meaning.THROTTLED,
                # The vendor gave up on work it may have begun.
                outcome_unknown=fault.status in (408, 504),
            )
        case Meaning.REFUSED:
            return ProviderRejectedError(f"{said}. It does not take this photo.")
        case Meaning.TOO_LARGE:
            return ProviderRejectedError(f"{said}. The photo is too large for it.", too_large=True)
        case Meaning.NOT_UNDERSTOOD:
            return ProviderRejectedError(f"{said}. It does not take this request.", lasting=False)
        case Meaning.NO_MONEY:
            remedy = "Its account has no money or is closed: see to it there."
            return ProviderStoppedError(f"{said}. {remedy}", out_of_money=True)
        case Meaning.BAD_KEY:
            return ProviderStoppedError(f"{said}. {_key_remedy(house, host)}")
        case Meaning.BAD_SETUP:
            remedy = "Check the provider's model and base_url."
            return ProviderStoppedError(f"{said}. {remedy}", misconfigured=True)


def _said(fault: VendorFault) -> str:
    if 300 <= fault.status < 400:
        return f"{fault.status}, a redirect, which is not followed: photos go where you said"
    parts = [str(fault.status)] if fault.status != 200 else ["with an error"]
    if fault.code:
        parts.append(fault.code)
    said = " ".join(parts)
    return f"{said}: {fault.message}".rstrip(". ") if fault.message else said


def _key_remedy(house: House, host: str) -> str:
    if house is House.DASHSCOPE:
        return (
            "Check its key, and that the key is one of this region: keys of the international "
            "site want base_url https://dashscope-intl.aliyuncs.com/api/v1."
        )
    return f"Check its key, and that the key may use this model at {host}."
