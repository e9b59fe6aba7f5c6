"""What `xintu config` does: show every value and its origin, write a commented file."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from xintu_cli.cli.exits import say
from xintu_cli.cli.questions import LANGUAGES, ask_settings
from xintu_cli.cli.session import configure, language_of_locale
from xintu_cli.cli.tables import open_stdout
from xintu_cli.configuration import Configuration
from xintu_cli.consent import in_words, read_words, standing, with_consent
from xintu_cli.errors import OutputError, UsageError
from xintu_cli.locations import find_locations
from xintu_cli.reporting.command_phrases import Deed
from xintu_cli.reporting.escape import display_text, json_text
from xintu_cli.reporting.phrases import speaker
from xintu_cli.resources import data_directory
from xintu_cli.settings import ProviderConfig
from xintu_cli.storage.urls import masked

_KEYS = ("DASHSCOPE_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY")


def show_configuration(config: Path | None, *, as_json: bool) -> None:
    """Print every setting, its value and the layer that decided it; secrets are masked."""
    locations = find_locations()
    configuration = configure({}, config, locations)
    consent = locations.consent_file
    words = read_words(consent)
    allowed = standing(configuration, words, os.environ).allowed
    configuration = with_consent(configuration, allowed, str(consent))
    if as_json:
        fields = {
            key: {"value": _plain(key, configuration), "origin": origin}
            for key, origin in configuration.origins.items()
        }
        sys.stdout.write(json_text(fields, indent=2) + "\n")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    tell = speaker(configuration.settings.lang or language_of_locale(os.environ))
    for heading in (Deed.SETTING, Deed.VALUE, Deed.FROM):
        table.add_column(tell(heading), overflow="fold")
    for key, origin in configuration.origins.items():
        plain = _plain(key, configuration)
        value = "–" if plain is None else display_text(json_text(plain))
        style = "" if origin != "default" else "dim"
        table.add_row(key, Text(value), Text(display_text(origin)), style=style)
    console = open_stdout()
    console.print(table)
    for name in _KEYS:
        said = tell(Deed.SET if os.environ.get(name) else Deed.NOT_SET)
        console.print(Text(f"{name}: {said}", style="dim"))
    if words:
        console.print(Text(display_text(f"{in_words(words)}: {consent}"), style="dim"))


def _plain(key: str, configuration: Configuration) -> Any:
    value = getattr(configuration.settings, key)
    if key == "cache":
        return masked(value) if value else ""
    if key == "provider":
        return [_table(p) if isinstance(p, ProviderConfig) else p for p in value]
    return list(value) if isinstance(value, tuple) else value


def _table(provider: ProviderConfig) -> dict[str, Any]:
    table = provider.model_dump(mode="json", exclude_defaults=True)
    return {k: masked(v) if k == "base_url" else v for k, v in table.items()}


def init_configuration(*, force: bool, ask: bool) -> None:
    """Write the user's configuration file, every key commented out but those answered."""
    target = find_locations().config_file
    if target.exists() and not force:
        raise UsageError(f"there is a configuration already: {target}. --force replaces it.")
    text = (data_directory("configs") / "default.toml").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^(?=[a-z_]+ = )", "# ", text)
    answers = _answers() if ask else {}
    for key, value in answers.items():
        line = f"{key} = {json_text(value)}"
        text = re.sub(rf"(?m)^# {key} = .*$", line.replace("\\", r"\\"), text, count=1)
    temporary = target.with_name(f".{target.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(target)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise OutputError(
            f"cannot write {target}: {error.strerror}. Check the directory's permissions."
        ) from error
    tell = speaker(answers.get("lang") or _language_so_far())
    say(tell(Deed.WROTE_CONFIGURATION, path=display_text(str(target))))


def _answers() -> dict[str, Any]:
    """Ask whoever sits there; nobody does where one of the streams is no terminal."""
    if sys.stdin is None or sys.stderr is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return {}
    return ask_settings(_language_so_far())


def _language_so_far() -> str:
    """Return the language of whoever has no configuration yet, or an unreadable one."""
    said = os.environ.get("XINTU_LANG", "")
    return said if said in LANGUAGES else language_of_locale(os.environ)
