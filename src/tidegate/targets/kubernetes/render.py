"""Prints what this target would create for a deployment."""

from dataclasses import replace

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid, StartupError, TargetRefused
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.rollout import Version
from tidegate.domain.traffic import WHOLE, build_route_table
from tidegate.ports.target import Document, Options, Rendering
from tidegate.rollout.desired_state import version_fleets
from tidegate.service.endpoints import variant_spec
from tidegate.serving.contract.images import ANY_IMAGE
from tidegate.settings import Settings
from tidegate.targets.kubernetes.api_versions import ApiVersions
from tidegate.targets.kubernetes.fleet_manifests import fleet_manifests
from tidegate.targets.kubernetes.gateway_manifests import gateway_manifests
from tidegate.targets.kubernetes.http_route import http_route
from tidegate.targets.kubernetes.names import Manifest
from tidegate.targets.kubernetes.options import KubernetesOptions, read_options
from tidegate.targets.kubernetes.start_data import start_data

FIRST = 1
"""Generation and fence of what is printed: the platform numbers its own."""


def render_kubernetes(desired: DesiredDeployment, given: Options) -> Rendering:
    """Render the manifests for a cluster of a maintained version. Raises Invalid for options, or a deployment, that
    do not fit."""
    try:
        options = read_options(given)
        fleets = fleets_of(desired)
        manifests = compile_all(fleets, options)
    except (StartupError, TargetRefused) as error:
        raise Invalid(str(error)) from None
    if options.http_route is not None:
        weights = {fleet.id.variant: fleet.variant.weight for fleet in fleets if not fleet.variant.shadow}
        manifests.append(
            http_route(build_route_table(desired.endpoint, FIRST, [(FIRST, WHOLE, weights)]), options)
        )
    documents = [Document(f"{one['kind']} {one['metadata']['name']}", one) for one in manifests]
    notes = (
        "the platform applies these itself: generation, fence and names with them differ there",
        "apiVersions are those of Kubernetes 1.25 and later; an older cluster gets those that it has",
        "not shown: the Secret with the gateways' token, which the platform makes",
    )
    return Rendering(tuple(documents), notes)


def compile_all(fleets: list[FleetSpec], options: KubernetesOptions) -> list[Manifest]:
    settings, versions, table = Settings(), ApiVersions(keda=True), ANY_IMAGE
    manifests = gateway_manifests(settings, options, versions, options.namespace or "default")
    for fleet in fleets:
        start = start_data(fleet, settings, table, options)
        manifests += fleet_manifests(fleet, FIRST, start, settings, options, versions)
    return manifests


def fleets_of(desired: DesiredDeployment) -> list[FleetSpec]:
    config, models = desired.config, {model.name: model for model in desired.models}
    variants = [variant_spec(one, models[one.model_name]) for one in config.variants]
    variants += [replace(variant_spec(one, models[one.model_name]), shadow=True) for one in config.shadows]
    version = Version(FIRST, config.name, tuple(variants))
    return [fleet for _, fleet in version_fleets(desired.endpoint, version, WHOLE)]
