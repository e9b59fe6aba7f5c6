"""The way in: `xintu`, and `python -m xintu_cli`."""

import os
from typing import NoReturn

from xintu_cli.cli import interrupts


def main() -> NoReturn:
    """Run the command line; never returns."""
    # To import the command line takes a tenth of a second, in which there is nothing to tidy up.
    interrupts.quit_at_signals()
    # pydantic looks for plug-ins among all that is installed: 20 of 340 ms, and foreign code.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    from xintu_cli.cli.main import main as run

    try:
        run()
    except SystemExit as exit_:
        # By now all is written and flushed. Taking the interpreter apart takes another tenth of a
        # second, in which a signal kills with a code of its own or shows a traceback.
        os._exit(exit_.code if isinstance(exit_.code, int) else 1)
    raise AssertionError("the command line leaves by SystemExit")


if __name__ == "__main__":
    main()
