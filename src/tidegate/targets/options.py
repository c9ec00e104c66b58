"""The file of TIDEGATE_TARGETS: which targets a platform has, and the settings of each.

    default: kubernetes
    kubernetes:
      namespace: models

Every platform has the local target as well.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tidegate.domain.errors import StartupError
from tidegate.domain.suggestions import suggest
from tidegate.domain.targets import LOCAL
from tidegate.ports.target import Options

DEFAULT = "default"


@dataclass(frozen=True)
class TargetOptions:
    options: Mapping[str, Options] = field(default_factory=lambda: {LOCAL: {}})
    default: str = LOCAL


def read_targets(path: Path | None, known: Collection[str]) -> TargetOptions:
    """Read the file of targets. Raises StartupError for a file that cannot be read or names a target that there is
    not."""
    if path is None:
        return TargetOptions()
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise StartupError(f"the file of targets {path} cannot be read: {reason}") from None
    return parse_targets(text, str(path), known)


def parse_targets(text: str, origin: str, known: Collection[str]) -> TargetOptions:
    """Parse the file; ``origin`` names it in errors."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise StartupError(f"{origin} is not YAML: {' '.join(str(error).split())}") from None
    if document is None:
        return TargetOptions()
    if not isinstance(document, dict):
        raise StartupError(f"{origin}: expected a mapping of targets to their settings")
    given = {str(name): value for name, value in document.items() if name != DEFAULT}
    options: dict[str, Options] = {LOCAL: {}}
    for name, value in given.items():
        if name not in known:
            raise StartupError(f"{origin}: unknown target {name!r}{suggest(name, known)}")
        if value is not None and not isinstance(value, dict):
            raise StartupError(f"{origin}: {name}: expected a mapping of settings")
        options[name] = {str(key): setting for key, setting in (value or {}).items()}
    default = document.get(DEFAULT, LOCAL)
    if not isinstance(default, str) or default not in options:
        raise StartupError(f"{origin}: default: {default!r} is not one of the targets: {', '.join(options)}")
    return TargetOptions(options, default)
