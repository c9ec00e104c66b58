"""The file that a worker is started with: ``python -m tidegate.serving REPLICA.json``.

The file is this dataclass as JSON, and it is all that the worker knows of its endpoint. In the file's folder the
worker leaves ``failure.json`` (a ``Failure``) when it cannot start or its program dies, and ``stats.json`` (what
``GET /_tidegate/stats`` answers) when it has drained. Relative paths are not allowed.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import msgspec

from tidegate.domain.capture import Capture
from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import StartupError
from tidegate.domain.fleet import FleetId
from tidegate.host.atomic_write import write_atomically
from tidegate.serving.contract.catalogue import RuntimeChoice
from tidegate.serving.contract.invocation import PRIMARY

OUTGROWN = "outgrown"
"""File that a worker writes beside its replica file when it exceeds its memory limit: it serves until another replica
has replaced it. Its text says by how much."""
LOADING = "loading"
"""File that a worker writes beside its replica file after the download: the seconds that loading may take."""
WAITING = "waiting"
"""File that a worker writes beside its replica file while its start waits for something: what that is."""
FAILED = 3
"""Exit code of a worker that wrote a ``failure.json``; 0 is one that drained."""


class Serving(StrEnum):
    """How the containers of a replica answer together."""

    SINGLE = "single"
    SERIAL = "serial"
    """A pipeline: a container's answer is the next container's request."""
    DIRECT = "direct"
    """Each request names the container that it is for."""
    MULTI_MODEL = "multi-model"
    """One container, many models: each request names the one that it is for."""


@dataclass(frozen=True, kw_only=True)
class ContainerSpec:
    """One container of a replica: its runtime and its model data."""

    runtime: RuntimeChoice
    """What the image name resolved to."""
    model_dir: str
    """Folder of the unpacked model data, shared by the fleet. The fleet's first replica creates it."""
    name: str = PRIMARY
    """Name of the container in errors and metrics."""
    data_url: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    """The container's Environment, as its owner declared it."""
    cache: bool = True
    """MULTI_MODEL: whether models stay loaded after a request (ModelCacheSetting)."""

    @property
    def transforms(self) -> bool:
        """Whether the replica serves a transform job, by the variable of the container contract."""
        return self.environment.get("SAGEMAKER_BATCH") == "true"

    @property
    def expects_tables(self) -> bool:
        """Whether the requests of that job, or its answers, are parquet or Arrow tables."""
        return self.environment.get("TIDEGATE_BATCH_TABLES") == "true"


@dataclass(frozen=True, kw_only=True)
class ShadowCopies:
    """The destination of a shadow's copies of requests."""

    fleet: str
    """The shadow fleet's id, by which the proxy routes."""
    share_file: str
    """File with the share of the requests in basis points, read again every second."""
    kept: str
    """File to which pairs of answers are appended, as JSON Lines. Its folder is created."""
    socket: str = ""
    """The proxy's socket for copies; empty: the proxy is on another machine."""
    port: int = 0
    """Without a socket: the port for copies of the proxy that sent the request, at the address that it came from."""


@dataclass(frozen=True, kw_only=True)
class PairingFiles:
    """Files by which a worker learns that its predictions are compared with those of another version."""

    socket: str
    """The proxy's socket for copies."""
    order_file: str
    """File with the order (``pair_order``), which is looked at every second; without it nothing is compared."""


@dataclass(frozen=True, kw_only=True)
class CaptureSpec:
    """Data capture by this replica."""

    plan: Capture
    spool: str
    """Folder for what is not delivered yet, of this replica alone; those beside it are of its variant, too."""
    spool_bytes: int
    """Most bytes of it."""
    seconds: float
    """Age at which a file is delivered."""
    roots: tuple[str, ...]
    """Folders that captures may be written to."""
    key_file: str | None = None
    """File with the key of hashes, readable by its owner only."""
    farewell: float = 3.0
    """Seconds that the last files get to be delivered in."""
    taken_over: bool = True
    """What is left then is delivered by another replica; else it is lost."""


@dataclass(frozen=True, kw_only=True)
class TracingSpec:
    """Traces of predictions."""

    socket: str
    """The controller's, for datagrams with spans."""
    ratio: float
    """Part of the requests that is traced, of those whose client decides nothing."""
    key: str
    """Key of the hash under which inference ids are in spans."""


@dataclass(frozen=True, kw_only=True)
class OnDemand:
    """Start of a serverless replica. Times are epoch seconds, 0 if no request waits for it."""

    news: str = ""
    """Socket of the controller to notify when it is ready; empty: on another machine, nobody is notified."""
    asked: float = 0.0
    """Since when a request waits."""
    noticed: float = 0.0
    """When the controller noticed it."""


@dataclass(frozen=True, kw_only=True)
class Listen:
    """TCP ports of a worker in a container."""

    host: str = "0.0.0.0"
    port: int = 8080
    """Predictions and ``/ping``."""
    control_host: str = "0.0.0.0"
    control_port: int = 8081
    """Statistics, ``/ping`` and ``/live``, for the platform alone; 0: none."""
    drain_notice: float = 5.0
    """Seconds for which a worker that was asked to stop still accepts connections: whoever routes requests to its
    address learns of it meanwhile."""


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
    listen: Listen | None = None
    """Ports to listen on, and then not on the socket."""
    raw_errors: bool = False
    """Errors of a model are answered with its own status and message: the caller makes a ModelError of them, as
    SageMaker does of a container's answers."""
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
    """Requests come from a queue through a socket that only this user can open, so they need no signature."""
    file_roots: tuple[str, ...] | None = None
    """Folders that ``file://`` data may lie in. None: any; empty: none."""
    s3_endpoint: str = ""
    """Empty: botocore's own rules."""
    service_hosts: tuple[str, ...] | None = None
    """Names, addresses and networks of services that may be asked. None: any; empty: public addresses. Metadata
    addresses never are."""
    secrets: str = ""
    """Folder of the secrets that headers of containers and services name; empty: none."""
    keys_file: str | None = None
    """JSON of access key id -> secret, readable by its owner only, read again when it changes. None: requests
    need no signature."""
    clock_skew: float = 300.0
    memory_limit: int = 0
    """Bytes of memory for the worker and its programs; 0: no limit."""
    cpu_limit: int = 0
    """Processors that each container of the user's may use; 0: no limit."""
    mirror: ShadowCopies | None = None
    pairing: PairingFiles | None = None
    capture: CaptureSpec | None = None
    tracing: TracingSpec | None = None
    on_demand: OnDemand | None = None
    devices: tuple[str, ...] = ()
    """Accelerators that are assigned to the replica, by the names that CUDA's libraries have for them."""
    needs_device: bool = False
    """Its owner asked for them: a runtime that cannot use one fails. Else they came with the instance type."""
    most_at_once: int = 0
    """Requests that are served at a time; others wait. 0: as many as come."""
    queue_timeout: float = 10.0
    """Seconds for which they wait."""

    @property
    def prediction(self) -> str:
        """Path of the prediction in its answers; empty: it is found by the usual rules."""
        upstream = self.containers[-1].runtime.upstream if self.containers else None
        return "" if upstream is None else upstream.prediction


@dataclass(frozen=True)
class Failure:
    """Why a worker ended by itself. ``permanent``: a restart will not help."""

    code: str
    message: str
    permanent: bool


class Died(Protocol):
    """Called with a container and its exit code when its program ends by itself, and with the reason and whether a
    restart will not help, where they are known."""

    def __call__(self, container: ContainerSpec, code: int, why: str = ..., *, permanent: bool = ...) -> None: ...


def most_threads(spec: ReplicaSpec) -> int:
    """Return the number of threads for the libraries of this process: the largest that a container asks for. Runtimes
    that can use their own container's number. An invalid number is rejected when the model is loaded."""
    given = [container.environment.get("OMP_NUM_THREADS", "1") for container in spec.containers]
    return max([int(number) for number in given if number.isdecimal() and 0 < int(number) <= 1024], default=1)


def encode(spec: ReplicaSpec) -> bytes:
    return msgspec.json.encode(spec)


def read(path: Path) -> ReplicaSpec:
    """Raises StartupError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=prepare_type(ReplicaSpec))
    except OSError as error:
        raise StartupError(f"cannot read the replica file {path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise StartupError(f"{path} is not a replica file: {error}") from None


def write_failure(path: Path, failure: Failure) -> None:
    """Write ``failure.json`` beside the replica file ``path``, atomically."""
    write_atomically(path.with_name("failure.json"), msgspec.json.encode(failure), mode=0o666, durable=False)
