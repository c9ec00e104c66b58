"""Converts SageMaker's DeploymentConfig to the domain's and back, and checks SageMaker's own limits."""

from tidegate.domain.errors import Invalid
from tidegate.domain.rollout import (
    BlueGreen,
    CapacitySize,
    DeploymentConfig,
    RollingUpdate,
    SizeType,
    TrafficRouting,
)
from tidegate.wire.operation import Params

ALL_AT_ONCE = CapacitySize(SizeType.CAPACITY_PERCENT, 100)
"""Roll back all at once, which is also the meaning of an absent RollbackMaximumBatchSize."""


def parse_deployment(params: Params) -> DeploymentConfig | None:
    """Parse the member DeploymentConfig; None if it is absent. Raises Invalid."""
    given = params.get("DeploymentConfig")
    if given is None:
        return None
    blue_green, rolling = given.get("BlueGreenUpdatePolicy"), given.get("RollingUpdatePolicy")
    if blue_green and rolling:
        raise Invalid("BlueGreenUpdatePolicy and RollingUpdatePolicy exclude each other: give one of them")
    policy = blue_green or rolling or {}
    alarms = given.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    return DeploymentConfig(
        _parse_blue_green(blue_green) if blue_green else None,
        _parse_rolling(rolling) if rolling else None,
        policy.get("MaximumExecutionTimeoutInSeconds"),
        tuple(dict.fromkeys(alarm["AlarmName"] for alarm in alarms if "AlarmName" in alarm)),
        wire=given,
    )


def _parse_blue_green(given: Params) -> BlueGreen:
    traffic = given["TrafficRoutingConfiguration"]
    routing = TrafficRouting(traffic["Type"])
    sizes = {TrafficRouting.CANARY: "CanarySize", TrafficRouting.LINEAR: "LinearStepSize"}
    for name in sizes.values():
        if name in traffic and name != sizes.get(routing):
            raise Invalid(f"{name} does not go with traffic routing {routing}: leave it out")
    size = None
    if routing in sizes:
        name = sizes[routing]
        if name not in traffic:
            raise Invalid(f"Traffic routing {routing} needs {name}")
        size = _parse_size(name, traffic[name], 10 if routing is TrafficRouting.LINEAR else 1, 50)
    return BlueGreen(routing, traffic["WaitIntervalInSeconds"], size, given.get("TerminationWaitInSeconds", 0))


def _parse_rolling(given: Params) -> RollingUpdate:
    rollback = given.get("RollbackMaximumBatchSize")
    size = _parse_size("RollbackMaximumBatchSize", rollback, 5, 100) if rollback else ALL_AT_ONCE
    return RollingUpdate(
        _parse_size("MaximumBatchSize", given["MaximumBatchSize"], 5, 50),
        given["WaitIntervalInSeconds"],
        None if size == ALL_AT_ONCE else size,
    )


def _parse_size(name: str, given: Params, low: int, high: int) -> CapacitySize:
    """Parse a batch size; percentages are checked here, counts by the plan against the config."""
    size = CapacitySize(SizeType(given["Type"]), given["Value"])
    if size.type is SizeType.CAPACITY_PERCENT and not low <= size.value <= high:
        raise Invalid(f"{name} of {size.value} % is out of range: it must be between {low} and {high} %")
    return size


def render_deployment(deployment: DeploymentConfig | None) -> Params | None:
    """Render as SageMaker does. A config that was not created through this API is converted from the domain's."""
    if deployment is None:
        return None
    return dict(deployment.wire) or _render_policy(deployment)


def _render_policy(deployment: DeploymentConfig) -> Params:
    alarms = [{"AlarmName": name} for name in deployment.alarms]
    timeout = {"MaximumExecutionTimeoutInSeconds": deployment.execution_timeout}
    rolling = deployment.rolling
    blue_green = None if rolling else deployment.blue_green or BlueGreen()
    return {
        "BlueGreenUpdatePolicy": {**_render_blue_green(blue_green), **timeout} if blue_green else None,
        "RollingUpdatePolicy": {**_render_rolling(rolling), **timeout} if rolling else None,
        "AutoRollbackConfiguration": {"Alarms": alarms} if alarms else None,
    }


def _render_blue_green(policy: BlueGreen) -> Params:
    size = _render_size(policy.size)
    return {
        "TrafficRoutingConfiguration": {
            "Type": policy.routing,
            "WaitIntervalInSeconds": policy.wait,
            "CanarySize": size if policy.routing is TrafficRouting.CANARY else None,
            "LinearStepSize": size if policy.routing is TrafficRouting.LINEAR else None,
        },
        "TerminationWaitInSeconds": policy.termination_wait,
    }


def _render_rolling(policy: RollingUpdate) -> Params:
    return {
        "MaximumBatchSize": _render_size(policy.batch),
        "WaitIntervalInSeconds": policy.wait,
        "RollbackMaximumBatchSize": _render_size(policy.rollback_batch),
    }


def _render_size(size: CapacitySize | None) -> Params | None:
    return {"Type": size.type, "Value": size.value} if size else None
