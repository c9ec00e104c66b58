"""``direct``: deploy to a target that shifts the traffic itself. No server is needed."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate.cli.artifacts import look_up_models, prepare
from tidegate.cli.output import AsJson, Name, console, print_note
from tidegate.cli.spec_file import SpecPath, read_spec, with_target
from tidegate.cli.tables import Table, key, sentence
from tidegate.cli.target_options import TargetName, TargetsFile, choose_target
from tidegate.domain.errors import Invalid
from tidegate.host.late_import import load
from tidegate.ports.direct import DirectDeployer, DirectResult, SmokeRequest

app = typer.Typer(help="Deploy to a target that shifts the traffic itself.", no_args_is_help=True)


@app.command()
def deploy(
    spec_file: SpecPath,
    target: TargetName = None,
    targets: TargetsFile = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it to its end.")] = True,
    smoke: Annotated[
        Path | None,
        typer.Option(
            "--smoke", metavar="FILE", help="A request that a new endpoint must answer.", show_default=False
        ),
    ] = None,
    content_type: Annotated[str, typer.Option(help="Content type of the smoke request.")] = "text/csv",
    as_json: AsJson = False,
) -> None:
    """Create an endpoint from a spec file, or update it.

    Asked for again, it goes on where it was interrupted. The exit status is 3 if the new version was rolled back.

    \b
    Examples:
      tidegate direct deploy fraud.yaml --target sagemaker
      tidegate direct deploy fraud.yaml --target sagemaker --smoke row.csv
    """
    loaded = with_target(read_spec(spec_file), target)
    loaded.refuse_placeholders()
    data = look_up_models(loaded, prepare(loaded, spec_file.parent, must_exist=True))
    wish = loaded.wish(datetime.now(UTC), data)
    request = None if smoke is None else SmokeRequest(_read(smoke), content_type)
    _end(_direct(wish.target or target, targets).deploy(wish, wait=wait, smoke=request), as_json)


@app.command()
def status(name: Name, target: TargetName = None, targets: TargetsFile = None, as_json: AsJson = False) -> None:
    """Show what serves, and how the last update ended.

    \b
    Example:
      tidegate direct status fraud --target sagemaker
    """
    _end(_direct(target, targets).status(name), as_json)


@app.command()
def watch(name: Name, target: TargetName = None, targets: TargetsFile = None, as_json: AsJson = False) -> None:
    """Follow the update in progress to its end.

    \b
    Example:
      tidegate direct watch fraud --target sagemaker
    """
    _end(_direct(target, targets).watch(name), as_json)


@app.command()
def abort(name: Name, target: TargetName = None, targets: TargetsFile = None, as_json: AsJson = False) -> None:
    """Roll the update in progress back.

    \b
    Example:
      tidegate direct abort fraud --target sagemaker
    """
    _end(_direct(target, targets).abort(name), as_json)


@app.command()
def delete(
    name: Name,
    target: TargetName = None,
    targets: TargetsFile = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is gone.")] = True,
    as_json: AsJson = False,
) -> None:
    """Delete an endpoint, with what was created for it.

    \b
    Example:
      tidegate direct delete fraud --target sagemaker
    """
    _end(_direct(target, targets).delete(name, wait=wait), as_json)


@app.command()
def diff(
    spec_file: SpecPath, target: TargetName = None, targets: TargetsFile = None, as_json: AsJson = False
) -> None:
    """Show what deploying a spec file would change. Changes nothing.

    \b
    Example:
      tidegate direct diff fraud.yaml --target sagemaker
    """
    loaded = with_target(read_spec(spec_file), target)
    data = look_up_models(loaded, prepare(loaded, spec_file.parent, must_exist=True))
    wish = loaded.wish(datetime.now(UTC), data)
    found = _direct(wish.target or target, targets).diff(wish)
    if as_json:
        print(json.dumps([asdict(one) for one in found]))
        return
    if not found:
        console().print(f'endpoint "{wish.endpoint}" would not change')
        return
    shown = Table(key("KEY"), key("BEFORE"), key("AFTER"))
    for one in found:
        shown.add_row(one.what, one.before or "-", one.after or "-")
    console().print(shown)


@app.command()
def logs(
    name: Name,
    tail: Annotated[int, typer.Option(min=1, max=10_000, help="Number of last lines of each instance.")] = 20,
    target: TargetName = None,
    targets: TargetsFile = None,
    as_json: AsJson = False,
) -> None:
    """Show the output of an endpoint's instances.

    \b
    Example:
      tidegate direct logs fraud --target sagemaker
    """
    found = _direct(target, targets).logs(name, tail)
    if as_json:
        print(json.dumps([asdict(one) for one in found]))
        return
    for one in found:
        for line in one.lines:
            print(f"{one.variant}/{one.replica} {line}")


@app.command()
def history(name: Name, target: TargetName = None, targets: TargetsFile = None, as_json: AsJson = False) -> None:
    """List the versions that were deployed, newest first.

    \b
    Example:
      tidegate direct history fraud --target sagemaker --json
    """
    found = _direct(target, targets).history(name)
    if as_json:
        print(json.dumps([dict(one) for one in found], default=str))
        return
    shown = Table(key("CONFIG"), key("CREATED"), sentence("STATE"))
    for one in found:
        state = [word for word in ("serves", "pending", "rolled_back") if one[word]]
        shown.add_row(str(one["config"]), str(one["created"]), ", ".join(state).replace("_", " "))
    console().print(shown)


def _direct(target: str | None, file: Path | None) -> DirectDeployer:
    name, options = choose_target(target, file)
    open_direct: Any = load("tidegate.targets.registry", "KINDS")[name].direct
    if open_direct is None:
        raise Invalid(f"target {name} needs a server that drives it: 'tidegate up' and 'tidegate deploy'")
    made: DirectDeployer = open_direct(options, print_note)
    return made


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from None


def _end(result: DirectResult, as_json: bool) -> None:
    if as_json:
        shown = {"outcome": result.outcome, "message": result.message, **result.details}
        print(json.dumps(shown, default=str))
    else:
        console().print(result.message)
    if result.exit_status:
        raise typer.Exit(result.exit_status)
