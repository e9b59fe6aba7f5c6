"""The way in: `xintu`, and `python -m xintu_cli`."""

import signal


def main() -> None:
    """Run the command line; never returns."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # To import the command line takes a tenth of a second, in which Ctrl-C would show a
        # traceback. `cli.interrupts` puts Python's handler back.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from xintu_cli.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
