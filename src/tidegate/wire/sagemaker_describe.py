"""DescribeEndpoint: the record and what was last seen of it, in SageMaker's words."""

from tidegate.model.endpoint import Endpoint
from tidegate.model.observe import Observation
from tidegate.rollout.status import Variants, VariantView, status, variants
from tidegate.wire.operation import Call, Params
from tidegate.wire.sagemaker_deployment import shown
from tidegate.wire.sagemaker_serverless import told

LONGEST_REASON = 1024


def described(call: Call, endpoint: Endpoint, seen: Observation | None) -> Params:
    views = variants(endpoint, seen)
    return {
        "EndpointName": endpoint.name,
        "EndpointArn": arn(call, endpoint.name),
        "EndpointConfigName": _config(endpoint),
        "EndpointStatus": status(endpoint)[0],
        "FailureReason": endpoint.failure_reason[:LONGEST_REASON] if endpoint.failure_reason else None,
        "CreationTime": endpoint.created_at,
        "LastModifiedTime": endpoint.modified_at,
        "ProductionVariants": [_variant(view) for view in views.current] or None,
        "ShadowProductionVariants": [_variant(view) for view in views.shadows] or None,
        "LastDeploymentConfig": shown(endpoint.deployment),
        "PendingDeploymentSummary": _pending(views),
    }


def arn(call: Call, name: str) -> str:
    return call.arn(f"endpoint/{name}")


def _config(endpoint: Endpoint) -> str | None:
    """The config that serves; before there is one, the config that is or was to be brought up."""
    first = endpoint.rollout or endpoint.last
    version = endpoint.serving or (first.new if first else None)
    return version.config_name if version else None


def _pending(views: Variants) -> Params | None:
    if views.pending_config is None:
        return None
    return {
        "EndpointConfigName": views.pending_config,
        "StartTime": views.pending_since,
        "ProductionVariants": [_coming(view) for view in views.pending],
        "ShadowProductionVariants": [_coming(view) for view in views.pending_shadows] or None,
    }


def _coming(view: VariantView) -> Params:
    return {**_variant(view), "InstanceType": None if view.spec.serverless else view.spec.instance_type}


def _variant(view: VariantView) -> Params:
    return {
        "VariantName": view.name,
        "DeployedImages": [{"SpecifiedImage": container.image} for container in view.spec.model.containers],
        "CurrentWeight": view.current_weight,
        "DesiredWeight": view.desired_weight,
        **_capacity(view),
        "VariantStatus": [
            {"Status": each.status, "StatusMessage": each.message, "StartTime": each.since}
            for each in view.statuses
        ]
        or None,
        "RoutingConfig": None if view.spec.serverless else {"RoutingStrategy": view.spec.routing},
    }


def _capacity(view: VariantView) -> Params:
    """A serverless variant has no instances to tell of."""
    if view.spec.serverless is None:
        return {"CurrentInstanceCount": view.current_count, "DesiredInstanceCount": view.desired_count}
    current = view.current_serverless or view.spec.serverless
    return {"CurrentServerlessConfig": told(current), "DesiredServerlessConfig": told(view.spec.serverless)}
