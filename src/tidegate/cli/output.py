"""What every command shares: JSON or words on stdout, everything else on stderr, and who is asking."""

import getpass
import json
import os
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from tidegate.cli.client import ApiClient

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Name = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Name of the endpoint.", show_default=False)]

UNLIMITED_WIDTH = 10_000
"""Columns of a table that no terminal shows; wider than any row."""


def console() -> Console:
    """For people. What is printed is never read as markup: names and reasons may hold brackets.

    Where no terminal sets a width, as in a pipe, nothing is cut or folded.
    """
    fixed = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, markup=False, emoji=False, width=None if fixed else UNLIMITED_WIDTH)


def print_note(text: str) -> None:
    """Something worth knowing that is not the answer."""
    print(text, file=sys.stderr)


def show(document: Any, as_json: bool, words: str) -> None:
    print(json.dumps(document) if as_json else words)


def client() -> ApiClient:
    return ApiClient(os.environ)


def user_name() -> str:
    """The user's name, for the journal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "cli"
