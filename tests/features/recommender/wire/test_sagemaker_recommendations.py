"""Recommendation jobs through boto3: what is accepted, what comes back, what is refused."""

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.served_wire import START, Served
from tidegate.domain.recommendation import (
    ConfigurationTrial,
    RecommendationJob,
    RecommendationLimits,
    RecommendationStatus,
    RecommendedInstance,
)
from tidegate.features.recommender.service import RECOMMENDATION

ROLE = "arn:aws:iam::123456789012:role/any"
ARN = "arn:aws:sagemaker:us-east-1:123456789012:inference-recommendations-job/"
SAMPLE = "s3://models/sample.tar.gz"
INPUT = {"ModelName": "fraud", "ContainerConfig": {"PayloadConfig": {"SamplePayloadUrl": SAMPLE}}}
ENVIRONMENT = {"OMP_NUM_THREADS": "2", "MAX_BATCH_ROWS": "16"}
TOLD = [
    {"Key": "MAX_BATCH_ROWS", "ValueType": "String", "Value": "16"},
    {"Key": "OMP_NUM_THREADS", "ValueType": "String", "Value": "2"},
]


@pytest.fixture(autouse=True)
def model(sagemaker: Any) -> None:
    sagemaker.create_model(ModelName="fraud", PrimaryContainer={"Image": "tidegate/xgboost"})


def create(sagemaker: Any, name: str = "job", kind: str = "Default", **more: Any) -> Any:
    given = {**INPUT, **more.pop("InputConfig", {})}
    return sagemaker.create_inference_recommendations_job(
        JobName=name, JobType=kind, RoleArn=ROLE, InputConfig=given, **more
    )


def saved(wire: Served, name: str = "job") -> RecommendationJob:
    found = wire.run(wire.ctx.store.run(lambda tx: tx.get(RECOMMENDATION, name)))
    assert found is not None
    return found.body


def becomes(wire: Served, **changes: Any) -> None:
    """The engine's part."""
    after = replace(saved(wire), **changes)
    wire.run(
        wire.ctx.store.run(lambda tx: tx.put(RECOMMENDATION, "job", after, expect=None, now=wire.clock.now()))
    )


def test_a_job_is_described_as_it_was_given_and_wakes_its_engine(sagemaker: Any, wire: Served) -> None:
    tags = [{"Key": "team", "Value": "pay"}]
    assert create(sagemaker, JobDescription="which one", Tags=tags)["JobArn"] == ARN + "job"
    assert wire.kicked[-1] == "recommend.job"
    found = sagemaker.describe_inference_recommendations_job(JobName="job")
    del found["ResponseMetadata"]
    assert found == {
        "JobName": "job",
        "JobArn": ARN + "job",
        "JobDescription": "which one",
        "JobType": "Default",
        "RoleArn": ROLE,
        "Status": "PENDING",
        "CreationTime": START,
        "LastModifiedTime": START,
        "InputConfig": INPUT,
    }
    assert saved(wire).limits == RecommendationLimits()
    assert sagemaker.list_tags(ResourceArn=ARN + "job")["Tags"] == tags


def test_an_advanced_job_searches_the_configurations_that_it_names(sagemaker: Any, wire: Served) -> None:
    payload = {"SamplePayloadUrl": "file:///data/rows.csv", "SupportedContentTypes": ["text/csv", "text/plain"]}
    asked = {
        "ContainerConfig": {"PayloadConfig": payload, "SupportedInstanceTypes": ["ml.m5.large"]},
        "TrafficPattern": {
            "TrafficType": "PHASES",
            "Phases": [{"InitialNumberOfUsers": 1, "SpawnRate": 1, "DurationInSeconds": 120}] * 2,
        },
        "ResourceLimit": {"MaxNumberOfTests": 3, "MaxParallelOfTests": 1},
        "EndpointConfigurations": [{"InstanceType": "ml.c5.large"}, {"InstanceType": "ml.c5.xlarge"}],
    }
    conditions = {
        "MaxInvocations": 600,
        "ModelLatencyThresholds": [{"Percentile": "P99", "ValueInMilliseconds": 50}],
        "FlatInvocations": "Stop",
    }
    create(sagemaker, kind="Advanced", InputConfig=asked, StoppingConditions=conditions)
    job = saved(wire)
    assert job.limits == RecommendationLimits(seconds=240.0, percent=99.0, latency=0.05, rate=10.0, tests=3)
    assert (job.types, job.content_type) == (("ml.c5.large", "ml.c5.xlarge"), "text/csv")
    found = sagemaker.describe_inference_recommendations_job(JobName="job")
    assert (found["InputConfig"], found["StoppingConditions"]) == ({**INPUT, **asked}, conditions)


def test_instance_types_and_time_limit_may_come_from_container_and_traffic(sagemaker: Any, wire: Served) -> None:
    container = {**INPUT["ContainerConfig"], "SupportedInstanceTypes": ["ml.m5.large"]}  # type: ignore[dict-item]
    stairs = {"DurationInSeconds": 60, "NumberOfSteps": 3, "UsersPerStep": 1}
    pattern = {"TrafficType": "STAIRS", "Stairs": stairs}
    create(sagemaker, InputConfig={"ContainerConfig": container, "TrafficPattern": pattern})
    assert (saved(wire).types, saved(wire).limits.seconds) == (("ml.m5.large",), 180.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ModelPackageVersionArn": f"{ARN.rsplit(':', 1)[0]}:model-package/g/1"}, "has no model registry"),
        ({"ModelName": "nobody"}, 'Could not find model "arn:'),
        ({"ContainerConfig": {}}, "needs a ModelName, and"),
        ({"ContainerConfig": {"PayloadConfig": {"SamplePayloadUrl": "https://a/b"}}}, "is neither s3://"),
        ({"JobDurationInSeconds": 18001}, "give 1 to 18000 seconds"),
        ({"ResourceLimit": {"MaxNumberOfTests": 11}}, "the maximum is 10"),
        ({"Endpoints": [{"EndpointName": "e"}]}, "Endpoints is not supported yet"),
        (
            {"EndpointConfigurations": [{"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}]},
            "ServerlessConfig is not supported yet",
        ),
        ({"EndpointConfigurations": [{}]}, "needs an InstanceType"),
    ],
)
def test_inputs_that_cannot_be_used_are_refused(sagemaker: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError, match=message) as refused:
        create(sagemaker, InputConfig=given)
    assert refused.value.response["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"MaxInvocations": 0}, "must be at least 1"),
        ({"FlatInvocations": "Continue"}, "FlatInvocations Continue is not supported yet"),
        ({"ModelLatencyThresholds": [{"Percentile": "P50", "ValueInMilliseconds": 5}]}, "not one of P95, P99"),
        ({"ModelLatencyThresholds": [{"ValueInMilliseconds": 0}]}, "give 1 ms to an hour"),
    ],
)
def test_impossible_stopping_conditions_are_refused(
    sagemaker: Any, conditions: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError, match=message):
        create(sagemaker, kind="Advanced", StoppingConditions=conditions)


def test_many_models_or_containers_are_refused(sagemaker: Any) -> None:
    many = {"Image": "tidegate/xgboost", "Mode": "MultiModel", "ModelDataUrl": "s3://models/clients/"}
    sagemaker.create_model(ModelName="many", PrimaryContainer=many)
    sagemaker.create_model(ModelName="chain", Containers=[{"Image": "tidegate/xgboost"}] * 2)
    for name, said in (("many", "multi-model container"), ("chain", "has several containers")):
        with pytest.raises(ClientError, match=said):
            create(sagemaker, InputConfig={"ModelName": name})


def test_names_are_used_once_and_strangers_are_not_found(sagemaker: Any) -> None:
    create(sagemaker)
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="Job name must be unique"):
        create(sagemaker)
    for operation in (
        sagemaker.describe_inference_recommendations_job,
        sagemaker.stop_inference_recommendations_job,
        sagemaker.list_inference_recommendations_job_steps,
    ):
        with pytest.raises(sagemaker.exceptions.ResourceNotFound, match="nobody"):
            operation(JobName="nobody")


def test_recommendations_are_described_in_sagemakers_members(sagemaker: Any, wire: Served) -> None:
    create(sagemaker)
    found = RecommendedInstance("ml.c5.large", 0.102, 6000, 0.0124, 81.5, 40.25, ENVIRONMENT)
    ended = START.replace(minute=3)
    becomes(wire, started_at=START, ended_at=ended, outcome=RecommendationStatus.COMPLETED, found=(found,))
    told = sagemaker.describe_inference_recommendations_job(JobName="job")
    assert (told["Status"], told["CompletionTime"]) == ("COMPLETED", ended)
    (one,) = told["InferenceRecommendations"]
    metrics = one["Metrics"]
    assert metrics["CostPerInference"] == pytest.approx(0.102 / (60 * 6000))
    assert {name: value for name, value in metrics.items() if name != "CostPerInference"} == {
        "CostPerHour": 0.102,
        "MaxInvocations": 6000,
        "ModelLatency": 12,
        "CpuUtilization": 81.5,
        "MemoryUtilization": 40.25,
    }
    assert one["EndpointConfiguration"] == {
        "EndpointName": "job",
        "VariantName": "AllTraffic",
        "InstanceType": "ml.c5.large",
        "InitialInstanceCount": 1,
    }
    assert one["ModelConfiguration"] == {"EnvironmentParameters": TOLD}


def test_job_steps_list_each_configuration(sagemaker: Any, wire: Served) -> None:
    create(sagemaker)
    steps = (
        ConfigurationTrial(ENVIRONMENT, 1, 120.0, 0.0051),
        ConfigurationTrial(ENVIRONMENT, 2, 0.0, 0.75),
        ConfigurationTrial(ENVIRONMENT, 2),
    )
    becomes(wire, started_at=START, steps=steps)
    listed = sagemaker.list_inference_recommendations_job_steps(JobName="job", MaxResults=2)
    rest = sagemaker.list_inference_recommendations_job_steps(JobName="job", NextToken=listed["NextToken"])
    held, broke, under_way = listed["Steps"] + rest["Steps"]
    assert "NextToken" not in rest
    assert [step["Status"] for step in (held, broke, under_way)] == ["COMPLETED", "COMPLETED", "IN_PROGRESS"]
    assert held["StepType"] == "BENCHMARK"
    assert held["InferenceBenchmark"] == {
        "EndpointMetrics": {"MaxInvocations": 7200, "ModelLatency": 5},
        "ModelConfiguration": {"EnvironmentParameters": TOLD},
    }
    assert broke["InferenceBenchmark"]["FailureReason"].endswith("the closest latency was 750.0 ms")
    going_on = sagemaker.list_inference_recommendations_job_steps(JobName="job", Status="IN_PROGRESS")
    assert going_on["Steps"] == [under_way]


def test_jobs_are_stopped_and_listed(sagemaker: Any, wire: Served) -> None:
    for name in ("a", "b", "c"):
        create(sagemaker, name)
        wire.clock.advance(1)
    sagemaker.stop_inference_recommendations_job(JobName="b")
    assert wire.kicked[-1] == "recommend.b"

    def names(**given: Any) -> list[str]:
        found = sagemaker.list_inference_recommendations_jobs(**given)["InferenceRecommendationsJobs"]
        return [each["JobName"] for each in found]

    assert names() == ["c", "b", "a"]
    assert names(StatusEquals="STOPPING") == ["b"]
    assert names(NameContains="c") == ["c"]
    assert names(ModelNameEquals="fraud", SortOrder="Ascending") == ["a", "b", "c"]
    assert names(ModelNameEquals="other") == []
    first = sagemaker.list_inference_recommendations_jobs(MaxResults=2, SortBy="Name", SortOrder="Ascending")
    assert [each["JobName"] for each in first["InferenceRecommendationsJobs"]] == ["a", "b"]
    assert names(NextToken=first["NextToken"], SortBy="Name", SortOrder="Ascending") == ["c"]
    assert first["InferenceRecommendationsJobs"][0]["SamplePayloadUrl"] == SAMPLE


def test_a_job_that_has_ended_is_not_stopped(sagemaker: Any, wire: Served) -> None:
    create(sagemaker)
    becomes(wire, outcome=RecommendationStatus.FAILED, reason="no configuration answers", ended_at=START)
    sagemaker.stop_inference_recommendations_job(JobName="job")
    told = sagemaker.describe_inference_recommendations_job(JobName="job")
    assert (told["Status"], told["FailureReason"]) == ("FAILED", "no configuration answers")
    assert "InferenceRecommendations" not in told
