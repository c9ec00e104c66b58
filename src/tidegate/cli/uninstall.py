"""``target uninstall``: remove from a target what a platform left there."""

import json
from typing import Annotated

import typer

from tidegate.cli.output import AsJson, console
from tidegate.cli.target_options import TargetName, TargetsFile, choose_target
from tidegate.domain.errors import Invalid
from tidegate.host.late_import import load


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
