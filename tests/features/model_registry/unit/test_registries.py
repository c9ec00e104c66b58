"""Groups of model packages as a registry, and what is said where there is none."""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import pytest

from tests.memory_store import MemoryStore
from tests.unit.service.test_deploy import START
from tidegate.compose.background import Services
from tidegate.domain.errors import Invalid, NotFound, TidegateError, Unavailable
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.registry_addresses import FollowSettings
from tidegate.domain.transform import JobStatus, TransformInput, TransformJob, TransformOutput
from tidegate.features.model_registry.endpoint import find_source
from tidegate.features.model_registry.kinds import RegistryVersion
from tidegate.features.model_registry.registries import TAG, Registries, _read_users, remove_unused
from tidegate.features.model_registry.rules import RollbackReport
from tidegate.features.packages import service as packages
from tidegate.features.packages.records import PACKAGE, Package, PackageApproval, PackageGroup
from tidegate.host.platform import free_port
from tidegate.service.record_kinds import TRANSFORM
from tidegate.settings import Settings

pytestmark = pytest.mark.anyio
ARN = "arn:aws:sagemaker:us-east-1:000000000000:model-package"
GROUP = f"{ARN}-group/fraud"


@dataclass
class Parts:
    """The services that registries use."""

    settings: Settings = field(default_factory=Settings)
    store: MemoryStore = field(default_factory=MemoryStore)

    @property
    def clock(self) -> "Parts":
        return self

    def now(self) -> datetime:
        return START

    async def register(self, approval: PackageApproval) -> None:
        package = Package(
            "",
            START,
            START,
            ({"Image": "xgb", "ModelDataUrl": "s3://models/fraud.tar.gz", "Environment": {"A": "1"}},),
            group="fraud",
            approval=approval,
            wire={
                "MetadataProperties": {"CommitId": "0a1b", "GeneratedBy": "job-7"},
                "CustomerMetadataProperties": {"data_digest": "sha256:9"},
            },
        )
        await self.store.run(lambda tx: packages.register(tx, package, {}, START))


async def group(*approvals: PackageApproval) -> tuple[Registries, Parts]:
    parts = Parts()
    await parts.store.run(lambda tx: packages.create_group(tx, PackageGroup("fraud", START), {}, START))
    for approval in approvals:
        await parts.register(approval)
    return Registries(cast(Services, parts)), parts


async def test_a_group_means_its_newest_approved_version() -> None:
    registries, parts = await group(PackageApproval.APPROVED, PackageApproval.APPROVED, PackageApproval.PENDING)
    assert await registries.find_newest(GROUP) == f"{ARN}/fraud/2"
    found = await registries.resolve(GROUP)
    assert (found.version, found.image, found.data_url) == (f"{ARN}/fraud/2", "xgb", "s3://models/fraud.tar.gz")
    assert found.environment == {"A": "1"}
    known = await parts.store.read(lambda tx: find_source(tx, f"{ARN}/fraud/2"))
    assert known == RegistryVersion(f"{ARN}/fraud/2", "job-7", "0a1b", ("sha256:9",))
    with pytest.raises(Invalid, match="only an Approved one"):
        await registries.resolve(f"{ARN}/fraud/3")


async def test_a_group_without_an_approved_version_is_told() -> None:
    registries, _ = await group(PackageApproval.PENDING)
    with pytest.raises(NotFound, match="no version with ModelApprovalStatus Approved"):
        await registries.find_newest(GROUP)


async def test_a_package_that_was_rolled_back_is_rejected_once_if_that_is_asked_for() -> None:
    registries, parts = await group(PackageApproval.APPROVED, PackageApproval.APPROVED)
    report = RollbackReport(f"{ARN}/fraud/2", "rollout", "too many errors", f"{ARN}/fraud/1")
    following = FollowSettings(GROUP, 30, False, "", "{}")
    assert not await registries.report("pay", following, report)
    assert await registries.find_newest(GROUP) == f"{ARN}/fraud/2"
    following = FollowSettings(GROUP, 30, True, "", "{}")
    assert await registries.report("pay", following, report)
    assert not await registries.report("pay", following, report)
    assert await registries.find_newest(GROUP) == f"{ARN}/fraud/1"
    saved = await parts.store.read(lambda tx: tx.get(PACKAGE, "fraud/000000002"))
    assert saved is not None
    assert saved.body.wire["CustomerMetadataProperties"] == {
        "data_digest": "sha256:9",
        f"{TAG}.pay": "endpoint pay: too many errors",
    }


@pytest.mark.parametrize(
    ("url", "error", "why"),
    [("", Invalid, "TIDEGATE_MLFLOW_URL"), ("http://127.0.0.1:{port}", Unavailable, "does not answer")],
)
async def test_an_mlflow_server_that_is_not_there_is_told(
    tmp_path: Path, url: str, error: type[TidegateError], why: str
) -> None:
    settings = Settings(mlflow_url=url.format(port=free_port()), state=tmp_path)
    registries = Registries(cast(Services, Parts(settings)))
    with pytest.raises(error, match=why):
        await registries.resolve("models:/fraud@champion")


async def test_copies_that_no_endpoint_uses_are_removed_after_an_hour(tmp_path: Path) -> None:
    for name in ("registry-used", "registry-gone", "registry-new", "by-hand"):
        (tmp_path / name).mkdir()
        made = START if name == "registry-new" else START - timedelta(hours=2)
        os.utime(tmp_path / name, (made.timestamp(), made.timestamp()))
    remove_unused(tmp_path, b'{"data_url": "file:///state/uploads/registry-used/"}', START)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["by-hand", "registry-new", "registry-used"]


def make_job(outcome: JobStatus | None) -> TransformJob:
    data = f"file:///state/uploads/registry-{outcome or 'running'}/"
    model = Model("m", (ContainerDefinition("tidegate/auto", data),), START)
    return TransformJob(
        "nightly", model, TransformInput("s3://in/a"), TransformOutput("s3://out/"), START, outcome=outcome
    )


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [(None, True), (JobStatus.STOPPED, True), (JobStatus.FAILED, True), (JobStatus.COMPLETED, False)],
)
async def test_copies_of_jobs_that_run_or_can_be_resumed_are_used(outcome: JobStatus | None, kept: bool) -> None:
    parts = Parts()
    await parts.store.run(lambda tx: tx.put(TRANSFORM, "nightly", make_job(outcome), expect=0, now=START))
    used = await parts.store.read(_read_users)
    assert (b"uploads/registry-" in used) is kept


class Downloads:
    def download(self, root: str, folder: Path, most: int) -> None:
        (folder / root).write_text("model")


def test_a_copy_that_is_asked_for_again_counts_as_new(tmp_path: Path) -> None:
    registries = Registries(cast(Services, Parts(Settings(state=tmp_path))))
    copy = Path(unquote(urlsplit(registries._copy(cast(Any, Downloads()), "a", "models:/fraud/1", b"")).path))
    os.utime(copy, (0, 0))
    registries._copy(cast(Any, None), "a", "models:/fraud/1", b"")
    remove_unused(copy.parent, b"", datetime.now(UTC))
    assert copy.is_dir()
