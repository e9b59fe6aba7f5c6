"""What calls would likely cost: by formula, corrected by what earlier ones really used."""

from __future__ import annotations

import os

import anyio

from xintu_cli.bootstrap import open_shared
from xintu_cli.cli.session import Session
from xintu_cli.cloud import estimated, find_cloud
from xintu_cli.money import Estimate, MeanUse
from xintu_cli.storage.statistics import mean_usage


class Plan:
    """Estimates calls to a session's first provider; raises `ConfigurationError` if it has none."""

    def __init__(self, session: Session) -> None:
        self._workspace = session.workspace
        self._cloud = find_cloud(session.workspace.settings, os.environ)
        self._seen = anyio.run(self._mean_use)

    @property
    def names(self) -> tuple[str, ...]:
        """The providers' names in failover order."""
        return self._cloud.names

    def __call__(self, calls: int) -> Estimate:
        """Estimate so many calls."""
        return estimated(self._cloud, self._workspace.taxonomy, calls, self._seen)

    async def _mean_use(self) -> MeanUse | None:
        first = self._cloud.endpoints[0].profile
        async with open_shared(self._workspace) as cache:
            usage = await mean_usage(cache, first.name, first.model)
        return None if usage is None else MeanUse(usage.calls, usage.tokens_in, usage.tokens_out)
