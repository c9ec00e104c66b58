"""What containers mean on this server, and the file that a replica is started with."""

import asyncio
import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from tidegate.compose.environments import write_aws_keys
from tidegate.domain.arns import resource_arn
from tidegate.domain.errors import Invalid, StartupError, Transient
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.registry import MULTI_MODEL, ContainerDefinition, Model
from tidegate.serving.artifacts import fetch
from tidegate.serving.artifacts.detect import HANDLER
from tidegate.serving.contract import images, trust
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.environment import check_environment
from tidegate.serving.contract.images import ImageTable
from tidegate.serving.contract.replica_spec import (
    ContainerSpec,
    OnDemand,
    ReplicaSpec,
    Serving,
    ShadowSpec,
    encode,
)
from tidegate.serving.multimodel import memory
from tidegate.serving.multimodel.config import read_config
from tidegate.serving.runtimes import submitted_code
from tidegate.settings import Settings
from tidegate.targets.local.on_demand import Waking
from tidegate.targets.local.paths import Folders, write_whole

LONGEST_QUEUED = 3_600
"""Seconds that a model may take for an asynchronous request; each request has a limit of its own below it."""


@dataclass(frozen=True)
class Sockets:
    """The proxy's, for copies of requests, and the controller's, for calls of those that wait."""

    copies: Path
    wakes: Path


def image_table(settings: Settings) -> ImageTable:
    if settings.images is None:
        return ImageTable()
    path = settings.images.expanduser()
    try:
        return images.parse_table(path.read_text(), str(path))
    except OSError as error:
        raise StartupError(f"the table of images {path} cannot be read: {error.strerror}") from None


def check_container(container: ContainerDefinition, table: ImageTable, settings: Settings) -> None:
    """Raises Invalid for an image that this server has no runtime or command for, and for a variable that would
    change which program runs."""
    kind = images.resolve(container.image, table).kind
    check_environment(container.environment)
    allowed = settings.trust | carried(container, kind, table)
    refused = trust.trust_words(container.environment.get(trust.TRUST, "")) - allowed
    if trust.PICKLE in refused:
        raise Invalid(
            f"environment variable {trust.TRUST}: this server unpickles nothing, since a pickle is a program; "
            f"save the model with skops, or start the server with {trust.TRUST}={_with(trust.PICKLE, settings)}"
        )
    brings = kind.descriptor.runs_code or submitted_code.program(kind, container.environment)
    if trust.CODE in refused or (brings and trust.CODE not in allowed):
        raise Invalid(
            f"image {container.image!r}: this server runs no code that comes with a model; to let whoever may create"
            f" models run code as the server's user, start it with {trust.TRUST}={_with(trust.CODE, settings)}"
        )

    if container.mode == MULTI_MODEL:
        if kind is RuntimeKind.PROGRAM:
            raise Invalid(
                f"image {container.image!r} is a program, which serves one model: Mode {MULTI_MODEL} needs a built-in"
                " runtime"
            )
        read_config(container.environment, container.cache, memory.machine())


async def check_data(url: str, settings: Settings) -> None:
    """Raises MissingArtifact or ArtifactError for model data that no replica could fetch. An S3 that does not answer
    now says nothing about later."""
    policy = fetch.Policy(file_roots(settings), settings.s3_endpoint, settings.region)
    with contextlib.suppress(Transient):
        await asyncio.to_thread(fetch.check_exists, url, policy)


def _with(word: str, settings: Settings) -> str:
    return ",".join(sorted({word, *settings.trust}))


def carried(container: ContainerDefinition, kind: RuntimeKind, table: ImageTable) -> frozenset[str]:
    """What the server's table trusts the container with."""
    environment = container.environment
    sources = [url for url in (container.data_url, submitted_code.address(kind, environment)) if url]
    chosen = kind is RuntimeKind.PYTHON or bool(environment.get(HANDLER))
    return trust.granted_words(table.trusted, container.image, sources, chosen)


def trusted(
    environment: dict[str, str], kind: RuntimeKind, settings: Settings, also: frozenset[str] = frozenset()
) -> dict[str, str]:
    """The environment with what its container may run: what it asks for and the server allows (still), and, since
    to bring code is to ask, whether code may run. ``also``: what it is trusted with by the table."""
    rest = {name: value for name, value in environment.items() if name != trust.TRUST}
    if kind is RuntimeKind.PROGRAM:
        return rest
    asked = trust.trust_words(environment.get(trust.TRUST, ""))
    granted = ",".join(sorted(((asked | {trust.CODE}) & settings.trust) | also))
    return {**rest, trust.TRUST: granted} if granted else rest


def write_keys(folders: Folders, settings: Settings) -> None:
    """Workers verify signatures themselves and read the keys from one file; processes that talk to S3 read AWS's keys
    from another."""
    write_aws_keys(folders.state)
    if settings.access_keys:
        write_whole(folders.keys, msgspec.json.encode(dict(settings.access_keys)))
    else:
        folders.keys.unlink(missing_ok=True)


def keys_file(settings: Settings, folders: Folders) -> str | None:
    """Where a worker finds the keys; None when requests need no signature."""
    return str(folders.keys) if settings.access_keys else None


def still_fits(start: bytes, settings: Settings, folders: Folders) -> bool:
    """Whether a replica that was started with this can serve on under the settings of now."""
    known = msgspec.json.decode(start)
    return bool(known.get("queued")) or known.get("keys_file") == keys_file(settings, folders)


def replica_file(
    settings: Settings,
    folders: Folders,
    table: ImageTable,
    sockets: Sockets,
    fleet: FleetSpec,
    replica: str,
    waking: Waking | None = None,
) -> bytes:
    """What one worker is started with; ``waking``: what it is started for, in a serverless fleet."""
    variant = fleet.variant
    free = fleet.detached
    group = free.group if free else f"/aws/sagemaker/Endpoints/{fleet.id.endpoint}"
    queued = variant.asynchronous is not None
    max_body, timeout = settings.max_body, float(settings.invocation_timeout)
    if queued:
        max_body, timeout = settings.async_max_body, LONGEST_QUEUED
    elif free:
        max_body, timeout = free.max_body, free.timeout
    return encode(
        ReplicaSpec(
            replica=replica,
            fleet=fleet.id,
            config_name=fleet.config_name,
            containers=containers(settings, folders, table, fleet),
            serving=serving(variant.model),
            socket=str(folders.socket(replica)),
            account=settings.account,
            region=settings.region,
            log_group=group,
            log_stream_arn=resource_arn("logs", settings.region, settings.account, f"log-group:{group}"),
            max_body=max_body,
            invocation_timeout=timeout,
            queued=queued,
            stream_timeout=settings.stream_timeout,
            drain_timeout=settings.drain_timeout,
            download_timeout=variant.download_timeout,
            startup_timeout=variant.startup_timeout,
            memory_limit=settings.memory_limit if variant.memory_limit is None else variant.memory_limit,
            file_roots=file_roots(settings),
            s3_endpoint=settings.s3_endpoint,
            keys_file=None if free or queued else keys_file(settings, folders),
            clock_skew=settings.clock_skew,
            mirror=mirror(folders, sockets.copies, fleet, replica),
            on_demand=woken(sockets.wakes, waking) if variant.serverless is not None else None,
        )
    )


def file_roots(settings: Settings) -> tuple[str, ...] | None:
    """What a worker may read of this machine; None is anything."""
    if settings.loopback and not settings.file_roots:
        return None
    return tuple(str(root) for root in settings.file_roots)


def woken(news: Path, waking: Waking | None) -> OnDemand:
    return OnDemand(news=str(news), **(asdict(waking) if waking is not None else {}))


def mirror(folders: Folders, copies: Path, fleet: FleetSpec, replica: str) -> ShadowSpec | None:
    """``copies`` is the proxy's socket for them."""
    if fleet.mirror is None:
        return None
    return ShadowSpec(
        socket=str(copies),
        fleet=str(fleet.mirror.fleet),
        share_file=str(folders.share(fleet.id)),
        kept=str(folders.kept(fleet.id, replica)),
    )


def containers(
    settings: Settings, folders: Folders, table: ImageTable, fleet: FleetSpec
) -> tuple[ContainerSpec, ...]:
    """Each container of the fleet's model, with a folder and a name of its own where there are several."""
    model, folder = fleet.variant.model, folders.model(fleet.id)
    alone = len(model.containers) == 1
    runtimes = [images.resolve(container.image, table) for container in model.containers]
    return tuple(
        ContainerSpec(
            name=name,
            runtime=runtime,
            model_dir=str(folder if alone else folder / str(number)),
            data_url=container.data_url,
            environment=trusted(
                container.environment, runtime.kind, settings, carried(container, runtime.kind, table)
            ),
            cache=container.cache,
        )
        for number, (name, container, runtime) in enumerate(
            zip(model.container_names, model.containers, runtimes, strict=True), 1
        )
    )


def serving(model: Model) -> Serving:
    if model.multi_model:
        return Serving.MULTI_MODEL
    if model.execution_mode == "Direct" and not model.single:
        return Serving.DIRECT
    return Serving.SERIAL if len(model.containers) > 1 else Serving.SINGLE
