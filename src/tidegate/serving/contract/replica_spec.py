"""The file that a worker is started with: ``python -m tidegate.serving REPLICA.json``.

The file is this dataclass as JSON, and it is all that the worker knows of its endpoint. In the file's folder the
worker leaves ``failure.json`` (a ``Failure``) when it cannot start or its program dies, and ``stats.json`` (what
``GET /_tidegate/stats`` answers) when it has drained. Relative paths are not allowed.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import msgspec

from tidegate.domain.errors import StartupError
from tidegate.domain.fleet import FleetId
from tidegate.host.atomic_write import write_atomically
from tidegate.serving.contract.images import RuntimeChoice
from tidegate.serving.contract.invocation import PRIMARY

OUTGROWN = "outgrown"
"""File that a worker leaves beside its replica file when it holds more memory than it may: it serves on until another
replica has taken its place. Its text says by how much."""
LOADING = "loading"
"""File that a worker leaves beside its replica file once the model data is there: the seconds that it gives itself to
load."""
FAILED = 3
"""Exit code of a worker that left a ``failure.json``; 0 is a drained one."""


class Serving(StrEnum):
    """How the containers of a replica answer together."""

    SINGLE = "single"
    SERIAL = "serial"
    """A pipeline: each one's answer is the next one's request."""
    DIRECT = "direct"
    """Each request names the container that it is for."""
    MULTI_MODEL = "multi-model"
    """One container, many models: each request names the one that it is for."""


@dataclass(frozen=True, kw_only=True)
class ContainerSpec:
    """One container of a replica: what runs, on which data."""

    runtime: RuntimeChoice
    """What the image name resolved to, on the server's table of images."""
    model_dir: str
    """Folder of the unpacked model data, shared by the fleet. Made by the first replica that comes."""
    name: str = PRIMARY
    """What errors and metrics call it."""
    data_url: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    """The container's Environment, as its owner declared it."""
    cache: bool = True
    """MULTI_MODEL: whether models stay loaded after a request (ModelCacheSetting)."""

    @property
    def transforms(self) -> bool:
        """Whether it serves a transform job, as the container contract tells it."""
        return self.environment.get("SAGEMAKER_BATCH") == "true"


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """Where copies of requests go."""

    socket: str
    """The proxy's, for copies."""
    fleet: str
    """The shadow fleet's id, which the proxy finds it by."""
    share_file: str
    """File with the share of the requests in basis points, read again every second."""
    kept: str
    """File that the pairs of answers are added to, as JSON lines. Its folder is made."""


@dataclass(frozen=True, kw_only=True)
class OnDemand:
    """Of a replica of a serverless fleet. Times are epoch seconds, 0 where no request waits for it."""

    news: str
    """Socket that hears when it is ready."""
    asked: float = 0.0
    """Since when a request waits."""
    noticed: float = 0.0
    """When the controller heard of it."""


@dataclass(frozen=True, kw_only=True)
class ReplicaSpec:
    """One replica. Times are seconds, sizes are bytes."""

    replica: str
    fleet: FleetId
    config_name: str
    """EndpointConfigName, sent back in ``x-tidegate-config``."""
    containers: tuple[ContainerSpec, ...]
    socket: str
    """Unix socket to listen on, at most 100 bytes: those of programs lie beside it."""
    serving: Serving = Serving.SINGLE
    account: str = "000000000000"
    region: str = "us-east-1"
    log_group: str = ""
    """Name of the log group that a ModelError points to."""
    log_stream_arn: str = ""
    max_body: int = 25 * 1024 * 1024
    invocation_timeout: float = 60.0
    stream_timeout: float = 480.0
    """For a whole streamed answer; ``invocation_timeout`` is for the wait for each of its parts."""
    drain_timeout: float = 60.0
    download_timeout: float = 900.0
    startup_timeout: float = 480.0
    """From the end of the download to the first good ping."""
    queued: bool = False
    """Requests come from a queue, by a way that only this user has: they need no signature."""
    file_roots: tuple[str, ...] | None = None
    """Folders that ``file://`` data may lie in. None: whatever can be read; empty: nothing."""
    s3_endpoint: str = ""
    """Empty: botocore's own rules."""
    keys_file: str | None = None
    """JSON of access key id -> secret, readable by its owner only, read again when it changes. None: requests
    need no signature."""
    clock_skew: float = 300.0
    memory_limit: int = 0
    """Bytes that the worker and its programs may hold; 0: no limit."""
    mirror: Mirror | None = None
    on_demand: OnDemand | None = None


@dataclass(frozen=True)
class Failure:
    """Why a worker ended by itself. ``permanent``: starting it again will not help."""

    code: str
    message: str
    permanent: bool


def most_threads(spec: ReplicaSpec) -> int:
    """What the libraries of this process may have: what the container with the most asks for. Each runtime that can
    keeps to its own container's number. One that makes no sense is refused where its model is loaded."""
    given = [container.environment.get("OMP_NUM_THREADS", "1") for container in spec.containers]
    return max([int(number) for number in given if number.isdecimal() and 0 < int(number) <= 1024], default=1)


def encode(spec: ReplicaSpec) -> bytes:
    return msgspec.json.encode(spec)


def read(path: Path) -> ReplicaSpec:
    """Raises StartupError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ReplicaSpec)
    except OSError as error:
        raise StartupError(f"cannot read the replica file {path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise StartupError(f"{path} is not a replica file: {error}") from None


def write_failure(path: Path, failure: Failure) -> None:
    """Leaves ``failure.json`` beside the replica file ``path``; a reader sees it whole or not at all."""
    write_atomically(path.with_name("failure.json"), msgspec.json.encode(failure), mode=0o666, durable=False)
