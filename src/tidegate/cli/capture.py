"""``capture``: what an endpoint's data capture wrote, and what it dropped."""

import json
from typing import Annotated

import typer

from tidegate.cli import draw
from tidegate.cli.output import AsJson, Name, client, console
from tidegate.cli.tables import Table, key, number, sentence
from tidegate.spec.units import seconds


def capture(
    name: Name,
    last: Annotated[str, typer.Option(metavar="TIME", help="How far back to look.")] = "1h",
    as_json: AsJson = False,
) -> None:
    """Show what data capture wrote, and what it dropped.

    \b
    Examples:
      tidegate capture fraud
      tidegate capture fraud --last 10m --json
    """
    with client() as server:
        document = server.captures(name, seconds(last, ("--last",), least=1))
    if as_json:
        print(json.dumps(document))
        return
    shown = Table(
        key("VARIANT"), key("CONFIG"), number("SAMPLE"), number("CAPTURED"), number("DROPPED"), number("WAITING"),
        sentence("WHERE"),
    )  # fmt: skip
    for one in document["captures"]:
        what = " and ".join(one["sides"]) + (", redacted" if one["redacted"] else "")
        shown.add_row(
            one["variant"],
            one["config"],
            f"{one['percent']} %",
            draw.format_number(one["captured"]),
            draw.format_number(one["dropped"]),
            draw.format_size(one["backlog"]),
            f"{one['destination']} ({what})",
        )
    console().print(shown)
