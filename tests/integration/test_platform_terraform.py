"""A stack as Terraform applies, changes and destroys it (``tests/terraform``), on a whole platform: endpoints come in
service, a replaced configuration is rolled out without one failed request, and nothing is left behind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scene import XGBOOST, Scene, train
from tests.terraform.alarm import MetricAlarm
from tests.terraform.autoscaling import ScalableTarget, ScalingPolicy, ScheduledAction
from tests.terraform.go_types import check_answers
from tests.terraform.hosting import Endpoint, EndpointConfiguration, Model
from tests.terraform.resource import Clients, Look, Resource
from tests.terraform.stack import ALARM, ROLE, SCALED, STEPS, TAGS, TRACKING, VARIANT
from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
ROW = [[0.1, 0.2, 0.3, 0.4]]
CANARY = {
    "BlueGreenUpdatePolicy": {
        "TerminationWaitInSeconds": 0,
        "TrafficRoutingConfiguration": {
            "Type": "CANARY",
            "WaitIntervalInSeconds": 1,
            "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50},
        },
    },
    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
}


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "5"}) as platform:
        yield Scene(platform)


@pytest.fixture
def aws(scene: Scene) -> Clients:
    """The endpoint is asked for answers between two looks: one that serves goes on serving."""

    def wait(name: str, look: Look) -> None:
        serves = scene.describe(name)["EndpointStatus"] == "Updating"

        def done() -> bool:
            if serves:
                scene.invoke(name, ROW)
            return look()

        wait_until(done, f"Terraform's waiter for {name}", 90)

    scaling = check_answers(scene.client("application-autoscaling"))
    return Clients(check_answers(scene.sagemaker), scaling, check_answers(scene.cloudwatch), wait)


def model(aws: Clients, name: str, data: str) -> Model:
    container = {"Image": XGBOOST, "Mode": "SingleModel", "ModelDataUrl": data}
    return Model(aws, TAGS, ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)


def configuration(aws: Clients, name: str, count: int) -> EndpointConfiguration:
    variant = {**VARIANT, "ModelName": name, "InitialInstanceCount": count}
    return EndpointConfiguration(aws, TAGS, EndpointConfigName=name, ProductionVariants=[variant])


def answers(scene: Scene) -> tuple[Any, bytes]:
    found = scene.invoke("fraud", ROW)
    return found["InvokedProductionVariant"], found["Body"].read()


def test_a_stack_is_applied_changed_and_destroyed(scene: Scene, aws: Clients, tmp_path: Path) -> None:
    first, second = (train(tmp_path, seed, features=4, trees=5) for seed in (1, 2))
    made, config = model(aws, "fraud-1", first), configuration(aws, "fraud-1", 1)
    alarm = MetricAlarm(aws, TAGS, **{**ALARM, "Period": 10, "EvaluationPeriods": 1})
    endpoint = Endpoint(aws, TAGS, EndpointName="fraud", EndpointConfigName="fraud-1", DeploymentConfig=CANARY)
    target = ScalableTarget(aws, TAGS, **SCALED, MinCapacity=1, MaxCapacity=2)
    tracking = ScalingPolicy(
        aws,
        **SCALED,
        PolicyName="load",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={**TRACKING, "DisableScaleIn": True},
    )
    steps = ScalingPolicy(
        aws, **SCALED, PolicyName="steps", PolicyType="StepScaling", StepScalingPolicyConfiguration=STEPS
    )
    action = ScheduledAction(
        aws,
        **SCALED,
        ScheduledActionName="day",
        Schedule="cron(0 8 * * ? *)",
        Timezone="UTC",
        ScalableTargetAction={"MinCapacity": 1},
    )
    stack: list[Resource] = [made, config, alarm, endpoint, target, tracking, steps, action]
    for resource in stack:
        resource.apply()
    assert [resource.plan() for resource in stack] == [{}] * len(stack)
    before = answers(scene)

    # create_before_destroy: the new ones are made, the endpoint moves, the old ones go.
    alarm.change(Threshold=100.0)
    target.change(MaxCapacity=1)
    replaced: list[Resource] = [model(aws, "fraud-2", second), configuration(aws, "fraud-2", 1)]
    for resource in replaced:
        resource.apply()
    endpoint.change(tags={"stage": "prod"}, EndpointConfigName="fraud-2")
    config.delete()
    made.delete()
    stack[:2] = replaced
    assert [resource.plan() for resource in stack] == [{}] * len(stack)
    after = answers(scene)
    assert after[0] == before[0] == "main"
    assert after[1] != before[1]

    for resource in reversed(stack):
        resource.delete()
    assert [resource.read() for resource in stack] == [None] * len(stack)
    wait_until(lambda: not scene.sagemaker.list_endpoints()["Endpoints"], "the endpoint is gone")
    for resource in reversed(stack):
        resource.delete()
