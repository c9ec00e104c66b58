"""SageMaker's operations on endpoint configs."""

from tidegate.domain.access import Access
from tidegate.domain.endpoint import EndpointConfig, ProductionVariant
from tidegate.domain.errors import Invalid
from tidegate.domain.fleet import ROUTINGS, RoutingStrategy, Serverless
from tidegate.service import configs as use
from tidegate.wire.config_members import config_members
from tidegate.wire.listing import parse_listing, show_page
from tidegate.wire.operation import Operations, Params, TxCall, TxOperation, refuse_unsupported, unsupported
from tidegate.wire.sagemaker_tags import parse_tags
from tidegate.wire.validation import Violation, describe_enum_violation

# --- converts SageMaker's ServerlessConfig to the domain's and back, and checks SageMaker's own limits ---


MIB = 2**20
MEMORY_STEP, MIN_MEMORY, MAX_MEMORY = 1024, 1024, 6144
"""Memory in MB."""
SERVERLESS_TYPE = "serverless"
"""Value of the instance type of a serverless variant."""
_EXCLUDED = ("InitialInstanceCount", "InstanceType", "RoutingConfig")


def parse_serverless(given: Params) -> Serverless | None:
    """Parse a variant's member ServerlessConfig; None if it is absent. Raises Invalid."""
    config = given.get("ServerlessConfig")
    if config is None:
        return None
    name = given["VariantName"]
    for member in _EXCLUDED:
        if member in given:
            raise Invalid(f"Variant '{name}' has both ServerlessConfig and {member}: leave one of them out")
    memory: int = config["MemorySizeInMB"]
    if memory % MEMORY_STEP or not MIN_MEMORY <= memory <= MAX_MEMORY:
        sizes = range(MIN_MEMORY, MAX_MEMORY + MEMORY_STEP, MEMORY_STEP)
        raise Violation(f"1 validation error detected: {describe_enum_violation(memory, 'MemorySizeInMB', sizes)}")
    most, kept = config["MaxConcurrency"], config.get("ProvisionedConcurrency", 0)
    if kept > most:
        raise Invalid(f"ProvisionedConcurrency {kept} of variant '{name}' must not exceed MaxConcurrency, {most}")
    return Serverless(memory * MIB, most, kept)


def render_serverless(bounds: Serverless) -> Params:
    """Render as SageMaker does."""
    return {
        "MemorySizeInMB": max(1, bounds.memory // MIB),
        "MaxConcurrency": bounds.max_concurrency,
        "ProvisionedConcurrency": bounds.provisioned or None,
    }


REFUSED = ("ExplainerConfig", "CrossRegionTrafficConfig")
VARIANT_REFUSED = (
    "InstancePools",
    "AcceleratorPartitionLayouts",
)
_INSTANCES = ("InitialInstanceCount", "InstanceType")
_USED = ("EndpointConfigName", "ProductionVariants", "ShadowProductionVariants", "Tags")
_VARIANT_USED = (
    "VariantName",
    "ModelName",
    "InitialInstanceCount",
    "InstanceType",
    "InitialVariantWeight",
    "RoutingConfig",
    "ModelDataDownloadTimeoutInSeconds",
    "ContainerStartupHealthCheckTimeoutInSeconds",
    "ServerlessConfig",
)


def create_endpoint_config(call: TxCall, params: Params) -> Params:
    refuse_unsupported(params, REFUSED)
    tags = parse_tags(params)
    config = EndpointConfig(
        params["EndpointConfigName"],
        tuple(_parse_variant(given) for given in params["ProductionVariants"]),
        call.now,
        wire={name: value for name, value in params.items() if name not in _USED},
        shadows=tuple(_parse_variant(given) for given in params.get("ShadowProductionVariants", [])),
    )
    for member in config_members():
        config = member.read(config, params, tags)
    use.create_config(call.tx, config, tags, call.now)
    return {"EndpointConfigArn": arn(call, config.name)}


def _parse_variant(given: Params) -> ProductionVariant:
    refuse_unsupported(given, VARIANT_REFUSED)
    serverless = parse_serverless(given)
    for name in ("ModelName",) if serverless else ("ModelName", *_INSTANCES):
        if name not in given:
            raise Invalid(f"Variant '{given['VariantName']}' needs {name}")
    _check_scaling(given)
    strategy = given.get("RoutingConfig", {}).get("RoutingStrategy")
    if strategy is not None and strategy not in ROUTINGS:
        raise unsupported(f"RoutingStrategy {strategy}")
    return ProductionVariant(
        given["VariantName"],
        given["ModelName"],
        given.get("InitialInstanceCount", 1),
        given.get("InstanceType", SERVERLESS_TYPE),
        weight=given.get("InitialVariantWeight", 1.0),
        routing=RoutingStrategy(strategy) if strategy else None,
        download_timeout=given.get("ModelDataDownloadTimeoutInSeconds"),
        startup_timeout=given.get("ContainerStartupHealthCheckTimeoutInSeconds"),
        serverless=serverless,
        wire={name: value for name, value in given.items() if name not in _VARIANT_USED},
    )


def _check_scaling(given: Params) -> None:
    """ManagedInstanceScaling is stored and described, but has no effect: Application Auto Scaling changes instance
    counts."""
    bounds = given.get("ManagedInstanceScaling", {})
    least, most = bounds.get("MinInstanceCount"), bounds.get("MaxInstanceCount")
    if least is not None and most is not None and least > most:
        raise Invalid(
            f"ManagedInstanceScaling of variant '{given['VariantName']}': MinInstanceCount {least} must not exceed "
            f"MaxInstanceCount {most}"
        )


def describe_endpoint_config(call: TxCall, params: Params) -> Params:
    config = use.get_config(call.tx, params["EndpointConfigName"]).body
    return {
        "EndpointConfigName": config.name,
        "EndpointConfigArn": arn(call, config.name),
        "ProductionVariants": [_render_variant(variant) for variant in config.variants],
        "ShadowProductionVariants": [_render_variant(variant) for variant in config.shadows] or None,
        "CreationTime": config.created_at,
        **{member.name: member.render(config) for member in config_members()},
        **config.wire,
    }


def _render_variant(variant: ProductionVariant) -> Params:
    return {
        "VariantName": variant.name,
        "ModelName": variant.model_name,
        **_render_capacity(variant),
        "InitialVariantWeight": variant.weight,
        "RoutingConfig": {"RoutingStrategy": variant.routing} if variant.routing else None,
        "ModelDataDownloadTimeoutInSeconds": variant.download_timeout,
        "ContainerStartupHealthCheckTimeoutInSeconds": variant.startup_timeout,
        **variant.wire,
    }


def _render_capacity(variant: ProductionVariant) -> Params:
    if variant.serverless is not None:
        return {"ServerlessConfig": render_serverless(variant.serverless)}
    return {"InitialInstanceCount": variant.instance_count, "InstanceType": variant.instance_type}


def list_endpoint_configs(call: TxCall, params: Params) -> Params:
    wanted = parse_listing(params)
    page = use.list_configs(call.tx, wanted.where, wanted.limit, wanted.after)
    entries = [
        {
            "EndpointConfigName": saved.name,
            "EndpointConfigArn": arn(call, saved.name),
            "CreationTime": saved.created_at,
        }
        for saved in show_page(page, wanted.where)
    ]
    return {"EndpointConfigs": entries, "NextToken": page.next}


def delete_endpoint_config(call: TxCall, params: Params) -> None:
    use.delete_config(call.tx, params["EndpointConfigName"], call.now)


def arn(call: TxCall, name: str) -> str:
    return call.arn(f"endpoint-config/{name}")


OPERATIONS: Operations = {
    "CreateEndpointConfig": TxOperation(create_endpoint_config, Access.CHANGE),
    "DescribeEndpointConfig": TxOperation(describe_endpoint_config, Access.READ),
    "ListEndpointConfigs": TxOperation(list_endpoint_configs, Access.READ),
    "DeleteEndpointConfig": TxOperation(delete_endpoint_config, Access.CHANGE),
}
