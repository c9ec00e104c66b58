"""Asks registries: an MLflow server, and this server's own groups of model packages."""

import asyncio
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from tidegate.compose.background import Services
from tidegate.domain.arns import record_name
from tidegate.domain.errors import Invalid, NotFound, Unavailable
from tidegate.domain.registry import PinnedModel
from tidegate.domain.registry_addresses import FollowSettings, RegistryAddress, parse_registry_address
from tidegate.domain.transform import JobStatus
from tidegate.features.model_registry.endpoint import name_version
from tidegate.features.model_registry.kinds import VERSION, RegistryVersion
from tidegate.features.model_registry.rules import RollbackReport
from tidegate.features.packages import service as packages
from tidegate.features.packages.records import DATA_DIGEST, PACKAGE, PackageApproval
from tidegate.host.late_import import load
from tidegate.ports.store import Filter, Tx
from tidegate.service.record_kinds import ENDPOINT, TRANSFORM
from tidegate.serving.runtimes.upstream_headers import read_secret, secret_path
from tidegate.settings import Settings
from tidegate.targets.start_spec import secrets_folder

if TYPE_CHECKING:
    from tidegate.features.model_registry.mlflow import MlflowServer

AUTHORIZATION = "mlflow-authorization"
"""Name of the secret that is the header Authorization of requests to MLflow."""
TAG = "tidegate.rolled_back"
"""Key of the tag of a version that was rolled back, before a dot and the endpoint's name."""
LONGEST_REASON = 1_000
COPY = "registry-"
"""Begins the name of a folder with a copy of a model, among the uploads."""
KEPT_FOR = timedelta(hours=1)
"""A copy is kept at least as long after it was asked for: its deployment may be under way."""
T = TypeVar("T")


@dataclass
class Registries:
    """``services``: of the controller. Methods raise NotFound, Invalid or Unavailable."""

    services: Services

    async def find_newest(self, address: str) -> str:
        """The address of the version that an alias or a group names now, or the one that it is itself."""
        parsed = _parse(address)
        if parsed.version:
            return address
        if parsed.packages:
            return await self.services.store.read(lambda tx: parsed.with_version(_find_approved(tx, parsed.name)))
        found = await self._ask(lambda server: server.find_alias(parsed.name, parsed.alias))
        return parsed.with_version(str(found.get("version") or ""))

    async def resolve(self, address: str) -> PinnedModel:
        """Look up what the address stands for now. Model data that only the MLflow server can read is copied here."""
        version = await self.find_newest(address)
        parsed = _parse(version)
        if parsed.packages:
            found, known = await self.services.store.read(lambda tx: _resolve_package(tx, version, parsed))
        else:
            used = await self.services.store.read(_read_users)
            found, known = await self._ask(lambda server: self._resolve_model(server, version, parsed, used))
        await self.services.store.run(lambda tx: _keep_version(tx, known, self.services.clock.now()))
        return found

    async def report(self, endpoint: str, following: FollowSettings, report: RollbackReport) -> bool:
        """Tell the registry of a rollback, again and again with the same result. Returns whether the alias was moved
        back, or the package rejected."""
        failed, back = _parse(report.version), parse_registry_address(report.back)
        reason = f"endpoint {endpoint}: {report.reason}"[:LONGEST_REASON]
        restore = following.restore and back is not None and back.name == failed.name
        if failed.packages:
            now = self.services.clock.now()
            return await self.services.store.run(
                lambda tx: _report_package(tx, endpoint, failed, reason, following.restore, now)
            )
        alias = _parse(following.address).alias

        def tell(server: "MlflowServer") -> bool:
            server.set_tag(failed.name, failed.version, f"{TAG}.{endpoint}", reason)
            if not restore or back is None:
                return False
            if str(server.find_alias(failed.name, alias).get("version")) != failed.version:
                return False
            server.set_alias(failed.name, alias, back.version)
            return True

        try:
            return await self._ask(tell)
        except NotFound:
            return False  # the version is gone, and nobody is left to be told

    async def _ask(self, work: "Callable[[MlflowServer], T]") -> T:
        settings = self.services.settings
        if not settings.mlflow_url:
            raise Invalid("this server knows no MLflow server: its owner names one in TIDEGATE_MLFLOW_URL")

        def ask() -> T:
            make = load(
                "tidegate.features.model_registry.mlflow", "MlflowServer"
            )  # its client takes long to import
            with closing(make(settings.mlflow_url, _read_authorization(settings))) as server:
                return work(server)

        return await asyncio.to_thread(ask)

    def _resolve_model(
        self, server: "MlflowServer", address: str, parsed: RegistryAddress, used: bytes
    ) -> tuple[PinnedModel, RegistryVersion]:
        version = server.get_version(parsed.name, parsed.version)
        known, source = server.describe(address, version), server.find_artifacts(parsed.name, parsed.version)
        parts = urlsplit(source)
        if parts.scheme == "s3":
            data = source.rstrip("/") + "/"
        elif parts.scheme in ("file", "") and parts.path.startswith("/"):
            data = f"file://{parts.path.rstrip('/')}/"
        elif parts.scheme == "mlflow-artifacts":
            made = str(version.get("creation_timestamp") or "")
            data = self._copy(server, parts.path.strip("/"), f"{address} {made} {source}", used)
        else:
            raise Invalid(
                f"{address}: its files are at {parts.scheme}:, which this server cannot read: let MLflow serve them"
                " (mlflow server --artifacts-destination), or keep them in an S3"
            )
        return PinnedModel(address, data), known

    def _copy(self, server: "MlflowServer", root: str, identity: str, used: bytes) -> str:
        """The address of a copy, which is made once for each version. Copies that ``used`` does not name go."""
        settings = self.services.settings
        uploads = settings.state.expanduser().absolute() / "uploads"
        name = hashlib.sha256(f"{settings.mlflow_url} {identity}".encode()).hexdigest()[:32]
        target = uploads / f"{COPY}{name}"
        with suppress(FileNotFoundError):
            os.utime(target)  # it is used now, which no record says yet
        if not target.is_dir():
            uploads.mkdir(parents=True, exist_ok=True, mode=0o700)
            remove_unused(uploads, used, self.services.clock.now())
            taken = sum(path.lstat().st_size for path in uploads.rglob("*") if path.is_file())
            partial = Path(tempfile.mkdtemp(prefix=".", dir=uploads))
            try:
                server.download(root, partial, settings.upload_bytes - taken)
                partial.replace(target)
            except OSError as error:
                if not target.is_dir():  # else another deployment was quicker
                    raise Unavailable(
                        f"the model cannot be stored in {uploads}: {error.strerror or error}"
                    ) from None
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        return f"file://{quote(str(target))}/"


async def resolve_model(address: str, services: Services) -> PinnedModel:
    return await Registries(services).resolve(address)


def _read_users(tx: Tx) -> bytes:
    """Return the records of all endpoints, and of batch jobs that run or can be resumed, as text. Raises
    UnreadableRecord."""
    jobs = (saved.body for saved in tx.find(TRANSFORM).require_all())
    users = [saved.body for saved in tx.find(ENDPOINT).require_all()]
    return b"".join(
        map(msgspec.json.encode, [*users, *(job for job in jobs if job.status is not JobStatus.COMPLETED)])
    )


def remove_unused(uploads: Path, used: bytes, now: datetime) -> None:
    """Remove copies of models that no endpoint runs, nor rolled out last, and no batch job needs. What an undo goes
    back to is kept elsewhere."""
    for folder in uploads.glob(f"{COPY}*"):
        old = now.timestamp() - folder.stat().st_mtime > KEPT_FOR.total_seconds()
        if old and folder.name.encode() not in used:
            shutil.rmtree(folder, ignore_errors=True)


def _parse(address: str) -> RegistryAddress:
    found = parse_registry_address(address)
    assert found is not None, address
    return found


def _read_authorization(settings: Settings) -> str:
    """Empty if there is no such secret. Raises Invalid for one that cannot be used."""
    folder = secrets_folder(settings)
    if not folder or not (path := secret_path(folder, AUTHORIZATION)).exists():
        return ""
    return read_secret(path, AUTHORIZATION).decode()


def _keep_version(tx: Tx, known: RegistryVersion, now: datetime) -> None:
    """Keep what was known first: a version never changes."""
    name = name_version(known.version)
    if tx.get(VERSION, name) is None:
        tx.put(VERSION, name, known, expect=0, now=now)


def _find_approved(tx: Tx, group: str) -> int:
    """The newest approved version. Raises NotFound."""
    found = packages.find(tx, Filter(name_prefix=f"{group}/"), [PackageApproval.APPROVED], True)
    newest = max((saved.body.version or 0 for saved in found), default=0)
    if not newest:
        raise NotFound(f"model package group {group} has no version with ModelApprovalStatus Approved")
    return newest


def _resolve_package(tx: Tx, address: str, parsed: RegistryAddress) -> tuple[PinnedModel, RegistryVersion]:
    package = packages.require_deployable(tx, record_name(f"{parsed.name}/{parsed.version}"))
    if len(package.containers) != 1:
        raise Invalid(f"model package {package.resource} has {len(package.containers)} containers: expected one")
    container: dict[str, Any] = package.containers[0]
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    data = container.get("ModelDataUrl") or source.get("S3Uri")
    environment = {str(key): str(value) for key, value in container.get("Environment", {}).items()}
    made: Any = package.wire.get("MetadataProperties") or {}
    properties: Any = package.wire.get("CustomerMetadataProperties") or {}
    known = RegistryVersion(
        address,
        str(made.get("GeneratedBy") or ""),
        str(made.get("CommitId") or ""),
        tuple(str(properties[key]) for key in (DATA_DIGEST,) if key in properties),
    )
    return PinnedModel(address, data, str(container.get("Image") or ""), environment), known


def _report_package(
    tx: Tx, endpoint: str, failed: RegistryAddress, reason: str, reject: bool, now: datetime
) -> bool:
    """Keep the reason with the package, and reject it. Nothing happens to one that is gone."""
    saved = tx.get(PACKAGE, record_name(f"{failed.name}/{failed.version}"))
    if saved is None:
        return False
    before: Any = saved.body.wire.get("CustomerMetadataProperties") or {}
    properties = {**before, f"{TAG}.{endpoint}": reason[:256]}
    rejected = reject and saved.body.approval is PackageApproval.APPROVED
    after = replace(saved.body, wire={**saved.body.wire, "CustomerMetadataProperties": properties})
    if rejected:
        after = replace(after, approval=PackageApproval.REJECTED, approval_note=reason)
    packages.update(tx, saved, after, failed.text, now)
    return rejected
