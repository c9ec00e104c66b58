"""``rollout``: watches and controls a rollout in progress."""

from typing import Annotated

import typer

from tidegate.cli import follow_rollout
from tidegate.cli.output import AsJson, Name, client, print_note, show, user_name
from tidegate.cli.plain_parameters import PlainGroup

app = typer.Typer(
    cls=PlainGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Watch and control the rollout of a new version.",
)


@app.command()
def watch(name: Name, as_json: AsJson = False) -> None:
    """Follow a rollout until it ends.

    Shows both fleets live on a terminal. Elsewhere a line per event from the rollout's start on, so that every stage
    is there, and with --json an object per line. Says so if no rollout is in progress, and succeeds.
    The exit status is 1 if the new version is rolled back.

    \b
    Examples:
      tidegate rollout watch fraud
      tidegate rollout watch fraud --json | jq .event.message
    """
    with client() as server:
        after = follow_rollout.latest_event(server, name)
        at_rest = server.endpoint(name)
        if at_rest["rollout"] is not None:
            after = follow_rollout.start_of_rollout(server, name, at_rest["rollout"]["started_at"])
        if at_rest["rollout"] is None and at_rest["status"] != "Deleting":
            print_note(f'endpoint "{name}" has no rollout in progress: {at_rest["why"] or at_rest["status"]}')
        follow_rollout.follow(server, name, after=after, as_json=as_json)


@app.command()
def pause(name: Name, as_json: AsJson = False) -> None:
    """Hold a rollout in its current state; alarms still roll it back.

    \b
    Example:
      tidegate rollout pause fraud
    """
    _command(name, "pause", "is paused", as_json)


@app.command()
def resume(name: Name, as_json: AsJson = False) -> None:
    """Resume a paused rollout; the pause does not count as bake time.

    \b
    Example:
      tidegate rollout resume fraud
    """
    _command(name, "resume", "goes on", as_json)


@app.command()
def abort(name: Name, as_json: AsJson = False) -> None:
    """Roll back to the old version at once.

    \b
    Example:
      tidegate rollout abort fraud
    """
    _command(name, "abort", "turns back", as_json)


@app.command()
def promote(name: Name, as_json: AsJson = False) -> None:
    """Skip the remaining bakes; capacity and alarms still count.

    \b
    Example:
      tidegate rollout promote fraud
    """
    _command(name, "promote", "is promoted", as_json)


@app.command()
def retry(
    name: Name,
    override: Annotated[bool, typer.Option("--override", help="Even if alarms rejected it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Retry the rollout that was rolled back last.

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
