"""``shadow``: a shadow variant beside the production variant."""

import json
from typing import Annotated

import typer
from rich.text import Text

from tidegate.cli import draw
from tidegate.cli.output import AsJson, Name, client, console
from tidegate.spec.units import seconds


def shadow(
    name: Name,
    last: Annotated[str, typer.Option(metavar="TIME", help="How far back to look.")] = "1h",
    as_json: AsJson = False,
) -> None:
    """Compare a shadow variant with its production variant.

    \b
    Examples:
      tidegate shadow fraud
      tidegate shadow fraud --last 10m --json
    """
    with client() as server:
        document = server.shadow(name, seconds(last, ("--last",), least=1))
    if as_json:
        print(json.dumps(document))
        return
    screen = console()
    if (test := document.get("experiment")) is not None:
        words = f"inference experiment {test['name']}: {test['status']}, until {test['end']} {test['reason']}"
        screen.print(Text(words.strip()), soft_wrap=True)
    for one in document["comparisons"]:
        screen.print(draw.comparison_table(one))
        screen.print(Text(draw.format_verdict(one)))
    screen.print(Text(f"pairs of answers: {document['kept']}"), soft_wrap=True)
