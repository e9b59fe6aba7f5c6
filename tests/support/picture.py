"""`make picture`: the README's picture of the terminal, taken from a real one.

`picture TARGET.svg [FOLDER]`: tmux runs xintu over the folder (made-up photos, where none is
named) in a terminal of 88 columns; what its screen shows at the end is drawn as an SVG that
loads no font and nothing else from anywhere.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.support.command import clean_environment, installed_command
from tests.support.demo import make_album

COLUMNS = 88
ROWS = 200
_TIMEOUT_SECONDS = 600.0

# What rich fills in; its own template loads a font from another host.
_SVG = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img" \
aria-label="xintu classifies a folder of photos in a terminal">
<style>
.{unique_id}-matrix {{ font: {char_height}px ui-monospace, Menlo, Consolas, monospace; \
line-height: {line_height}px; font-variant-east-asian: full-width }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">\
<rect width="{terminal_width}" height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix" xml:space="preserve">{matrix}</g>
</g>
</svg>
"""


def main(target: Path, folder: Path | None) -> None:
    """Run, look at the screen, draw."""
    with tempfile.TemporaryDirectory(prefix="xintu-picture-") as directory:
        place = Path(directory)
        if folder is None:
            make_album(place / "Pictures")
        else:
            shutil.copytree(folder, place / "Pictures")
        screen = _screen(place)
    shown = screen.rstrip().replace(f"{place}/state", "/home/you/.local/share/xintu")
    with tempfile.TemporaryFile("w+") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, color_system="truecolor")
        console.print(Text.from_ansi(f"$ xintu classify Pictures\n{shown}"))
    target.parent.mkdir(exist_ok=True)
    console.save_svg(str(target), title="xintu", code_format=_SVG, unique_id="xintu")


def _screen(place: Path) -> str:
    """Return the text, with its colours, of the terminal in which xintu has ended."""
    socket = str(place / "tmux")
    done = place / "done"
    command = f"{shlex.join([*installed_command(), 'classify', 'Pictures'])}; touch {done}; cat"
    tmux = ["tmux", "-f", "/dev/null", "-S", socket]
    environment = clean_environment(place, {"COLORTERM": "truecolor"})
    size = ["-x", str(COLUMNS), "-y", str(ROWS)]
    start = [*tmux, "new-session", "-d", *size, command]
    subprocess.run(start, cwd=place, env=environment, check=True)
    try:
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while not done.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        capture = [*tmux, "capture-pane", "-e", "-p", "-S", "-"]
        return subprocess.run(capture, capture_output=True, text=True, check=True).stdout
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
