"""Definitions and schedules of model quality through boto3, and the baselines that processing jobs make for them."""

from datetime import timedelta
from typing import Any

from tests.features.monitor.wire.test_sagemaker_monitoring import (
    HOUR,
    HOURLY,
    IMAGE,
    ROLE,
    Monitor,
    config,
    described,
    executions,
    monitor,
)
from tests.features.monitor.wire.test_sagemaker_monitoring import JOB as DATA_JOB
from tests.features.monitor.wire.test_sagemaker_processing import JOB as BASELINE
from tests.features.monitor.wire.test_sagemaker_processing import QUALITY, Jobs, jobs
from tests.served_wire import ACCOUNT, REGION, START
from tests.wire.test_sagemaker_endpoints import refused
from tidegate.domain.errors import Transient
from tidegate.features.monitor.model_quality import ProblemType, QualityTerms
from tidegate.features.monitor.schedule_records import ExecutionOutcome, ExecutionStatus, LabelSource

__all__ = ["jobs", "monitor"]
PREFIX = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
INPUT = {
    "EndpointName": "fraud",
    "LocalPath": "/opt/ml/processing/input/endpoint",
    "InferenceAttribute": "$.label",
    "ProbabilityAttribute": "predictions[0].score",
    "ProbabilityThresholdAttribute": 0.4,
    "StartTimeOffset": "-P8D",
    "EndTimeOffset": "-P7D",
}
JOB: dict[str, Any] = {
    "JobDefinitionName": "quality",
    "ModelQualityBaselineConfig": {"ConstraintsResource": {"S3Uri": "s3://b/base/constraints.json"}},
    "ModelQualityAppSpecification": {"ImageUri": IMAGE, "ProblemType": "BinaryClassification"},
    "ModelQualityJobInput": {"EndpointInput": INPUT, "GroundTruthS3Input": {"S3Uri": "s3://b/truth"}},
    "ModelQualityJobOutputConfig": DATA_JOB["DataQualityJobOutputConfig"],
    "JobResources": DATA_JOB["JobResources"],
    "RoleArn": ROLE,
}


def schedule(client: Any, name: str = "hourly", job: str = "quality") -> None:
    client.create_monitoring_schedule(
        MonitoringScheduleName=name,
        MonitoringScheduleConfig={**config(HOURLY, job), "MonitoringType": "ModelQuality"},
    )


def test_a_definition_of_model_quality_has_names_of_its_own(sagemaker: Any, monitor: Monitor) -> None:
    arn = sagemaker.create_model_quality_job_definition(**JOB)["JobDefinitionArn"]
    assert arn == f"{PREFIX}:model-quality-job-definition/quality"  # there is one of data quality of this name
    found = sagemaker.describe_model_quality_job_definition(JobDefinitionName="quality")
    assert {name: found[name] for name in JOB} == JOB
    [one] = sagemaker.list_model_quality_job_definitions()["JobDefinitionSummaries"]
    assert (one["MonitoringJobDefinitionArn"], one["EndpointName"]) == (arn, "fraud")
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "risk"}])
    schedule(sagemaker)
    sagemaker.delete_data_quality_job_definition(JobDefinitionName="quality")
    assert (
        refused(sagemaker.delete_model_quality_job_definition, JobDefinitionName="quality")[0]
        == "ValidationException"
    )
    sagemaker.delete_monitoring_schedule(MonitoringScheduleName="hourly")
    sagemaker.delete_model_quality_job_definition(JobDefinitionName="quality")
    assert (
        refused(sagemaker.describe_model_quality_job_definition, JobDefinitionName="quality")[0]
        == "ResourceNotFound"
    )


def test_executions_compare_a_week_old_predictions_with_labels(sagemaker: Any, monitor: Monitor) -> None:
    sagemaker.create_model_quality_job_definition(**JOB)
    schedule(sagemaker)
    measured = {"f1": 0.5, "auc": 0.75, "odd name\n": 1.0, "far": 1e300}
    monitor.analyst.measured = ExecutionOutcome(
        ExecutionStatus.COMPLETED_WITH_VIOLATIONS, 2, "", measured, "80 of 100 captured requests have a label"
    )
    monitor.turn(3_660)
    [task] = monitor.analyst.labelled
    assert task.quality == QualityTerms(ProblemType.BINARY, "label", "predictions[0].score", 0.4)
    assert task.labels == LabelSource("s3://b/truth", "-P8D", "-P7D")
    week = timedelta(days=7)
    assert (task.start, task.end) == (START - week - timedelta(days=1), START + HOUR - week)
    assert (task.until, task.constraints) == (monitor.wire.clock.now(), "s3://b/base/constraints.json")
    assert task.access.output_roots == ("/out",) and task.output == "s3://b/reports/fraud/hourly/2026/03/01/13"
    assert executions(sagemaker, MonitoringTypeEquals="ModelQuality") == [
        (START + HOUR, "CompletedWithViolations")
    ]
    assert executions(sagemaker, MonitoringTypeEquals="DataQuality") == []
    found = described(sagemaker)
    assert found["MonitoringType"] == found["MonitoringScheduleConfig"]["MonitoringType"] == "ModelQuality"
    job = found["LastMonitoringExecutionSummary"]["ProcessingJobArn"].rpartition("/")[2]
    said = sagemaker.describe_processing_job(ProcessingJobName=job)["ExitMessage"]
    assert said.endswith("with 2 violations. 80 of 100 captured requests have a label.")
    metrics = monitor.wire.client("cloudwatch").list_metrics(Namespace="aws/sagemaker/Endpoints/model-metrics")
    assert sorted(one["MetricName"] for one in metrics["Metrics"]) == ["auc", "f1"]
    assert {pair["Name"]: pair["Value"] for pair in metrics["Metrics"][0]["Dimensions"]} == {
        "Endpoint": "fraud",
        "MonitoringSchedule": "hourly",
    }


def test_an_execution_that_breaks_down_has_failed(sagemaker: Any, monitor: Monitor) -> None:
    sagemaker.create_model_quality_job_definition(**JOB)
    schedule(sagemaker)

    async def measure(task: Any) -> ExecutionOutcome:
        raise Transient("the bucket does not answer")

    monitor.analyst.measure = measure  # type: ignore[method-assign]
    monitor.turn(3_660)
    last = described(sagemaker)["LastMonitoringExecutionSummary"]
    assert (last["MonitoringExecutionStatus"], last["FailureReason"]) == ("Failed", "the bucket does not answer")


def test_definitions_take_the_baseline_of_a_job(sagemaker: Any, monitor: Monitor, jobs: Jobs) -> None:
    sagemaker.create_processing_job(**BASELINE)
    sagemaker.create_processing_job(**{**BASELINE, "ProcessingJobName": "labelled", "Environment": QUALITY})
    quality = {**JOB, "ModelQualityBaselineConfig": {"BaseliningJobName": "labelled"}}
    data = {
        **DATA_JOB,
        "JobDefinitionName": "columns",
        "DataQualityBaselineConfig": {
            "BaseliningJobName": "base",
            "ConstraintsResource": {"S3Uri": "s3://b/mine.json"},
        },
    }
    sagemaker.create_model_quality_job_definition(**quality)
    sagemaker.create_data_quality_job_definition(**data)
    schedule(sagemaker)
    sagemaker.create_monitoring_schedule(
        MonitoringScheduleName="columns", MonitoringScheduleConfig=config(HOURLY, "columns")
    )
    monitor.turn(3_660)
    assert monitor.analyst.labelled[0].constraints == "s3://b/base/constraints.json"
    [task] = monitor.analyst.tasks
    assert task.schedule.baseline == "s3://b/base/statistics.json"
    assert task.report is not None and task.report.constraints == "s3://b/mine.json"
    found = sagemaker.describe_data_quality_job_definition(JobDefinitionName="columns")
    assert found["DataQualityBaselineConfig"] == data["DataQualityBaselineConfig"]
    jobs.analyst.made = Transient("away")
    jobs.finish()
    for name, said in (("base", "is Failed and made no baseline"), ("other", "there is no processing job")):
        given = {**DATA_JOB, "JobDefinitionName": "x", "DataQualityBaselineConfig": {"BaseliningJobName": name}}
        assert said in refused(sagemaker.create_data_quality_job_definition, **given)[2]


def test_a_baseline_of_the_other_kind_is_refused(sagemaker: Any, monitor: Monitor) -> None:
    sagemaker.create_processing_job(**BASELINE)
    given = {**JOB, "ModelQualityBaselineConfig": {"BaseliningJobName": "base"}}
    code, _, message = refused(sagemaker.create_model_quality_job_definition, **given)
    assert code == "ValidationException" and "makes a baseline of columns (data quality), not of" in message


def endpoint(**members: Any) -> dict[str, Any]:
    merged = {name: value for name, value in {**INPUT, **members}.items() if value is not None}
    return {**JOB, "ModelQualityJobInput": {**JOB["ModelQualityJobInput"], "EndpointInput": merged}}


REFUSED: list[tuple[dict[str, Any], str]] = [
    (endpoint(InferenceAttribute=None, ProbabilityAttribute=None), "needs InferenceAttribute"),
    (endpoint(InferenceAttribute="a[*].b"), "'a[*].b' is no place"),
    (endpoint(ProbabilityThresholdAttribute=7.0), "ProbabilityThresholdAttribute 7"),
    (endpoint(EndTimeOffset="-P9D"), "no time would be analysed"),
    (endpoint(FeaturesAttribute="0"), "FeaturesAttribute is not supported"),
    ({**JOB, "ModelQualityAppSpecification": {"ImageUri": IMAGE}}, "no ProblemType"),
    (
        {**JOB, "ModelQualityAppSpecification": {"ImageUri": "me/mine", "ProblemType": "Regression"}},
        "the analysis is built in",
    ),
    (
        {**JOB, "ModelQualityJobInput": {"EndpointInput": INPUT, "GroundTruthS3Input": {}}},
        "GroundTruthS3Input has no S3Uri",
    ),
]


def test_what_a_definition_may_not_have_is_named(sagemaker: Any, monitor: Monitor) -> None:
    for given, said in REFUSED:
        code, _, message = refused(sagemaker.create_model_quality_job_definition, **given)
        assert code == "ValidationException" and said in message, message
