"""DescribeEndpoint: an endpoint's record and its last observation, rendered as SageMaker does."""

import hashlib

import tidegate
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.image_name import unpin
from tidegate.domain.observation import Observation
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.rollout import DeploymentConfig, Version
from tidegate.rollout.status import Variants, VariantView, serving_version, status, variant_views
from tidegate.wire.config_members import config_members
from tidegate.wire.operation import OperationCall, Params
from tidegate.wire.sagemaker_configs import render_serverless
from tidegate.wire.sagemaker_deployment import render_deployment

MAX_REASON = 1024
MAX_IMAGE = 255


def render_endpoint(call: OperationCall, endpoint: Endpoint, seen: Observation | None) -> Params:
    views, version = variant_views(endpoint, seen), _version_to_describe(endpoint)
    return {
        "EndpointName": endpoint.name,
        "EndpointArn": arn(call, endpoint.name),
        "EndpointConfigName": version.config_name if version else None,
        "EndpointStatus": status(endpoint)[0],
        "FailureReason": endpoint.failure_reason[:MAX_REASON] if endpoint.failure_reason else None,
        "CreationTime": endpoint.created_at,
        "LastModifiedTime": endpoint.modified_at,
        "ProductionVariants": [_render_variant(view) for view in views.current] or None,
        "ShadowProductionVariants": [_render_variant(view) for view in views.shadows] or None,
        "LastDeploymentConfig": _render_deployment(endpoint),
        **({member.name: member.describe(version) for member in config_members()} if version else {}),
        "PendingDeploymentSummary": _render_pending(views),
        **(version.wire if version else {}),
    }


def arn(call: OperationCall, name: str) -> str:
    return call.arn(f"endpoint/{name}")


def _render_deployment(endpoint: Endpoint) -> Params | None:
    """The deployment config of the latest creation or update. None after an update without one, otherwise Terraform
    would plan its removal for ever; RetainDeploymentConfig still finds the previous one."""
    latest = endpoint.rollout or endpoint.last
    if latest is not None and latest.deployment == DeploymentConfig():
        return None
    return render_deployment(endpoint.deployment)


def _version_to_describe(endpoint: Endpoint) -> Version | None:
    """The version that serves; before there is one, the version that is or was to be brought up."""
    first = endpoint.rollout or endpoint.last
    return serving_version(endpoint) or (first.new if first else None)


def _render_pending(views: Variants) -> Params | None:
    if views.pending_config is None:
        return None
    return {
        "EndpointConfigName": views.pending_config,
        "StartTime": views.pending_since,
        "ProductionVariants": [_render_pending_variant(view) for view in views.pending],
        "ShadowProductionVariants": [_render_pending_variant(view) for view in views.pending_shadows] or None,
    }


def _render_pending_variant(view: VariantView) -> Params:
    return {**_render_variant(view), "InstanceType": None if view.spec.serverless else view.spec.instance_type}


def _render_variant(view: VariantView) -> Params:
    return {
        "VariantName": view.name,
        "DeployedImages": [_render_image(view.spec.model, container) for container in view.spec.model.containers],
        "CurrentWeight": view.current_weight,
        "DesiredWeight": view.desired_weight,
        **_render_capacity(view),
        "VariantStatus": [
            {"Status": each.status, "StatusMessage": each.message, "StartTime": each.since}
            for each in view.statuses
        ]
        or None,
        "ManagedInstanceScaling": view.spec.wire.get("ManagedInstanceScaling"),
        "RoutingConfig": None if view.spec.serverless else {"RoutingStrategy": view.spec.routing},
    }


def _render_image(model: Model, container: ContainerDefinition) -> Params:
    """SageMaker resolves a tag to a digest when the model is created. Here an image name stands for a runtime of this
    server, so the digest is computed from the name and the server's version; a digest in the name is kept."""
    specified = container.wire.get("Image", unpin(container.image))
    name = container.image
    if "@" in name:
        resolved = f"{unpin(name).rpartition(':')[0]}@{name.partition('@')[2]}" if unpin(name) != name else name
    else:
        folder, slash, last = name.rpartition("/")
        digest = hashlib.sha256(f"{name} {tidegate.__version__}".encode()).hexdigest()
        resolved = f"{folder}{slash}{last.partition(':')[0]}@sha256:{digest}"
    if len(resolved) > MAX_IMAGE:
        return {"SpecifiedImage": specified}
    return {"SpecifiedImage": specified, "ResolvedImage": resolved, "ResolutionTime": model.created_at}


def _render_capacity(view: VariantView) -> Params:
    """Instance counts; a serverless variant has none."""
    if view.spec.serverless is None:
        return {"CurrentInstanceCount": view.current_count, "DesiredInstanceCount": view.desired_count}
    current = view.current_serverless or view.spec.serverless
    return {
        "CurrentServerlessConfig": render_serverless(current),
        "DesiredServerlessConfig": render_serverless(view.spec.serverless),
    }
