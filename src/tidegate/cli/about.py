"""``version`` and ``schema``."""

import json
from typing import Annotated, Any

import typer

from tidegate import __version__
from tidegate.cli.client import ServerNotRunning
from tidegate.cli.output import AsJson, client, show
from tidegate.domain.errors import Invalid
from tidegate.domain.suggestions import suggest
from tidegate.host.late_import import load


def version(as_json: AsJson = False) -> None:
    """Show the version of this command and of the server.

    \b
    Example:
      tidegate version --json
    """
    with client() as server:
        try:
            running: dict[str, Any] | None = server.version()
        except ServerNotRunning:
            running = None
        there = f"server {running['version']} at {server.url}" if running else f"no server at {server.url}"
    show({"version": __version__, "server": running}, as_json, f"tidegate {__version__}, {there}")


def schema(
    output_of: Annotated[
        str | None,
        typer.Option("--output-of", metavar="COMMAND", help="Of what a command prints with --json instead."),
    ] = None,
) -> None:
    """Print the JSON Schema of spec files.

    With --output-of that of the documents of status, list, events, version or explain.

    \b
    Examples:
      tidegate schema > spec.schema.json
      tidegate schema --output-of status
    """
    if output_of is None:
        print(json.dumps(load("tidegate.spec", "schema")(), indent=2))
        return
    known = load("tidegate.cli.documents", "DOCUMENTS")
    if output_of not in known:
        raise Invalid(f"there is no schema of the output of {output_of!r}{suggest(output_of, known)}")
    print(json.dumps(load("tidegate.cli.documents", "output_schema")(output_of), indent=2))
