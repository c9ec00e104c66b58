"""Command-line interface. Every command is a client of the server's API, except ``up``, which becomes the server, and
``rehearse``, which needs none."""

import sys

from tidegate.domain.errors import StartupError
from tidegate.host.late_import import load


def main() -> None:
    """Imports the program late: the server, which is a module of this package, does without it."""
    try:
        run = load("tidegate.cli.app", "main")
    except StartupError as error:  # an unusable TIDEGATE_FEATURES, which says what commands there are
        print(f"tidegate: {error.message}", file=sys.stderr)
        raise SystemExit(1) from None
    run()


__all__ = ["main"]
