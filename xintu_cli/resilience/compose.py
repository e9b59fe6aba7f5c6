"""How it all fits together, in one place.

LocalFirst                 keeps protected photos back; cascade: answers what it is sure of
└─ Fallback                down the list, at the end the local model
   ├─ Retrying             decides after every failure; each send passes all below anew
   │  └─ Admitted          breaker, pace, limits, places in flight: entered in one step
   │     └─ Metered        reserves the worst case, books the cost
   │        └─ Leased      "is my claim still good?", just before the send
   │           └─ provider one call
   ├─ … the next provider
   └─ local
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from xintu_cli.decisions import Random
from xintu_cli.errors import ConfigurationError, ExitCode
from xintu_cli.interfaces import Classifier, DecodedPhoto
from xintu_cli.money import Spending
from xintu_cli.records import Answer, ProviderState
from xintu_cli.resilience.admission import Admission, Admitted, Notice, say_nothing
from xintu_cli.resilience.attempts import Abandoned, forget
from xintu_cli.resilience.breaker import Breaker, BreakerRules
from xintu_cli.resilience.clock import Clock, SystemClock
from xintu_cli.resilience.concurrency import Concurrency
from xintu_cli.resilience.fallback import Fallback, RefusedBefore, refused_by_nobody
from xintu_cli.resilience.gates import Gate
from xintu_cli.resilience.lease import HoldsLease, Leased, needs_no_lease
from xintu_cli.resilience.local_first import LocalFirst, LocalModel, RememberedAnswers
from xintu_cli.resilience.metered import Metered, Purse, Tariff
from xintu_cli.resilience.pace import Pace
from xintu_cli.resilience.rate import Limits, Ramp, RateLimits
from xintu_cli.resilience.retry import RetryBudget, Retrying
from xintu_cli.routing import Policy

_TOKENS_EXPECTED = 1500.0
"""Of a call whose shape nobody described, until the first replies say better."""


@dataclass(frozen=True, slots=True)
class ProviderPlan:
    """One provider as configured: a bare classifier (one call each), its limits, its price."""

    classifier: Classifier
    tariff: Tariff
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the run's settings say about who is asked."""

    policy: Policy
    keep_local: tuple[str, ...] = ()
    cascade_threshold: float = 1.0
    breaker: BreakerRules = field(default_factory=BreakerRules)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the decorators ask of the rest of the run; the defaults are those of a run alone."""

    spending: Spending = field(default_factory=Spending)
    holds_lease: HoldsLease = needs_no_lease
    refused_before: RefusedBefore = refused_by_nobody
    abandoned: Abandoned = forget
    notice: Notice = say_nothing
    clock: Clock = field(default_factory=SystemClock)
    random: Random = random.random


class GuardedProvider:
    """One provider with all its decorators; `state` tells a display how it is doing."""

    def __init__(
        self, plan: ProviderPlan, rules: Rules, around: Surroundings, purse: Purse
    ) -> None:
        breaker = Breaker(rules.breaker)
        limits, shape = plan.limits, plan.tariff.shape
        expected = shape().expected_tokens_in(1024, 768) if shape else _TOKENS_EXPECTED
        others: list[Gate] = [RateLimits(limits, tokens_expected=expected)]
        if limits.ramped:
            others.append(Ramp())
        self._tariff = plan.tariff
        self._admission = Admission(
            plan.classifier.name,
            breaker=breaker,
            pace=Pace(around.random),
            concurrency=Concurrency(
                limits.concurrency, head_start_seconds=limits.head_start_seconds
            ),
            others=others,
            clock=around.clock,
            notice=around.notice,
        )
        self._metered = Metered(
            Leased(plan.classifier, around.holds_lease),
            plan.tariff,
            purse,
            clock=around.clock,
            abandoned=around.abandoned,
        )
        self._clock = around.clock
        self._whole = Retrying(
            Admitted(self._metered, self._admission),
            admission=self._admission,
            budget=RetryBudget(),
            clock=around.clock,
            random=around.random,
            abandoned=around.abandoned,
        )

    @property
    def name(self) -> str:
        """The provider's name."""
        return self._whole.name

    @property
    def gone(self) -> ExitCode | None:
        """Why it will answer nothing more in this run; None while there is hope."""
        return self._admission.gone

    async def classify(self, photo: DecodedPhoto) -> Answer:
        """Answer one photo, with everything in between."""
        return await self._whole.classify(photo)

    def state(self) -> ProviderState:
        """Return how it is doing now."""
        admission, price = self._admission, self._tariff.price
        now = self._clock.monotonic()
        return ProviderState(
            name=self.name,
            in_flight=admission.concurrency.in_flight,
            limit=admission.concurrency.limit,
            paused_until_seconds=admission.breaker.due or admission.pace.paused_until(now),
            open=admission.breaker.is_down,
            stopped=admission.stopped is not None,
            spent=None if price is None else float(self._metered.spent),
            currency="" if price is None else price.currency,
        )


@dataclass(frozen=True, slots=True)
class Composition:
    """A run's classifier, whole; `states` tells how each provider is doing."""

    classifier: Classifier
    providers: tuple[GuardedProvider, ...]

    @property
    def name(self) -> str:
        """The names in the order they are asked."""
        return self.classifier.name

    async def classify(self, photo: DecodedPhoto) -> Answer:
        """Answer one photo."""
        return await self.classifier.classify(photo)

    def states(self) -> tuple[ProviderState, ...]:
        """Return how every provider is doing now, in failover order."""
        return tuple(provider.state() for provider in self.providers)


def compose(
    plans: Sequence[ProviderPlan],
    local: LocalModel | None,
    rules: Rules,
    surroundings: Surroundings | None = None,
) -> Composition:
    """Build the classifier of one run.

    Raises `ConfigurationError` where the policy has nobody to ask, or photos are to be kept
    back and no local model can tell which.
    """
    around = surroundings or Surroundings()
    in_flight = sum(plan.limits.concurrency for plan in plans)
    known = None if local is None else RememberedAnswers(local, most=max(1024, 4 * in_flight))
    if not rules.policy.wants_llm:
        if local is None:
            raise ConfigurationError(
                "cannot classify: the policy is local and there is no local model. "
                "Install xintu again, or configure a provider."
            )
        return Composition(local, ())
    if rules.policy is Policy.CLOUD and len(plans) == 1:
        # Nobody takes over: the run ends with the very words.
        around = replace(around, notice=say_nothing)
    purse = Purse(around.spending)
    providers = tuple(GuardedProvider(plan, rules, around, purse) for plan in plans)
    whole: Classifier = Fallback(
        providers,
        None if rules.policy is Policy.CLOUD else known,
        refused_before=around.refused_before,
        abandoned=around.abandoned,
    )
    cascade = rules.policy is Policy.CASCADE
    if not rules.keep_local and not cascade:
        return Composition(whole, providers)
    if known is None:
        raise ConfigurationError(
            f"cannot keep {', '.join(rules.keep_local) or 'anything'} back: there is no usable "
            "local model to tell which photos those are. Use --keep-local none to send them all."
        )
    whole = LocalFirst(
        whole,
        known,
        keep=rules.keep_local,
        sure_from=rules.cascade_threshold if cascade else None,
        abandoned=around.abandoned,
    )
    return Composition(whole, providers)
