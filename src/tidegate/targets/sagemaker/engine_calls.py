"""Engine mode: the calls that bring a set of variants into service. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.endpoint import EndpointConfig, ProductionVariant
from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.rollout import DeploymentConfig
from tidegate.targets.sagemaker.calls import Findings, Params, SagemakerCall
from tidegate.targets.sagemaker.config_call import compile_config, instance_type
from tidegate.targets.sagemaker.engine_state import ConfigUpdate, variant_name
from tidegate.targets.sagemaker.limits import content_name, digest_content
from tidegate.targets.sagemaker.model_calls import compile_models
from tidegate.targets.sagemaker.options import SagemakerOptions
from tidegate.targets.sagemaker.service_model import hosting_types
from tidegate.targets.sagemaker.tags import own_tags, tagged

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class CompiledFleet:
    model: SagemakerCall
    variant: Params
    """ProductionVariant without count and weight."""


@dataclass(frozen=True)
class CompiledChange:
    models: tuple[SagemakerCall, ...]
    config: SagemakerCall
    config_name: str
    change: SagemakerCall


def compile_fleet(fleet: FleetSpec, options: SagemakerOptions) -> CompiledFleet:
    """Compile a fleet to a variant and its model. Raises TargetRefused with everything that SageMaker cannot do."""
    variant, endpoint = fleet.variant, fleet.id.endpoint
    production = ProductionVariant(
        variant_name(fleet.id),
        variant.model.name,
        max(1, fleet.count),
        variant.instance_type,
        routing=variant.routing,
        download_timeout=int(min(3600, max(60, variant.download_timeout))),
        startup_timeout=int(min(3600, max(60, variant.startup_timeout))),
        memory_limit=variant.memory_limit,
        admission=variant.admission,
    )
    wish = DesiredDeployment(
        endpoint,
        (variant.model,),
        EndpointConfig(fleet.config_name, (production,), _EPOCH),
        DeploymentConfig(),
    )
    found = Findings()
    models, uploads = compile_models(
        wish, {}, options, {variant.model.name: instance_type(production, options)}, found
    )
    config = compile_config(wish, models, options, hosting_types(), found)
    if uploads or any((one.data_url or "").startswith("file://") for one in variant.model.containers):
        found.refusals.clear()
        found.refuse("model data must be in S3 (s3://BUCKET/KEY): this server's files are not at AWS")
    if found.refusals:
        raise TargetRefused("; ".join(found.refusals))
    (made,) = config.params["ProductionVariants"]
    kept = {key: value for key, value in made.items() if not key.startswith("Initial")}
    return CompiledFleet(models[variant.model.name], kept)


def compile_change(
    endpoint: str, change: ConfigUpdate, fleets: Sequence[CompiledFleet], options: SagemakerOptions
) -> CompiledChange:
    params: Params = {"ProductionVariants": list(change.variants)}
    if options.kms_key:
        params["KmsKeyId"] = options.kms_key
    if options.enhanced_metrics:
        params["MetricsConfig"] = {"EnableEnhancedMetrics": True, "MetricPublishFrequencyInSeconds": 10}
    name = content_name(endpoint, params)
    tags = own_tags(endpoint, digest_content(params)[:16])
    config = SagemakerCall(
        "sagemaker",
        "CreateEndpointConfig",
        {"EndpointConfigName": name, **params},
        "the variants of every version that runs now",
    )
    body: Params = {"EndpointName": endpoint, "EndpointConfigName": name}
    if change.create:
        moved = SagemakerCall("sagemaker", "CreateEndpoint", body, "the first version")
    else:
        body["RetainDeploymentConfig"] = False
        body["RetainAllVariantProperties"] = False
        moved = SagemakerCall(
            "sagemaker", "UpdateEndpoint", body, "another set of variants; their weights are in the config"
        )
    used = {one["ModelName"] for one in change.variants}
    models = {one.model.params["ModelName"]: one.model for one in fleets}
    return CompiledChange(
        tuple(tagged(call, tags) for model, call in models.items() if model in used),
        tagged(config, tags),
        name,
        tagged(moved, tags),
    )
