"""Shared output: JSON or text on stdout, everything else on stderr; and the user's name."""

import getpass
import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.domain.errors import TidegateError
from tidegate.host.late_import import load

if TYPE_CHECKING:
    from rich.console import Console

    from tidegate.cli.client import ApiClient

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def complete_endpoint(incomplete: str) -> list[str]:
    """Names of endpoints that begin so, for the shell; none where the server does not answer."""
    with suppress(TidegateError), client() as server:
        return [str(one["name"]) for one in server.endpoints() if str(one["name"]).startswith(incomplete)]
    return []


Name = Annotated[
    str,
    typer.Argument(
        metavar="ENDPOINT", help="Name of the endpoint.", show_default=False, autocompletion=complete_endpoint
    ),
]

PIPE_WIDTH = 80
"""Columns where there is no terminal and COLUMNS does not say otherwise."""


def console() -> "Console":
    """Console for people: as wide as the terminal, in a pipe 80 columns. Printed text is never parsed as markup:
    names and reasons may contain brackets."""
    columns = os.environ.get("COLUMNS", "")
    # Not the size of the terminal that stdin or stderr may still be.
    width = None if sys.stdout.isatty() else int(columns) if columns.isdigit() else PIPE_WIDTH
    made: Console = load("rich.console", "Console")(highlight=False, markup=False, emoji=False, width=width)
    return made


def plot_width(screen: "Console", most: int, beside: int) -> int | None:
    """Columns of a plot with ``beside`` columns of labels; None in a pipe, where tables take the place of plots."""
    return max(1, min(most, screen.width - beside)) if sys.stdout.isatty() else None


def print_note(text: str) -> None:
    """Print a remark that is not the result."""
    print(text, file=sys.stderr)


def show(document: Any, as_json: bool, words: str) -> None:
    print(json.dumps(document) if as_json else words)


def client() -> "ApiClient":
    made: ApiClient = load("tidegate.cli.client", "ApiClient")(os.environ)
    return made


def user_name() -> str:
    """The user's name, for the journal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "cli"
