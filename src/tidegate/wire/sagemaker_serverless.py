"""Converts SageMaker's ServerlessConfig to the domain's and back, and checks SageMaker's own limits."""

from tidegate.domain.errors import Invalid
from tidegate.domain.fleet import Serverless
from tidegate.wire.operation import Params
from tidegate.wire.validation import Violation, describe_enum_violation

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
