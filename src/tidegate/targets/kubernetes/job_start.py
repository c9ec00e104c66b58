"""Start files of the pods of a transform job: one for the worker, and one for the runner beside it. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from tidegate.domain.errors import Invalid, TargetRefused
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.transform import TransformJob
from tidegate.serving.contract.images import ImageTable, containers_beside
from tidegate.serving.contract.replica_spec import Listen, encode
from tidegate.settings import Settings
from tidegate.targets.kubernetes.names import PREDICTIONS
from tidegate.targets.kubernetes.options import KubernetesOptions, Volume
from tidegate.targets.kubernetes.start_data import check_data, container_specs
from tidegate.targets.start_spec import log_stream_arn, start_spec

RUNNER_FILE = "runner.json"
DATABASE_FOLDER, DATABASE_FILE = "/etc/tidegate/database", "url"
LINK_FOLDER = "/var/lib/tidegate-link"
"""What runner and worker of a pod share."""
ENDED_FILE = f"{LINK_FOLDER}/ended"
LOOPBACK = "127.0.0.1"


def check_job(job: TransformJob, fleet: FleetSpec, options: KubernetesOptions) -> None:
    """Check that pods can run a job. Raises TargetRefused if they cannot."""
    for container in fleet.variant.model.containers:
        check_data(fleet, container, options)
    if _is_outside(job.source.uri, options.volumes):
        raise TargetRefused(
            f"the input {job.source.uri} is a file of one machine, which pods cannot read: put it into S3, or on a "
            "volume (option volumes of the target kubernetes)"
        )
    if _is_outside(job.sink.uri, [volume for volume in options.volumes if volume.writable]):
        raise TargetRefused(
            f"the output {job.sink.uri} lies on no volume that jobs may write to: use S3, or a volume with writable: "
            "true (option volumes of the target kubernetes)"
        )


def _is_outside(uri: str, volumes: Iterable[Volume]) -> bool:
    url = urlsplit(uri)
    path = unquote(url.path)
    inside = any(path == one.path or path.startswith(one.path.rstrip("/") + "/") for one in volumes)
    return url.scheme == "file" and (not inside or ".." in path.split("/"))


def worker_start(fleet: FleetSpec, settings: Settings, table: ImageTable, options: KubernetesOptions) -> bytes:
    """The worker takes requests from its own pod alone, so they need no signature."""
    detached = fleet.detached
    assert detached is not None
    if containers_beside(fleet.variant.model.containers, table):
        raise TargetRefused(
            f"{fleet.id}: a pod of a transform job runs tidegate's own runtimes, and no container of yours, which"
            " would not end with the job: deploy it as an endpoint, or take target local"
        )
    try:
        spec = start_spec(fleet, settings, container_specs(fleet, settings, table))
    except Invalid as error:  # the table of images has changed since the model was accepted
        raise TargetRefused(f"{fleet.id}: {error}") from None
    return encode(
        replace(
            spec,
            listen=Listen(host=LOOPBACK, drain_notice=0.0),
            file_roots=tuple(volume.path for volume in options.volumes),
            log_group=detached.group,
            log_stream_arn=log_stream_arn(settings, detached.group),
            max_body=detached.max_body,
            invocation_timeout=detached.timeout,
        )
    )


def runner_start(job_file: bytes, settings: Settings, options: KubernetesOptions) -> bytes:
    """``job_file``: what a runner on this machine would be started with."""
    file: dict[str, Any] = msgspec.json.decode(job_file)
    file["file_roots"] = [volume.path for volume in options.volumes]
    start = {
        "file": file,
        "database_file": f"{DATABASE_FOLDER}/{DATABASE_FILE}",
        "database_timeout": settings.database_timeout,
        "worker": [LOOPBACK, PREDICTIONS],
        "ended": ENDED_FILE,
    }
    return msgspec.json.encode(start, order="sorted")
