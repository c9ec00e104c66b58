"""``rollout``: watches and controls a rollout in progress."""

from typing import Annotated, Any

import typer

from tidegate.cli import follow_rollout
from tidegate.cli.describe_rollout import describe_history, describe_rollout
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
def promote(
    name: Name,
    full: Annotated[bool, typer.Option("--full", help="Skip all bakes that are left.")] = False,
    as_json: AsJson = False,
) -> None:
    """Skip the bake of the present stage; with --full, of all that are left.

    Capacity and alarms still count. A paused rollout goes on. A rollout that waits for an approval is approved, by
    somebody with the role that its spec names who did not ask for it.

    \b
    Examples:
      tidegate rollout promote fraud
      tidegate rollout promote fraud --full
    """
    _command(name, "promote", "is promoted through all stages" if full else "is promoted", as_json, full=full)


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


@app.command()
def undo(
    name: Name,
    to: Annotated[
        str | None, typer.Option("--to", metavar="VERSION", help="Number or config; default: the last good one.")
    ] = None,
    guarded: Annotated[
        bool, typer.Option("--guarded", help="By a rollout with that version's own strategy and alarms.")
    ] = False,
    override: Annotated[bool, typer.Option("--override", help="Even if alarms rejected it.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it; fail if it does not serve in the end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Go back to an earlier version: at once, as soon as its instances are ready.

    It has the model data that was kept then, and is not compared with the version that it replaces.
    'tidegate rollout history' lists the versions.

    \b
    Examples:
      tidegate rollout undo fraud --wait
      tidegate rollout undo fraud --to 3 --guarded
    """
    options: dict[str, object] = {"override": override, "guarded": guarded}
    options |= {} if to is None else {"to": to}
    with client() as server:
        after = follow_rollout.latest_event(server, name) if wait else 0
        document = server.rollout(name, "undo", user_name(), **options)
        show(document, as_json, f'endpoint "{name}" goes back: {document["why"]}')
        if wait:
            follow_rollout.follow(server, name, after=after, wanted=_config_after(document), as_json=as_json)


def _config_after(document: dict[str, Any]) -> str | None:
    """The config that serves when the rollout in progress, if it still is, has ended well."""
    rollout = document["rollout"]
    return None if rollout is None else str(rollout["to"])


@app.command()
def history(name: Name, as_json: AsJson = False) -> None:
    """List every version that served or was tried, newest first.

    Shows who asked for it, when it ran, why it ended, and the digests of its spec and model data.

    \b
    Examples:
      tidegate rollout history fraud
      tidegate rollout history fraud --json | jq '.versions[0]'
    """
    with client() as server:
        versions = server.history(name)
    show({"versions": versions}, as_json, describe_history(versions))


@app.command()
def status(name: Name, as_json: AsJson = False) -> None:
    """Show the rollout that is in progress, or how the last one ended.

    \b
    Examples:
      tidegate rollout status fraud
      tidegate rollout status fraud --json | jq .rollout.phase
    """
    with client() as server:
        document = server.endpoint(name)
    shown = {key: document[key] for key in ("name", "status", "why", "config", "rollout", "last")}
    show(shown, as_json, describe_rollout(document))


def _command(name: str, what: str, words: str, as_json: bool, **options: object) -> None:
    with client() as server:
        document = server.rollout(name, what, user_name(), **options)
    show(document, as_json, f'the rollout of endpoint "{name}" {words}: {document["why"]}')
