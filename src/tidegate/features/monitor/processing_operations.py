"""SageMaker's operations on processing jobs: those that make a baseline, and executions of monitoring schedules."""

import json
from typing import Any

from tidegate.domain.access import Access
from tidegate.domain.errors import Conflict, Invalid
from tidegate.features.monitor import processing_service as use
from tidegate.features.monitor import schedules as monitoring_schedules
from tidegate.features.monitor.members import ANALYSER, CLARIFY, REFUSED_SCRIPTS, check_app, repository_of
from tidegate.features.monitor.model_quality import ProblemType, QualityTerms
from tidegate.features.monitor.processing_records import (
    BaselineJob,
    DatasetFormat,
    ProcessingJob,
    ProcessingStatus,
)
from tidegate.features.monitor.schedule_records import ExecutionStatus, MonitoringExecution
from tidegate.ports.store import StoredRecord
from tidegate.wire.errors import name_errors, require_job
from tidegate.wire.listing import list_by_status, parse_listing
from tidegate.wire.operation import Operations, Params, TxCall, TxOperation, refuse_unsupported
from tidegate.wire.sagemaker_tags import parse_tags

_ECHOED = (
    "ProcessingInputs",
    "ProcessingOutputConfig",
    "ProcessingResources",
    "StoppingCondition",
    "AppSpecification",
    "Environment",
    "NetworkConfig",
    "RoleArn",
    "ExperimentConfig",
)
_SCRIPTS = ("record_preprocessor_script", "post_analytics_processor_script")
_METHODS = ("", "LInfinity", "ChiSquared")


def create_processing_job(call: TxCall, params: Params) -> Params:
    _check_image(params["AppSpecification"])
    environment = params.get("Environment", {})
    longest = params.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", use.MOST_SECONDS)
    job = ProcessingJob(
        params["ProcessingJobName"],
        _parse_work(params, environment),
        call.now,
        min(longest, use.MOST_SECONDS),
        {name: params[name] for name in _ECHOED if name in params},
    )
    name_errors(lambda: use.create(call.tx, job, parse_tags(params), call.now))
    return {"ProcessingJobArn": _arn(call, job.name)}


def describe_processing_job(call: TxCall, params: Params) -> Params:
    job = use.get(call.tx, params["ProcessingJobName"])
    if job is not None:
        return _describe(call, job)
    with require_job(params["ProcessingJobName"]):
        one = monitoring_schedules.get_execution(call.tx, params["ProcessingJobName"])
    return _describe_execution(call, one)


def list_processing_jobs(call: TxCall, params: Params) -> Params:
    """Executions are listed by ListMonitoringExecutions alone."""
    found = use.find(call.tx, parse_listing(params).where)
    page, token = list_by_status(found, params, lambda saved: saved.body.status.value)
    return {"ProcessingJobSummaries": [_summarise(call, saved) for saved in page], "NextToken": token}


def stop_processing_job(call: TxCall, params: Params) -> None:
    name = params["ProcessingJobName"]
    try:
        with require_job(name):
            use.stop(call.tx, name, call.now)
    except Conflict as error:  # a name that the operation does not have
        raise Invalid(error.message) from None


def _check_image(given: Params) -> None:
    """Raises Invalid."""
    if repository_of(given["ImageUri"]) in CLARIFY:
        raise Invalid(f"ImageUri {given['ImageUri']!r}: baselines of bias and of explanations are not made here")
    refuse_unsupported(given, REFUSED_SCRIPTS)
    check_app(given, ANALYSER)


def _parse_work(params: Params, environment: dict[str, str]) -> BaselineJob:
    """Raises Invalid."""
    for name in _SCRIPTS:
        if name in environment:
            raise Invalid(f"Environment has {name}: scripts are not run; prepare the data set before")
    outputs = params.get("ProcessingOutputConfig", {}).get("Outputs", [])
    if len(outputs) != 1 or "S3Output" not in outputs[0]:
        raise Invalid("ProcessingOutputConfig needs one output with an S3Output: the folder of the baseline")
    refuse_unsupported(outputs[0], ("FeatureStoreOutput",))
    method = environment.get("categorical_drift_method", "")
    if method not in _METHODS:
        raise Invalid(f"Environment has categorical_drift_method {method!r}: give {' or '.join(_METHODS[1:])}")
    return BaselineJob(
        _parse_source(params.get("ProcessingInputs", []), environment),
        _parse_format(environment),
        outputs[0]["S3Output"]["S3Uri"],
        params["ProcessingOutputConfig"].get("KmsKeyId", ""),
        _parse_quality(environment),
        method,
    )


def _parse_source(inputs: list[Params], environment: dict[str, str]) -> str:
    """The input at ``dataset_source``, or the only one. Raises Invalid for others, which nothing would read."""
    place = environment.get("dataset_source")
    if len(inputs) != 1 or "S3Input" not in inputs[0]:
        raise Invalid(f"there are {len(inputs)} ProcessingInputs: give one with an S3Input, the data set")
    refuse_unsupported(inputs[0], ("DatasetDefinition",))
    found = inputs[0]["S3Input"]
    if place is not None and found.get("LocalPath", place) != place:
        raise Invalid(f"Environment has dataset_source {place!r}, and the input is at {found['LocalPath']!r}")
    if found["S3DataType"] != "S3Prefix":
        raise Invalid(f"S3DataType {found['S3DataType']} is not supported: give S3Prefix")
    if found.get("S3CompressionType", "None") != "None":
        raise Invalid(f"S3CompressionType {found['S3CompressionType']} is not supported: give None")
    address: str = found["S3Uri"]
    return address


def _parse_format(environment: dict[str, str]) -> DatasetFormat:
    """Raises Invalid."""
    text = environment.get("dataset_format")
    if text is None:
        raise Invalid('Environment has no dataset_format, such as {"csv": {"header": true}}')
    try:
        document: Any = json.loads(text)
        [(kind, about)] = document.items()
        header, lines = about.get("header", True), about.get("lines", True)
    except (ValueError, AttributeError, TypeError, RecursionError):
        kind, header, lines = "", True, True
    if kind not in ("csv", "json") or not isinstance(header, bool) or not isinstance(lines, bool):
        raise Invalid(f"dataset_format {text[:200]} is not supported: give csv with header, or json with lines")
    return DatasetFormat(kind == "csv", header, lines)


def _parse_quality(environment: dict[str, str]) -> QualityTerms | None:
    """Raises Invalid."""
    kind = environment.get("analysis_type", "DATA_QUALITY")
    if kind == "DATA_QUALITY":
        return None
    if kind != "MODEL_QUALITY":
        raise Invalid(f"Environment has analysis_type {kind!r}: give MODEL_QUALITY, or leave it out")
    problem, label = environment.get("problem_type", ""), environment.get("ground_truth_attribute", "")
    if problem not in list(ProblemType):
        raise Invalid(f"Environment has problem_type {problem!r}: give {', '.join(ProblemType)}")
    if not label:
        raise Invalid("Environment has no ground_truth_attribute: name the column of the labels")
    inference, chance = environment.get("inference_attribute", ""), environment.get("probability_attribute", "")
    if problem != ProblemType.BINARY and not inference:
        raise Invalid("Environment has no inference_attribute: name the column of the predictions")
    if not inference and not chance:
        raise Invalid("Environment has neither inference_attribute nor probability_attribute: name a column")
    threshold = _parse_threshold(environment.get("probability_threshold_attribute"))
    return QualityTerms(ProblemType(problem), inference, chance, threshold, label)


def _parse_threshold(text: str | None) -> float | None:
    """Raises Invalid."""
    if text is None:
        return None
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise Invalid(f"Environment has probability_threshold_attribute {text!r}: give a number from 0 to 1")
    return found


def _describe(call: TxCall, job: ProcessingJob) -> Params:
    completed = job.status is ProcessingStatus.COMPLETED
    return {
        "ProcessingJobName": job.name,
        "ProcessingJobArn": _arn(call, job.name),
        **job.wire,
        "ProcessingJobStatus": job.status.value,
        "ExitMessage": f"Completed: a baseline of {job.rows} rows." if completed else None,
        "FailureReason": job.reason or None,
        "CreationTime": job.created_at,
        "ProcessingStartTime": job.started_at,
        "ProcessingEndTime": job.ended_at,
        "LastModifiedTime": job.ended_at or job.started_at or job.created_at,
    }


def _summarise(call: TxCall, saved: StoredRecord[ProcessingJob]) -> Params:
    shown = _describe(call, saved.body)
    names = (
        "ProcessingJobName",
        "ProcessingJobArn",
        "CreationTime",
        "ProcessingEndTime",
        "LastModifiedTime",
        "ProcessingJobStatus",
        "FailureReason",
        "ExitMessage",
    )
    return {name: shown[name] for name in names}


def _describe_execution(call: TxCall, one: MonitoringExecution) -> Params:
    given: Params = dict(one.job.wire)
    app, output = given[f"{one.job.type}AppSpecification"], given[f"{one.job.type}JobOutputConfig"]
    place = output["MonitoringOutputs"][0]["S3Output"]
    folder = given[f"{one.job.type}JobInput"]["EndpointInput"]["LocalPath"]
    failed = one.status is ExecutionStatus.FAILED
    report = {
        "S3Uri": one.output,
        "LocalPath": place["LocalPath"],
        "S3UploadMode": place.get("S3UploadMode", "EndOfJob"),
    }
    key = output.get("KmsKeyId")
    return {
        "ProcessingJobName": one.name,
        "ProcessingJobArn": _arn(call, one.name),
        "ProcessingInputs": [
            {
                "InputName": f"endpoint_input_{number}",
                "S3Input": {"S3Uri": address, "LocalPath": folder, "S3DataType": "S3Prefix"},
            }
            for number, address in enumerate(one.inputs, 1)
        ],
        "ProcessingOutputConfig": {
            "Outputs": [{"OutputName": "monitoring_output", "S3Output": report}],
            **({"KmsKeyId": key} if key else {}),
        },
        "ProcessingResources": given["JobResources"],
        "StoppingCondition": given.get("StoppingCondition"),
        "AppSpecification": {"ImageUri": app["ImageUri"]},
        "Environment": app.get("Environment"),
        "RoleArn": given["RoleArn"],
        "ProcessingJobStatus": "Failed" if failed else "Completed",
        "ExitMessage": None if failed else _describe_end(one),
        "FailureReason": one.reason or None,
        "ProcessingStartTime": one.began_at,
        "ProcessingEndTime": one.ended_at,
        "LastModifiedTime": one.ended_at,
        "CreationTime": one.began_at,
        "MonitoringScheduleArn": call.arn(f"monitoring-schedule/{one.schedule}"),
    }


def _describe_end(one: MonitoringExecution) -> str:
    found = f"{one.violations} violations" if one.violations else "no violations"
    more = f" {one.remark}." if one.remark else ""
    return f"{one.status}: Job completed successfully with {found}.{more}"


def _arn(call: TxCall, name: str) -> str:
    return call.arn(f"processing-job/{name}")


OPERATIONS: Operations = {
    "CreateProcessingJob": TxOperation(create_processing_job, Access.CHANGE),
    "DescribeProcessingJob": TxOperation(describe_processing_job, Access.READ),
    "ListProcessingJobs": TxOperation(list_processing_jobs, Access.READ),
    "StopProcessingJob": TxOperation(stop_processing_job, Access.CHANGE),
}
