"""A model as it is registered: what runs it, what it weighs, what it needs. Immutable once created."""

from dataclasses import dataclass, field
from datetime import datetime

Tags = dict[str, str]
SINGLE_MODEL, MULTI_MODEL = "SingleModel", "MultiModel"
"""Modes of a container."""


@dataclass(frozen=True)
class ContainerDefinition:
    """One program that serves: an image name, its model data and its environment.

    ``image`` is a name that the server's table of images knows; it is never a command.
    ``data_url`` is ``file://`` or ``s3://``; a ``.tar.gz`` is unpacked, a prefix ending in ``/`` is copied as
    a tree, anything else is one plain file. None means the image brings its own model.
    """

    image: str
    data_url: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    fingerprint: str | None = None
    """Tells versions of the same address apart, where whoever asked knows; see ``cli.artifacts``."""
    hostname: str | None = None
    mode: str = SINGLE_MODEL
    """``MultiModel``: ``data_url`` is a prefix, and each request names one model under it."""
    cache: bool = True
    """MultiModel: whether models stay loaded after a request."""
    wire: dict[str, object] = field(default_factory=dict)
    """Members of the wire's ContainerDefinition that nothing here uses, kept so that Describe echoes them."""
    package: str | None = None
    """The record of the model package that it was made from."""


@dataclass(frozen=True)
class Model:
    name: str
    containers: tuple[ContainerDefinition, ...]
    created_at: datetime
    execution_mode: str = "Serial"
    single: bool = True
    """True when it was given as PrimaryContainer (or by a spec), so that Describe shows it the same way."""
    execution_role: str | None = None
    network_isolation: bool = False
    wire: dict[str, object] = field(default_factory=dict)

    @property
    def multi_model(self) -> bool:
        """Whether its container serves many models, each loaded when it is first asked for."""
        return any(container.mode == MULTI_MODEL for container in self.containers)

    @property
    def container_names(self) -> tuple[str, ...]:
        """What errors, metrics and TargetContainerHostname call the containers, in their order."""
        if self.single:
            return ("primary",)
        return tuple(each.hostname or f"container-{number}" for number, each in enumerate(self.containers, 1))
