"""Use cases of model packages: register and approve them, and refuse to deploy those that are not approved."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from tidegate.domain.arns import record_name
from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.observation import Event
from tidegate.domain.registry import ContainerDefinition, Tags
from tidegate.features.packages.records import PACKAGE, PACKAGE_GROUP, Package, PackageApproval, PackageGroup
from tidegate.ports.store import Filter, RecordPage, StoredRecord, Tx
from tidegate.service import tags as labels
from tidegate.service.records import require, require_free


def create_group(tx: Tx, group: PackageGroup, tags: Tags, now: datetime) -> None:
    """Raises AlreadyExists."""
    require_free(tx, PACKAGE_GROUP, group.name)
    tx.put(PACKAGE_GROUP, group.name, group, expect=0, now=now)
    labels.add(tx, PACKAGE_GROUP, group.name, tags, now)


def get_group(tx: Tx, name: str) -> StoredRecord[PackageGroup]:
    return require(tx, PACKAGE_GROUP, name)


def has_group(tx: Tx, name: str) -> bool:
    return tx.get(PACKAGE_GROUP, name) is not None


def list_groups(tx: Tx, where: Filter, limit: int, after: str | None) -> RecordPage[PackageGroup]:
    return tx.find(PACKAGE_GROUP, where, limit, after)


def delete_group(tx: Tx, name: str, now: datetime) -> None:
    """Raises NotFound, or Conflict while the group has versions."""
    saved = require(tx, PACKAGE_GROUP, name)
    page = tx.find(PACKAGE, Filter(name_prefix=f"{name}/"), 1)
    if page.items or page.unreadable:
        raise Conflict(f'model package group "{name}" still has model packages: delete them first')
    tx.delete(PACKAGE_GROUP, name, expect=saved.version, now=now)
    labels.drop(tx, PACKAGE_GROUP, name, now)


def register(tx: Tx, package: Package, tags: Tags, now: datetime) -> Package:
    """Register an unversioned package, or the next version of its group. A repeated call with the same token returns
    the version that it created. Raises NotFound, AlreadyExists or Invalid."""
    if package.group is None:
        if package.approval is not None:
            raise Invalid("ModelApprovalStatus is for versions of a ModelPackageGroupName: leave it out")
        require_free(tx, PACKAGE, package.name)
    else:
        group = require(tx, PACKAGE_GROUP, package.group)
        made = tx.get(PACKAGE, record_name(f"{package.group}/{group.body.last}"))
        if made is not None and made.body.token is not None and made.body.token == package.token:
            return made.body
        number = group.body.last + 1
        approval = package.approval or PackageApproval.PENDING
        name = record_name(f"{package.group}/{number}")
        package = replace(package, name=name, version=number, approval=approval)
        tx.put(PACKAGE_GROUP, group.name, replace(group.body, last=number), expect=group.version, now=now)
    tx.put(PACKAGE, package.name, package, expect=0, now=now)
    labels.add(tx, PACKAGE, package.name, tags, now)
    return package


def get(tx: Tx, name: str) -> StoredRecord[Package]:
    return require(tx, PACKAGE, name)


def find(
    tx: Tx, where: Filter, kept: Iterable[PackageApproval] | None, versions: bool | None
) -> list[StoredRecord[Package]]:
    """``versions`` True: only versions in groups; False: only unversioned packages; None: both."""
    approvals = None if kept is None else set(kept)
    return [
        saved
        for saved in tx.find(PACKAGE, where).items
        if (approvals is None or saved.body.approval in approvals)
        and (versions is None or versions == (saved.body.group is not None))
    ]


def update(tx: Tx, saved: StoredRecord[Package], after: Package, by: str, now: datetime) -> None:
    """Raises Invalid for an approval of an unversioned package."""
    before, events = saved.body, list[Event]()
    if after.approval is not before.approval:
        if before.group is None:
            raise Invalid(f'model package "{before.name}" is not in a group and has no approval status')
        text = f"{after.approval} by {by or 'somebody'}: {after.approval_note or 'no reason given'}"
        events.append(Event("package.Approval", text, {"by": by}))
    after = replace(after, modified_at=now, modified_by=by)
    tx.put(PACKAGE, saved.name, after, expect=saved.version, now=now, events=events)


def delete(tx: Tx, name: str, now: datetime) -> None:
    """Models that were created from it stay. Raises NotFound."""
    saved = require(tx, PACKAGE, name)
    tx.delete(PACKAGE, name, expect=saved.version, now=now)
    labels.drop(tx, PACKAGE, name, now)


def require_deployable(tx: Tx, name: str) -> Package:
    """Raises NotFound, or Invalid for a version that is not approved."""
    package = require(tx, PACKAGE, name).body
    _check_deployable(package)
    return package


def check_approved(tx: Tx, containers: Iterable[ContainerDefinition]) -> None:
    """Raises Invalid if a container came from a version whose approval was withdrawn since."""
    for container in containers:
        saved = None if container.package is None else tx.get(PACKAGE, container.package)
        if saved is not None:
            _check_deployable(saved.body)


def _check_deployable(package: Package) -> None:
    if not package.deployable:
        raise Invalid(
            f"model package {package.resource} has ModelApprovalStatus {package.approval}: only an Approved one is"
            " deployed"
        )
