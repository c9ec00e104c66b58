"""What is compiled for a transform job: valid in every maintained Kubernetes, and no database for models."""

import base64
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

import kubernetes_validate
import msgspec
import pytest

from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.transform import TransformInput, TransformJob, TransformOutput
from tidegate.features.batch.loop import transform_file
from tidegate.features.batch.pod import RunnerStart
from tidegate.features.batch.service import fleet
from tidegate.serving.contract.container_start import from_file
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.kubernetes.job_manifests import job_manifests
from tidegate.targets.kubernetes.job_start import check_job, runner_start, worker_start
from tidegate.targets.kubernetes.names import transform_name
from tidegate.targets.kubernetes.options import JobOptions, KubernetesOptions, Resources, Volume

NOW = datetime(2026, 3, 1, tzinfo=UTC)
VERSIONS = [f"1.{minor}" for minor in range(25, 38)]
SETTINGS = Settings(access_keys={"AKIA": "secret"}, database_url="postgresql://u:password@db/tidegate")
VOLUMES = (Volume("data", "/data", claim="data", writable=True), Volume("models", "/models", host_path="/srv"))
JOBS = JobOptions("jobs-database")
OPTIONS = KubernetesOptions(
    image="registry.example/tidegate:1",
    volumes=VOLUMES,
    environment_secret="aws",
    jobs=JOBS,
    instance_types={"ml.g5.xlarge": Resources(gpus=1, node_selector={"pool": "gpu"})},
)
JOB = TransformJob(
    "Nightly-1",
    Model("m", (ContainerDefinition("tidegate/xgboost", data_url="s3://models/m.json"),), NOW),
    TransformInput("s3://data/in/", content_type="text/csv"),
    TransformOutput("file:///data/out"),
    NOW,
    instances=3,
    environment={"TOKEN": "of-the-job"},
)
Manifest = dict[str, Any]


def compiled(job: TransformJob = JOB, options: KubernetesOptions = OPTIONS) -> list[Manifest]:
    spec = fleet(job)
    worker = worker_start(spec, SETTINGS, ImageTable(), options)
    runner = runner_start(describe(job, spec), SETTINGS, options)
    return job_manifests(job, spec, worker, runner, SETTINGS, options, JOBS)


def describe(job: TransformJob, spec: FleetSpec) -> bytes:
    return transform_file(SETTINGS, ImageTable(), job, spec, Path("/"))


def one(kind: str, **given: Any) -> Manifest:
    return next(manifest for manifest in compiled(**given) if manifest["kind"] == kind)


def pod(**given: Any) -> Manifest:
    found: Manifest = one("Job", **given)["spec"]["template"]["spec"]
    return found


def mounts(container: str) -> dict[str, bool]:
    """Volume -> whether the container can only read it."""
    (found,) = (each for each in pod()["containers"] if each["name"] == container)
    return {mount["name"]: bool(mount.get("readOnly")) for mount in found["volumeMounts"]}


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_are_valid_in_every_maintained_version(version: str) -> None:
    for manifest in [*compiled(), *compiled(replace(JOB, instance_type="ml.g5.xlarge"))]:
        kubernetes_validate.validate(manifest, version, strict=True)
        assert len(manifest["metadata"]["name"]) <= 63


def test_pods_share_the_work_and_are_replaced_until_it_is_done() -> None:
    spec = one("Job")["spec"]
    assert spec["parallelism"] == 3 and "completions" not in spec
    assert spec["template"]["spec"]["restartPolicy"] == "OnFailure"
    assert spec["backoffLimit"] == 2**31 - 1


def test_the_models_container_has_nothing_of_the_database_and_no_output() -> None:
    assert "database" not in mounts("worker") and "runner-start" not in mounts("worker")
    assert mounts("runner")["database"] is True
    assert (mounts("worker")["data"], mounts("runner")["data"], mounts("runner")["models"]) == (True, False, True)
    assert mounts("worker")["link"] is True and mounts("runner")["link"] is False
    assert not pod().get("shareProcessNamespace") and pod()["automountServiceAccountToken"] is False


def test_no_manifest_has_the_databases_credentials_in_it() -> None:
    whole = b"".join(
        msgspec.json.encode(manifest) + b"".join(map(base64.b64decode, manifest.get("data", {}).values()))
        for manifest in compiled()
    )
    assert b"password" not in whole and b"postgresql" not in whole
    assert b"of-the-job" in whole and b"of-the-job" not in msgspec.json.encode(one("Job"))
    (volume,) = (each for each in pod()["volumes"] if each["name"] == "database")
    assert volume["secret"]["secretName"] == "jobs-database"
    assert volume["secret"]["items"] == [{"key": "database-url", "path": "url"}]


def test_the_start_files_are_what_runner_and_worker_read() -> None:
    data = {name: base64.b64decode(text) for name, text in one("Secret")["data"].items()}
    start = msgspec.json.decode(data["runner.json"], type=RunnerStart)
    assert start.file.job == JOB and start.file.file_roots == ("/data", "/models")
    assert start.database_file == "/etc/tidegate/database/url"
    spec = from_file(data["start.json"], "start.json", "pod-1", PurePath("/work"))
    assert spec.listen is not None and spec.listen.host == "127.0.0.1"
    assert spec.keys_file is None and (spec.listen.host, spec.listen.port) == start.worker
    assert spec.containers[0].environment["SAGEMAKER_BATCH"] == "true"


def test_other_content_has_another_secret() -> None:
    secrets = {one("Secret", job=replace(JOB, environment={"A": value}))["metadata"]["name"] for value in "xyx"}
    assert len(secrets) == 2


def test_names_of_jobs_that_look_alike_differ() -> None:
    assert len({transform_name(name) for name in ("Nightly", "nightly", "a" * 62 + "x", "a" * 62 + "y")}) == 4


@pytest.mark.parametrize(
    ("source", "sink", "words"),
    [
        ("file:///home/me/in/", "s3://data/out", "which pods cannot read"),
        ("file:///data/../etc/", "s3://data/out", "which pods cannot read"),
        ("s3://data/in/", "file:///models/out", "no volume that jobs may write to"),
        ("s3://data/in/", "file:///out", "no volume that jobs may write to"),
    ],
)
def test_files_must_lie_where_pods_can_use_them(source: str, sink: str, words: str) -> None:
    job = replace(JOB, source=TransformInput(source), sink=TransformOutput(sink))
    with pytest.raises(TargetRefused, match=words):
        check_job(job, fleet(job), OPTIONS)
    check_job(JOB, fleet(JOB), OPTIONS)
    inside = replace(JOB, source=TransformInput("file:///models/in/"))
    check_job(inside, fleet(inside), OPTIONS)
