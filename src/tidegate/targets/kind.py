"""Registration of a target: one row of the registry, made in the target's own folder (``kind.py``)."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.ports.artifacts import ArtifactArchive
from tidegate.ports.direct import OpenDirect
from tidegate.ports.target import Checker, Options, Provider, Renderer
from tidegate.targets.context import TargetContext


@dataclass(frozen=True)
class TargetKind:
    """``renderers``: form -> what prints a deployment in it, the usual form first; empty where the platform itself
    runs what it deploys. Modules of a target import what needs an extra only once it is used."""

    provide: Callable[[TargetContext], Provider]
    renderers: Mapping[str, Renderer] = field(default_factory=dict)
    check: Checker | None = None
    direct: OpenDirect | None = None
    """Deploys without a server; None where only a server can."""
    uninstall: Callable[[Options, bool], list[str]] | None = None
    """Lists what a platform without a controller left there, and removes it if asked to. None: endpoints that are
    deleted leave nothing."""
    reaches: Callable[[Options], Awaitable[bool]] | None = None
    """Whether the target can be observed from here, asked by a controller that waits to lead. None: it always can."""
    archive: Callable[[Path], ArtifactArchive] | None = None
    """Kept model data of a state folder, for backups: without a target that runs. None: it keeps none."""
    render_job: Renderer | None = None
    """Prints a batch transform job. None: the target has no service that runs one by itself."""
