"""CreateEndpointConfig, with everything that it cannot express said."""

from collections.abc import Mapping

from tidegate.domain.admission import DEFAULT_ADMISSION
from tidegate.domain.asynchronous import AsyncConfig
from tidegate.domain.capture import Capture
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.endpoint import ProductionVariant
from tidegate.domain.fleet import RoutingStrategy
from tidegate.domain.registry import MULTI_MODEL, Model
from tidegate.targets.sagemaker import limits
from tidegate.targets.sagemaker.calls import Findings, Params, SagemakerCall
from tidegate.targets.sagemaker.limits import content_name
from tidegate.targets.sagemaker.options import SagemakerOptions

LOCAL = "local"


def instance_type(variant: ProductionVariant, options: SagemakerOptions) -> str:
    """Empty for a serverless variant."""
    if variant.serverless is not None:
        return ""
    return options.instance_type if variant.instance_type == LOCAL else variant.instance_type


def compile_config(
    wish: DesiredDeployment,
    models: Mapping[str, SagemakerCall],
    options: SagemakerOptions,
    known_types: frozenset[str],
    found: Findings,
) -> SagemakerCall:
    """``known_types``: instance types of ProductionVariantInstanceType in the installed botocore."""
    config = wish.config
    _check_together(wish, found)
    params: Params = {
        "ProductionVariants": [_variant(each, models, options, known_types, found) for each in config.variants]
    }
    if config.shadows:
        params["ShadowProductionVariants"] = [
            _variant(each, models, options, known_types, found) for each in config.shadows
        ]
    if config.asynchronous is not None:
        params["AsyncInferenceConfig"] = _asynchronous(config.asynchronous, found)
    if config.capture is not None:
        params["DataCaptureConfig"] = _capture(config.capture, found)
    if options.kms_key:
        params["KmsKeyId"] = options.kms_key
        found.note(
            "kms_key: it does not encrypt instance types with local NVMe storage, and its policy must name the"
            " execution role"
        )
    if options.enhanced_metrics:
        params["MetricsConfig"] = {"EnableEnhancedMetrics": True, "MetricPublishFrequencyInSeconds": 10}
    name = content_name(wish.endpoint, params)
    return SagemakerCall(
        "sagemaker",
        "CreateEndpointConfig",
        {"EndpointConfigName": name, **params},
        "what the endpoint runs; the name has the content's digest",
    )


def _variant(
    variant: ProductionVariant,
    models: Mapping[str, SagemakerCall],
    options: SagemakerOptions,
    known_types: frozenset[str],
    found: Findings,
) -> Params:
    params: Params = {"VariantName": variant.name, "ModelName": models[variant.model_name].params["ModelName"]}
    if variant.weight != 1.0 or variant.serverless is None:
        params["InitialVariantWeight"] = variant.weight
    _check_admission(variant, found)
    if variant.serverless is not None:
        params["ServerlessConfig"] = _serverless(variant, found)
        return params
    chosen = instance_type(variant, options)
    if chosen not in known_types:
        what = f"{chosen!r} is not an instance type of SageMaker hosting" if chosen else "no instance type"
        found.refuse(f"variant {variant.name}: {what}; give instance_type in the spec, or the option of that name")
    params |= {"InstanceType": chosen, "InitialInstanceCount": variant.instance_count}
    if variant.routing is RoutingStrategy.LEAST_OUTSTANDING_REQUESTS:
        params["RoutingConfig"] = {"RoutingStrategy": variant.routing.value}
    for member, value, key in (
        ("ModelDataDownloadTimeoutInSeconds", variant.download_timeout, "download_timeout"),
        ("ContainerStartupHealthCheckTimeoutInSeconds", variant.startup_timeout, "startup_timeout"),
    ):
        if value is not None:
            params[member] = _limit_seconds(value, f"variant {variant.name}: {key}", found)
    return params


def _limit_seconds(seconds: int, what: str, found: Findings) -> int:
    low, high = limits.START_TIMEOUT
    if seconds > high:
        found.refuse(f"{what}: {seconds} s; SageMaker allows {high} s at most")
    if seconds < low:
        found.note(f"{what}: {seconds} s; SageMaker allows {low} s at least, which is what it gets")
    return min(high, max(low, seconds))


def _check_admission(variant: ProductionVariant, found: Findings) -> None:
    if variant.admission.quotas is not None:
        found.refuse(
            "quotas: SageMaker has no rate limits per client; put an API Gateway with usage plans in front, and take"
            " quotas out of the spec"
        )
    if (variant.admission.max_in_flight, variant.admission.queue_time) != (
        DEFAULT_ADMISSION.max_in_flight,
        DEFAULT_ADMISSION.queue_time,
    ):
        found.note(
            f"variant {variant.name}: max_in_flight and queue_time have no equivalent; SageMaker queues within the"
            " container and answers after 60 s at the latest"
        )
    if variant.devices:
        found.refuse(
            f"variant {variant.name}: SageMaker gives accelerators by the instance type: name one with some,"
            " such as ml.g5.xlarge, and leave devices out"
        )
    if variant.memory_limit:
        found.note(f"variant {variant.name}: memory has no equivalent; the instance type sets it")


def _serverless(variant: ProductionVariant, found: Findings) -> Params:
    asked = variant.serverless
    assert asked is not None
    megabytes = -(-asked.memory // (1024 * 1024))
    fitting = next((size for size in limits.SERVERLESS_MEMORY if size >= megabytes), None)
    if fitting is None:
        fitting = limits.SERVERLESS_MEMORY[-1]
        found.refuse(f"serverless.memory: {megabytes} MB; SageMaker has {fitting} MB at most: use instances")
    elif fitting != megabytes:
        found.note(f"serverless.memory: {megabytes} MB becomes {fitting} MB, the next size of SageMaker")
    if asked.max_concurrency > limits.SERVERLESS_CONCURRENCY:
        found.refuse(
            f"serverless.max_concurrency: {asked.max_concurrency}; SageMaker has {limits.SERVERLESS_CONCURRENCY} at"
            " most"
        )
    found.note("serverless: idle_after and per_instance have no equivalent; SageMaker decides both")
    params = {
        "MemorySizeInMB": fitting,
        "MaxConcurrency": min(asked.max_concurrency, limits.SERVERLESS_CONCURRENCY),
    }
    return params | ({"ProvisionedConcurrency": asked.provisioned} if asked.provisioned else {})


def _check_together(wish: DesiredDeployment, found: Findings) -> None:
    """Refuse combinations of settings that SageMaker does not support."""
    config, models = wish.config, {model.name: model for model in wish.models}
    if len(config.variants) > limits.VARIANTS:
        found.refuse(f"variants: {len(config.variants)}; SageMaker has {limits.VARIANTS} at most")
    used = [models[variant.model_name] for variant in config.variants]
    if config.serverless:
        _check_serverless(wish, used, found)
    if config.asynchronous is not None:
        if config.shadows:
            found.refuse("shadow: SageMaker has none for asynchronous endpoints")
        if any(not model.single and model.execution_mode == "Direct" for model in used):
            found.refuse("async: InvokeEndpointAsync cannot name a container; use pipeline or model")
        if any(_many_models(model) for model in used):
            found.refuse(
                "async: InvokeEndpointAsync cannot name one of many models; use model without multi_model"
            )
    if config.shadows and any(_many_models(model) for model in used):
        found.refuse("shadow: SageMaker has none for endpoints of many models")


def _check_serverless(wish: DesiredDeployment, used: list[Model], found: Findings) -> None:
    for wrong, what in (
        (len(wish.config.variants) > 1, "several variants"),
        (bool(wish.config.shadows), "a shadow"),
        (any(not model.single for model in used), "several containers"),
        (any(_many_models(model) for model in used), "many models"),
        (wish.config.asynchronous is not None, "a queue"),
        (wish.config.capture is not None, "data capture"),
    ):
        if wrong:
            found.refuse(f"serverless: SageMaker has no serverless endpoints with {what}")


def _many_models(model: Model) -> bool:
    return any(container.mode == MULTI_MODEL for container in model.containers)


def _capture(asked: Capture, found: Findings) -> Params:
    if asked.redaction is not None:
        found.refuse(
            "capture.redact: SageMaker writes requests as they are; use a target of tidegate's own workers"
        )
    lists = {"CsvContentTypes": asked.csv, "JsonContentTypes": asked.json}
    modes = {"Input": asked.inputs, "Output": asked.outputs}
    params: Params = {
        "EnableCapture": asked.enabled,
        "InitialSamplingPercentage": asked.percent,
        "DestinationS3Uri": _s3(asked.destination, "capture.to", found),
        "CaptureOptions": [{"CaptureMode": mode} for mode, chosen in modes.items() if chosen],
        "CaptureContentTypeHeader": {member: list(kinds) for member, kinds in lists.items() if kinds},
    }
    return params | ({"KmsKeyId": asked.kms_key} if asked.kms_key else {})


def _asynchronous(asked: AsyncConfig, found: Findings) -> Params:
    output: Params = {"S3OutputPath": _s3(asked.output, "async.output", found)}
    if asked.failure is not None:
        output["S3FailurePath"] = _s3(asked.failure, "async.failure", found)
    topics: Params = {}
    for member, key, given in (("SuccessTopic", "success", asked.success), ("ErrorTopic", "error", asked.error)):
        if len(given) > 1 or any(":sns:" not in topic for topic in given):
            found.refuse(f"async.{key}: SageMaker notifies one SNS topic (arn:aws:sns:...), and nothing else")
        elif given:
            topics[member] = given[0]
    if asked.include and topics:
        topics["IncludeInferenceResponseIn"] = (
            ["SUCCESS_NOTIFICATION_TOPIC"] if "SuccessTopic" in topics else ["ERROR_NOTIFICATION_TOPIC"]
        )
    if topics:
        output["NotificationConfig"] = topics
    if asked.retries:
        found.note("async.retries: SageMaker does not try again after an answer of 5xx; send the request again")
    if asked.idle_after is not None:
        found.refuse("async.idle_after: set autoscaling with min: 0 and rule: aws instead")
    limit = min(asked.max_concurrent, limits.ASYNC_CONCURRENT)
    return {"OutputConfig": output, "ClientConfig": {"MaxConcurrentInvocationsPerInstance": limit}}


def _s3(address: str, what: str, found: Findings) -> str:
    if not address.startswith("s3://"):
        found.refuse(f"{what}: {address}: SageMaker writes to s3:// only")
    if len(address) > limits.S3_PATH:
        found.refuse(f"{what}: longer than {limits.S3_PATH} characters")
    return address
