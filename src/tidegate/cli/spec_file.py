"""The spec file of a command."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tidegate import spec
from tidegate.domain.errors import Invalid

SpecPath = Annotated[
    Path, typer.Argument(metavar="SPEC", help="The spec file (YAML).", show_default=False, readable=False)
]


def read_spec(path: Path) -> spec.LoadedSpec:
    """Read a spec file as plain data. Raises Invalid."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Invalid(f"{path}: not UTF-8 text") from None
    return spec.load(text, str(path))


def with_target(loaded: spec.LoadedSpec, target: str | None) -> spec.LoadedSpec:
    """The spec with another target, if one is given."""
    if target is None or not isinstance(loaded.data, dict):
        return loaded
    return replace(loaded, data={**loaded.data, "target": target})
