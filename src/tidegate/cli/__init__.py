"""Command-line interface. Every command is a client of the server's API, except ``up``, which becomes the server, and
``simulate``, which needs none."""

from tidegate.host.late_import import load


def main() -> None:
    """Imports the program late: the server, which is a module of this package, does without it."""
    load("tidegate.cli.app", "main")()


__all__ = ["main"]
