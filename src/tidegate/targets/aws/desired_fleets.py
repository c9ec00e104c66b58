"""The fleets of a spec, as a first deployment would have them. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid
from tidegate.domain.fleet import FleetId, FleetSpec, RoutingStrategy, VariantSpec


def desired_fleets(desired: DesiredDeployment) -> Sequence[FleetSpec]:
    """Return the fleets that a deployment asks for. Raises Invalid for a variant whose model the spec does not
    have."""
    models = {model.name: model for model in desired.models}
    found = []
    for number, variant in enumerate((*desired.config.variants, *desired.config.shadows)):
        if variant.model_name not in models:
            raise Invalid(f"variant {variant.name} names model {variant.model_name}, which the spec does not have")
        if variant.devices:
            raise Invalid(f"variant {variant.name}: this target assigns no devices: leave them out")
        spec = VariantSpec(
            variant.name,
            models[variant.model_name],
            variant.instance_count,
            variant.weight,
            variant.instance_type,
            variant.routing or RoutingStrategy.RANDOM,
            memory_limit=variant.serverless.memory if variant.serverless else variant.memory_limit,
            shadow=number >= len(desired.config.variants),
            asynchronous=desired.config.asynchronous,
            serverless=variant.serverless,
            admission=variant.admission,
            capture=desired.config.capture,
        )
        if variant.startup_timeout is not None:
            spec = replace(spec, startup_timeout=float(variant.startup_timeout))
        id = FleetId(desired.endpoint, 1, variant.name)
        found.append(FleetSpec(id, desired.config.name, spec, variant.instance_count))
    return found
