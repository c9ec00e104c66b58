"""SageMaker's operations on job definitions of Model Monitor: those of data quality."""

from tidegate.domain.access import Access
from tidegate.domain.errors import Invalid
from tidegate.domain.monitoring_schedule import DataQualityJob
from tidegate.ports.store import Saved
from tidegate.service import monitoring_schedules as use
from tidegate.wire.listing import parse_listing, take_page
from tidegate.wire.operation import Operations, Params, TxCall, TxOperation
from tidegate.wire.resource_errors import name_errors
from tidegate.wire.sagemaker_tags import parse_tags
from tidegate.wire.unsupported import refuse

IMAGES = ("sagemaker-model-monitor-analyzer", "model-monitor")
"""Names of repositories of images that stand for the built-in analysis: SageMaker's and ours."""
REFUSED_APP = (
    "ContainerEntrypoint",
    "ContainerArguments",
    "RecordPreprocessorSourceUri",
    "PostAnalyticsProcessorSourceUri",
)
REFUSED_INPUT = (
    "FeaturesAttribute",
    "InferenceAttribute",
    "ProbabilityAttribute",
    "ProbabilityThresholdAttribute",
    "StartTimeOffset",
    "EndTimeOffset",
    "ExcludeFeaturesAttribute",
)
_PUBLISH = "publish_cloudwatch_metrics"
_ECHOED = (
    "DataQualityBaselineConfig",
    "DataQualityAppSpecification",
    "DataQualityJobInput",
    "DataQualityJobOutputConfig",
    "JobResources",
    "NetworkConfig",
    "RoleArn",
    "StoppingCondition",
)


def create_job(call: TxCall, params: Params) -> Params:
    _check_app(params["DataQualityAppSpecification"])
    baseline = params.get("DataQualityBaselineConfig", {})
    refuse(baseline, ("BaseliningJobName",))
    statistics = baseline.get("StatisticsResource", {}).get("S3Uri")
    if not statistics:
        raise Invalid(
            "DataQualityBaselineConfig has no StatisticsResource: make one with 'tidegate drift --write', or with"
            " 'tidegate monitor baseline'"
        )
    output = params["DataQualityJobOutputConfig"]
    job = DataQualityJob(
        params["JobDefinitionName"],
        _parse_endpoint(params["DataQualityJobInput"]),
        statistics,
        baseline.get("ConstraintsResource", {}).get("S3Uri", ""),
        output["MonitoringOutputs"][0]["S3Output"]["S3Uri"],
        output.get("KmsKeyId", ""),
        call.now,
        {name: params[name] for name in _ECHOED if name in params},
        _publishes(params["DataQualityAppSpecification"].get("Environment", {})),
    )
    name_errors(lambda: use.define_job(call.tx, job, parse_tags(params), call.now))
    return {"JobDefinitionArn": _arn(call, job.name)}


def describe_job(call: TxCall, params: Params) -> Params:
    job = name_errors(lambda: use.get_job(call.tx, params["JobDefinitionName"]))
    return {
        "JobDefinitionArn": _arn(call, job.name),
        "JobDefinitionName": job.name,
        "CreationTime": job.created_at,
        **job.wire,
    }


def list_jobs(call: TxCall, params: Params) -> Params:
    found = use.find_jobs(call.tx, parse_listing(params).where)
    if "EndpointName" in params:
        found = [saved for saved in found if saved.body.endpoint == params["EndpointName"]]
    page, token = take_page(found, params)
    return {"JobDefinitionSummaries": [_summarise(call, saved) for saved in page], "NextToken": token}


def delete_job(call: TxCall, params: Params) -> None:
    name_errors(lambda: use.delete_job(call.tx, params["JobDefinitionName"], call.now))


def _check_app(given: Params) -> None:
    """Raises Invalid."""
    refuse(given, REFUSED_APP)
    repository = given["ImageUri"].partition("@")[0].rpartition("/")[2].partition(":")[0]
    if repository not in IMAGES:
        raise Invalid(
            f"ImageUri {given['ImageUri']!r}: the analysis is built in, so give SageMaker's image"
            f" {IMAGES[0]}, or tidegate/{IMAGES[1]}; other images are not run"
        )


def _publishes(environment: dict[str, str]) -> bool:
    """Raises Invalid. SageMaker's SDKs always set the variable."""
    given = environment.get(_PUBLISH, "Enabled")
    if given not in ("Enabled", "Disabled"):
        raise Invalid(f"Environment has {_PUBLISH} {given!r}: give Enabled or Disabled")
    return given == "Enabled"


def _parse_endpoint(given: Params) -> str:
    """Raises Invalid."""
    refuse(given, ("BatchTransformInput",))
    if "EndpointInput" not in given:
        raise Invalid("DataQualityJobInput has no EndpointInput: name the endpoint whose captures are analysed")
    refuse(given["EndpointInput"], REFUSED_INPUT)
    name: str = given["EndpointInput"]["EndpointName"]
    return name


def _summarise(call: TxCall, saved: Saved[DataQualityJob]) -> Params:
    return {
        "MonitoringJobDefinitionName": saved.name,
        "MonitoringJobDefinitionArn": _arn(call, saved.name),
        "CreationTime": saved.created_at,
        "EndpointName": saved.body.endpoint,
    }


def _arn(call: TxCall, name: str) -> str:
    return call.arn(f"data-quality-job-definition/{name}")


OPERATIONS: Operations = {
    "CreateDataQualityJobDefinition": TxOperation(create_job, Access.CHANGE),
    "DescribeDataQualityJobDefinition": TxOperation(describe_job, Access.READ),
    "ListDataQualityJobDefinitions": TxOperation(list_jobs, Access.READ),
    "DeleteDataQualityJobDefinition": TxOperation(delete_job, Access.CHANGE),
}
