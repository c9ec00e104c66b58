"""``rollout``: look at one that is under way and steer it."""

from typing import Annotated

import typer

from tidegate.cli import follow_rollout
from tidegate.cli.output import AsJson, Name, client, print_note, show, user_name

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Watch and steer the rollout of an endpoint's new version."
)


@app.command()
def watch(name: Name, as_json: AsJson = False) -> None:
    """Follow a rollout until it ends.

    On a terminal a live picture of both fleets, elsewhere a line per event; with --json a JSON object per line.
    Without a rollout under way it says so and ends well.
    The exit status is 1 when the new version does not make it.

    \b
    Examples:
      tidegate rollout watch fraud
      tidegate rollout watch fraud --json | jq .event.message
    """
    with client() as server:
        after = follow_rollout.latest_event(server, name)
        at_rest = server.endpoint(name)
        if at_rest["rollout"] is None and at_rest["status"] != "Deleting":
            print_note(f'endpoint "{name}" has no rollout under way: {at_rest["why"] or at_rest["status"]}')
        follow_rollout.follow(server, name, after=after, as_json=as_json)


@app.command()
def pause(name: Name, as_json: AsJson = False) -> None:
    """Hold a rollout where it stands; alarms still roll it back.

    \b
    Example:
      tidegate rollout pause fraud
    """
    _command(name, "pause", "is paused", as_json)


@app.command()
def resume(name: Name, as_json: AsJson = False) -> None:
    """Go on with a paused rollout; the time it was paused does not count.

    \b
    Example:
      tidegate rollout resume fraud
    """
    _command(name, "resume", "goes on", as_json)


@app.command()
def abort(name: Name, as_json: AsJson = False) -> None:
    """Turn back to the old version at once.

    \b
    Example:
      tidegate rollout abort fraud
    """
    _command(name, "abort", "turns back", as_json)


@app.command()
def promote(name: Name, as_json: AsJson = False) -> None:
    """Skip the bakes that are left; capacity and alarms still count.

    \b
    Example:
      tidegate rollout promote fraud
    """
    _command(name, "promote", "is promoted", as_json)


@app.command()
def retry(
    name: Name,
    override: Annotated[bool, typer.Option("--override", help="Even though alarms turned it down.")] = False,
    as_json: AsJson = False,
) -> None:
    """Roll out again what was rolled back last.

    \b
    Examples:
      tidegate rollout retry fraud
      tidegate rollout retry fraud --override
    """
    _command(name, "retry", "starts again", as_json, override=override)


def _command(name: str, what: str, words: str, as_json: bool, *, override: bool = False) -> None:
    with client() as server:
        document = server.rollout(name, what, user_name(), override=override)
    show(document, as_json, f'the rollout of endpoint "{name}" {words}: {document["why"]}')
