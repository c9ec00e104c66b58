"""The program: its options, and its errors: one line on stderr, exit status 1. ``commands.py`` has the commands."""

import sys
from typing import Annotated

import typer

from tidegate import __version__
from tidegate.cli.commands import TaskGroup
from tidegate.domain.errors import TidegateError

app = typer.Typer(
    name="tidegate",
    cls=TaskGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Deploy a trained model, shift live traffic to its next version step by step, and roll back automatically. "
    "TIDEGATE_URL says where the server is (http://127.0.0.1:8471 unless set).",
    epilog="Exit status: 0 success, 1 failure, with the reason on stderr, 2 wrong usage.",
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"tidegate {__version__}")
        raise typer.Exit


@app.callback()
def global_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version of this command.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options before any command."""


def main() -> None:
    try:
        app()
    except TidegateError as error:
        print(f"tidegate: {error.message}", file=sys.stderr)
        raise SystemExit(1) from None
