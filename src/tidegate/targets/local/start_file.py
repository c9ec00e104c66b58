"""The file that a worker of this machine is started with."""

import contextlib
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import msgspec

from tidegate.auth.keys import prediction_keys
from tidegate.domain.devices import VARIABLE
from tidegate.domain.errors import Invalid
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.host.atomic_write import write_private
from tidegate.serving.contract import images
from tidegate.serving.contract.fork_groups import choose_group
from tidegate.serving.contract.images import ImageTable
from tidegate.serving.contract.replica_spec import (
    CaptureSpec,
    ContainerSpec,
    OnDemand,
    PairingFiles,
    ShadowCopies,
    encode,
)
from tidegate.settings import Settings
from tidegate.targets.containers import file_roots, granted_environment
from tidegate.targets.context import TargetContext
from tidegate.targets.local.on_demand import WakeUp
from tidegate.targets.local.paths import Folders
from tidegate.targets.start_spec import LONGEST_QUEUED, log_stream_arn, start_spec


def write_keys(folders: Folders, settings: Settings) -> None:
    """Workers verify signatures themselves, and read the keys from one file."""
    if settings.access_keys:
        write_private(folders.keys, msgspec.json.encode(prediction_keys(settings)))
    else:
        folders.keys.unlink(missing_ok=True)


def keys_file(settings: Settings, folders: Folders) -> str | None:
    """Return the path of the keys that a worker checks requests with; None when requests need no signature."""
    return str(folders.keys) if settings.access_keys else None


def still_fits(start: bytes, settings: Settings, folders: Folders) -> bool:
    """Whether a replica that was started with this file can serve on under the present settings."""
    known = msgspec.json.decode(start)
    return bool(known.get("queued")) or known.get("keys_file") == keys_file(settings, folders)


def replica_file(
    context: TargetContext,
    folders: Folders,
    fleet: FleetSpec,
    replica: str,
    waking: WakeUp | None = None,
    devices: tuple[str, ...] = (),
) -> bytes:
    """Encode the start file of one worker. ``waking``: what it is started for, in a serverless fleet. ``devices`` are
    assigned to it; a later controller reads them here."""
    settings, proxy, variant = context.settings, context.data_plane, fleet.variant
    free, queued = fleet.detached, variant.asynchronous is not None
    spec = replace(
        start_spec(fleet, settings, container_specs(settings, folders, context.images, fleet)),
        replica=replica,
        socket=str(folders.socket(replica)),
        queued=queued,
        devices=devices,
        needs_device=bool(devices) and variant.devices > 0,
        file_roots=readable_roots(settings, folders, variant.model),
        keys_file=None if free or queued else keys_file(settings, folders),
        mirror=mirror_section(folders, proxy.copies, fleet, replica),
        pairing=pairing_section(folders, proxy.copies, fleet),
        capture=capture_section(settings, folders, fleet, replica),
        tracing=None if free else context.tracing(),
        on_demand=on_demand_section(proxy.wakes, waking) if variant.serverless is not None else None,
    )
    if free:
        arn = log_stream_arn(settings, free.group)
        spec = replace(spec, log_group=free.group, log_stream_arn=arn)
        spec = replace(spec, max_body=free.max_body, invocation_timeout=free.timeout)
    if queued:
        spec = replace(spec, max_body=settings.async_max_body, invocation_timeout=LONGEST_QUEUED)
    return encode(spec)


def on_demand_section(news: Path, waking: WakeUp | None) -> OnDemand:
    return OnDemand(news=str(news), **(asdict(waking) if waking is not None else {}))


def mirror_section(folders: Folders, copies: Path, fleet: FleetSpec, replica: str) -> ShadowCopies | None:
    """``copies`` is the proxy's socket for them."""
    if fleet.mirror is None:
        return None
    return ShadowCopies(
        socket=str(copies),
        fleet=str(fleet.mirror.fleet),
        share_file=str(folders.share(fleet.id)),
        kept=str(folders.kept(fleet.id, replica)),
    )


def pairing_section(folders: Folders, copies: Path, fleet: FleetSpec) -> PairingFiles | None:
    """Return the paths that pairing needs; None for a worker that cannot be paired. Every worker that clients call
    can be paired: its version may be an old one some day."""
    variant = fleet.variant
    if fleet.detached or variant.shadow or variant.asynchronous is not None or variant.serverless is not None:
        return None
    return PairingFiles(socket=str(copies), order_file=str(folders.order(fleet.id)))


def capture_section(settings: Settings, folders: Folders, fleet: FleetSpec, replica: str) -> CaptureSpec | None:
    plan = fleet.variant.capture
    if plan is None or not plan.enabled:
        return None
    roots = settings.output_roots or (settings.state / "outputs",)
    key = plan.redaction.key if plan.redaction is not None else None
    keys = settings.capture_keys.expanduser() if settings.capture_keys is not None else folders.state / "no-keys"
    return CaptureSpec(
        plan=plan,
        spool=str(folders.captured(fleet.id, sha256(msgspec.json.encode(plan)).hexdigest()[:12], replica)),
        spool_bytes=settings.capture_bytes,
        seconds=float(settings.capture_seconds),
        roots=tuple(str(root.expanduser().absolute()) for root in roots),
        key_file=None if key is None else str(keys / key),
    )


def container_specs(
    settings: Settings, folders: Folders, table: ImageTable, fleet: FleetSpec
) -> tuple[ContainerSpec, ...]:
    """Each container of the fleet's model, with a folder and a name of its own where there are several."""
    model, folder = fleet.variant.model, folders.model(fleet.id)
    alone = len(model.containers) == 1
    runtimes = [images.resolve_container(container, table) for container in model.containers]
    return tuple(
        ContainerSpec(
            name=name,
            runtime=runtime,
            model_dir=str(folder if alone else folder / str(number)),
            data_url=data_address(folders, container),
            environment=_without_devices(granted_environment(container, runtime.kind, table, settings)),
            cache=container.cache,
        )
        for number, (name, container, runtime) in enumerate(
            zip(model.container_names, model.containers, runtimes, strict=True), 1
        )
    )


def fork_group(table: ImageTable, fleet: FleetSpec) -> str:
    """The group of the fork server that has the libraries of the fleet's model. An image without a runtime is refused
    where its worker starts."""
    containers = []
    for container in fleet.variant.model.containers:
        with contextlib.suppress(Invalid):
            containers.append((images.resolve_container(container, table).kind, container.data_url or ""))
    return choose_group(containers)


def _without_devices(environment: dict[str, str]) -> dict[str, str]:
    """A model does not choose its devices: the variable would give it one that another replica has."""
    return {name: value for name, value in environment.items() if name != VARIABLE}


def data_address(folders: Folders, container: ContainerDefinition) -> str | None:
    """Return the address from which the worker gets its model data. For an earlier version this is the data that was
    kept."""
    if container.artifact is None:
        return container.data_url
    return f"{folders.artifacts.as_uri()}/{container.artifact}/"


def readable_roots(settings: Settings, folders: Folders, model: Model) -> tuple[str, ...] | None:
    """Folders that a worker of this model may read; None: any."""
    roots = file_roots(settings)
    kept = any(container.artifact for container in model.containers)
    return (*roots, str(folders.artifacts)) if kept and roots is not None else roots
