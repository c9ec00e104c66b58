"""CreateTransformJob for a batch transform job of tidegate. Pure."""

from tidegate.domain.transform import BadRows, SplitType, TransformJob
from tidegate.targets.sagemaker.calls import Findings, Params, SagemakerCall
from tidegate.targets.sagemaker.config_call import LOCAL
from tidegate.targets.sagemaker.options import SagemakerOptions
from tidegate.targets.sagemaker.service_model import transform_types

PAYLOAD, TIMEOUT, RETRIES, INSTANCES = 100, 3600, 3, 100
"""Limits: MB of a request, seconds for its answer, further tries (botocore's model), instances (AWS's quotas)."""


def compile_transform(job: TransformJob, model: str, options: SagemakerOptions, found: Findings) -> SagemakerCall:
    """``model``: name of the model at AWS."""
    for what, address in (("input", job.source.uri), ("output", job.sink.uri)):
        if not address.startswith("s3://"):
            found.refuse(f"{what}: {address}: SageMaker reads and writes s3:// only")
    if job.on_bad_rows is BadRows.ERRORS:
        found.refuse("on_bad_rows: SageMaker fails the object with the first bad record; use on_bad_rows: fail")
    if job.pace.deadline is not None:
        found.note("deadline: SageMaker stops no job by itself; stop it with StopTransformJob")
    kind = "ManifestFile" if job.source.manifest else "S3Prefix"
    source: Params = {
        "DataSource": {"S3DataSource": {"S3DataType": kind, "S3Uri": job.source.uri}},
        "CompressionType": "Gzip" if job.source.gzip else "None",
        "SplitType": job.source.split.value,
    }
    if job.source.content_type:
        source["ContentType"] = job.source.content_type
    sink: Params = {"S3OutputPath": job.sink.uri, "AssembleWith": "Line" if job.sink.by_line else "None"}
    if job.sink.accept:
        sink["Accept"] = job.sink.accept
    params: Params = {
        "TransformJobName": job.name,
        "ModelName": model,
        "TransformInput": source,
        "TransformOutput": sink,
        "TransformResources": {"InstanceType": _type(job, options, found), "InstanceCount": _count(job, found)},
        **_pace(job, found),
    }
    if job.environment:
        params["Environment"] = dict(job.environment)
    if not job.processing.plain:
        params["DataProcessing"] = {
            "InputFilter": job.processing.input_filter,
            "OutputFilter": job.processing.output_filter,
            "JoinSource": "Input" if job.processing.join else "None",
        }
    return SagemakerCall("sagemaker", "CreateTransformJob", params, "a batch transform job")


def _type(job: TransformJob, options: SagemakerOptions, found: Findings) -> str:
    chosen = options.instance_type if job.instance_type == LOCAL else job.instance_type
    if chosen not in transform_types():
        found.refuse(
            f"{chosen or 'no instance type'}: not of batch transform, whose types are not those of hosting"
        )
    return chosen


def _count(job: TransformJob, found: Findings) -> int:
    if job.instances > INSTANCES:
        found.refuse(f"instances: {job.instances}; a job has {INSTANCES} at most")
    return job.instances


def _pace(job: TransformJob, found: Findings) -> Params:
    pace, params = job.pace, Params()
    if pace.megabytes is not None:
        if pace.megabytes > PAYLOAD:
            found.refuse(f"megabytes: {pace.megabytes}; a request has {PAYLOAD} MB at most")
        params["MaxPayloadInMB"] = pace.megabytes
    if pace.concurrency is not None:
        params["MaxConcurrentTransforms"] = pace.concurrency
        if (pace.megabytes or 6) * pace.concurrency > PAYLOAD:
            found.refuse(f"concurrency: times the largest request it must not exceed {PAYLOAD} MB")
    if pace.timeout > TIMEOUT:
        found.refuse(f"timeout: {pace.timeout:g} s; an answer may take {TIMEOUT} s")
    client = {
        "InvocationsTimeoutInSeconds": int(pace.timeout),
        "InvocationsMaxRetries": min(RETRIES, pace.retries),
    }
    params["ModelClientConfig"] = client
    if job.source.split is not SplitType.NONE and pace.single is not None:
        params["BatchStrategy"] = "SingleRecord" if pace.single else "MultiRecord"
    return params
