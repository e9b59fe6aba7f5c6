"""Every option has its environment variable, but for those that are a deed of one moment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import typer
from typer.core import TyperGroup, TyperOption

from xintu_cli.cli.main import app
from xintu_cli.configuration import NOT_SETTINGS, OF_ONE_COMMAND
from xintu_cli.settings import Settings

DEEDS = {
    ("label", "--as"),
    ("label", "--clear"),
    ("label", "--from"),
    ("prune", "--other-models"),
    ("prune", "--task"),
    ("train", "--take-back"),
    ("adapt", "--take-back"),
    ("init", "--force"),
}
"""What a variable forgotten in a shell's profile must not label, delete or overwrite."""


def options() -> Iterator[tuple[str, TyperOption]]:
    """Yield the name of a command with each of its options."""
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    pending = list(root.commands.values())
    while pending:
        command = pending.pop()
        if isinstance(command, TyperGroup):
            pending += command.commands.values()
        for parameter in command.params:
            if isinstance(parameter, TyperOption):
                yield command.name or "", parameter


OPTIONS = [
    pytest.param(option, long, id=f"{command} {long}")
    for command, option in options()
    for long in [next(name for name in option.opts if name.startswith("--"))]
    if (command, long) not in DEEDS and long != "--help"
]


@pytest.mark.parametrize(("option", "long"), OPTIONS)
def test_every_option_has_its_variable(option: TyperOption, long: str) -> None:
    name = long.removeprefix("--").replace("-", "_")
    variable = f"XINTU_{name.upper()}"
    if variable == "XINTU_CONFIG":
        assert variable in NOT_SETTINGS
    elif option.envvar is None:
        assert name in Settings.model_fields
    else:
        assert option.envvar == variable
        assert name in Settings.model_fields or name in OF_ONE_COMMAND
