"""``learn``: starts, shows and stops the console's live challenges."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from tidegate.cli import output
from tidegate.cli.output import AsJson, client, console, user_name
from tidegate.cli.plain_parameters import PlainGroup
from tidegate.cli.tables import Table, key, sentence

app = typer.Typer(
    cls=PlainGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Run the console's live challenges on the server.",
)
Challenge = Annotated[
    str, typer.Argument(metavar="CHALLENGE", help="drift, peak, update or incident.", show_default=False)
]
Reason = Annotated[str, typer.Option(help="Why, for the audit.")]


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the live challenges with their latest outcome.

    \b
    Example:
      tidegate learn list
    """
    with client() as server:
        found = server.challenges()
    if as_json:
        print(json.dumps(found))
        return
    if found["obstacle"]:
        print(f"none can be started here: {found['obstacle']}")
    _print_table(found["lessons"])


@app.command()
def show(name: Challenge, as_json: AsJson = False) -> None:
    """Show what a live challenge has shown until now.

    \b
    Examples:
      tidegate learn show incident
      tidegate learn show incident --json | jq .picture
    """
    with client() as server:
        found = server.challenge(name)
    output.show(found, as_json, describe_challenge(found))


@app.command()
def start(name: Challenge, reason: Reason = "", as_json: AsJson = False) -> None:
    """Start a live challenge on an endpoint of its own.

    It ends by itself. One runs at a time on a server, on its target local.

    \b
    Example:
      tidegate learn start incident
    """
    with client() as server:
        found = server.start_challenge(name, user_name(), reason)
    output.show(found, as_json, describe_challenge(found))


@app.command()
def stop(name: Challenge, reason: Reason = "", as_json: AsJson = False) -> None:
    """Stop a live challenge and remove its endpoint.

    \b
    Example:
      tidegate learn stop incident
    """
    with client() as server:
        found = server.stop_challenge(name, user_name(), reason)
    output.show(found, as_json, describe_challenge(found))


def describe_challenge(found: dict[str, Any]) -> str:
    """One line on a challenge and its outcome."""
    return f"{found['name']}: {_describe_state(found)}"


def _describe_state(found: dict[str, Any]) -> str:
    if found["run"] is None:
        return "not run yet"
    if found["verdict"] is None:
        return f"under way on {found['endpoint']}, begun by {found['by']} at {found['begun_at']}"
    left = "; its endpoint is being removed" if found["removing"] else ""
    return f"{found['verdict']}: {found['said']}{left}"


def _print_table(found: Sequence[dict[str, Any]]) -> None:
    shown = Table(key("CHALLENGE"), sentence("STATE"))
    for one in found:
        shown.add_row(one["name"], _describe_state(one))
    console().print(shown)
