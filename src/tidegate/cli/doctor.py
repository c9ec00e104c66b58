"""``target doctor``: whether a target can be used: access, permissions, quotas, versions."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.artifacts import look_up_models, prepare
from tidegate.cli.client import ServerNotRunning
from tidegate.cli.output import AsJson, client, console
from tidegate.cli.progress import ProgressBar
from tidegate.cli.spec_file import read_spec, with_target
from tidegate.cli.tables import Table, key, sentence
from tidegate.cli.target_options import TargetName, TargetsFile, choose_target
from tidegate.domain.errors import Invalid
from tidegate.host.late_import import load
from tidegate.ports.target import CheckFinding, Level


def doctor(
    spec_file: Annotated[
        Path | None, typer.Argument(metavar="[SPEC]", help="Also check what this spec needs.", show_default=False)
    ] = None,
    target: TargetName = None,
    targets: TargetsFile = None,
    as_json: AsJson = False,
) -> None:
    """Check access, permissions and quotas of a target.

    Reads only. The exit status is 1 if something is missing, or could not be checked.

    \b
    Examples:
      tidegate target doctor --target kubernetes
      tidegate target doctor fraud.yaml --target sagemaker --json
    """
    loaded = None if spec_file is None else with_target(read_spec(spec_file), target)
    data = None if loaded is None or spec_file is None else prepare(loaded, spec_file.parent, must_exist=False)
    wish = None if loaded is None else loaded.wish(datetime.now(UTC), data)
    name, options = choose_target(target if wish is None else wish.target, targets)
    check = load("tidegate.targets.registry", "KINDS")[name].check
    if loaded is not None and check is not None:
        wish = loaded.wish(datetime.now(UTC), look_up_models(loaded, data))
    with ProgressBar(f"asking target {name}", quiet=as_json):
        findings = _check_server(data) if check is None else check(options, wish)
    bad = any(one.level in (Level.ERROR, Level.UNKNOWN) for one in findings)
    if as_json:
        print(json.dumps({"target": name, "ok": not bad, "findings": [asdict(one) for one in findings]}))
    else:
        shown = Table(key("CHECK"), key("RESULT"), sentence("FOUND"))
        for one in findings:
            shown.add_row(one.what, one.level.value, ": ".join(part for part in (one.message, one.remedy) if part))
        console().print(shown)
    if bad:
        raise typer.Exit(1)


def _check_server(spec: object) -> list[CheckFinding]:
    """Check whether this machine's server runs and can save, and let it check what models need; 'tidegate up' reports
    what else the machine lacks."""
    with client() as server:
        try:
            version = server.version()["version"]
        except ServerNotRunning as error:
            return [CheckFinding("server", Level.ERROR, str(error), "start it with 'tidegate up'")]
        if trouble := server.health_trouble():
            return [CheckFinding("server", Level.ERROR, trouble)]
        found = server.check_machine(spec)
    running = CheckFinding("server", Level.OK, f"tidegate {version} runs at {server.url} and can save changes")
    return [running, *(CheckFinding(**one | {"level": Level(one["level"])}) for one in found)]


# --- ``target uninstall``: remove from a target what a platform left there ---


def uninstall(
    target: TargetName = None,
    targets: TargetsFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what tidegate left on a target.

    Its controllers must be gone. Endpoints stop serving.

    \b
    Examples:
      tidegate target uninstall --target kubernetes
      tidegate target uninstall --target kubernetes --yes
      tidegate target uninstall --target kubernetes --json   # lists only, unless --yes is given
    """
    name, options = choose_target(target, targets)
    remove = load("tidegate.targets.registry", "KINDS")[name].uninstall
    if remove is None:
        raise Invalid(f"target {name} keeps nothing once its endpoints are deleted: delete those")
    found = remove(options, False)
    if as_json:
        if yes and found:
            remove(options, True)
        print(json.dumps({"target": name, "objects": found, "removed": yes}))
        return
    if not found:
        console().print(f"nothing of tidegate is left on target {name}")
        return
    console().print("\n".join(found))
    if not yes:
        typer.confirm(f"Remove these {len(found)} objects? What they serve ends", abort=True)
    remove(options, True)
    console().print(f"removed {len(found)} objects")
