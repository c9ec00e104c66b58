"""Instance quotas as in an AWS account: per instance type, over all endpoints."""

from collections import Counter
from collections.abc import Mapping

from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import LimitExceeded
from tidegate.ports.store import Tx
from tidegate.rollout import desired_state
from tidegate.service.record_kinds import ENDPOINT


def check(tx: Tx, before: Endpoint | None, after: Endpoint, quotas: Mapping[str, int]) -> None:
    """Raises LimitExceeded if a change of an endpoint needs more instances of a type than are left. During a rollout
    the instances of both versions count. Raises UnreadableRecord while an endpoint cannot be counted."""
    delta = instances(after)
    delta.subtract(instances(before) if before is not None else {})
    if not any(quotas.get(type_) is not None and more > 0 for type_, more in delta.items()):
        return
    used = Counter[str]()
    for saved in tx.find(ENDPOINT).require_all():
        used.update(instances(saved.body))
    for type_, more in delta.items():
        quota = quotas.get(type_)
        if quota is not None and more > 0 and used[type_] + more > quota:
            raise LimitExceeded(
                f"The account-level service limit '{type_} for endpoint usage' is {quota} Instances, with current"
                f" utilization of {used[type_]} Instances and a request delta of {more} Instances. It is set by"
                " TIDEGATE_QUOTAS."
            )


def instances(endpoint: Endpoint) -> Counter[str]:
    """Instance type -> desired instances. Serverless variants have none."""
    found = Counter[str]()
    for spec in desired_state.fleets(endpoint).values():
        if spec.variant.serverless is None:
            found[spec.variant.instance_type] += spec.count
    return found
