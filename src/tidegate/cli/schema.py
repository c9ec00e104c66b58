"""``spec schema``: JSON Schema of spec files, and of what the commands print."""

import json
from typing import Annotated

import typer

from tidegate import spec
from tidegate.cli.documents import DOCUMENTS, output_schema
from tidegate.domain.errors import Invalid
from tidegate.domain.suggestions import suggest


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
      tidegate spec schema > spec.schema.json
      tidegate spec schema --output-of status
    """
    if output_of is not None and output_of not in DOCUMENTS:
        raise Invalid(f"there is no schema of the output of {output_of!r}{suggest(output_of, DOCUMENTS)}")
    print(json.dumps(spec.schema() if output_of is None else output_schema(output_of), indent=2))
