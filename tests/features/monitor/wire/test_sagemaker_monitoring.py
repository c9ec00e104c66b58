"""Model Monitor through boto3: job definitions, schedules, executions on virtual time, and what is refused."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.served_wire import ACCOUNT, REGION, START, Served
from tests.wire.test_sagemaker_endpoints import refused
from tidegate.domain.drift import DriftFinding, DriftOutcome, DriftTask, DriftVerdict
from tidegate.domain.errors import Transient
from tidegate.domain.observation import SAGEMAKER_CAPABILITIES
from tidegate.domain.targets import LOCAL, TargetTable
from tidegate.features.drift.loop import CaptureAccess
from tidegate.features.monitor.loop import MonitoringSchedules
from tidegate.features.monitor.processing_records import BaselineOutcome, BaselineTask
from tidegate.features.monitor.schedule_records import ExecutionOutcome, ExecutionStatus, LabelledTask

PREFIX = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
ROLE = "arn:aws:iam::123456789012:role/r"
IMAGE = "156813124566.dkr.ecr.us-east-1.amazonaws.com/sagemaker-model-monitor-analyzer"
HOUR = timedelta(hours=1)
HOURLY = "cron(0 * ? * * *)"
INPUT = {"EndpointName": "fraud", "LocalPath": "/opt/ml/processing/input/endpoint"}
JOB: dict[str, Any] = {
    "JobDefinitionName": "quality",
    "DataQualityBaselineConfig": {
        "StatisticsResource": {"S3Uri": "s3://b/base/statistics.json"},
        "ConstraintsResource": {"S3Uri": "s3://b/base/constraints.json"},
    },
    "DataQualityAppSpecification": {"ImageUri": IMAGE, "Environment": {"publish_cloudwatch_metrics": "Enabled"}},
    "DataQualityJobInput": {"EndpointInput": INPUT},
    "DataQualityJobOutputConfig": {
        "MonitoringOutputs": [{"S3Output": {"S3Uri": "s3://b/reports/", "LocalPath": "/opt/ml/processing/out"}}]
    },
    "JobResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 20}},
    "RoleArn": ROLE,
}
NO_DRIFT = DriftOutcome(START, START, DriftVerdict.NO_DRIFT, rows=100)
DRIFT = DriftOutcome(
    START,
    START,
    DriftVerdict.DRIFT,
    rows=100,
    findings=(DriftFinding("amount", "baseline_drift_check", "far"),),
    total=3,
    distances={"amount": 0.7, "x" * 255: 0.1, "größe": 0.1},
)


class Analyst:
    """Says what it was told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.outcome: DriftOutcome | Exception = NO_DRIFT
        self.tasks: list[DriftTask] = []
        self.measured = ExecutionOutcome(ExecutionStatus.COMPLETED)
        self.labelled: list[LabelledTask] = []
        self.made: BaselineOutcome | Exception = BaselineOutcome(200)
        self.baselines: list[tuple[BaselineTask, float]] = []
        self.blocked: asyncio.Event | None = None
        """Baselines wait for it."""

    async def measure(self, task: LabelledTask) -> ExecutionOutcome:
        self.labelled.append(task)
        return self.measured

    async def baseline(self, task: BaselineTask, longest: float) -> BaselineOutcome:
        self.baselines.append((task, longest))
        if self.blocked is not None:
            await self.blocked.wait()
        if isinstance(self.made, Exception):
            raise self.made
        return self.made

    async def analyse(self, task: DriftTask) -> DriftOutcome:
        self.tasks.append(task)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Monitor:
    """Turns of the loop, each with all that it began."""

    def __init__(self, wire: Served, span: int = 60) -> None:
        self.wire, self.analyst = wire, Analyst()
        access = CaptureAccess(span, "http://s3", REGION, ("/data",))
        self._loop = MonitoringSchedules(wire.store, wire.metrics, wire.clock, self.analyst, access, ("/out",))

    def turn(self, seconds: float = 0) -> None:
        self.wire.clock.advance(seconds)
        self.wire.run(self._loop.turn())
        self.wire.run(self._loop.finish())

    def windows(self) -> list[tuple[datetime, datetime]]:
        return [(task.start, task.end) for task in self.analyst.tasks]


@pytest.fixture
def monitor(sagemaker: Any, wire: Served) -> Monitor:
    """An endpoint that captures, and a definition for it."""
    sagemaker.create_model(ModelName="m1", PrimaryContainer={"Image": "tidegate/xgboost"})
    sagemaker.create_endpoint_config(
        EndpointConfigName="first",
        ProductionVariants=[
            {"VariantName": "main", "ModelName": "m1", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        ],
        DataCaptureConfig={
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": "s3://b/captured",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        },
    )
    sagemaker.create_endpoint(EndpointName="fraud", EndpointConfigName="first")
    wire.settle("fraud")
    sagemaker.create_data_quality_job_definition(**JOB)
    return Monitor(wire)


def config(expression: str = HOURLY, job: str = "quality", **times: str) -> dict[str, Any]:
    return {
        "ScheduleConfig": {"ScheduleExpression": expression, **times},
        "MonitoringJobDefinitionName": job,
        "MonitoringType": "DataQuality",
    }


def create(client: Any, name: str = "hourly", **given: Any) -> Any:
    return client.create_monitoring_schedule(MonitoringScheduleName=name, MonitoringScheduleConfig=config(**given))


def described(client: Any, name: str = "hourly") -> Any:
    return client.describe_monitoring_schedule(MonitoringScheduleName=name)


def executions(client: Any, **filters: Any) -> list[tuple[datetime, str]]:
    found = client.list_monitoring_executions(**filters)["MonitoringExecutionSummaries"]
    return [(one["ScheduledTime"], one["MonitoringExecutionStatus"]) for one in found]


def test_a_definition_is_described_listed_and_deleted(sagemaker: Any, monitor: Monitor) -> None:
    found = sagemaker.describe_data_quality_job_definition(JobDefinitionName="quality")
    assert {name: found[name] for name in JOB} == JOB
    assert found["JobDefinitionArn"] == f"{PREFIX}:data-quality-job-definition/quality"
    [one] = sagemaker.list_data_quality_job_definitions(EndpointName="fraud")["JobDefinitionSummaries"]
    assert (one["MonitoringJobDefinitionName"], one["EndpointName"]) == ("quality", "fraud")
    assert sagemaker.list_data_quality_job_definitions(EndpointName="other")["JobDefinitionSummaries"] == []
    assert refused(sagemaker.create_data_quality_job_definition, **JOB)[0] == "ResourceInUse"
    tags = [{"Key": "team", "Value": "risk"}]
    sagemaker.add_tags(ResourceArn=found["JobDefinitionArn"], Tags=tags)
    assert sagemaker.list_tags(ResourceArn=found["JobDefinitionArn"])["Tags"] == tags
    create(sagemaker)
    code, _, message = refused(sagemaker.delete_data_quality_job_definition, JobDefinitionName="quality")
    assert code == "ValidationException" and 'monitoring schedule "hourly"' in message
    sagemaker.delete_monitoring_schedule(MonitoringScheduleName="hourly")
    sagemaker.delete_data_quality_job_definition(JobDefinitionName="quality")
    for gone in (sagemaker.describe_data_quality_job_definition, sagemaker.delete_data_quality_job_definition):
        assert refused(gone, JobDefinitionName="quality")[0] == "ResourceNotFound"


def with_member(path: str, value: Any) -> dict[str, Any]:
    """The definition with one more member, whose path has points."""
    *parents, last = path.split(".")
    made: Any = {**JOB, "JobDefinitionName": "other"}
    inner = made
    for name in parents:
        inner[name] = dict(inner[name])
        inner = inner[name]
    inner[last] = value
    return made  # type: ignore[no-any-return]


FOLDER = {"MonitoringOutputs": [{"S3Output": {"S3Uri": "file:///reports", "LocalPath": "/out"}}], "KmsKeyId": "k"}
UNSUPPORTED: list[tuple[str, Any, str]] = [
    ("DataQualityJobOutputConfig", FOLDER, "KmsKeyId encrypts reports in S3 alone"),
    ("DataQualityBaselineConfig.StatisticsResource", {}, "no StatisticsResource and no BaseliningJobName"),
    ("DataQualityBaselineConfig.StatisticsResource", {"S3Uri": "https://h/x"}, "is no address"),
    ("DataQualityAppSpecification.ImageUri", "me/mine:1", "the analysis is built in"),
    (
        "DataQualityAppSpecification.Environment",
        {"publish_cloudwatch_metrics": "no"},
        "give Enabled or Disabled",
    ),
]


def test_what_a_definition_may_not_have_is_named(sagemaker: Any, monitor: Monitor) -> None:
    for path, value, said in UNSUPPORTED:
        code, _, message = refused(sagemaker.create_data_quality_job_definition, **with_member(path, value))
        assert code == "ValidationException" and said in message, message
    assert len(sagemaker.list_data_quality_job_definitions()["JobDefinitionSummaries"]) == 1


def test_each_hour_is_analysed_once_when_its_captures_are_there(sagemaker: Any, monitor: Monitor) -> None:
    monitor.wire.clock.advance(600)
    assert create(sagemaker)["MonitoringScheduleArn"] == f"{PREFIX}:monitoring-schedule/hourly"
    monitor.turn(3_000)  # 13:00:00
    assert monitor.windows() == [] and "LastMonitoringExecutionSummary" not in described(sagemaker)
    monitor.turn(60)
    monitor.turn(1)
    assert monitor.windows() == [(START, START + HOUR)]
    [task] = monitor.analyst.tasks
    assert task.addresses == ("s3://b/captured/fraud/main/",)
    assert (task.schedule.baseline, task.file_roots) == ("s3://b/base/statistics.json", ("/data",))
    assert task.report is not None and task.report.constraints == "s3://b/base/constraints.json"
    assert (task.report.address, task.report.roots) == ("s3://b/reports/fraud/hourly/2026/03/01/13", ("/out",))
    monitor.analyst.outcome = DRIFT
    monitor.turn(3_600)
    monitor.analyst.outcome = Transient("the bucket does not answer")
    monitor.turn(3_600)
    hours = [START + HOUR, START + 2 * HOUR, START + 3 * HOUR]
    said = ["Completed", "CompletedWithViolations", "Failed"]
    assert executions(sagemaker, SortOrder="Ascending") == list(zip(hours, said, strict=True))
    last = described(sagemaker)["LastMonitoringExecutionSummary"]
    assert (last["FailureReason"], last["MonitoringExecutionStatus"]) == ("the bucket does not answer", "Failed")
    monitor.analyst.outcome = NO_DRIFT
    monitor.turn(5 * 3_600)
    assert executions(sagemaker, MaxResults=1) == [(START + 8 * HOUR, "Completed")]
    assert monitor.windows()[-1] == (START + 7 * HOUR, START + 8 * HOUR)


def test_distances_are_metrics_that_alarms_can_watch(sagemaker: Any, monitor: Monitor) -> None:
    cloudwatch = monitor.wire.client("cloudwatch")
    environment = {"publish_cloudwatch_metrics": "Disabled"}
    app = {"ImageUri": IMAGE, "Environment": environment}
    sagemaker.create_data_quality_job_definition(
        **{**JOB, "JobDefinitionName": "silent", "DataQualityAppSpecification": app}
    )
    create(sagemaker, "silent", job="silent")
    create(sagemaker)
    for outcome in (DRIFT, Transient("the bucket does not answer")):
        monitor.analyst.outcome = outcome
        monitor.turn(3_660)
    found = cloudwatch.list_metrics(Namespace="aws/sagemaker/Endpoints/data-metrics")["Metrics"]
    dimensions = {"Endpoint": "fraud", "MonitoringSchedule": "hourly"}
    assert [(one["MetricName"], {pair["Name"]: pair["Value"] for pair in one["Dimensions"]}) for one in found] == [
        ("feature_baseline_drift_amount", dimensions)
    ]
    [point] = cloudwatch.get_metric_statistics(
        Namespace="aws/sagemaker/Endpoints/data-metrics",
        MetricName="feature_baseline_drift_amount",
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=START,
        EndTime=START + 3 * HOUR,
        Period=3_600,
        Statistics=["Maximum"],
    )["Datapoints"]
    assert point["Maximum"] == 0.7


def test_executions_are_filtered_and_paged(sagemaker: Any, monitor: Monitor) -> None:
    create(sagemaker)
    for outcome in (NO_DRIFT, DRIFT, NO_DRIFT):
        monitor.analyst.outcome = outcome
        monitor.turn(3_660)
    hours = [START + HOUR, START + 2 * HOUR, START + 3 * HOUR]
    assert executions(sagemaker, StatusEquals="CompletedWithViolations") == [(hours[1], "CompletedWithViolations")]
    assert executions(sagemaker, ScheduledTimeAfter=hours[1]) == [(hours[2], "Completed")]
    assert len(executions(sagemaker, MonitoringScheduleName="hourly", EndpointName="fraud")) == 3
    for filters in ({"MonitoringScheduleName": "other"}, {"EndpointName": "other"}):
        assert executions(sagemaker, **filters) == []
    assert executions(sagemaker, MonitoringTypeEquals="ModelBias") == []
    pages = sagemaker.get_paginator("list_monitoring_executions").paginate(PaginationConfig={"PageSize": 2})
    assert [len(page["MonitoringExecutionSummaries"]) for page in pages] == [2, 1]
    sagemaker.delete_monitoring_schedule(MonitoringScheduleName="hourly")
    assert len(executions(sagemaker)) == 3


def test_an_execution_is_a_processing_job(sagemaker: Any, monitor: Monitor) -> None:
    create(sagemaker)
    monitor.analyst.outcome = DRIFT
    monitor.turn(3_660)
    arn = described(sagemaker)["LastMonitoringExecutionSummary"]["ProcessingJobArn"]
    job = sagemaker.describe_processing_job(ProcessingJobName=arn.rpartition("/")[2])
    assert (job["ProcessingJobStatus"], job["MonitoringScheduleArn"]) == (
        "Completed",
        f"{PREFIX}:monitoring-schedule/hourly",
    )
    assert job["ExitMessage"] == "CompletedWithViolations: Job completed successfully with 3 violations."
    assert job["ProcessingInputs"][0]["S3Input"]["S3Uri"] == "s3://b/captured/fraud/main/"
    [output] = job["ProcessingOutputConfig"]["Outputs"]
    assert output["S3Output"]["S3Uri"] == "s3://b/reports/fraud/hourly/2026/03/01/13"
    assert refused(sagemaker.describe_processing_job, ProcessingJobName="other")[0] == "ValidationException"


def test_now_is_executed_once_after_each_start(sagemaker: Any, monitor: Monitor) -> None:
    once = {"DataAnalysisStartTime": "-PT2H", "DataAnalysisEndTime": "-PT30M"}
    create(sagemaker, "once", expression="NOW", **once)
    monitor.turn(59)
    assert monitor.windows() == []
    monitor.turn(1)
    monitor.turn(9_000)
    assert monitor.windows() == [(START - 2 * HOUR, START - HOUR / 2)]
    again = monitor.wire.clock.now()
    sagemaker.start_monitoring_schedule(MonitoringScheduleName="once")
    monitor.turn(60)
    assert monitor.windows()[1:] == [(again - 2 * HOUR, again - HOUR / 2)]
    sagemaker.stop_monitoring_schedule(MonitoringScheduleName="once")
    assert described(sagemaker, "once")["MonitoringScheduleStatus"] == "Stopped"
    assert described(sagemaker, "once")["MonitoringScheduleConfig"] == config("NOW", **once)


def test_what_was_missed_while_stopped_is_not_made_up_for(sagemaker: Any, monitor: Monitor) -> None:
    create(sagemaker)
    sagemaker.stop_monitoring_schedule(MonitoringScheduleName="hourly")
    monitor.turn(3 * 3_600)
    sagemaker.start_monitoring_schedule(MonitoringScheduleName="hourly")
    monitor.turn(60)
    assert monitor.windows() == []
    sagemaker.start_monitoring_schedule(MonitoringScheduleName="hourly")  # it runs already
    monitor.turn(3_600)
    assert executions(sagemaker) == [(START + 4 * HOUR, "Completed")]


def test_an_update_changes_times_and_definition(sagemaker: Any, monitor: Monitor) -> None:
    create(sagemaker)
    monitor.turn(3_660)
    sagemaker.create_data_quality_job_definition(**{**JOB, "JobDefinitionName": "second"})
    sagemaker.update_monitoring_schedule(
        MonitoringScheduleName="hourly",
        MonitoringScheduleConfig=config("cron(0 0/2 ? * * *)", "second", DataAnalysisStartTime="-PT30M"),
    )
    found = described(sagemaker)
    assert found["MonitoringScheduleConfig"]["MonitoringJobDefinitionName"] == "second"
    assert (found["CreationTime"], found["LastModifiedTime"]) == (START, monitor.wire.clock.now())
    sagemaker.delete_data_quality_job_definition(JobDefinitionName="quality")
    monitor.turn(3_600)
    monitor.turn(3_600)
    at = START + 2 * HOUR
    assert monitor.windows()[1:] == [(at - HOUR / 2, at)]
    given = {"MonitoringScheduleName": "no", "MonitoringScheduleConfig": config()}
    assert refused(sagemaker.update_monitoring_schedule, **given)[0] == "ResourceNotFound"


def test_schedules_are_listed_by_status_and_definition(sagemaker: Any, monitor: Monitor) -> None:
    create(sagemaker)
    create(sagemaker, "daily", expression="cron(0 3 ? * * *)")
    sagemaker.stop_monitoring_schedule(MonitoringScheduleName="daily")

    def names(**filters: Any) -> list[str]:
        found = sagemaker.list_monitoring_schedules(SortBy="Name", SortOrder="Ascending", **filters)
        return [one["MonitoringScheduleName"] for one in found["MonitoringScheduleSummaries"]]

    assert names() == ["daily", "hourly"]
    assert names(StatusEquals="Stopped") == ["daily"] and names(NameContains="our") == ["hourly"]
    assert names(MonitoringJobDefinitionName="quality", EndpointName="fraud") == ["daily", "hourly"]
    assert names(MonitoringJobDefinitionName="other") == names(LastModifiedTimeAfter=START + HOUR) == []
    assert refused(create, client=sagemaker)[0] == "ResourceInUse"


IMPOSSIBLE: list[tuple[dict[str, str], str]] = [
    ({"expression": "rate(1 hour)"}, "give cron(...)"),
    ({"expression": "cron(0 * *)"}, "it needs 6"),
    ({"expression": "cron(0 0 1 1 ? 2020)"}, "names no time to come"),
    ({"expression": "NOW"}, "needs DataAnalysisStartTime"),
    ({"DataAnalysisStartTime": "yesterday"}, "'yesterday' is no duration"),
    ({"DataAnalysisStartTime": "P1H"}, "is no duration"),
    ({"DataAnalysisStartTime": "-P40D"}, "31 days at most"),
    ({"DataAnalysisStartTime": "-PT1H", "DataAnalysisEndTime": "-PT2H"}, "is not before"),
    ({"DataAnalysisStartTime": "-PT1H", "DataAnalysisEndTime": "PT1H"}, "is in the future"),
    ({"DataAnalysisEndTime": "-PT1H"}, "needs DataAnalysisStartTime"),
]


def test_times_that_no_schedule_can_have_are_named(sagemaker: Any, monitor: Monitor) -> None:
    for given, said in IMPOSSIBLE:
        code, _, message = refused(create, client=sagemaker, **given)
        assert code == "ValidationException" and said in message, message
    assert sagemaker.list_monitoring_schedules()["MonitoringScheduleSummaries"] == []


def test_other_kinds_of_monitoring_are_refused_by_name(sagemaker: Any, monitor: Monitor) -> None:
    for kind in ("ModelExplainability",):
        given = {**config(), "MonitoringType": kind}
        code, _, message = refused(
            sagemaker.create_monitoring_schedule, MonitoringScheduleName="s", MonitoringScheduleConfig=given
        )
        assert code == "ValidationException" and f"MonitoringType {kind} is not supported" in message
    inline = {
        "MonitoringInputs": [{"EndpointInput": INPUT}],
        "MonitoringOutputConfig": JOB["DataQualityJobOutputConfig"],
        "MonitoringResources": JOB["JobResources"],
        "MonitoringAppSpecification": {"ImageUri": IMAGE},
        "RoleArn": ROLE,
    }
    given = {**config(), "MonitoringJobDefinition": inline}
    create(sagemaker)
    for call in (sagemaker.create_monitoring_schedule, sagemaker.update_monitoring_schedule):
        message = refused(call, MonitoringScheduleName="hourly", MonitoringScheduleConfig=given)[2]
        assert "MonitoringJobDefinition is not supported" in message
    code, _, message = refused(sagemaker.list_model_explainability_job_definitions)
    assert code == "UnknownOperationException" and "ListModelExplainabilityJobDefinitions" in message


def test_sagemaker_runs_no_schedule_more_often_than_each_hour(
    sagemaker: Any, monitor: Monitor, wire: Served
) -> None:
    create(sagemaker, expression="cron(0/5 * ? * * *)")
    monitor.turn(360)
    assert monitor.windows() == [(START, START + HOUR / 12)]
    assert monitor.analyst.tasks[0].report is not None
    assert monitor.analyst.tasks[0].report.address == "s3://b/reports/fraud/hourly/2026/03/01/12/05"
    wire.ctx = replace(wire.ctx, targets=TargetTable({LOCAL: SAGEMAKER_CAPABILITIES}))
    for expression in ("cron(0/5 * ? * * *)", "cron(0,30 3 ? * * *)"):
        code, _, message = refused(create, client=sagemaker, name="often", expression=expression)
        assert code == "ValidationException" and "SageMaker's shortest is an hour" in message
    create(sagemaker, "seldom", expression="cron(0 3/1 ? * * *)")


def test_an_endpoint_that_is_gone_fails_the_execution_and_not_the_schedule(
    sagemaker: Any, monitor: Monitor, wire: Served
) -> None:
    create(sagemaker)
    sagemaker.delete_endpoint(EndpointName="fraud")
    wire.settle("fraud")
    monitor.turn(3_660)
    monitor.turn(3_600)
    found = sagemaker.list_monitoring_executions()["MonitoringExecutionSummaries"]
    assert [one["FailureReason"] for one in found] == ['endpoint "fraud" is not there any more'] * 2
    assert monitor.analyst.tasks == []
    assert refused(create, client=sagemaker, name="late")[0] == "ValidationException"


def test_a_clock_that_was_ahead_holds_up_nothing(sagemaker: Any, monitor: Monitor) -> None:
    create(sagemaker)
    monitor.turn(400 * 3_600 + 60)
    monitor.wire.clock.present = START + timedelta(hours=2, seconds=60)
    monitor.turn()
    monitor.turn()
    assert monitor.windows()[1:] == [(START + HOUR, START + 2 * HOUR)]
