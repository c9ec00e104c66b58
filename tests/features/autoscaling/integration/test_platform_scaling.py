"""Autoscaling of a whole platform: by Application Auto Scaling's API with boto3, and by a spec."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.fixtures import STAND_IN, images
from tests.scene import Scene, canary
from tidegate.cli.client import ApiClient
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
INSTANCES = "sagemaker:variant:DesiredInstanceCount"


def key(endpoint: str, dimension: str = INSTANCES) -> dict[str, str]:
    resource = f"endpoint/{endpoint}/variant/AllTraffic"
    return {"ServiceNamespace": "sagemaker", "ResourceId": resource, "ScalableDimension": dimension}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    environment = {
        "TIDEGATE_IMAGES": str(images(tmp_path_factory.mktemp("images"))),
        "TIDEGATE_DRAIN_TIMEOUT": "5",
        "TIDEGATE_OUTPUT_ROOTS": str(tmp_path_factory.getbasetemp()),
    }
    with Platform(environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def scaling(scene: Scene) -> Any:
    return scene.client("application-autoscaling")


def counts(scene: Scene, endpoint: str) -> tuple[int, int]:
    """Desired, current."""
    variant = scene.describe(endpoint)["ProductionVariants"][0]
    return variant["DesiredInstanceCount"], variant["CurrentInstanceCount"]


def activities(scaling: Any, endpoint: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = scaling.describe_scaling_activities(
        ServiceNamespace="sagemaker", ResourceId=key(endpoint)["ResourceId"]
    )["ScalingActivities"]
    return found


def ended(scaling: Any, endpoint: str, status: str = "Successful") -> dict[str, Any]:
    """The newest activity, once it has ended so."""

    def newest() -> dict[str, Any] | None:
        found = activities(scaling, endpoint)
        return found[0] if found and found[0]["StatusCode"] == status else None

    return wait_until(newest, f"an activity of {endpoint} that is {status}")


def test_bounds_policies_actions_and_activities_with_boto3(
    scene: Scene, scaling: Any, models: tuple[str, str]
) -> None:
    scene.create("bounded", scene.config(models[0]))
    scaling.register_scalable_target(**key("bounded"), MinCapacity=2, MaxCapacity=3)
    wait_until(lambda: counts(scene, "bounded") == (2, 2), "the minimum is there")
    done = ended(scaling, "bounded")
    assert done["Cause"] == "minimum capacity was set to 2"
    assert done["Description"] == "Setting desired instance count to 2."
    assert done["EndTime"] >= done["StartTime"]
    scaling.register_scalable_target(**key("bounded"), MinCapacity=1, MaxCapacity=1)
    wait_until(lambda: counts(scene, "bounded") == (1, 1), "the maximum holds")
    wait_until(lambda: len(activities(scaling, "bounded")) == 2, "both are told")
    assert ended(scaling, "bounded")["Cause"] == "maximum capacity was set to 1"
    kind = "SageMakerVariantInvocationsPerInstance"
    made = scaling.put_scaling_policy(
        **key("bounded"),
        PolicyName="keep",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 70.0,
            "PredefinedMetricSpecification": {"PredefinedMetricType": kind},
        },
    )
    names = [alarm["AlarmName"] for alarm in made["Alarms"]]
    assert len(scene.cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]) == 2
    scene.sagemaker.delete_endpoint(EndpointName="bounded")
    assert scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []
    with pytest.raises(ClientError, match="No scalable target"):
        scaling.deregister_scalable_target(**key("bounded"))
    assert scene.cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"] == []
    assert len(activities(scaling, "bounded")) == 2, "what was done stays known"


def test_what_is_scaled_is_shown_and_on_the_page_of_prometheus(
    scene: Scene, scaling: Any, platform: Platform, models: tuple[str, str]
) -> None:
    scene.create("shown", scene.config(models[0]))
    scaling.register_scalable_target(**key("shown"), MinCapacity=1, MaxCapacity=5)
    document = json.loads(command(platform, "show", "scaling", "shown", "--json"))
    (target,) = document["targets"]
    assert (target["min"], target["max"], target["desired"]) == (1, 5, 1)
    assert "AllTraffic" in command(platform, "show", "scaling", "shown")
    assert "DESIRED" in command(platform, "status", "shown")
    page = httpx.get(f"{platform.url}/metrics").text
    labels = f'endpoint="shown",variant="AllTraffic",dimension="{INSTANCES}"'
    assert f"tidegate_scaling_maximum{{{labels}}} 5" in page
    assert f"tidegate_scaling_desired{{{labels}}} 1" in page


def deploy(platform: Platform, endpoint: str, **more: Any) -> None:
    """A model that takes 100 ms for each request, of which an instance should have 4 at one time."""
    spec = {
        "endpoint": endpoint,
        "model": {"image": STAND_IN, "environment": {"DELAY_MS": "100"}},
        "autoscaling": {"min": 1, "max": 3, "target": 4, "scale_in_after": "4s"},
        **more,
    }
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        server.deploy(spec, "test", override=False, supersede=False)


def load(platform: Platform, endpoint: str, rate: float) -> LoadGenerator:
    path = f"/endpoints/{endpoint}/invocations"
    return LoadGenerator(platform.url, path, b"1,2", {"Content-Type": "text/csv"}, rate, connections=64)


def test_instances_come_with_the_load_and_go_with_it_and_no_request_is_lost(
    scene: Scene, scaling: Any, platform: Platform
) -> None:
    deploy(platform, "busy")
    scene.settled("busy")
    with load(platform, "busy", 90) as running:
        wait_until(lambda: counts(scene, "busy") == (3, 3), "three instances for nine requests at one time")
        report = running.stop()
    assert report.failed == 0, report.failures[:3]
    assert activities(scaling, "busy")[-1]["Cause"].endswith("triggered policy fast")
    with load(platform, "busy", 8) as running:
        wait_until(lambda: counts(scene, "busy") == (1, 1), "one instance for less than one request")
        report = running.stop()
    assert report.failed == 0, report.failures[:3]
    wait_until(
        lambda: {one["StatusCode"] for one in activities(scaling, "busy")} <= {"Successful", "Overridden"}, "ended"
    )


def test_instances_come_while_an_update_bakes(scene: Scene, scaling: Any, platform: Platform) -> None:
    deploy(platform, "baking")
    scene.settled("baking")
    config = scene.config(None, image=STAND_IN, environment={"DELAY_MS": "100"})
    with load(platform, "baking", 90) as running:
        scene.update("baking", config, canary(50, 12, final=1))
        wait_until(
            lambda: max(one["DesiredInstanceCount"] for one in sides(scene, "baking")) == 3, "scaled in mid-bake"
        )
        assert scene.describe("baking")["EndpointStatus"] == "Updating"
        settled = scene.settled("baking")
        report = running.stop()
    assert settled["EndpointConfigName"] == config
    assert settled["ProductionVariants"][0]["CurrentInstanceCount"] == 3
    assert report.failed == 0, report.failures[:3]


def sides(scene: Scene, endpoint: str) -> list[dict[str, Any]]:
    """The variant of each version that is there."""
    found = scene.describe(endpoint)
    pending = found.get("PendingDeploymentSummary", {}).get("ProductionVariants", [])
    return [*found["ProductionVariants"], *pending]


def test_a_new_version_begins_with_as_many_instances_as_there_are(scene: Scene, platform: Platform) -> None:
    bounds = {"min": 2, "max": 3, "target": 4}
    deploy(platform, "kept", autoscaling=bounds)
    scene.settled("kept")
    wait_until(lambda: counts(scene, "kept") == (2, 2), "the minimum is there")
    scene.settled("kept")
    deploy(platform, "kept", autoscaling=bounds, model={"image": STAND_IN, "environment": {"DELAY_MS": "1"}})
    (coming,) = scene.describe("kept")["PendingDeploymentSummary"]["ProductionVariants"]
    assert coming["DesiredInstanceCount"] == 2
    scene.settled("kept")
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        assert server.scaling("kept", 10, False)["targets"][0]["max"] == 3
        same = {"endpoint": "kept", "model": {"image": STAND_IN, "environment": {"DELAY_MS": "1"}}}
        assert server.deploy(same, "test", override=False, supersede=False)["change"] == "unchanged"
        assert server.scaling("kept", 10, False)["targets"] == [], "a spec without autoscaling ends it"


def test_an_asynchronous_endpoint_wakes_from_zero_and_sleeps_again(
    scene: Scene, scaling: Any, platform: Platform, tmp_path: Any
) -> None:
    bounds = {"min": 0, "max": 2, "target": 5, "scale_in_after": "2s"}
    deploy(platform, "sleeper", autoscaling=bounds, **{"async": {"output": (tmp_path / "out").as_uri()}})
    scene.settled("sleeper")
    wait_until(lambda: counts(scene, "sleeper") == (0, 0), "asleep", 120)
    scene.settled("sleeper")
    answer = scene.runtime.invoke_endpoint_async(EndpointName="sleeper", Body=b"1,2", ContentType="text/csv")
    out = tmp_path / "out" / answer["OutputLocation"].rpartition("/")[2]
    wait_until(out.exists, "answered")
    wait_until(lambda: counts(scene, "sleeper") == (0, 0), "asleep again", 120)


def test_a_change_under_way_outlives_the_controller(scene: Scene, scaling: Any, platform: Platform) -> None:
    """The new instance starts only once the controller that asked for it is dead."""
    slow = {"image": STAND_IN, "environment": {"START_MS": "1500"}}
    deploy(platform, "killed", model=slow, autoscaling={"min": 1, "max": 3, "target": 4})
    scene.settled("killed")
    scaling.register_scalable_target(**key("killed"), MinCapacity=2)
    begun = wait_until(lambda: activities(scaling, "killed"), "the change began")
    platform.kill_controller()
    platform.start()
    wait_until(lambda: counts(scene, "killed") == (2, 2), "it came true")
    done = ended(scaling, "killed")
    assert done["ActivityId"] == begun[0]["ActivityId"]
    assert len(activities(scaling, "killed")) == 1, "neither repeated nor forgotten"


def test_a_step_policy_hears_an_alarm_of_ones_own(scene: Scene, scaling: Any, models: tuple[str, str]) -> None:
    scene.create("stepped", scene.config(models[0]))
    scaling.register_scalable_target(**key("stepped"), MinCapacity=1, MaxCapacity=2)
    steps = [
        {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 10.0, "ScalingAdjustment": 1},
        {"MetricIntervalLowerBound": 10.0, "ScalingAdjustment": 5},
    ]
    made = scaling.put_scaling_policy(
        **key("stepped"),
        PolicyName="more",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "StepAdjustments": steps,
            "Cooldown": 1,
        },
    )
    depth = {"Namespace": "Mine", "MetricName": "Depth"}
    scene.alarm("deep", depth["MetricName"], 5, Namespace=depth["Namespace"], AlarmActions=[made["PolicyARN"]])

    def grown() -> bool:
        datum = {"MetricName": depth["MetricName"], "Value": 8.0, "StorageResolution": 1}
        scene.cloudwatch.put_metric_data(Namespace=depth["Namespace"], MetricData=[datum])
        return counts(scene, "stepped") == (2, 2)

    wait_until(grown, "one step up", every=0.3)
    assert ended(scaling, "stepped")["Cause"] == "monitor alarm deep in state ALARM triggered policy more"

    def held() -> dict[str, Any] | None:
        grown()
        found = scaling.describe_scaling_activities(
            ServiceNamespace="sagemaker",
            ResourceId=key("stepped")["ResourceId"],
            IncludeNotScaledActivities=True,
        )["ScalingActivities"]
        return next((one for one in found if "NotScaledReasons" in one), None)

    reason = wait_until(held, "the maximum is told", every=0.3)["NotScaledReasons"][0]
    assert (reason["Code"], reason["CurrentCapacity"]) == ("AlreadyAtMaxCapacity", 2)


def test_a_policy_tracks_metric_math(scene: Scene, scaling: Any, models: tuple[str, str]) -> None:
    """Nine jobs for each worker, of which four are wanted. The last minutes' values are there when it is put."""
    scene.create("reckoned", scene.config(models[0]))
    scaling.register_scalable_target(**key("reckoned"), MinCapacity=1, MaxCapacity=5)
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    for ago in range(6):
        at = {"Timestamp": minute - timedelta(minutes=ago)}
        data = [{"MetricName": "Jobs", "Value": 18.0, **at}, {"MetricName": "Workers", "Value": 2.0, **at}]
        scene.cloudwatch.put_metric_data(Namespace="Mine", MetricData=data)

    def line(id: str, name: str) -> dict[str, Any]:
        stat = {"Metric": {"Namespace": "Mine", "MetricName": name}, "Stat": "Average"}
        return {"Id": id, "MetricStat": stat, "ReturnData": False}

    lines = [line("m1", "Jobs"), line("m2", "Workers"), {"Id": "e", "Expression": "m1 / m2", "ReturnData": True}]
    scaling.put_scaling_policy(
        **key("reckoned"),
        PolicyName="jobs",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 4.0,
            "CustomizedMetricSpecification": {"Metrics": lines},
        },
    )
    wait_until(lambda: counts(scene, "reckoned") == (3, 3), "three for nine jobs", 120)
    assert ended(scaling, "reckoned")["Cause"].endswith("in state ALARM triggered policy jobs")


def test_the_rule_of_aws_follows_its_alarm(scene: Scene, scaling: Any, platform: Platform) -> None:
    """Its high alarm takes half a minute; here it is set by hand, and the count follows what was measured."""
    bounds = {"min": 1, "max": 3, "target": 1, "rule": "aws", "metric": "concurrency"}
    deploy(platform, "tracked", autoscaling=bounds)
    scene.settled("tracked")
    where = {"ServiceNamespace": "sagemaker", "ResourceId": key("tracked")["ResourceId"]}
    (policy,) = scaling.describe_scaling_policies(**where)["ScalingPolicies"]
    high = policy["Alarms"][0]["AlarmName"]

    def grown() -> bool:
        scene.cloudwatch.set_alarm_state(AlarmName=high, StateValue="ALARM", StateReason="tried")
        return counts(scene, "tracked") == (3, 3)

    with load(platform, "tracked", 60) as running:
        wait_until(grown, "three for six requests at one time", every=0.3)
        report = running.stop()
    assert report.failed == 0, report.failures[:3]
    assert activities(scaling, "tracked")[-1]["Cause"] == (
        f"monitor alarm {high} in state ALARM triggered policy tracking"
    )


def test_a_peak_of_the_calendar_is_met_ahead_by_the_start_up_that_was_measured(
    scene: Scene, scaling: Any, platform: Platform
) -> None:
    """Never started, it would be asked for 150 seconds before; measured, 30 seconds and a start-up."""
    slow = {"image": STAND_IN, "environment": {"START_MS": "1000"}}
    bounds = {"min": 2, "max": 3, "target": 4, "scale_in_after": "1s"}
    deploy(platform, "payday", model=slow, autoscaling=bounds)
    scene.settled("payday")
    wait_until(lambda: counts(scene, "payday") == (2, 2), "a start-up was measured")
    first = ended(scaling, "payday")
    start_up = first["EndTime"] - first["StartTime"]
    assert start_up >= timedelta(seconds=1)
    peak = (datetime.now(UTC) + start_up + timedelta(seconds=36)).replace(microsecond=0)
    rush = {"name": "rush", "starts": f"at({peak:%Y-%m-%dT%H:%M:%S})", "lasts": "10m", "count": 3}
    deploy(platform, "payday", model=slow, autoscaling={"min": 1, "max": 3, "calendar": [rush]})
    wait_until(lambda: counts(scene, "payday") == (1, 1), "no peak is near")
    wait_until(lambda: counts(scene, "payday") == (3, 3), "the peak is met", 120)
    met = ended(scaling, "payday")
    assert met["Cause"] == "peak rush of policy calendar"
    assert peak - start_up - timedelta(seconds=31) <= met["StartTime"] < peak


def test_provisioned_concurrency_is_scaled(scene: Scene, scaling: Any, models: tuple[str, str]) -> None:
    bounds = {"MemorySizeInMB": 1024, "MaxConcurrency": 20, "ProvisionedConcurrency": 1}
    variant = {"VariantName": "AllTraffic", "ModelName": scene.model(models[0]), "ServerlessConfig": bounds}
    scene.sagemaker.create_endpoint_config(EndpointConfigName="warm", ProductionVariants=[variant])
    scene.create("warm", "warm")
    dimension = "sagemaker:variant:DesiredProvisionedConcurrency"
    scaling.register_scalable_target(**key("warm", dimension), MinCapacity=3, MaxCapacity=10)

    def provisioned() -> int:
        found = scene.describe("warm")["ProductionVariants"][0]
        return int(found["CurrentServerlessConfig"].get("ProvisionedConcurrency", 0))

    wait_until(lambda: provisioned() == 3, "three are provisioned")
    assert ended(scaling, "warm")["Description"] == "Setting desired provisioned concurrency to 3."


def command(platform: Platform, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tidegate.cli", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "TIDEGATE_URL": platform.url},
    )
    return done.stdout
