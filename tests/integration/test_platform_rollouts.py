"""The main job with real parts: deploy, shift live traffic, finish or roll back, through plain boto3."""

from pathlib import Path

import pytest

from tests.scene import KINDS, Scene, all_at_once, canary, linear
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator

pytestmark = pytest.mark.e2e
STAND_IN = "test/stand-in"
ROW = [[0.1, 0.2, 0.3, 0.4]]
CSV = {"Content-Type": "text/csv"}


def load(scene: Scene, endpoint: str, rate: float = 100) -> LoadGenerator:
    path = f"/endpoints/{endpoint}/invocations"
    return LoadGenerator(scene.platform.url, path, b"0.1,0.2,0.3,0.4", CSV, rate, connections=8)


def test_a_deployed_model_answers_and_says_who_it_is(scene: Scene, models: tuple[str, str]) -> None:
    config = scene.config(models[0])
    scene.create("first", config)
    answer = scene.invoke("first", ROW)
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert 0 <= float(answer["Body"].read()) <= 1
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-tidegate-config"] == config
    described = scene.describe("first")
    assert described["EndpointStatus"] == "InService"
    assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_moves_all_traffic_without_losing_a_request(
    scene: Scene, models: tuple[str, str], kind: str
) -> None:
    endpoint = f"update-{kind.replace(' ', '-')}"
    scene.create(endpoint, scene.config(models[0], instances=2))
    with load(scene, endpoint) as running:
        config = scene.config(models[1], instances=2)
        scene.update(endpoint, config, KINDS[kind]())
        settled = scene.settled(endpoint)
        assert settled["EndpointConfigName"] == config
        assert "FailureReason" not in settled
        report = running.stop()
    assert report.failed == 0, report.failures[:3]
    assert report.by_config[config].count > 0
    assert scene.invoke(endpoint, ROW)["ResponseMetadata"]["HTTPHeaders"]["x-tidegate-config"] == config
    scene.sagemaker.delete_endpoint(EndpointName=endpoint)


def test_a_version_that_fails_requests_is_rolled_back_by_its_error_alarm(
    scene: Scene, models: tuple[str, str]
) -> None:
    good = scene.config(models[0])
    scene.create("errors", good)
    bad = scene.config(None, image=STAND_IN, environment={"FAIL_EVERY": "4"})
    scene.alarm(
        "errors-high",
        "Invocation5XXErrors",
        0.1,
        Dimensions=[
            {"Name": "EndpointName", "Value": "errors"},
            {"Name": "VariantName", "Value": "AllTraffic"},
            {"Name": "EndpointConfigName", "Value": bad},
        ],
    )
    with load(scene, "errors") as running:
        scene.update("errors", bad, canary(50, 60, alarms=["errors-high"]))
        settled = scene.settled("errors")
        report = running.stop()
    assert settled["EndpointConfigName"] == good
    assert "errors-high" in settled["FailureReason"]
    assert report.failed > 0
    assert {f.config for f in report.failures} == {bad}, "only the bad version failed requests"
    wait_until(
        lambda: scene.describe("errors")["ProductionVariants"][0]["CurrentInstanceCount"] == 1, "old fleet whole"
    )


def test_after_a_rollback_the_next_version_goes_out_as_soon_as_the_alarm_is_ok(
    scene: Scene, models: tuple[str, str]
) -> None:
    """As a script does it, with an alarm over all versions whose period is longer than the rollback takes."""
    scene.create("again", scene.config(models[0]))
    bad = scene.config(None, image=STAND_IN, environment={"FAIL_EVERY": "2"})
    dimensions = [{"Name": "EndpointName", "Value": "again"}, {"Name": "VariantName", "Value": "AllTraffic"}]
    scene.alarm("again-high", "Invocation5XXErrors", 0.05, Dimensions=dimensions, Period=10, EvaluationPeriods=1)
    states = {"AlarmName": "again-high", "HistoryItemType": "StateUpdate"}
    with load(scene, "again"):
        scene.update("again", bad, canary(50, 60, alarms=["again-high"]))
        settled = scene.settled("again")
        assert "again-high" in settled["FailureReason"] and "its last error: 5" in settled["FailureReason"]
        told = scene.cloudwatch.describe_alarm_history(**states)["AlarmHistoryItems"]
        assert any(one["HistorySummary"].endswith("to ALARM") for one in told), "it was shown, not only acted on"
        fine = {"AlarmNames": ["again-high"], "StateValue": "OK"}
        wait_until(lambda: scene.cloudwatch.describe_alarms(**fine)["MetricAlarms"], "the alarm is OK again")
        good = scene.config(models[1])
        scene.update("again", good, canary(50, 5, alarms=["again-high"]))
        settled = scene.settled("again")
    assert settled["EndpointConfigName"] == good and "FailureReason" not in settled


def test_a_slow_version_is_rolled_back_by_its_latency_alarm(scene: Scene, models: tuple[str, str]) -> None:
    good = scene.config(models[0])
    scene.create("latency", good)
    slow = scene.config(None, image=STAND_IN, environment={"DELAY_MS": "120"})
    scene.alarm(
        "slow",
        "ModelLatency",
        80_000,
        ExtendedStatistic="p99",
        Dimensions=[
            {"Name": "EndpointName", "Value": "latency"},
            {"Name": "VariantName", "Value": "AllTraffic"},
            {"Name": "EndpointConfigName", "Value": slow},
        ],
    )
    with load(scene, "latency", 60) as running:
        scene.update("latency", slow, linear(25, 60, alarms=["slow"]))
        settled = scene.settled("latency")
        report = running.stop()
    assert settled["EndpointConfigName"] == good
    assert "slow" in settled["FailureReason"]
    assert report.failed == 0, report.failures[:3]


def test_an_alarm_that_is_already_on_rolls_back_before_any_request_is_shifted(
    scene: Scene, models: tuple[str, str]
) -> None:
    good = scene.config(models[0])
    scene.create("already", good)
    scene.alarm("always", "Invocations", -1, TreatMissingData="breaching")
    ringing = {"AlarmNames": ["always"], "StateValue": "ALARM"}
    wait_until(lambda: scene.cloudwatch.describe_alarms(**ringing)["MetricAlarms"], "the alarm is on")
    with load(scene, "already") as running:
        new = scene.config(models[1])
        scene.update("already", new, all_at_once(alarms=["always"], final=30))
        settled = scene.settled("already")
        report = running.stop()
    assert settled["EndpointConfigName"] == good
    assert new not in report.by_config
    assert report.failed == 0


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"environment": {"CRASH": "1"}, "image": STAND_IN}, "needs a file that is not there"),
        ({"data_url": "gone.tar.gz"}, "gone.tar.gz"),
    ],
    ids=["crashes", "a file that is gone by then"],
)
def test_an_update_that_does_not_come_up_leaves_the_old_version_serving(
    scene: Scene, models: tuple[str, str], broken: dict[str, object], says: str, tmp_path: Path
) -> None:
    endpoint = f"broken-{len(says)}"
    good = scene.config(models[0])
    scene.create(endpoint, good)
    given = dict(broken)
    file = tmp_path / str(given.pop("data_url", "none"))
    file.touch()
    bad = scene.config(file.as_uri() if "data_url" in broken else None, **given)  # type: ignore[arg-type]
    file.unlink()
    with load(scene, endpoint, 50) as running:
        scene.update(endpoint, bad)
        settled = scene.settled(endpoint)
        report = running.stop()
    assert settled["EndpointConfigName"] == good
    assert says in settled["FailureReason"]
    assert report.failed == 0


def test_two_variants_share_the_traffic_by_weight_and_can_be_named(scene: Scene, models: tuple[str, str]) -> None:
    for name, url in zip(("ab-a", "ab-b"), models, strict=True):
        scene.sagemaker.create_model(
            ModelName=name, PrimaryContainer={"Image": "tidegate/xgboost", "ModelDataUrl": url}
        )
    variants = [
        {
            "VariantName": variant,
            "ModelName": model,
            "InitialInstanceCount": 1,
            "InstanceType": "ml.c5.large",
            "InitialVariantWeight": weight,
        }
        for variant, model, weight in (("a", "ab-a", 3.0), ("b", "ab-b", 1.0), ("c", "ab-b", 0.0))
    ]
    scene.sagemaker.create_endpoint_config(EndpointConfigName="ab", ProductionVariants=variants)
    scene.create("ab", "ab")
    seen = [scene.invoke("ab", ROW)["InvokedProductionVariant"] for _ in range(400)]
    # Three quarters of 400 within 5.8 standard deviations (8.7 each).
    assert 250 <= seen.count("a") <= 350
    assert seen.count("c") == 0
    assert scene.invoke("ab", ROW, TargetVariant="c")["InvokedProductionVariant"] == "c"
    with pytest.raises(scene.runtime.exceptions.ClientError, match="nobody"):
        scene.invoke("ab", ROW, TargetVariant="nobody")
    wishes = [{"VariantName": "a", "DesiredWeight": 0}, {"VariantName": "b", "DesiredWeight": 1}]
    scene.sagemaker.update_endpoint_weights_and_capacities(EndpointName="ab", DesiredWeightsAndCapacities=wishes)
    scene.settled("ab")
    assert {scene.invoke("ab", ROW)["InvokedProductionVariant"] for _ in range(50)} == {"b"}


def test_capacity_is_changed_in_place(platform: Platform, scene: Scene, models: tuple[str, str]) -> None:
    scene.create("scale", scene.config(models[0]))
    with load(scene, "scale") as running:
        for count in (3, 1):
            wish = [{"VariantName": "AllTraffic", "DesiredInstanceCount": count}]
            scene.sagemaker.update_endpoint_weights_and_capacities(
                EndpointName="scale", DesiredWeightsAndCapacities=wish
            )
            settled = scene.settled("scale")
            assert settled["ProductionVariants"][0]["CurrentInstanceCount"] == count
        report = running.stop()
    assert report.failed == 0
