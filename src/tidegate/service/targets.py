"""Which target an endpoint runs on, and whether the target can do what a version needs."""

from tidegate.domain.admission import DEFAULT_ADMISSION
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.observation import Capabilities
from tidegate.domain.registry import Tags
from tidegate.domain.rollout import Version
from tidegate.domain.targets import TARGET_TAG, TargetTable
from tidegate.ports.store import Tx
from tidegate.service.record_kinds import ENDPOINT


def choose_target(tx: Tx, endpoint: str, wanted: str | None, tags: Tags, table: TargetTable) -> str:
    """The target that a deployment goes to. Raises Invalid for one that this server does not have, and Conflict if
    the endpoint runs on another: an endpoint stays where it was created."""
    wanted = wanted or tags.get(TARGET_TAG)
    saved = tx.get(ENDPOINT, endpoint)
    if saved is None:
        chosen = wanted or table.default
        table.of(chosen)
        return chosen
    if wanted is not None and wanted != saved.body.target:
        raise Conflict(
            f'endpoint "{endpoint}" runs on target {saved.body.target} and cannot move to {wanted}: deploy under'
            " another name, or delete it first",
            about=(ENDPOINT.name, endpoint),
        )
    return saved.body.target


def find_capabilities(tx: Tx, endpoint: str, table: TargetTable) -> Capabilities:
    """Return the capabilities of the endpoint's target, or of the default target if there is no such endpoint."""
    saved = tx.get(ENDPOINT, endpoint)
    return table.of(table.default if saved is None else saved.body.target)


def check_supported(endpoint: Endpoint, version: Version, can: Capabilities) -> None:
    """Check that the endpoint's target can do what the version needs. Raises Invalid."""
    needs = {
        "serverless variants": (version.serverless, can.serverless),
        "asynchronous inference": (any(v.asynchronous is not None for v in version.variants), can.asynchronous),
        "shadow variants": (any(variant.shadow for variant in version.variants), can.shadow),
        "data capture": (any(v.capture is not None and v.capture.enabled for v in version.variants), can.capture),
        "devices for replicas": (any(variant.devices for variant in version.variants), can.devices),
        "multi-model containers": (any(v.model.multi_model for v in version.variants), can.multi_model),
        "quotas of clients, max_in_flight or queue_time": (
            any(variant.admission != DEFAULT_ADMISSION for variant in version.variants),
            can.admission,
        ),
    }
    lacking = [name for name, (needed, possible) in needs.items() if needed and not possible]
    if lacking:
        raise Invalid(f"target {endpoint.target} has no {' and no '.join(lacking)}: choose another target")
