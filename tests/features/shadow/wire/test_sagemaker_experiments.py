"""Shadow tests through boto3: schedule, start, update, stop with each action, and what is refused."""

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.served_wire import ACCOUNT, REGION, START, Served
from tests.wire.test_sagemaker_endpoints import alarm, refused
from tidegate.domain.alarm import AlarmState
from tidegate.features.shadow.loop import Experiments

ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:inference-experiment/test"
ROLE = "arn:aws:iam::123456789012:role/r"
HOUR = timedelta(hours=1)
RETAIN = {"blue": "Retain", "green": "Remove"}
PROMOTE = {"blue": "Remove", "green": "Promote"}


def variant(name: str, model: str, count: int = 1, kind: str = "ml.m5.large") -> dict[str, Any]:
    size = {"InstanceType": kind, "InstanceCount": count}
    return {
        "VariantName": name,
        "ModelName": model,
        "InfrastructureConfig": {"InfrastructureType": "RealTimeInference", "RealTimeInferenceConfig": size},
    }


def mode(percent: int = 50, source: str = "blue", shadow: str = "green") -> dict[str, Any]:
    shadows = [{"ShadowModelVariantName": shadow, "SamplingPercentage": percent}]
    return {"SourceModelVariantName": source, "ShadowModelVariants": shadows}


def create(client: Any, name: str = "test", endpoint: str = "fraud", **members: Any) -> Any:
    usual = {
        "Type": "ShadowMode",
        "RoleArn": ROLE,
        "EndpointName": endpoint,
        "ModelVariants": [variant("blue", "m1"), variant("green", "m2")],
        "ShadowModeConfig": mode(),
    }
    return client.create_inference_experiment(Name=name, **{**usual, **members})


@pytest.fixture
def models(sagemaker: Any) -> None:
    for name in ("m1", "m2", "m3"):
        sagemaker.create_model(ModelName=name, PrimaryContainer={"Image": "tidegate/xgboost"})


@pytest.fixture
def fraud(sagemaker: Any, wire: Served, models: None) -> None:
    """An endpoint with two instances of m1, and a guarded canary as its last deployment config."""
    production = {
        "VariantName": "blue",
        "ModelName": "m1",
        "InitialInstanceCount": 2,
        "InstanceType": "ml.m5.large",
    }
    sagemaker.create_endpoint_config(EndpointConfigName="first", ProductionVariants=[production])
    alarm(wire, "errors")
    size = {"Type": "CAPACITY_PERCENT", "Value": 50}
    routing = {"Type": "CANARY", "WaitIntervalInSeconds": 60, "CanarySize": size}
    sagemaker.create_endpoint(
        EndpointName="fraud",
        EndpointConfigName="first",
        DeploymentConfig={
            "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing},
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
        },
    )
    wire.settle("fraud")


def turn(wire: Served, settle: str = "") -> None:
    """One turn of the loop; with ``settle`` the endpoint then does what was asked, and the loop sees that."""
    loop = Experiments(wire.store, wire.clock, wire.ctx.ids, wire.kicked.append, wire.ctx.targets)
    wire.run(loop.turn())
    if settle:
        wire.settle(settle)
        wire.run(loop.turn())


def described(client: Any, name: str = "test") -> Any:
    return client.describe_inference_experiment(Name=name)


def production(client: Any, endpoint: str = "fraud") -> dict[str, Any]:
    found = client.describe_endpoint(EndpointName=endpoint)
    return {
        "status": found["EndpointStatus"],
        "production": {one["VariantName"]: one["CurrentInstanceCount"] for one in found["ProductionVariants"]},
        "shadow": {one["VariantName"]: one["CurrentWeight"] for one in found.get("ShadowProductionVariants", [])},
        "captured": found.get("DataCaptureConfig", {}).get("DestinationS3Uri"),
    }


ALONE = {"status": "InService", "production": {"blue": 2}, "shadow": {}, "captured": None}


def test_a_test_runs_for_a_week_and_leaves_what_there_was(sagemaker: Any, wire: Served, fraud: None) -> None:
    assert create(sagemaker)["InferenceExperimentArn"] == ARN
    assert described(sagemaker)["Status"] == "Created"
    turn(wire)
    assert described(sagemaker)["Status"] == "Starting" and wire.kicked[-1] == "fraud"
    wire.settle("fraud")
    turn(wire)
    found = described(sagemaker)
    assert (found["Status"], found["Arn"]) == ("Running", ARN)
    assert found["Schedule"] == {"StartTime": START, "EndTime": START + timedelta(days=7)}
    assert found["EndpointMetadata"] == {
        **{"EndpointName": "fraud", "EndpointConfigName": "test-shadow-1", "EndpointStatus": "InService"}
    }
    assert [one["Status"] for one in found["ModelVariants"]] == ["InService", "InService"]
    assert production(sagemaker) == {**ALONE, "shadow": {"green": 0.5}}
    wire.clock.advance(7 * 86_400)
    turn(wire)
    assert described(sagemaker)["Status"] == "Stopping"
    wire.settle("fraud")
    turn(wire)
    found = described(sagemaker)
    assert (found["Status"], found["CompletionTime"]) == ("Completed", wire.clock.now())
    assert found["EndpointMetadata"]["EndpointConfigName"] == "first"
    assert production(sagemaker) == ALONE


def test_a_schedule_is_waited_for_and_a_start_need_not(sagemaker: Any, wire: Served, fraud: None) -> None:
    create(sagemaker, Schedule={"StartTime": START + HOUR, "EndTime": START + 2 * HOUR})
    turn(wire)
    assert described(sagemaker)["Status"] == "Created"
    wire.clock.advance(3_600)
    turn(wire, "fraud")
    assert described(sagemaker)["Status"] == "Running"
    sagemaker.create_endpoint_config(
        EndpointConfigName="other",
        ProductionVariants=[
            {"VariantName": "blue", "ModelName": "m1", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        ],
    )
    sagemaker.create_endpoint(EndpointName="second", EndpointConfigName="other")
    wire.settle("second")
    create(sagemaker, "later", "second", Schedule={"StartTime": START + 100 * HOUR, "EndTime": START + 200 * HOUR})
    sagemaker.start_inference_experiment(Name="later")
    turn(wire, "second")
    assert described(sagemaker, "later")["Status"] == "Running"
    assert refused(sagemaker.start_inference_experiment, Name="later")[0] == "ConflictException"


def test_a_test_creates_the_endpoint_that_it_names(sagemaker: Any, wire: Served, models: None) -> None:
    storage = {"Destination": "s3://captures/test", "ContentType": {"CsvContentTypes": ["text/csv"]}}
    create(sagemaker, endpoint="fresh", DataStorageConfig=storage)
    assert described(sagemaker)["EndpointMetadata"] == {"EndpointName": "fresh"}
    turn(wire, "fresh")
    assert described(sagemaker)["Status"] == "Running" and described(sagemaker)["DataStorageConfig"] == storage
    assert production(sagemaker, "fresh") == {
        **{"status": "InService", "production": {"blue": 1}, "shadow": {"green": 0.5}},
        "captured": "s3://captures/test",
    }
    sagemaker.stop_inference_experiment(Name="test", ModelVariantActions=RETAIN)
    turn(wire, "fresh")
    assert described(sagemaker)["Status"] == "Completed"
    assert production(sagemaker, "fresh")["shadow"] == {}


def test_the_shadow_is_promoted_with_the_instances_that_production_had(
    sagemaker: Any, wire: Served, fraud: None
) -> None:
    create(sagemaker)
    turn(wire, "fraud")
    sagemaker.stop_inference_experiment(
        Name="test", ModelVariantActions=PROMOTE, DesiredState="Completed", Reason="better"
    )
    turn(wire)
    rollout = wire.endpoint("fraud").rollout
    assert rollout is not None and rollout.plan.alarms == ("errors",)
    wire.settle("fraud")
    turn(wire)
    found = described(sagemaker)
    assert (found["Status"], found["StatusReason"]) == ("Completed", "better")
    retained = wire.endpoint("fraud").deployment
    assert retained is not None and retained.blue_green is not None and retained.blue_green.wait == 60
    assert production(sagemaker) == {**ALONE, "production": {"green": 2}}
    [kept] = sagemaker.describe_endpoint_config(EndpointConfigName="test-after-2")["ProductionVariants"]
    assert (kept["ModelName"], kept["InitialInstanceCount"]) == ("m2", 2)


def test_a_promotion_that_an_alarm_turns_back_is_cancelled(sagemaker: Any, wire: Served, fraud: None) -> None:
    create(sagemaker)
    turn(wire, "fraud")
    sagemaker.stop_inference_experiment(Name="test", ModelVariantActions=PROMOTE)
    wire.alarms = AlarmState.ALARM
    turn(wire, "fraud")
    found = described(sagemaker)
    assert found["Status"] == "Cancelled" and "errors" in found["StatusReason"]
    assert production(sagemaker)["production"] == {"blue": 2}


def test_what_is_promoted_may_have_a_size_of_its_own(sagemaker: Any, wire: Served, fraud: None) -> None:
    create(sagemaker)
    turn(wire, "fraud")
    sagemaker.stop_inference_experiment(
        Name="test", ModelVariantActions=PROMOTE, DesiredModelVariants=[variant("green", "m2", 3, "ml.c5.large")]
    )
    turn(wire, "fraud")
    assert production(sagemaker)["production"] == {"green": 3}


def test_both_may_stay_as_they_are(sagemaker: Any, wire: Served, fraud: None) -> None:
    create(sagemaker)
    turn(wire, "fraud")
    actions = {"blue": "Retain", "green": "Retain"}
    sagemaker.stop_inference_experiment(Name="test", ModelVariantActions=actions, DesiredState="Cancelled")
    turn(wire)
    assert described(sagemaker)["Status"] == "Cancelled"
    assert production(sagemaker)["shadow"] == {"green": 0.5}


def test_a_running_test_is_updated_in_place(sagemaker: Any, wire: Served, fraud: None) -> None:
    create(sagemaker)
    turn(wire, "fraud")
    end = START + 50 * HOUR
    sagemaker.update_inference_experiment(
        Name="test",
        Description="longer",
        Schedule={"EndTime": end},
        ModelVariants=[variant("green", "m3", 2)],
        ShadowModeConfig=mode(100),
    )
    assert described(sagemaker)["Status"] == "Updating"
    turn(wire, "fraud")
    found = described(sagemaker)
    assert (found["Status"], found["Description"], found["Schedule"]["EndTime"]) == ("Running", "longer", end)
    assert [one["ModelName"] for one in found["ModelVariants"]] == ["m1", "m3"]
    assert production(sagemaker) == {**ALONE, "shadow": {"green": 1.0}}
    sagemaker.update_inference_experiment(Name="test", Description="words alone")
    assert described(sagemaker)["Status"] == "Running"


def test_what_has_not_started_is_cancelled_and_only_what_has_ended_is_deleted(
    sagemaker: Any, wire: Served, fraud: None
) -> None:
    create(sagemaker, Schedule={"StartTime": START + HOUR, "EndTime": START + 2 * HOUR})
    assert refused(sagemaker.delete_inference_experiment, Name="test")[0] == "ConflictException"
    sagemaker.stop_inference_experiment(Name="test", ModelVariantActions=RETAIN)
    turn(wire)
    assert described(sagemaker)["Status"] == "Cancelled" and wire.endpoint("fraud").rollout is None
    assert refused(sagemaker.stop_inference_experiment, Name="test", ModelVariantActions=RETAIN)[0] == (
        "ConflictException"
    )
    assert sagemaker.delete_inference_experiment(Name="test")["InferenceExperimentArn"] == ARN
    assert refused(sagemaker.describe_inference_experiment, Name="test")[:2] == ("ResourceNotFound", 400)
    assert sagemaker.list_inference_experiments()["InferenceExperiments"] == []


def test_an_update_or_a_deletion_of_the_endpoint_ends_its_test(sagemaker: Any, wire: Served, fraud: None) -> None:
    create(sagemaker)
    turn(wire, "fraud")
    sagemaker.update_endpoint(EndpointName="fraud", EndpointConfigName="first")
    turn(wire, "fraud")
    found = described(sagemaker)
    assert (found["Status"], found["StatusReason"]) == ("Cancelled", 'the endpoint was updated to config "first"')
    create(sagemaker, "again")
    turn(wire, "fraud")
    sagemaker.delete_endpoint(EndpointName="fraud")
    turn(wire)
    assert described(sagemaker, "again")["StatusReason"] == "the endpoint was deleted"


def test_a_model_that_is_gone_at_the_start_cancels_the_test(sagemaker: Any, wire: Served, fraud: None) -> None:
    create(sagemaker, Schedule={"StartTime": START + HOUR, "EndTime": START + 2 * HOUR})
    sagemaker.delete_model(ModelName="m2")
    wire.clock.advance(3_600)
    turn(wire)
    found = described(sagemaker)
    assert found["Status"] == "Cancelled" and 'no model "m2"' in found["StatusReason"]
    assert wire.endpoint("fraud").rollout is None
    names = [one["EndpointConfigName"] for one in sagemaker.list_endpoint_configs()["EndpointConfigs"]]
    assert names == ["first"]


def test_an_endpoint_that_is_being_changed_is_waited_for(sagemaker: Any, wire: Served, fraud: None) -> None:
    sagemaker.update_endpoint(EndpointName="fraud", EndpointConfigName="first")
    create(sagemaker)
    turn(wire)
    assert described(sagemaker)["Status"] == "Created"
    wire.settle("fraud")
    turn(wire)
    assert described(sagemaker)["Status"] == "Starting"


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (
        "another model in production",
        {"ModelVariants": [variant("blue", "m3"), variant("green", "m2")]},
        "serves model",
    ),
    (
        "another source",
        {"ShadowModeConfig": mode(source="green", shadow="blue")},
        "has the production variants blue",
    ),
    ("an unknown shadow", {"ShadowModeConfig": mode(shadow="red")}, 'has no variant "red"'),
    ("a shadow of itself", {"ShadowModeConfig": mode(shadow="blue")}, "cannot be the shadow of itself"),
    ("one variant", {"ModelVariants": [variant("blue", "m1")]}, 'has no variant "green"'),
    ("a variant twice", {"ModelVariants": [variant("blue", "m1"), variant("blue", "m2")]}, "given twice"),
    ("nothing is copied", {"ShadowModeConfig": mode(0)}, "give 1 to 100"),
    ("no instances", {"ModelVariants": [variant("blue", "m1"), variant("green", "m2", 0)]}, "has no instances"),
    ("no such model", {"ModelVariants": [variant("blue", "m1"), variant("green", "m9")]}, "Could not find model"),
    ("an end before the start", {"Schedule": {"StartTime": START + HOUR, "EndTime": START}}, "give an end after"),
    ("an end in the past", {"Schedule": {"EndTime": START - HOUR}}, "give an end after"),
    ("no address", {"DataStorageConfig": {"Destination": "s3://b/../k"}}, "has a part . or .."),
]


@pytest.mark.parametrize(("members", "said"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_cannot_be_tested_is_refused_and_nothing_is_written(
    sagemaker: Any, fraud: None, members: dict[str, Any], said: str
) -> None:
    with pytest.raises(ClientError, match="ValidationException") as error:
        create(sagemaker, **members)
    assert said in str(error.value)
    assert sagemaker.list_inference_experiments()["InferenceExperiments"] == []


def test_an_endpoint_has_one_test_and_a_name_is_taken_once(sagemaker: Any, wire: Served, fraud: None) -> None:
    create(sagemaker)
    code, _, said = refused(lambda: create(sagemaker))
    assert (code, said) == ("ResourceInUse", 'there is already an inference experiment "test"')
    code, _, said = refused(lambda: create(sagemaker, "other"))
    assert code == "ResourceInUse" and 'has the inference experiment "test" already' in said


def test_updates_and_stops_that_cannot_be_are_refused(sagemaker: Any, wire: Served, fraud: None) -> None:
    create(sagemaker)
    turn(wire, "fraud")
    update, stop = sagemaker.update_inference_experiment, sagemaker.stop_inference_experiment
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (update, {"Schedule": {"StartTime": START + HOUR}}, "StartTime cannot be changed"),
        (update, {"Schedule": {"EndTime": START - HOUR}}, "give an end after"),
        (update, {"ModelVariants": [variant("blue", "m3")]}, "keep the source variant's ModelName"),
        (update, {"ModelVariants": [variant("red", "m3")]}, "neither the source nor the shadow"),
        (update, {"ShadowModeConfig": mode(source="green", shadow="blue")}, 'must stay "blue"'),
        (stop, {"ModelVariantActions": {"blue": "Retain"}}, "must have an action for blue and green"),
        (
            stop,
            {"ModelVariantActions": {"blue": "Retain", "red": "Remove"}},
            "must have an action for blue and green",
        ),
        (stop, {"ModelVariantActions": {"blue": "Remove", "green": "Remove"}}, "does not leave one production"),
        (stop, {"ModelVariantActions": {"blue": "Retain", "green": "Promote"}}, "does not leave one production"),
        (
            stop,
            {"ModelVariantActions": PROMOTE, "DesiredModelVariants": [variant("blue", "m1")]},
            'only "green" with model "m2" stays',
        ),
    ]
    for call, members, said in cases:
        code, _, message = refused(call, Name="test", **members)
        assert code == "ValidationException" and said in message
    for call in (update, sagemaker.start_inference_experiment, sagemaker.delete_inference_experiment):
        assert refused(call, Name="none")[0] == "ResourceNotFound"
    assert described(sagemaker)["Status"] == "Running"


def test_lists_filter_and_sort_and_tags_are_kept(sagemaker: Any, wire: Served, fraud: None) -> None:
    create(sagemaker, Tags=[{"Key": "team", "Value": "risk"}])
    turn(wire, "fraud")
    wire.clock.advance(10)
    create(sagemaker, "b-new", "fresh")
    found = sagemaker.list_inference_experiments(SortBy="Name", SortOrder="Ascending")["InferenceExperiments"]
    assert [(one["Name"], one["Status"]) for one in found] == [("b-new", "Created"), ("test", "Running")]
    found = sagemaker.list_inference_experiments(StatusEquals="Running", Type="ShadowMode")["InferenceExperiments"]
    assert [one["Name"] for one in found] == ["test"]
    first = sagemaker.list_inference_experiments(MaxResults=1)
    rest = sagemaker.list_inference_experiments(MaxResults=1, NextToken=first["NextToken"])
    assert [one["Name"] for page in (first, rest) for one in page["InferenceExperiments"]] == ["b-new", "test"]
    assert sagemaker.list_tags(ResourceArn=ARN)["Tags"] == [{"Key": "team", "Value": "risk"}]
