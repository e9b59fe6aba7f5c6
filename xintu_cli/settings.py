"""The settings of a run: what they are called, what they may be, what they are by default.

`configuration` reads them from flags, the environment and TOML files; everything below the
composition root sees this frozen model alone. `configs/default.toml` documents every key.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from xintu_cli.routing import Policy, Refresh

NONE_KEPT = "none"
"""The word that empties `keep_local`."""

HARMLESS = frozenset({"taxonomy", "include", "exclude", "lang", "output"})
"""What `./xintu.toml` may set: a directory one happens to stand in must not choose who gets
photos, keys or labels."""


def _split(value: Any) -> Any:
    """Read `a, b` as a list: environment variables know no lists."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Words = Annotated[tuple[str, ...], BeforeValidator(_split)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]

_PROVIDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


class ProviderConfig(BaseModel):
    """One `[[provider]]` table: an LLM endpoint of the user's."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    kind: Literal["dashscope", "openai", "anthropic"]
    model: str = Field(default="", max_length=128)
    base_url: str = ""
    api_key_env: str = ""
    api_key_file: Path | None = None
    timeout_seconds: float = Field(default=60.0, gt=0, le=600)
    concurrency: int = Field(default=0, ge=0, le=1000)
    requests_per_minute: float = Field(default=0.0, ge=0)
    tokens_per_minute: float = Field(default=0.0, ge=0)
    price_in: float | None = Field(default=None, ge=0)
    price_out: float | None = Field(default=None, ge=0)
    currency: str = Field(default="", max_length=8)
    api_version: str = ""
    allow_http: bool = False

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not _PROVIDER_NAME.match(value) or value == "local":
            raise ValueError("must be letters, digits, '.', '_' or '-', and not 'local'")
        return value


class Settings(BaseSettings):
    """Everything a user can set; field names are the TOML keys."""

    model_config = SettingsConfigDict(
        env_prefix="XINTU_",
        # A variable is text, never JSON: `XINTU_KEEP_LOCAL=1` names a category.
        enable_decoding=False,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        validate_default=False,
    )

    cache: str = ""
    taxonomy: str = "xintu"
    policy: Policy = Policy.LOCAL
    provider: Annotated[tuple[str | ProviderConfig, ...], BeforeValidator(_split)] = ()
    model: str = "xintu-lite"
    concurrency: int = Field(default=16, ge=1, le=1000)
    cascade_threshold: Share | None = None
    keep_local: Words | None = None
    max_calls: int | None = Field(default=None, ge=0)
    max_cost: float | None = Field(default=None, ge=0)
    refresh: Refresh = Refresh.NONE
    dry_run: bool = False
    include: Words = ()
    exclude: Words = ()
    follow_symlinks: bool = False
    hidden: bool = False
    output: str = ""
    summary: str = ""
    wait: bool = False
    fallback_ok: bool = False
    lang: Literal["", "en", "zh"] = ""
    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    no_progress: bool = False
    yes: bool = False
    max_edge: int = Field(default=1024, ge=256, le=4096)
    max_file_mb: int = Field(default=256, ge=1, le=65_536)
    file_timeout_seconds: float = Field(default=60.0, gt=0)
    grace_seconds: float = Field(default=30.0, ge=0)
    max_wait_seconds: float = Field(default=120.0, ge=0)
    lease_seconds: float | None = Field(default=None, ge=1, le=86_400)
    share_descriptions: bool = True
    prices: str = ""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is given alone: `Settings()` is the defaults, wherever it is made."""
        return (init_settings,)

    @classmethod
    def from_sources(cls, *sources: PydanticBaseSettingsSource) -> Self:
        """Ask the sources, the most particular first."""
        # Type checkers see a model's fields here, not the parameters of BaseSettings.
        return cls(_build_sources=(sources, {}))  # type: ignore[call-arg]

    @property
    def chosen_providers(self) -> tuple[str, ...]:
        """Names of the providers the user chose, in failover order."""
        return tuple(p if isinstance(p, str) else p.name for p in self.provider)

    def kept_local(self, taxonomy_default: tuple[str, ...]) -> tuple[str, ...]:
        """Return the categories that are not sent: the user's word, else the taxonomy's."""
        if self.keep_local is None:
            return taxonomy_default
        return tuple(key for key in self.keep_local if key != NONE_KEPT)
