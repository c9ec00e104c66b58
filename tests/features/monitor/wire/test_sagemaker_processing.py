"""Processing jobs that make baselines, through boto3: life of a job, restarts, and what is refused."""

import asyncio
import json
from typing import Any

import pytest

from tests.features.monitor.wire.test_sagemaker_monitoring import IMAGE, ROLE, Analyst
from tests.served_wire import ACCOUNT, REGION, START, Served
from tests.wire.test_sagemaker_endpoints import refused
from tidegate.domain.errors import Transient
from tidegate.features.monitor.model_quality import ProblemType, QualityTerms
from tidegate.features.monitor.processing_loop import ProcessingJobs
from tidegate.features.monitor.processing_records import (
    BaselineJob,
    BaselineOutcome,
    DatasetFormat,
    ProcessingJob,
    StorageAccess,
)
from tidegate.features.monitor.processing_service import MOST_UNENDED, create
from tidegate.ports.store import Tx

PREFIX = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:processing-job"
PLACE = "/opt/ml/processing/input/baseline_dataset_input"
ENVIRONMENT = {
    "dataset_format": json.dumps({"csv": {"header": True, "output_columns_position": "START"}}),
    "dataset_source": PLACE,
    "output_path": "/opt/ml/processing/output",
    "publish_cloudwatch_metrics": "Disabled",
}
QUALITY = {
    **ENVIRONMENT,
    "analysis_type": "MODEL_QUALITY",
    "problem_type": "BinaryClassification",
    "inference_attribute": "said",
    "probability_attribute": "p",
    "probability_threshold_attribute": "0.4",
    "ground_truth_attribute": "label",
}
JOB: dict[str, Any] = {
    "ProcessingJobName": "base",
    "ProcessingInputs": [
        {
            "InputName": "baseline_dataset_input",
            "S3Input": {
                "S3Uri": "s3://b/train.csv",
                "LocalPath": PLACE,
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
                "S3DataDistributionType": "FullyReplicated",
                "S3CompressionType": "None",
            },
        }
    ],
    "ProcessingOutputConfig": {
        "Outputs": [
            {
                "OutputName": "monitoring_output",
                "S3Output": {
                    "S3Uri": "s3://b/base/",
                    "LocalPath": "/opt/ml/processing/output",
                    "S3UploadMode": "EndOfJob",
                },
            }
        ]
    },
    "ProcessingResources": {
        "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30}
    },
    "AppSpecification": {"ImageUri": IMAGE},
    "Environment": ENVIRONMENT,
    "RoleArn": ROLE,
}


class Jobs:
    """Turns of the loop."""

    def __init__(self, wire: Served) -> None:
        self.wire, self.analyst = wire, Analyst()
        self.restart()

    def restart(self) -> None:
        """A new process, which knows of none that was begun."""
        access = StorageAccess("http://s3", REGION, ("/data",), ("/out",))
        self.loop = ProcessingJobs(self.wire.store, self.wire.clock, self.analyst, access)

    def turn(self) -> None:
        self.wire.clock.advance(1)
        self.wire.run(self.loop.turn())

    def finish(self) -> None:
        self.turn()
        self.wire.run(self.loop.finish())


@pytest.fixture
def jobs(wire: Served) -> Jobs:
    return Jobs(wire)


def described(client: Any, name: str = "base") -> Any:
    return client.describe_processing_job(ProcessingJobName=name)


def test_a_job_makes_a_baseline_and_is_described_as_it_was_asked_for(sagemaker: Any, jobs: Jobs) -> None:
    assert sagemaker.create_processing_job(**JOB)["ProcessingJobArn"] == f"{PREFIX}/base"
    found = described(sagemaker)
    assert (found["ProcessingJobStatus"], found["CreationTime"]) == ("InProgress", START)
    assert {name: found[name] for name in JOB} == JOB
    jobs.finish()
    [(task, longest)] = jobs.analyst.baselines
    assert task.work == BaselineJob("s3://b/train.csv", DatasetFormat(), "s3://b/base/") and longest == 3_600
    assert task.access == StorageAccess("http://s3", REGION, ("/data",), ("/out",))
    found = described(sagemaker)
    assert (found["ProcessingJobStatus"], found["ExitMessage"]) == (
        "Completed",
        "Completed: a baseline of 200 rows.",
    )
    assert found["ProcessingStartTime"] == found["ProcessingEndTime"] > START
    assert refused(sagemaker.create_processing_job, **JOB)[0] == "ResourceInUse"
    assert refused(sagemaker.stop_processing_job, ProcessingJobName="base")[0] == "ValidationException"
    tags = [{"Key": "team", "Value": "risk"}]
    sagemaker.add_tags(ResourceArn=f"{PREFIX}/base", Tags=tags)
    assert sagemaker.list_tags(ResourceArn=f"{PREFIX}/base")["Tags"] == tags


def test_a_baseline_of_predictions_has_the_columns_of_its_environment(sagemaker: Any, jobs: Jobs) -> None:
    form = {"dataset_format": json.dumps({"json": {"lines": False}})}
    limit = {"MaxRuntimeInSeconds": 60}
    sagemaker.create_processing_job(**{**JOB, "Environment": {**QUALITY, **form}, "StoppingCondition": limit})
    jobs.finish()
    [(task, longest)] = jobs.analyst.baselines
    assert task.work.quality == QualityTerms(ProblemType.BINARY, "said", "p", 0.4, "label")
    assert (task.work.format, longest) == (DatasetFormat(csv=False, lines=False), 60)


def test_a_job_that_fails_says_why(sagemaker: Any, jobs: Jobs) -> None:
    reasons: dict[str, BaselineOutcome | Exception] = {
        "bad-data": BaselineOutcome(reason="line 3 has 4 fields"),
        "too-slow": Transient("the analysis was not finished within 60 s"),
        "broken": RuntimeError("secret"),
    }
    for name, made in reasons.items():
        jobs.analyst.made = made
        sagemaker.create_processing_job(**{**JOB, "ProcessingJobName": name})
        jobs.finish()
    said = {name: described(sagemaker, name) for name in reasons}
    assert {one["ProcessingJobStatus"] for one in said.values()} == {"Failed"}
    assert [one["FailureReason"] for one in said.values()] == [
        "line 3 has 4 fields",
        "the analysis was not finished within 60 s",
        "the analysis broke down: RuntimeError",
    ]


def test_a_job_that_a_restart_breaks_off_is_run_again(sagemaker: Any, jobs: Jobs) -> None:
    jobs.analyst.blocked = asyncio.Event()
    sagemaker.create_processing_job(**JOB)
    jobs.turn()
    jobs.turn()
    jobs.wire.run(jobs.loop.stop())
    assert described(sagemaker)["ProcessingJobStatus"] == "InProgress"
    began = described(sagemaker)["ProcessingStartTime"]
    jobs.analyst.blocked = None
    jobs.restart()
    jobs.finish()
    found = described(sagemaker)
    assert (found["ProcessingJobStatus"], found["ProcessingStartTime"]) == ("Completed", began)
    assert len(jobs.analyst.baselines) == 2


@pytest.mark.parametrize("restarted", [False, True])
def test_a_job_is_stopped_also_by_the_next_process(sagemaker: Any, jobs: Jobs, restarted: bool) -> None:
    jobs.analyst.blocked = asyncio.Event()
    sagemaker.create_processing_job(**JOB)
    jobs.turn()
    sagemaker.stop_processing_job(ProcessingJobName="base")
    assert described(sagemaker)["ProcessingJobStatus"] == "Stopping"
    if restarted:
        jobs.wire.run(jobs.loop.stop())
        jobs.restart()
    jobs.turn()
    found = described(sagemaker)
    assert found["ProcessingJobStatus"] == "Stopped" and "ProcessingEndTime" in found
    jobs.finish()
    assert described(sagemaker)["ProcessingJobStatus"] == "Stopped"
    assert refused(sagemaker.stop_processing_job, ProcessingJobName="other")[0] == "ValidationException"


def test_jobs_are_listed_by_status_and_paged(sagemaker: Any, jobs: Jobs) -> None:
    for name in ("one", "two"):
        sagemaker.create_processing_job(**{**JOB, "ProcessingJobName": name})
    jobs.finish()
    sagemaker.create_processing_job(**{**JOB, "ProcessingJobName": "three"})

    def names(**filters: Any) -> list[str]:
        found = sagemaker.list_processing_jobs(SortBy="Name", SortOrder="Ascending", **filters)
        return [one["ProcessingJobName"] for one in found["ProcessingJobSummaries"]]

    assert names() == ["one", "three", "two"]
    assert names(StatusEquals="Completed") == ["one", "two"] and names(NameContains="t") == ["three", "two"]
    assert len(sagemaker.list_processing_jobs(MaxResults=2)["ProcessingJobSummaries"]) == 2


def changed(**members: Any) -> dict[str, Any]:
    return {**JOB, "ProcessingJobName": "other", **members}


def environment(**values: str | None) -> dict[str, Any]:
    merged = {**QUALITY, **values}
    return changed(Environment={name: value for name, value in merged.items() if value is not None})


def with_input(**members: Any) -> dict[str, Any]:
    [given] = JOB["ProcessingInputs"]
    return changed(ProcessingInputs=[{**given, "S3Input": {**given["S3Input"], **members}}])


CLARIFY = "205585389593.dkr.ecr.us-east-1.amazonaws.com/sagemaker-clarify-processing:1.0"
REFUSED: list[tuple[dict[str, Any], str]] = [
    (changed(AppSpecification={"ImageUri": "me/sklearn:1"}), "the analysis is built in"),
    (changed(AppSpecification={"ImageUri": CLARIFY}), "baselines of bias and of explanations are not made here"),
    (
        changed(AppSpecification={"ImageUri": IMAGE, "ContainerArguments": ["a"]}),
        "ContainerArguments is not",
    ),
    (environment(record_preprocessor_script="/x.py"), "record_preprocessor_script: scripts are not run"),
    (environment(dataset_format=None), "no dataset_format"),
    (environment(dataset_format='{"sagemakerCaptureJson": {}}'), '"sagemakerCaptureJson": {}} is not supported'),
    (environment(dataset_format="[]"), "dataset_format [] is not supported"),
    (environment(dataset_format='{"csv": {"header": "yes"}}'), "is not supported"),
    (environment(dataset_source="/elsewhere"), "dataset_source '/elsewhere'"),
    (environment(analysis_type="MODEL_BIAS"), "analysis_type 'MODEL_BIAS'"),
    (environment(problem_type="Ranking"), "problem_type 'Ranking'"),
    (environment(ground_truth_attribute=None), "no ground_truth_attribute"),
    (environment(inference_attribute=None, probability_attribute=None), "name a column"),
    (environment(problem_type="Regression", inference_attribute=None), "no inference_attribute"),
    (environment(probability_threshold_attribute="1.5"), "probability_threshold_attribute '1.5'"),
    (environment(probability_threshold_attribute="nan"), "probability_threshold_attribute 'nan'"),
    (environment(categorical_drift_method="Other"), "categorical_drift_method 'Other'"),
    ({**JOB, "ProcessingJobName": f"model-monitoring-{'a' * 20}-20260301130000"}, "is a name of an execution"),
    (with_input(S3DataType="ManifestFile"), "S3DataType ManifestFile"),
    (with_input(S3CompressionType="Gzip"), "S3CompressionType Gzip"),
    (with_input(S3Uri="s3://b/../x"), "has a part . or .."),
    (changed(ProcessingInputs=[]), "there are 0 ProcessingInputs"),
    (changed(ProcessingInputs=JOB["ProcessingInputs"] * 2), "there are 2 ProcessingInputs"),
    (changed(ProcessingOutputConfig={"Outputs": []}), "needs one output with an S3Output"),
]


def test_what_a_job_may_not_be_is_named(sagemaker: Any) -> None:
    for given, said in REFUSED:
        code, _, message = refused(sagemaker.create_processing_job, **given)
        assert code == "ValidationException" and said in message, message
    assert sagemaker.list_processing_jobs()["ProcessingJobSummaries"] == []


def test_jobs_that_wait_are_bounded(sagemaker: Any, wire: Served) -> None:
    work = BaselineJob("s3://b/train.csv", DatasetFormat(), "s3://b/base/")

    def fill(tx: Tx) -> None:
        for number in range(MOST_UNENDED):
            create(tx, ProcessingJob(f"job-{number}", work, START, 60), {}, START)

    wire.run(wire.store.run(fill))
    code, _, message = refused(sagemaker.create_processing_job, **JOB)
    assert code == "ResourceLimitExceeded" and "have not ended" in message


def test_a_job_is_not_lost_by_a_database_that_does_not_answer_for_a_moment(
    sagemaker: Any, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Transient("the database does not answer")

    sagemaker.create_processing_job(**JOB)
    with monkeypatch.context() as broken:
        broken.setattr("tidegate.features.monitor.processing_service.begin", refuse)
        jobs.finish()
    assert described(sagemaker)["ProcessingJobStatus"] == "InProgress"
    jobs.finish()
    assert described(sagemaker)["ProcessingJobStatus"] == "Completed"
