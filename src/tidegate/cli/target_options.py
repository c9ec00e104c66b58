"""The target that a command is about, with its settings."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tidegate.domain.errors import Invalid
from tidegate.domain.suggestions import suggest
from tidegate.host.late_import import load
from tidegate.ports.target import Options
from tidegate.settings import Settings


def complete_target(incomplete: str) -> list[str]:
    """Names of targets that begin so, for the shell."""
    return [name for name in load("tidegate.targets.registry", "MODULES") if name.startswith(incomplete)]


TargetName = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="NAME",
        help="The target. Default: the spec's, then the file's default.",
        autocompletion=complete_target,
    ),
]
TargetsFile = Annotated[
    Path | None,
    typer.Option("--targets", metavar="FILE", help="File with the targets' settings. Default: TIDEGATE_TARGETS."),
]


def choose_target(name: str | None, file: Path | None) -> tuple[str, Options]:
    """The target's name and its settings. Raises Invalid for a target that does not exist, StartupError for a
    broken file."""
    kinds = load("tidegate.targets.registry", "KINDS")
    if file is None:
        file = Settings.from_environment(os.environ).targets
    given = load("tidegate.targets.options", "read_targets")(file, kinds)
    chosen = name or given.default
    if chosen not in kinds:
        raise Invalid(f"there is no target {chosen!r}{suggest(chosen, kinds)}")
    return chosen, given.options.get(chosen, {})
