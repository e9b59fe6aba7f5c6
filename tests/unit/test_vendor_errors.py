"""A vendor's error means what that vendor means by it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from xintu_cli.errors import (
    ExitCode,
    ProviderError,
    ProviderRejectedError,
    ProviderStoppedError,
    ProviderUnavailableError,
)
from xintu_cli.providers.vendor_errors import (
    House,
    Meaning,
    VendorFault,
    house_of,
    meaning_of,
    provider_error,
)
from xintu_cli.providers.vendor_words import retry_after_seconds, shown

ALI, OAI, ANT = House.DASHSCOPE, House.OPENAI, House.ANTHROPIC
THROTTLED, UNAVAILABLE = Meaning.THROTTLED, Meaning.UNAVAILABLE
REFUSED, TOO_LARGE, NOT_UNDERSTOOD = Meaning.REFUSED, Meaning.TOO_LARGE, Meaning.NOT_UNDERSTOOD
NO_MONEY, BAD_KEY, BAD_SETUP = Meaning.NO_MONEY, Meaning.BAD_KEY, Meaning.BAD_SETUP


@pytest.mark.parametrize(
    ("house", "status", "code", "message", "meaning"),
    [
        # The three kinds of 429, and the same word meaning two things.
        (ALI, 429, "Throttling.RateQuota", "Requests rate limit exceeded", THROTTLED),
        (ALI, 429, "Throttling.AllocationQuota", "Allocated quota exceeded", THROTTLED),
        (ALI, 429, "Throttling", "Request rate increased too quickly", THROTTLED),
        (ALI, 429, "insufficient_quota", "You exceeded your current quota", THROTTLED),
        (ALI, 429, "limit_requests", "", THROTTLED),
        (ALI, 429, "PrepaidBillOverdue", "The prepaid bill is overdue.", NO_MONEY),
        (ALI, 429, "CommodityNotPurchased", "Commodity has not purchased yet.", NO_MONEY),
        (OAI, 429, "insufficient_quota", "You exceeded your current quota", NO_MONEY),
        (OAI, 429, "rate_limit_exceeded", "Rate limit reached. Add a payment method", THROTTLED),
        (OAI, 429, "exceeded_current_quota_error", "", NO_MONEY),
        (OAI, 429, "engine_overloaded_error", "", THROTTLED),
        (OAI, 429, "", "", THROTTLED),
        (ANT, 429, "rate_limit_error", "This request would exceed your rate limit", THROTTLED),
        (ANT, 429, "enforced_spend_limit_reached", "", NO_MONEY),
        (ANT, 529, "overloaded_error", "Overloaded", THROTTLED),
        # Money.
        (ALI, 400, "Arrearage", "Access denied, please make sure your account is in good standing.",
         NO_MONEY),
        (ALI, 403, "Arrearage", "", NO_MONEY),
        (ALI, 403, "AllocationQuota.FreeTierOnly", "The free tier of the model has been exhausted.",
         NO_MONEY),
        (OAI, 402, "", "Insufficient credits", NO_MONEY),
        (OAI, 400, "billing_hard_limit_reached", "", NO_MONEY),
        (ANT, 402, "billing_error", "", NO_MONEY),
        (ANT, 400, "invalid_request_error", "Your credit balance is too low to access the API",
         NO_MONEY),
        # Keys and rights.
        (ALI, 401, "InvalidApiKey", "Invalid API-key provided.", BAD_KEY),
        (ALI, 403, "AccessDenied.Unpurchased", "Access to model denied.", BAD_KEY),
        (OAI, 401, "invalid_api_key", "Incorrect API key provided", BAD_KEY),
        (OAI, 403, "", "", BAD_KEY),
        (ANT, 401, "authentication_error", "invalid x-api-key", BAD_KEY),
        # What the user configured.
        (ALI, 404, "ModelNotFound", "Model can not be found.", BAD_SETUP),
        (ALI, 400, "Model.NotExist", "", BAD_SETUP),
        (OAI, 404, "model_not_found", "", BAD_SETUP),
        (OAI, 403, "unsupported_country_region_territory", "", BAD_SETUP),
        (OAI, 404, "", "No endpoints found that support image input", BAD_SETUP),
        (ANT, 404, "not_found_error", "model: claude-3", BAD_SETUP),
        (ANT, 403, "permission_error", "", BAD_SETUP),
        (OAI, 405, "", "", BAD_SETUP),
        (OAI, 307, "", "", BAD_SETUP),
        # The photo.
        (ALI, 400, "DataInspectionFailed", "The input may hold inappropriate content.", REFUSED),
        (ALI, 400, "data_inspection_failed", "", REFUSED),
        (ALI, 400, "InvalidParameter.DataInspection", "The media format is not supported", REFUSED),
        (ALI, 400, "InvalidParameter", "The image length and width do not meet the model's.",
         REFUSED),
        (ALI, 413, "BadRequest.TooLarge", "Payload Too Large", TOO_LARGE),
        (ALI, 400, "InvalidParameter", "Exceeded limit on max bytes per data-uri item : 10485760",
         TOO_LARGE),
        (OAI, 400, "content_filter", "", REFUSED),
        (OAI, 400, "content_policy_violation", "", REFUSED),
        (OAI, 403, "", "Your input was flagged", REFUSED),
        (OAI, 400, "invalid_image_format", "", REFUSED),
        (OAI, 400, "context_length_exceeded", "", TOO_LARGE),
        (OAI, 413, "", "", TOO_LARGE),
        (OAI, 451, "", "", REFUSED),
        (ANT, 413, "request_too_large", "", TOO_LARGE),
        (ANT, 400, "invalid_request_error", "image exceeds 5 MB maximum", TOO_LARGE),
        (ANT, 400, "invalid_request_error", "Could not process image", REFUSED),
        (ANT, 400, "invalid_request_error", "Output blocked by content filtering policy", REFUSED),
        # The form of the request.
        (ALI, 400, "InvalidParameter", "unknown parameter", NOT_UNDERSTOOD),
        (OAI, 400, "unsupported_parameter", "'max_tokens' is not supported", NOT_UNDERSTOOD),
        (OAI, 422, "", "", NOT_UNDERSTOOD),
        (ANT, 400, "invalid_request_error", "thinking: not supported", NOT_UNDERSTOOD),
        # The vendor's own trouble.
        (ALI, 500, "InternalError.Algo", "", UNAVAILABLE),
        (ALI, 503, "ModelUnavailable", "", UNAVAILABLE),
        (ALI, 200, "InternalError", "", UNAVAILABLE),
        (OAI, 500, "server_error", "", UNAVAILABLE),
        (OAI, 502, "", "", UNAVAILABLE),
        (OAI, 504, "", "", UNAVAILABLE),
        (OAI, 408, "", "", UNAVAILABLE),
        (ANT, 500, "api_error", "", UNAVAILABLE),
        (ANT, 504, "timeout_error", "", UNAVAILABLE),
        (OAI, 200, "", "something", UNAVAILABLE),
    ],
)  # fmt: skip
def test_meanings(house: House, status: int, code: str, message: str, meaning: Meaning) -> None:
    assert meaning is meaning_of(VendorFault(status, code, message), house)


@pytest.mark.parametrize(
    ("kind", "host", "house"),
    [
        ("dashscope", "127.0.0.1:80", ALI),
        ("openai", "api.openai.com", OAI),
        ("openai", "localhost:11434", OAI),
        ("openai", "dashscope.aliyuncs.com", ALI),
        ("openai", "ws-1.ap-southeast-1.maas.aliyuncs.com:443", ALI),
        ("openai", "aliyuncs.com.example.org", OAI),
        ("anthropic", "gateway.example.org", ANT),
    ],
)
def test_the_vendor_behind_an_address_chooses_the_table(kind: str, host: str, house: House) -> None:
    assert house is house_of(kind, host)


def raised(status: int, code: str = "", message: str = "", **headers: str) -> ProviderError:
    fault = VendorFault(status, code, message, headers)
    return provider_error(fault, House.OPENAI, provider="openai", host="api.openai.com")


def test_throttling_is_told_from_trouble() -> None:
    throttled, trouble = raised(429), raised(500)
    assert isinstance(throttled, ProviderUnavailableError)
    assert isinstance(trouble, ProviderUnavailableError)
    assert (throttled.throttled, trouble.throttled) == (True, False)


def test_an_error_carries_the_vendors_word_on_when_to_come_back() -> None:
    error = raised(429, **{"retry-after": "7"})
    assert isinstance(error, ProviderUnavailableError)
    assert error.retry_after_seconds == 7


@pytest.mark.parametrize(("status", "unknown"), [(504, True), (408, True), (500, False)])
def test_a_vendor_that_gave_up_on_its_own_work_may_have_billed_it(
    status: int, unknown: bool
) -> None:
    error = raised(status)
    assert isinstance(error, ProviderUnavailableError)
    assert unknown is error.outcome_unknown


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (401, "", ExitCode.CREDENTIALS),
        (402, "", ExitCode.NO_CLASSIFIER),
        (429, "insufficient_quota", ExitCode.NO_CLASSIFIER),
        (404, "model_not_found", ExitCode.CONFIGURATION),
    ],
)
def test_a_provider_that_is_stopped_says_how_the_run_would_end(
    status: int, code: str, exit_code: ExitCode
) -> None:
    error = raised(status, code)
    assert isinstance(error, ProviderStoppedError)
    assert exit_code is error.exit_code


@pytest.mark.parametrize(("status", "lasting"), [(451, True), (413, True), (400, False)])
def test_only_a_refusal_of_the_photo_is_remembered(status: int, lasting: bool) -> None:
    error = raised(status)
    assert isinstance(error, ProviderRejectedError)
    assert lasting is error.lasting


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            raised(401, "invalid_api_key", "Incorrect API key provided"),
            (
                "openai (api.openai.com) answered 401 invalid_api_key: Incorrect API key provided. "
                "Check its key, and that the key may use this model at api.openai.com."
            ),
        ),
        (raised(503), "openai (api.openai.com) answered 503"),
        (
            raised(307),
            (
                "openai (api.openai.com) answered 307, a redirect, which is not followed: photos "
                "go where you said. Check the provider's model and base_url."
            ),
        ),
    ],
)
def test_a_message_says_who_answered_what_and_what_to_do(
    error: ProviderError, message: str
) -> None:
    assert message == str(error)


def test_dashscopes_key_error_names_the_other_region() -> None:
    fault = VendorFault(401, "InvalidApiKey")
    error = provider_error(fault, House.DASHSCOPE, provider="qwen", host="dashscope.aliyuncs.com")
    assert "https://dashscope-intl.aliyuncs.com/api/v1" in str(error)


# ---- Retry-After -----------------------------------------------------------------------------

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": " 3 "}, 3.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "3600"}, 3600.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Monday, 23-Nov-26 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 13:00:30 +0100"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 11:59:00 GMT"}, None),
        ({"retry-after": "Mon, 99 Nov 2026 11:59:00 GMT"}, None),
    ],
)
def test_every_form_of_retry_after_is_read_and_nonsense_is_none(
    headers: Mapping[str, str], seconds: float | None
) -> None:
    assert seconds == retry_after_seconds(headers, NOW)


def test_a_date_is_taken_against_the_vendors_own_clock() -> None:
    headers = {
        "date": "Mon, 23 Nov 2026 15:00:00 GMT",
        "retry-after": "Mon, 23 Nov 2026 15:00:20 GMT",
    }
    assert retry_after_seconds(headers, NOW) == 20.0


# ---- what may be shown -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("Invalid key CANARY-1 given", "Invalid key *** given"),
        ("Incorrect API key provided: sk-proj-ab********yz", "Incorrect API key provided: ***"),
        ("use Authorization: Bearer abc.def", "use Authorization: ***"),
        ("two\nlines\x1b[31m", "two lines [31m"),
        ("x" * 300, "x" * 199 + "…"),
        (None, ""),
        ({"a": 1}, ""),
    ],
)
def test_a_vendors_words_are_shown_short_and_without_keys(said: object, line: str) -> None:
    assert line == shown(said, secret="CANARY-1")
