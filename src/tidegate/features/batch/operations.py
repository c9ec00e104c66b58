"""SageMaker's operations on batch transform jobs."""

from tidegate.domain.access import Access
from tidegate.domain.errors import AlreadyExists, Invalid
from tidegate.domain.transform import (
    FLEET_PREFIX,
    DataProcessing,
    RequestLimits,
    SplitType,
    TransformInput,
    TransformJob,
    TransformOutput,
)
from tidegate.features.batch import service as use
from tidegate.ports.store import StoredRecord
from tidegate.wire.errors import NamedError, require_job
from tidegate.wire.listing import list_by_status, parse_listing
from tidegate.wire.member_notes import OperationNotes, note
from tidegate.wire.operation import Operations, Params, TxCall, TxOperation, refuse_unsupported, unsupported
from tidegate.wire.sagemaker_tags import parse_tags

_KEPT = ("ExperimentConfig",)
_ECHOED = (
    "TransformInput",
    "TransformOutput",
    "TransformResources",
    "MaxConcurrentTransforms",
    "MaxPayloadInMB",
    "BatchStrategy",
    "Environment",
    "ModelClientConfig",
    "DataProcessing",
    *_KEPT,
)


def create_transform_job(call: TxCall, params: Params) -> Params:
    refuse_unsupported(params, ("DataCaptureConfig",))
    model = use.get_model(call.tx, params["ModelName"])
    resources, client = params["TransformResources"], params.get("ModelClientConfig", {})
    strategy = params.get("BatchStrategy")
    job = TransformJob(
        params["TransformJobName"],
        model,
        _parse_source(params["TransformInput"]),
        _parse_sink(params["TransformOutput"]),
        call.now,
        processing=_parse_processing(params.get("DataProcessing", {})),
        pace=RequestLimits(
            single=None if strategy is None else strategy == "SingleRecord",
            megabytes=params.get("MaxPayloadInMB"),
            concurrency=params.get("MaxConcurrentTransforms") or None,
            timeout=float(client.get("InvocationsTimeoutInSeconds", 600)),
            retries=client.get("InvocationsMaxRetries", 3),
        ),
        instances=resources["InstanceCount"],
        instance_type=resources["InstanceType"],
        environment=params.get("Environment", {}),
        wire={name: params[name] for name in _ECHOED if name in params},
    )
    try:
        use.create(call.tx, job, parse_tags(params), runnable=call.ctx.runnable, now=call.now)
    except AlreadyExists:
        already = f"a job with this name already exists ({_arn(call, job.name)})"
        message = f"Job name must be unique within an AWS account and region, and {already}"
        raise NamedError("ResourceInUse", message) from None
    return {"TransformJobArn": _arn(call, job.name)}


def _parse_source(given: Params) -> TransformInput:
    where = given["DataSource"].get("S3DataSource")
    if where is None:
        raise Invalid("DataSource needs an S3DataSource")
    if where["S3DataType"] not in ("S3Prefix", "ManifestFile"):
        raise unsupported(f"S3DataType {where['S3DataType']}")
    return TransformInput(
        where["S3Uri"],
        manifest=where["S3DataType"] == "ManifestFile",
        content_type=given.get("ContentType", ""),
        gzip=given.get("CompressionType") == "Gzip",
        split=SplitType(given.get("SplitType", "None")),
    )


def _parse_sink(given: Params) -> TransformOutput:
    return TransformOutput(given["S3OutputPath"], given.get("Accept", ""), given.get("AssembleWith") == "Line")


def _parse_processing(given: Params) -> DataProcessing:
    return DataProcessing(
        given.get("InputFilter", "$"), given.get("OutputFilter", "$"), given.get("JoinSource") == "Input"
    )


def describe_transform_job(call: TxCall, params: Params) -> Params:
    with require_job(params["TransformJobName"]):
        job = use.get(call.tx, params["TransformJobName"]).body
    return {
        "TransformJobName": job.name,
        "TransformJobArn": _arn(call, job.name),
        "TransformJobStatus": job.status.value,
        "FailureReason": job.reason[:1024] or None,
        "ModelName": job.model.name,
        "CreationTime": job.created_at,
        "TransformStartTime": job.started_at,
        "TransformEndTime": job.ended_at,
        **(job.wire or _render_job(job)),
    }


def _render_job(job: TransformJob) -> Params:
    """Render a job that was not created through this API."""
    source, sink = job.source, job.sink
    return {
        "TransformInput": {
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "ManifestFile" if source.manifest else "S3Prefix",
                    "S3Uri": source.uri,
                }
            },
            "ContentType": source.content_type or None,
            "CompressionType": "Gzip" if source.gzip else "None",
            "SplitType": source.split.value,
        },
        "TransformOutput": {
            "S3OutputPath": sink.uri,
            "Accept": sink.accept or None,
            "AssembleWith": "Line" if sink.by_line else "None",
        },
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": job.instances},
    }


def list_transform_jobs(call: TxCall, params: Params) -> Params:
    if "StatusEquals" in params or params.get("SortBy") == "Status":
        every = use.find(call.tx, parse_listing(params).where).items
        found, token = list_by_status(every, params, lambda saved: saved.body.status.value)
    else:
        wanted = parse_listing(params)
        page = use.find(call.tx, wanted.where, wanted.limit, wanted.after)
        found, token = page.items, page.next
    return {"TransformJobSummaries": [_render_summary(call, saved) for saved in found], "NextToken": token}


def _render_summary(call: TxCall, saved: StoredRecord[TransformJob]) -> Params:
    return {
        "TransformJobName": saved.name,
        "TransformJobArn": _arn(call, saved.name),
        "CreationTime": saved.body.created_at,
        "TransformEndTime": saved.body.ended_at,
        "LastModifiedTime": saved.modified_at,
        "TransformJobStatus": saved.body.status.value,
        "FailureReason": saved.body.reason[:1024] or None,
    }


def stop_transform_job(call: TxCall, params: Params) -> None:
    name = params["TransformJobName"]
    with require_job(name):
        use.stop(call.tx, name, call.now)


def _arn(call: TxCall, name: str) -> str:
    return call.arn(f"transform-job/{name}")


OPERATIONS: Operations = {
    "CreateTransformJob": TxOperation(
        create_transform_job, Access.CHANGE, kicks="TransformJobName", kicks_under=FLEET_PREFIX
    ),
    "DescribeTransformJob": TxOperation(describe_transform_job, Access.READ),
    "ListTransformJobs": TxOperation(list_transform_jobs, Access.READ),
    "StopTransformJob": TxOperation(
        stop_transform_job, Access.CHANGE, kicks="TransformJobName", kicks_under=FLEET_PREFIX
    ),
}


# --- how members of these operations are treated that are not served ---


NOTES: OperationNotes = {
    ("sagemaker", "CreateTransformJob"): note(
        ignored=(
            "TransformOutput.KmsKeyId",
            "TransformResources.VolumeKmsKeyId",
            "TransformResources.TransformAmiVersion",
            "ExperimentConfig",
        ),
        refused=("DataCaptureConfig",),
    ),
}
