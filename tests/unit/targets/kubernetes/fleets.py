"""Fleets for the tests of this target."""

from datetime import UTC, datetime

from tidegate.domain.fleet import FleetId, FleetSpec, Serverless, VariantSpec
from tidegate.domain.registry import ContainerDefinition, Model

START = datetime(2026, 1, 1, tzinfo=UTC)


def fleet_spec(
    endpoint: str = "fraud",
    generation: int = 1,
    count: int = 2,
    *,
    variant: str = "AllTraffic",
    data: str = "s3://models/fraud.json",
    instance_type: str = "local",
    memory: int | None = None,
    config: str = "v1",
    serverless: Serverless | None = None,
) -> FleetSpec:
    model = Model(f"model-{config}", (ContainerDefinition("tidegate/xgboost", data_url=data),), START)
    shape = VariantSpec(
        variant, model, count, instance_type=instance_type, memory_limit=memory, serverless=serverless
    )
    return FleetSpec(FleetId(endpoint, generation, variant), config, shape, count)
