"""What an update asks SageMaker for: the new fleet, and the stages in which it gets the traffic."""

from collections.abc import Container
from typing import Any

from tests.fake_aws.deployments import FakeEndpoint, FakeVariant
from tests.fake_aws.faults import invalid

Params = dict[str, Any]


def plan_update(
    found: FakeEndpoint, fleet: dict[str, FakeVariant], deployment: Params | None, alarms: Container[str]
) -> tuple[list[float], list[int], list[str], int]:
    """Shares, bakes, alarms and the time limit. Serverless and inf1 are updated all at once, unguarded."""
    excluded = any(one.serverless or one.type.startswith("ml.inf1.") for one in fleet.values())
    if deployment is None or excluded:
        return [1.0], [0], [], 28_800
    guards = [one["AlarmName"] for one in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])]
    for name in guards:
        if name not in alarms:
            raise invalid(f"Alarm {name} does not exist.")
    if set(fleet) != set(found.variants):
        raise invalid("Variant names must be the same as those of the existing endpoint configuration.")
    total = max(1, sum(one.count for one in fleet.values()))
    if rolling := deployment.get("RollingUpdatePolicy"):
        counts = _counts(rolling["MaximumBatchSize"], total, True)
        bakes = [rolling["WaitIntervalInSeconds"]] * len(counts)
        return (
            [n / total for n in counts],
            bakes,
            guards,
            rolling.get("MaximumExecutionTimeoutInSeconds", 28_800),
        )
    policy = deployment["BlueGreenUpdatePolicy"]
    routing = policy["TrafficRoutingConfiguration"]
    limit = policy.get("MaximumExecutionTimeoutInSeconds", 28_800)
    final = policy.get("TerminationWaitInSeconds", 0)
    if routing["Type"] == "ALL_AT_ONCE":
        return [1.0], [final], guards, limit
    size = routing.get("CanarySize") or routing["LinearStepSize"]
    counts = _counts(size, total, routing["Type"] == "LINEAR")
    if counts[0] > total / 2:
        raise invalid("A step must not be more than 50 percent of the instances.")
    waits = routing["WaitIntervalInSeconds"]
    if waits * (len(counts) - 1) + final >= limit:
        raise invalid("MaximumExecutionTimeoutInSeconds must be more than the waits.")
    return [n / total for n in counts], [waits] * (len(counts) - 1) + [final], guards, limit


def variants_of(config: Params) -> list[Params]:
    params = config.get("params", config)
    return [*params.get("ProductionVariants", []), *params.get("ShadowProductionVariants", [])]


def new_fleet(params: Params, kept: dict[str, FakeVariant]) -> dict[str, FakeVariant]:
    made = {}
    for given in params["ProductionVariants"]:
        name = given["VariantName"]
        count = kept[name].count if name in kept else given.get("InitialInstanceCount", 0)
        weight = given.get("InitialVariantWeight", 1.0)
        made[name] = FakeVariant(
            name,
            given["ModelName"],
            given.get("InstanceType", ""),
            count,
            weight,
            count,
            weight,
            given.get("ServerlessConfig"),
        )
    return made


def _counts(size: Params, total: int, steps: bool) -> list[int]:
    value = size["Value"]
    first = value if size["Type"] == "INSTANCE_COUNT" else max(1, (total * value + 50) // 100)
    return [*range(first, total, first), total] if steps else [first, total]
