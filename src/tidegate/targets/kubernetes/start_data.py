"""Start data of the workers of a fleet: one file for all of them, kept in a Secret."""

import base64
from dataclasses import replace
from hashlib import sha256
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from tidegate.domain.admission import DEFAULT_ADMISSION
from tidegate.domain.capture import Capture
from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Invalid, TargetRefused
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.registry import ContainerDefinition
from tidegate.serving.contract import images
from tidegate.serving.contract.beside import front_ports, is_beside, put_beside
from tidegate.serving.contract.images import ImageTable, containers_beside
from tidegate.serving.contract.replica_spec import (
    CaptureSpec,
    ContainerSpec,
    Listen,
    OnDemand,
    ReplicaSpec,
    ShadowCopies,
    encode,
)
from tidegate.settings import Settings
from tidegate.targets.containers import granted_environment
from tidegate.targets.kubernetes.foreign_changes import Asked
from tidegate.targets.kubernetes.names import COPIES, REPLICAS, Manifest
from tidegate.targets.kubernetes.options import KubernetesOptions
from tidegate.targets.start_spec import LONGEST_QUEUED, start_spec

FOLDER = "/var/lib/tidegate"
"""Of a worker's own files, in its container."""
START_FOLDER, START_FILE, FLEET_FILE, ASKED_FILE = "/etc/tidegate/start", "start.json", "fleet.json", "asked.json"
START_VOLUME = "start"
KEYS_FOLDER, KEYS_FILE = "/etc/tidegate/keys", "keys.json"
SHARE_FOLDER, SHARE_FILE = "/etc/tidegate/shadow", "share"
"""How much of a fleet's requests is copied to a shadow."""
CAPTURE_FAREWELL = 8.0
"""Seconds in which a pod that ends delivers its last captures: less than it is left after it has drained."""


def start_data(fleet: FleetSpec, settings: Settings, table: ImageTable, options: KubernetesOptions) -> bytes:
    """The start file, which depends on nothing that may change while the fleet runs, such as its size and its weight.
    Raises TargetRefused for what this target cannot run."""
    check_supported(fleet, settings, options)
    try:
        return start_file(fleet, settings, table, options)
    except Invalid as error:  # the table of images has changed since the model was accepted
        raise TargetRefused(f"{fleet.id}: {error}") from None


def read_beside(start: bytes) -> list[tuple[int, ContainerSpec]]:
    """Read from a start file which containers run beside the worker, with their numbers in it, from 1 on."""
    given = msgspec.json.decode(start, type=prepare_type(ReplicaSpec))
    return [(number, one) for number, one in enumerate(given.containers, 1) if is_beside(one.runtime)]


def read_fleet(secret: Manifest, deployment: Manifest) -> FleetSpec:
    """The fleet that an earlier controller kept in a Secret, in the size of its Deployment. Raises TargetRefused."""
    try:
        fleet = msgspec.json.decode(base64.b64decode(secret["data"][FLEET_FILE]), type=prepare_type(FleetSpec))
    except (KeyError, ValueError, msgspec.DecodeError) as error:
        raise TargetRefused(f"Secret {secret['metadata']['name']} has no fleet: {error}") from None
    if fleet.variant.serverless is not None:  # its count stands for the whole of it
        return fleet
    about = deployment["metadata"].get("annotations") or {}
    if REPLICAS not in about:  # the cluster chooses its size
        return fleet
    return replace(fleet, count=int(deployment["spec"].get("replicas") or 0))


def read_asked(secret: Manifest) -> list[Asked]:
    """Read the fields that were requested for the fleet's pods. They are empty in the Secret of an earlier version.
    Raises TargetRefused."""
    try:
        content = base64.b64decode(secret["data"].get(ASKED_FILE, ""))
        asked: list[Asked] = msgspec.json.decode(content or b"[]", type=prepare_type(list[dict[str, Any]]))
    except (KeyError, ValueError, msgspec.DecodeError) as error:
        raise TargetRefused(f"Secret {secret['metadata']['name']} cannot be read: {error}") from None
    return asked


def started_by(deployment: Manifest) -> str:
    """Name of the Secret with the start file of a Deployment's pods; empty if it mounts none."""
    volumes = deployment["spec"]["template"]["spec"].get("volumes") or ()
    names = [(one.get("secret") or {}).get("secretName") for one in volumes if one.get("name") == START_VOLUME]
    return str(names[0] or "") if names else ""


def with_started_data(fleet: FleetSpec, secret: Manifest) -> FleetSpec:
    """The fleet with the model data of the start file in ``secret``: those on the controller's machine may have
    changed since. Raises TargetRefused."""
    try:
        start = msgspec.json.decode(
            base64.b64decode(secret["data"][START_FILE]), type=prepare_type(_StartFileHead)
        )
    except (KeyError, ValueError, msgspec.DecodeError) as error:
        raise TargetRefused(f"Secret {secret['metadata']['name']} cannot be read: {error}") from None
    model = fleet.variant.model
    if len(start.containers) != len(model.containers):
        raise TargetRefused(f"Secret {secret['metadata']['name']} is of another model")
    found = tuple(
        replace(container, data_url=started.data_url)
        for container, started in zip(model.containers, start.containers, strict=True)
    )
    return replace(fleet, variant=replace(fleet.variant, model=replace(model, containers=found)))


class _StartedContainer(msgspec.Struct):
    data_url: str | None = None


class _StartFileHead(msgspec.Struct):
    """The part of a start file that other versions of tidegate have, too."""

    containers: list[_StartedContainer]


def digest(start: bytes) -> str:
    return sha256(start).hexdigest()[:10]


def check_supported(fleet: FleetSpec, settings: Settings, options: KubernetesOptions) -> None:
    variant = fleet.variant
    if variant.capture is not None and variant.capture.enabled:
        check_capture(fleet, variant.capture)
    if variant.devices:
        raise TargetRefused(
            f"{fleet.id}: the target kubernetes takes accelerators by the instance type: set its gpus in the target's"
            " options, and leave devices out"
        )
    if options.http_route is not None:
        check_without_gateways(fleet)
    if variant.serverless is not None and fleet.id.endpoint in options.autoscaling:
        raise TargetRefused(
            f"{fleet.id}: tidegate itself scales serverless variants: take the endpoint out of the option "
            "autoscaling of the target kubernetes"
        )
    if variant.asynchronous is not None and settings.access_keys and not options.network_policies:
        raise TargetRefused(
            f"{fleet.id}: requests from the queue carry no signature, so network policies must close the workers to "
            "others: set the option network_policies of the target kubernetes"
        )
    for container in variant.model.containers:
        check_data(fleet, container, options)


def check_capture(fleet: FleetSpec, capture: Capture) -> None:
    """Check that pods can write a capture. Raises TargetRefused if they cannot."""
    if not capture.destination.startswith("s3://"):
        raise TargetRefused(
            f"{fleet.id}: capture to {capture.destination}: a folder of a pod goes with the pod, so pods capture to "
            "s3://; give a bucket, and its credentials by the option environment_secret of the target kubernetes"
        )
    if capture.redaction is not None and capture.redaction.key is not None:
        raise TargetRefused(
            f"{fleet.id}: capture.redact.key: keys of hashes are files of the server, which pods do not have: mask "
            "or drop instead, or use target local"
        )


def check_without_gateways(fleet: FleetSpec) -> None:
    """Check that a Gateway of the cluster can serve the fleet. Raises TargetRefused for what it cannot do."""
    variant = fleet.variant
    own = {
        "quotas and max_in_flight are counted": variant.admission != DEFAULT_ADMISSION,
        "requests for serverless variants wait": variant.serverless is not None,
        "copies for shadow variants are parted": variant.shadow or fleet.mirror is not None,
    }
    for what, wanted in own.items():
        if wanted:
            raise TargetRefused(
                f"{fleet.id}: {what} in tidegate's own gateways: leave out the option http_route of the target "
                "kubernetes"
            )


def check_data(fleet: FleetSpec, container: ContainerDefinition, options: KubernetesOptions) -> None:
    """Check that pods can get the model data. Raises TargetRefused if they cannot."""
    if container.artifact is not None:
        raise TargetRefused(f"{fleet.id}: kept data of an earlier version is not in the cluster: deploy it anew")
    url = container.data_url or ""
    if url.startswith("file:") and not options.model_store and not is_on_volume(url, options):
        raise TargetRefused(
            f"{fleet.id}: {url} is a file of one machine, which pods cannot read: put it into S3, or on a volume "
            "(options volumes and model_store of the target kubernetes)"
        )


def is_on_volume(url: str, options: KubernetesOptions) -> bool:
    path = unquote(urlsplit(url).path)
    return any(path == volume.path or path.startswith(volume.path.rstrip("/") + "/") for volume in options.volumes)


def start_file(fleet: FleetSpec, settings: Settings, table: ImageTable, options: KubernetesOptions) -> bytes:
    """The container fills in what lies in its work folder."""
    queued = fleet.variant.asynchronous is not None
    spec = replace(
        start_spec(fleet, settings, container_specs(fleet, settings, table)),
        queued=queued,
        file_roots=tuple(volume.path for volume in options.volumes),
        keys_file=f"{KEYS_FOLDER}/{KEYS_FILE}" if settings.access_keys and not queued else None,
    )
    if any(is_beside(container.runtime) for container in spec.containers):
        spec = replace(spec, listen=front_ports(Listen()))
    if fleet.variant.capture is not None and fleet.variant.capture.enabled:
        spec = replace(spec, capture=capture_section(settings, fleet.variant.capture))
    if queued:
        spec = replace(spec, max_body=settings.async_max_body, invocation_timeout=LONGEST_QUEUED)
    if fleet.mirror is not None:
        share = f"{SHARE_FOLDER}/{SHARE_FILE}"
        spec = replace(
            spec, mirror=ShadowCopies(fleet=str(fleet.mirror.fleet), share_file=share, kept="", port=COPIES)
        )
    if (bounds := fleet.variant.serverless) is not None:
        # Several gateways give it requests, each by its own count.
        most = min(bounds.per_instance, bounds.max_concurrency)
        spec = replace(spec, on_demand=OnDemand(), most_at_once=most, queue_timeout=float(settings.queue_timeout))
    return encode(spec)


def capture_section(settings: Settings, capture: Capture) -> CaptureSpec:
    """The container names the folder. Nobody takes over what is left in it: it goes with the pod."""
    return CaptureSpec(
        plan=capture,
        spool="",
        spool_bytes=settings.capture_bytes,
        seconds=float(settings.capture_seconds),
        roots=(),
        farewell=CAPTURE_FAREWELL,
        taken_over=False,
    )


def container_specs(fleet: FleetSpec, settings: Settings, table: ImageTable) -> tuple[ContainerSpec, ...]:
    model = fleet.variant.model
    containers_beside(model.containers, table)
    specs = []
    for name, container in zip(model.container_names, model.containers, strict=True):
        runtime = images.resolve_container(container, table)
        specs.append(
            ContainerSpec(
                name=name,
                runtime=put_beside(runtime),
                model_dir="",
                data_url=container.data_url,
                environment=granted_environment(container, runtime.kind, table, settings),
                cache=container.cache,
            )
        )
    return tuple(specs)
