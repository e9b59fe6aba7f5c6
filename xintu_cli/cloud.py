"""Put together who answers when a policy asks an LLM: providers, prices, limits, local model.

In: settings, taxonomy, environment, the local model if its files are sound. Out: a classifier
that is open while its context lasts, or a `ConfigurationError` before anything is sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from anyio import CapacityLimiter

from xintu_cli.errors import ConfigurationError, ModelFileError
from xintu_cli.money import (
    CallShape,
    Estimate,
    MeanUse,
    Price,
    PriceTable,
    Spending,
    check_limit,
    estimate,
    load_prices,
)
from xintu_cli.prompt import MOST_OUTPUT_TOKENS, question
from xintu_cli.providers.catalog import vendor_of
from xintu_cli.providers.configured import nobody_configured, profile_of, providers_in_use
from xintu_cli.providers.llm import LLMClassifier
from xintu_cli.providers.opening import open_provider
from xintu_cli.providers.profile import Kind, ProviderProfile
from xintu_cli.resilience.breaker import BreakerRules
from xintu_cli.resilience.compose import (
    Composition,
    ProviderPlan,
    Rules,
    Surroundings,
    compose,
)
from xintu_cli.resilience.late import Late
from xintu_cli.resilience.local_first import LocalModel
from xintu_cli.resilience.metered import Tariff
from xintu_cli.resilience.rate import Limits
from xintu_cli.routing import Policy
from xintu_cli.settings import ProviderConfig, Settings
from xintu_cli.taxonomy import Taxonomy

if TYPE_CHECKING:
    from xintu_cli.providers.onnx import OnnxClassifier

_SHORTEST_LEASE_SECONDS = 180.0
_TIMEOUTS_IN_A_LEASE = 3


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One provider in use, checked: its settings, its profile, its price (None: unknown)."""

    config: ProviderConfig
    profile: ProviderProfile
    price: Price | None


@dataclass(frozen=True, slots=True)
class Cloud:
    """The providers of a run, in failover order, and what is known of prices."""

    endpoints: tuple[Endpoint, ...]
    prices: PriceTable
    asked_lease_seconds: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The providers' names."""
        return tuple(endpoint.config.name for endpoint in self.endpoints)

    @property
    def lease_seconds(self) -> float:
        """How long a claim lasts: as asked, else a few of the slowest provider's calls."""
        if self.asked_lease_seconds is not None:
            return self.asked_lease_seconds
        slowest = max(endpoint.profile.timeout_seconds for endpoint in self.endpoints)
        return max(_SHORTEST_LEASE_SECONDS, _TIMEOUTS_IN_A_LEASE * slowest)


def find_cloud(settings: Settings, environ: Mapping[str, str]) -> Cloud:
    """Check the providers in use and their prices; raise `ConfigurationError`."""
    configs = providers_in_use(settings.provider, environ, wanted=True)
    if not configs:
        raise nobody_configured(settings.policy)
    prices = load_prices(settings.prices)
    endpoints = []
    for config in configs:
        profile = profile_of(
            config, environ, max_edge=settings.max_edge, language=settings.lang or "en"
        )
        endpoints.append(Endpoint(config, profile, _price(config, profile, prices)))
    check_limit(settings.max_cost, {each.config.name: each.price for each in endpoints})
    return Cloud(tuple(endpoints), prices, settings.lease_seconds)


def models_in_use(settings: Settings, environ: Mapping[str, str]) -> frozenset[str]:
    """Return the models whose answers are current; needs no key."""
    configs = providers_in_use(settings.provider, environ, wanted=settings.policy.wants_llm)
    return frozenset(config.model or vendor_of(config.kind).model for config in configs)


async def sound_model(
    local: OnnxClassifier | ModelFileError,
    settings: Settings,
    taxonomy: Taxonomy,
    notice: Callable[[str], None],
) -> OnnxClassifier | None:
    """Return the local model if its files are sound, not loaded yet.

    Raises where an LLM must not be asked without it. A file that is right by its checksum and
    cannot be run all the same shows with the first photo, before that is sent.
    """
    kept = settings.kept_local(taxonomy.keep_local)
    if settings.policy is Policy.CLOUD and not kept:
        return None if isinstance(local, ModelFileError) else local
    try:
        if isinstance(local, ModelFileError):
            raise local
        local.check_judges(kept)
        await local.verify()
    except ModelFileError as error:
        if kept:
            raise _refuse_to_send_unjudged(kept, error) from error
        if settings.policy is Policy.CASCADE:
            raise
        notice(f"nobody stands in where the LLM fails: {error}")
        return None
    return local


def open_cloud(
    cloud: Cloud,
    settings: Settings,
    taxonomy: Taxonomy,
    local: LocalModel | None,
    *,
    cascade_threshold: float,
    surroundings: Surroundings,
    encoders: CapacityLimiter | None = None,
) -> Late:
    """Return who answers, to be entered; the SDKs are imported when the first photo is sent."""
    opening = partial(
        _composed,
        cloud,
        settings,
        taxonomy,
        local,
        cascade_threshold=cascade_threshold,
        surroundings=surroundings,
        encoders=encoders,
    )
    return Late(" > ".join(cloud.names), opening)


@asynccontextmanager
async def _composed(
    cloud: Cloud,
    settings: Settings,
    taxonomy: Taxonomy,
    local: LocalModel | None,
    *,
    cascade_threshold: float,
    surroundings: Surroundings,
    encoders: CapacityLimiter | None = None,
) -> AsyncIterator[Composition]:
    """Open the way to every provider and put all decorators around them."""
    rules = Rules(
        policy=settings.policy,
        keep_local=settings.kept_local(taxonomy.keep_local),
        cascade_threshold=cascade_threshold,
        breaker=BreakerRules(max_wait_seconds=settings.max_wait_seconds),
    )
    around = replace(surroundings, spending=_spending(settings))
    async with AsyncExitStack() as stack:
        plans = []
        for endpoint in cloud.endpoints:
            limits = _limits(endpoint, settings)
            classifier = await stack.enter_async_context(
                open_provider(
                    endpoint.profile, taxonomy, concurrency=limits.concurrency, encoders=encoders
                )
            )
            limits = replace(limits, head_start_seconds=classifier.head_start_seconds)
            tariff = _tariff(classifier, endpoint, cloud.prices)
            plans.append(ProviderPlan(classifier, tariff, limits))
        yield compose(plans, local, rules, around)


def estimated(
    cloud: Cloud, taxonomy: Taxonomy, calls: int, seen: MeanUse | None = None
) -> Estimate:
    """Return what so many calls to the first provider would likely use; `seen`: what some did."""
    first = cloud.endpoints[0]
    asked = question(taxonomy, language=first.profile.language, off_list=None)
    shape = CallShape(
        cloud.prices.image_tokens(first.profile.model),
        first.profile.max_edge,
        asked.size_bytes,
        MOST_OUTPUT_TOKENS,
    )
    return estimate(calls, shape, first.price, seen)


def _refuse_to_send_unjudged(kept: Collection[str], cause: Exception) -> ConfigurationError:
    """Return the error of a run that must keep photos back and cannot tell which."""
    return ConfigurationError(
        f"cannot keep {', '.join(sorted(kept))} back, since the local model is to tell which "
        f"photos those are: {cause} Or use --keep-local none to send them all."
    )


def _price(config: ProviderConfig, profile: ProviderProfile, prices: PriceTable) -> Price | None:
    own = (config.price_in, config.price_out, config.currency or None)
    if own == (None, None, None):
        return prices.price(profile.model, urlsplit(profile.base_url).hostname or "")
    price_in, price_out, currency = own
    if price_in is None or price_out is None or currency is None:
        raise ConfigurationError(
            f"the price of the provider {config.name} is incomplete. Give its [[provider]] "
            "price_in, price_out and currency, all three."
        )
    return Price.flat(currency, price_in, price_out)


def _limits(endpoint: Endpoint, settings: Settings) -> Limits:
    config = endpoint.config
    return Limits(
        concurrency=config.concurrency or settings.concurrency,
        requests_per_minute=config.requests_per_minute,
        tokens_per_minute=config.tokens_per_minute,
        ramped=endpoint.profile.kind is Kind.DASHSCOPE,
    )


def _tariff(classifier: LLMClassifier, endpoint: Endpoint, prices: PriceTable) -> Tariff:
    image = prices.image_tokens(classifier.model)

    def shape() -> CallShape:
        return CallShape(
            image,
            endpoint.profile.max_edge,
            classifier.prompt_bytes,
            classifier.most_output_tokens,
        )

    return Tariff(classifier.model, endpoint.price, shape)


def _spending(settings: Settings) -> Spending:
    most = None if settings.max_cost is None else Decimal(str(settings.max_cost))
    return Spending(settings.max_calls, most)
