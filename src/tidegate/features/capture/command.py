"""``show capture``: what an endpoint's data capture wrote, and what it dropped."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer
from rich.text import Text

from tidegate.cli import draw
from tidegate.cli.output import AsJson, Name, client, console
from tidegate.cli.tables import Table, key, number, sentence
from tidegate.domain.memory_sizes import format_size
from tidegate.spec.units import seconds


def capture(
    name: Name,
    last: Annotated[str, typer.Option(metavar="TIME", help="How far back to look.")] = "1h",
    samples: Annotated[
        int, typer.Option(metavar="N", help="Show so many captured requests instead.", min=0, max=50)
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Show what data capture wrote, and what it dropped.

    \b
    Examples:
      tidegate show capture fraud
      tidegate show capture fraud --last 10m --json
      tidegate show capture fraud --samples 5
    """
    if samples:
        with client() as server:
            found = server.samples(name, samples)
        if as_json:
            print(json.dumps(found))
        else:
            _show_samples(found["samples"])
        return
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
            format_size(one["backlog"]),
            f"{one['destination']} ({what})",
        )
    console().print(shown)


def _show_samples(samples: Iterable[Mapping[str, Any]]) -> None:
    screen, shown = console(), 0
    for shown, one in enumerate(samples, 1):  # noqa: B007
        about = (one["variant"], one["config"], one["inference_id"], one["attributes"])
        screen.print(Text(_plain("  ".join((one["at"], *(part for part in about if part)))), style="bold"))
        for side in ("request", "answer"):
            if (body := one[side]) is not None:
                cut = " …" if body["cut"] else ""
                text = body["note"] if body["text"] is None else body["text"].rstrip() + cut
                screen.print(Text(f"{side}: {_plain(text)}"), soft_wrap=True)
    if not shown:
        screen.print(Text("no captured file of the last 24 hours has any"))


def _plain(text: str) -> str:
    """Clients wrote it: nothing in it may steer the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)
