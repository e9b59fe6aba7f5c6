"""`python -m xintu_cli`."""

from xintu_cli.cli.main import main

main()
