"""Read the settings: flags, then environment, then `--config`, the user's file, `./xintu.toml`.

In: the flags that were given and where to look. Out: frozen `Settings` and, for every key,
the layer that decided it. Raises `ConfigurationError` naming key, place and the nearest
right name.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, InitSettingsSource

from xintu_cli.errors import ConfigurationError, UsageError
from xintu_cli.routing import Policy
from xintu_cli.settings import HARMLESS, ProviderConfig, Settings

ENVIRONMENT = "environment"
FLAG = "flag"
DEFAULT = "default"
OF_ONE_COMMAND = frozenset({"format", "missing", "json", "days", "log_days", "photos"})
"""Options of single commands that the environment may set, and no file."""
NOT_SETTINGS = frozenset(
    {
        *("XINTU_HOME", "XINTU_CONFIG", "XINTU_CACHE_PASSWORD"),
        *(f"XINTU_{option.upper()}" for option in OF_ONE_COMMAND),
    }
)
"""Variables that are ours without being a setting."""


_MAY_HOLD_SECRETS = frozenset({"cache", "provider"})


class Layer(InitSettingsSource):
    """Values from one place; `text` is the TOML they were read from, to name a line."""

    def __init__(self, origin: str, values: Mapping[str, Any], text: str = "") -> None:
        super().__init__(Settings, dict(values))
        self.origin = origin
        self.text = text


class Environment(EnvSettingsSource):
    """The `XINTU_*` variables of a given environment."""

    origin = ENVIRONMENT
    text = ""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str]:
        # pydantic-settings compares names in lower case. What is empty says nothing.
        return {name.lower(): value for name, value in self._environ.items() if value}


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings and, per key, where its value came from."""

    settings: Settings
    origins: Mapping[str, str]
    files: tuple[Path, ...]
    named: Path | None = None
    """The file that `--config` names."""

    def mistake(self, key: str, message: str) -> ConfigurationError | UsageError:
        """Return the error of a value that is wrong only beside others, as for one alone."""
        origin = self.origins[key]
        if origin == FLAG:
            return UsageError(f"--{key.replace('_', '-')}: {message}")
        place = f"XINTU_{key.upper()}" if origin == ENVIRONMENT else f"{origin}: {key}"
        return ConfigurationError(f"{place}: {message}")


def read_configuration(
    flags: Mapping[str, Any],
    *,
    config: Path | None,
    user_file: Path,
    local_file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Configuration:
    """Merge the layers, the most particular first. `config` must exist, the others may."""
    named = config
    if config is None and environ.get("XINTU_CONFIG"):
        config = Path(environ["XINTU_CONFIG"])
    _refuse_unknown_variables(environ)
    given = Layer(FLAG, {key: value for key, value in flags.items() if value is not None})
    read = [
        None if config is None else _toml(config, required=True),
        _toml(user_file),
        None if local_file is None else _toml(local_file, harmless_only=True),
    ]
    from_files = [layer for layer in read if layer is not None]
    layers: list[Layer | Environment] = [given, Environment(environ), *from_files]
    origins = dict.fromkeys(Settings.model_fields, DEFAULT)
    for layer in reversed(layers):
        # One by one: a wrong value is wrong where it stands, even if another layer hides it.
        _check(layer)
        origins.update(dict.fromkeys(layer(), layer.origin))
    settings = _with_tables(Settings.from_sources(*layers), layers)
    if settings.provider and _means_to_ask(settings, origins):
        settings = settings.model_copy(update={"policy": Policy.HYBRID})
        origins["policy"] = origins["provider"]
    return Configuration(
        settings, origins, tuple(Path(layer.origin) for layer in from_files), named
    )


def _means_to_ask(settings: Settings, origins: Mapping[str, str]) -> bool:
    """Tell whether naming a provider is a word on the policy too.

    Where nothing says a policy, and where it is typed: `--provider` beside a file's
    `policy = "local"` can mean nothing else. A variable or a file may have been left there.
    """
    if origins["policy"] == DEFAULT:
        return True
    typed = origins["provider"] == FLAG and origins["policy"] != FLAG
    return typed and not settings.policy.wants_llm


def _with_tables(settings: Settings, layers: Sequence[Layer | Environment]) -> Settings:
    """Let names chosen by a flag mean the `[[provider]]` tables of a file below it."""
    tables: dict[str, ProviderConfig] = {}
    for layer in reversed(layers):
        for entry in layer().get("provider", ()):
            if isinstance(entry, dict):
                table = ProviderConfig(**entry)
                tables[table.name] = table
    chosen = tuple(tables.get(p, p) if isinstance(p, str) else p for p in settings.provider)
    names = [p if isinstance(p, str) else p.name for p in chosen]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(
                f"the provider {name!r} is chosen {names.count(name)} times: "
                "a name means one endpoint. Give the second one another name."
            )
    return settings.model_copy(update={"provider": chosen})


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    known = sorted({*(f"XINTU_{field.upper()}" for field in Settings.model_fields), *NOT_SETTINGS})
    for variable in environ:
        if variable.startswith("XINTU_") and variable not in known:
            near = get_close_matches(variable, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else "Unset it."
            raise ConfigurationError(
                f"the environment variable {variable} is no setting of xintu. {hint}"
            )


def _toml(path: Path, *, required: bool = False, harmless_only: bool = False) -> Layer | None:
    """Read a file; None where there is none and need not be one."""
    try:
        # -sig: editors on Windows begin a file with a byte order mark, which TOML does not know.
        text = path.read_text(encoding="utf-8-sig")
        values = tomllib.loads(text)
    except OSError as error:
        # What lies in a directory that may not be entered is not there for us.
        if not os.path.lexists(path):
            if not required:
                return None
            raise ConfigurationError(
                f"there is no configuration file {path}. Check --config, "
                "or write one with `xintu config init`."
            ) from error
        raise ConfigurationError(
            f"cannot read the configuration {path}: {error.strerror}. Check its permissions."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the configuration {path} is not TOML: {error}. Correct it there."
        ) from error
    for key in values:
        if key not in Settings.model_fields:
            raise ConfigurationError(_unknown_key(key, path, text))
        if harmless_only and key not in HARMLESS:
            raise ConfigurationError(
                f"{path}, line {_line_of(key, text)}: {key} may not be set by the directory one "
                f"stands in, only {', '.join(sorted(HARMLESS))}. "
                "Put it into your own configuration (`xintu config path`)."
            )
    return Layer(str(path), values, text)


def _unknown_key(key: str, path: Path, text: str) -> str:
    near = get_close_matches(key.replace("-", "_"), list(Settings.model_fields), n=1)
    hint = f"Did you mean {near[0]}?" if near else "`xintu config show` lists every key."
    return f"{path}, line {_line_of(key, text)}: there is no setting {key!r}. {hint}"


def _line_of(key: str, text: str, inner: Sequence[str] = ()) -> int:
    """Return the line (from 1) on which a top-level key or table stands; 1 if it hides.

    `inner` leads on into an array of tables: the number of the table, then a key of it.
    """
    lines = text.splitlines()
    starts = [at for at, line in enumerate(lines) if _names(key, line)]
    if not starts:
        return 1
    table = int(inner[0]) if inner else 0
    start = starts[min(table, len(starts) - 1)]
    if len(inner) > 1 and lines[start].lstrip().startswith("["):
        rest = range(start + 1, len(lines))
        body = takewhile(lambda at: not lines[at].lstrip().startswith("["), rest)
        return next((at for at in body if _names(inner[1], lines[at])), start) + 1
    return start + 1


def _names(key: str, line: str) -> bool:
    """Tell whether a line of TOML sets a key or begins its table."""
    return re.match(rf"""\s*(\[\[?\s*)?["']?{re.escape(key)}["']?\s*[]=.]""", line) is not None


def _check(layer: Layer | Environment) -> None:
    try:
        Settings.from_sources(layer)
    except ValidationError as error:
        raise _translate(error, layer) from error


def _in_words(message: str) -> str:
    """Say in the words of TOML and the command line what pydantic says in Python's."""
    message = message.removeprefix("Value error, ").replace("a valid tuple", "a list")
    message = message.replace("Input should be '', ", "Input should be ")
    return message[0].lower() + message[1:]


def _translate(
    error: ValidationError, layer: Layer | Environment
) -> ConfigurationError | UsageError:
    """Say which key is wrong, where it was set, and what it may be."""
    # A wrong table is reported as "no text" first, then with what is really wrong with it.
    errors = error.errors(include_url=False)
    # Of those a key that does not exist is why another one lacks: it was meant to be that one.
    of_tables = [e for e in errors if "ProviderConfig" in e["loc"]]
    of_tables.sort(key=lambda e: e["type"] != "extra_forbidden")
    first = next(iter(of_tables), errors[0])
    location = [str(part) for part in first["loc"] if not str(part).startswith("function-")]
    key = location[0]
    message = _in_words(first["msg"])
    if key not in _MAY_HOLD_SECRETS and isinstance(first["input"], str | int | float):
        message += f" (got {first['input']!r})"
    inner = [part for part in location[1:] if part not in ("str", "ProviderConfig")]
    if first["type"] == "extra_forbidden" and key == "provider":
        near = get_close_matches(location[-1], list(ProviderConfig.model_fields), n=1)
        message = "there is no such key" + (f" (did you mean {near[0]}?)" if near else "")
    if key == "provider" and isinstance(first["input"], dict) and len(location) == 1:
        message = "a table of providers begins with two brackets, [[provider]]"
    if layer.origin == FLAG:
        return UsageError(f"--{key.replace('_', '-')}: {message}.")
    if layer.origin == ENVIRONMENT:
        return ConfigurationError(f"XINTU_{key.upper()}: {message}. Correct it there.")
    where = f"{layer.origin}, line {_line_of(key, layer.text, inner)}"
    return ConfigurationError(f"{where}: {'.'.join([key, *inner])}: {message}. Correct it there.")
