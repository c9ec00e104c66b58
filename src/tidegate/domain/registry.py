"""A registered model: its containers with image, model data and environment. Immutable once created."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

Tags = dict[str, str]
SINGLE_MODEL, MULTI_MODEL = "SingleModel", "MultiModel"
"""Modes of a container."""


@dataclass(frozen=True)
class SecretReference:
    """Name of a secret of the server: the text of the file of this name in the folder TIDEGATE_SECRETS."""

    secret: str


class Protocol(StrEnum):
    """How a server that stands behind a worker's front is called."""

    SAGEMAKER = "sagemaker"
    """Bodies go through unchanged, with SageMaker's headers."""
    V2 = "v2"
    """The Open Inference Protocol."""
    OPENAI = "openai"
    """OpenAI's API: chat and text completions, also as streams."""


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """A server that stands behind a worker's front: a container of the user's, or a service that runs already.

    ``port``, ``arguments`` and ``devices`` are a container's; ``url`` and ``headers`` are a service's. Paths begin
    with a slash. Empty paths: those of the protocol (``/ping`` and ``/invocations``, ...)."""

    url: str = ""
    """Base address of a service; empty: a container. Several, with commas between them, are replicas of one."""
    port: int = 0
    """Port that the container listens on; 0: that of the protocol (8080)."""
    health: str = ""
    predict: str = ""
    arguments: tuple[str, ...] = ()
    """Arguments of the image's entrypoint."""
    headers: Mapping[str, str | SecretReference] = field(default_factory=dict)
    """Sent with each request."""
    protocol: Protocol = Protocol.SAGEMAKER
    prediction: str = ""
    """Path of the prediction in a JSON answer, such as ``$.scores[0]``; empty: found by the usual rules."""


@dataclass(frozen=True)
class ContainerDefinition:
    """One serving program: an image name, its model data and its environment.

    ``image`` is a name in the server's table of images, or that of a container image that the server allows, never a
    command. ``data_url`` is ``file://`` or ``s3://``; a
    ``.tar.gz`` is unpacked, a prefix ending in ``/`` is copied as a tree, anything else is a single file. None: the
    image contains its model.
    """

    image: str
    data_url: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    fingerprint: str | None = None
    """Identifies the content at the address, if the client knows it; see ``cli.artifacts``."""
    hostname: str | None = None
    mode: str = SINGLE_MODEL
    """``MultiModel``: ``data_url`` is a prefix, and each request names one model under it."""
    cache: bool = True
    """MultiModel: whether models stay loaded after a request."""
    wire: dict[str, object] = field(default_factory=dict)
    """Unused members of the API's ContainerDefinition, kept for Describe."""
    upstream: Upstream | None = None
    """How a container of the user's, or a service that runs already, is reached. None: a built-in runtime, a program
    of the server's table, or a container with SageMaker's contract."""
    package: str | None = None
    """Record name of the model package that it was created from."""
    artifact: str | None = None
    """Digest of kept model data, which is used instead of ``data_url``: an earlier version of an endpoint runs with
    the data that it had then (``ports/artifacts.py``). Only in versions of endpoints."""

    @property
    def service(self) -> str:
        """Address of the service that it is; empty if it is none."""
        return "" if self.upstream is None else self.upstream.url


@dataclass(frozen=True)
class PinnedModel:
    """Version that the address of a model in a registry stands for now. ``version``: its own address. No
    image: it is detected from the data."""

    version: str
    data_url: str | None
    image: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    name: str
    containers: tuple[ContainerDefinition, ...]
    created_at: datetime
    execution_mode: str = "Serial"
    single: bool = True
    """True if created with PrimaryContainer (or by a spec), so that Describe returns it in the same form."""
    execution_role: str | None = None
    network_isolation: bool = False
    wire: dict[str, object] = field(default_factory=dict)

    @property
    def multi_model(self) -> bool:
        """Whether its container serves many models, each loaded on its first request."""
        return any(container.mode == MULTI_MODEL for container in self.containers)

    @property
    def serial(self) -> bool:
        """Whether it is a pipeline: a container's answer is the next one's request."""
        return len(self.containers) > 1 and self.execution_mode == "Serial"

    @property
    def container_names(self) -> tuple[str, ...]:
        """Names of the containers, in order, in errors, metrics and TargetContainerHostname."""
        if self.single:
            return ("primary",)
        return tuple(each.hostname or f"container-{number}" for number, each in enumerate(self.containers, 1))
