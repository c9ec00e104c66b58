"""Command-line interface. Every command is a client of the server's API, except ``up``, which becomes the server, and
``simulate``, which needs none."""

from tidegate.cli.app import main

__all__ = ["main"]
