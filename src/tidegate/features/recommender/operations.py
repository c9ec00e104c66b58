"""SageMaker's operations of the inference recommender."""

from tidegate.domain.access import Access
from tidegate.domain.errors import AlreadyExists, Invalid
from tidegate.domain.recommendation import (
    ConfigurationTrial,
    RecommendationJob,
    RecommendationLimits,
    RecommendedInstance,
)
from tidegate.features.recommender import service as use
from tidegate.ports.store import StoredRecord
from tidegate.wire.errors import NamedError, require_job
from tidegate.wire.listing import list_by_status, parse_listing, take_page
from tidegate.wire.member_notes import OperationNotes, note
from tidegate.wire.operation import Operations, Params, TxCall, TxOperation, refuse_unsupported, unsupported
from tidegate.wire.sagemaker_tags import parse_tags

_ECHOED = ("JobDescription", "JobType", "RoleArn", "InputConfig", "StoppingConditions")
_PERCENTILES = {"P95": 95.0, "P99": 99.0}
VARIANT = "AllTraffic"


def create_job(call: TxCall, params: Params) -> Params:
    given, conditions = params["InputConfig"], params.get("StoppingConditions", {})
    _check(given, params)
    container = given.get("ContainerConfig", {})
    payload = container.get("PayloadConfig", {})
    if "ModelName" not in given or "SamplePayloadUrl" not in payload:
        raise Invalid("InputConfig needs a ModelName, and ContainerConfig.PayloadConfig.SamplePayloadUrl with it")
    types = [each["InstanceType"] for each in given.get("EndpointConfigurations", [])]
    job = RecommendationJob(
        params["JobName"],
        use.get_model(call.tx, given["ModelName"]),
        payload["SamplePayloadUrl"],
        call.now,
        content_type=(payload.get("SupportedContentTypes") or [""])[0],
        limits=_parse_limits(given, conditions),
        types=tuple(dict.fromkeys(types or container.get("SupportedInstanceTypes", []))),
        wire={name: params[name] for name in _ECHOED if name in params},
    )
    try:
        use.create(call.tx, job, parse_tags(params), runnable=call.ctx.runnable, now=call.now)
    except AlreadyExists:
        message = f'Job name must be unique: there is already a recommendations job "{_arn(call, job.name)}".'
        raise NamedError("ResourceInUse", message) from None
    return {"JobArn": _arn(call, job.name)}


def _check(given: Params, params: Params) -> None:
    """Raises Invalid for members that are not supported."""
    if "ModelPackageVersionArn" in given:
        raise Invalid("ModelPackageVersionArn: this server has no model registry; give a ModelName")
    refuse_unsupported(given, ("Endpoints", "VolumeKmsKeyId", "VpcConfig"))
    refuse_unsupported(params, ("OutputConfig",))
    if given.get("ContainerConfig", {}).get("SupportedEndpointType") == "Serverless":
        raise unsupported("SupportedEndpointType Serverless")
    if params.get("StoppingConditions", {}).get("FlatInvocations") == "Continue":
        raise unsupported("FlatInvocations Continue")
    for each in given.get("EndpointConfigurations", []):
        refuse_unsupported(each, ("ServerlessConfig", "EnvironmentParameterRanges", "InferenceSpecificationName"))
        if "InstanceType" not in each:
            raise Invalid("each of the EndpointConfigurations needs an InstanceType")


def _parse_limits(given: Params, conditions: Params) -> RecommendationLimits:
    usual = RecommendationLimits()
    thresholds: list[Params] = conditions.get("ModelLatencyThresholds", [])
    threshold = thresholds[0] if thresholds else {}
    percentile = threshold.get("Percentile", "P95")
    if percentile not in _PERCENTILES:
        raise Invalid(f"Percentile '{percentile}' is not one of {', '.join(_PERCENTILES)}")
    milliseconds, most = threshold.get("ValueInMilliseconds"), conditions.get("MaxInvocations")
    seconds = given.get("JobDurationInSeconds") or _parse_duration(given.get("TrafficPattern", {}))
    return RecommendationLimits(
        seconds=float(seconds or usual.seconds),
        percent=_PERCENTILES[percentile],
        latency=usual.latency if milliseconds is None else milliseconds / 1000,
        rate=None if most is None else most / 60,
        tests=given.get("ResourceLimit", {}).get("MaxNumberOfTests"),
    )


def _parse_duration(pattern: Params) -> int:
    """Duration of a traffic pattern in seconds; 0 if it gives none."""
    stairs = pattern.get("Stairs", {})
    climbing: int = stairs.get("DurationInSeconds", 0) * stairs.get("NumberOfSteps", 1)
    phases: int = sum(each.get("DurationInSeconds", 0) for each in pattern.get("Phases", []))
    return climbing + phases


def describe_job(call: TxCall, params: Params) -> Params:
    saved = _get(call, params["JobName"])
    job = saved.body
    return {
        **_render_job(call, saved),
        **job.wire,
        "InferenceRecommendations": [_render_recommendation(job, *each) for each in enumerate(job.found, 1)]
        or None,
    }


def _render_job(call: TxCall, saved: StoredRecord[RecommendationJob]) -> Params:
    job = saved.body
    return {
        "JobName": job.name,
        "JobArn": _arn(call, job.name),
        "Status": job.status.value,
        "CreationTime": job.created_at,
        "CompletionTime": job.ended_at,
        "LastModifiedTime": saved.modified_at,
        "FailureReason": job.reason[:1024] or None,
    }


def _render_recommendation(job: RecommendationJob, number: int, found: RecommendedInstance) -> Params:
    return {
        "RecommendationId": f"{job.name}/{number}",
        "Metrics": {
            "CostPerHour": found.hourly,
            "CostPerInference": found.hourly / (60 * found.per_minute),
            "MaxInvocations": found.per_minute,
            "ModelLatency": _to_milliseconds(found.latency),
            "CpuUtilization": found.cpu,
            "MemoryUtilization": found.memory,
        },
        "EndpointConfiguration": {
            "EndpointName": job.name,
            "VariantName": VARIANT,
            "InstanceType": found.instance_type,
            "InitialInstanceCount": 1,
        },
        "ModelConfiguration": _render_configuration(found.environment),
    }


def _render_configuration(environment: dict[str, str]) -> Params:
    return {
        "EnvironmentParameters": [
            {"Key": key, "ValueType": "String", "Value": value} for key, value in sorted(environment.items())
        ]
    }


def _to_milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def list_jobs(call: TxCall, params: Params) -> Params:
    """There are few records, so all are read and sorted in memory."""
    found = use.find(call.tx, parse_listing(params).where).items
    if "ModelNameEquals" in params:
        found = [saved for saved in found if saved.body.model.name == params["ModelNameEquals"]]
    if "ModelPackageVersionArnEquals" in params:
        found = []
    page, token = list_by_status(found, params, lambda saved: saved.body.status.value)
    return {"InferenceRecommendationsJobs": [_render_summary(call, saved) for saved in page], "NextToken": token}


def _render_summary(call: TxCall, saved: StoredRecord[RecommendationJob]) -> Params:
    job = saved.body
    return {
        **_render_job(call, saved),
        "JobDescription": job.wire.get("JobDescription", ""),
        "JobType": job.wire["JobType"],
        "RoleArn": job.wire["RoleArn"],
        "ModelName": job.model.name,
        "SamplePayloadUrl": job.sample,
    }


def stop_job(call: TxCall, params: Params) -> None:
    name = params["JobName"]
    _get(call, name)
    use.stop(call.tx, name, call.now)


def _get(call: TxCall, name: str) -> StoredRecord[RecommendationJob]:
    with require_job(name, "ResourceNotFound"):
        return use.get(call.tx, name)


def list_steps(call: TxCall, params: Params) -> Params:
    """One step for each configuration that was load-tested on this machine."""
    job = _get(call, params["JobName"]).body
    steps = [_render_step(job, step) for step in job.steps]
    page, token = take_page([s for s in steps if params.get("Status", s["Status"]) == s["Status"]], params)
    return {"Steps": page, "NextToken": token}


def _render_step(job: RecommendationJob, step: ConfigurationTrial) -> Params:
    benchmark: Params = {"ModelConfiguration": _render_configuration(step.environment)}
    status = job.status.value if step.latency is None else "COMPLETED"
    if step.rate > 0 and step.latency is not None:
        latency = _to_milliseconds(step.latency)
        benchmark["EndpointMetrics"] = {"MaxInvocations": int(step.rate * 60), "ModelLatency": latency}
    elif step.latency is not None:
        benchmark["FailureReason"] = (
            f"no rate met the latency limit; the closest latency was {step.latency * 1000:.1f} ms"
        )
    return {"StepType": "BENCHMARK", "JobName": job.name, "Status": status, "InferenceBenchmark": benchmark}


def _arn(call: TxCall, name: str) -> str:
    return call.arn(f"inference-recommendations-job/{name}")


OPERATIONS: Operations = {
    "CreateInferenceRecommendationsJob": TxOperation(
        create_job, Access.CHANGE, kicks="JobName", kicks_under=use.PREFIX
    ),
    "DescribeInferenceRecommendationsJob": TxOperation(describe_job, Access.READ),
    "ListInferenceRecommendationsJobs": TxOperation(list_jobs, Access.READ),
    "StopInferenceRecommendationsJob": TxOperation(
        stop_job, Access.CHANGE, kicks="JobName", kicks_under=use.PREFIX
    ),
    "ListInferenceRecommendationsJobSteps": TxOperation(list_steps, Access.READ),
}


# --- how members of these operations are treated that are not served ---


NOTES: OperationNotes = {
    ("sagemaker", "CreateInferenceRecommendationsJob"): note(
        ignored=(
            "RoleArn",
            "InputConfig.TrafficPattern.TrafficType",
            "InputConfig.TrafficPattern.Phases.InitialNumberOfUsers",
            "InputConfig.TrafficPattern.Phases.SpawnRate",
            "InputConfig.TrafficPattern.Stairs.UsersPerStep",
            "InputConfig.ResourceLimit.MaxParallelOfTests",
            "InputConfig.ContainerConfig.Domain",
            "InputConfig.ContainerConfig.Task",
            "InputConfig.ContainerConfig.Framework",
            "InputConfig.ContainerConfig.FrameworkVersion",
            "InputConfig.ContainerConfig.NearestModelName",
            "InputConfig.ContainerConfig.DataInputConfig",
            "InputConfig.ContainerConfig.SupportedResponseMIMETypes",
        ),
        refused=(
            "OutputConfig",
            "InputConfig.ModelPackageVersionArn",
            "InputConfig.Endpoints",
            "InputConfig.VolumeKmsKeyId",
            "InputConfig.VpcConfig",
            "InputConfig.EndpointConfigurations.ServerlessConfig",
            "InputConfig.EndpointConfigurations.EnvironmentParameterRanges",
            "InputConfig.EndpointConfigurations.InferenceSpecificationName",
        ),
    ),
}
