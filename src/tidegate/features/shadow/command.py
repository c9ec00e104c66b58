"""``compare --shadow``: a shadow variant beside the production variant."""

import json

from rich.text import Text

from tidegate.cli import draw
from tidegate.cli.output import client, console
from tidegate.spec.units import seconds


def compare_shadow(name: str, last: str, as_json: bool) -> None:
    """Print how the shadow variant of an endpoint compares with its production variant. ``last``: how far back to
    look, such as ``1h``."""
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
