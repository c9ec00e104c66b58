"""Settings of the target at ECS, and the names of what it creates."""

import hashlib
from typing import Annotated, Literal

import msgspec

from tidegate.domain.fleet import FleetId
from tidegate.targets.aws.options import AwsOptions

NAME = "ecs"
PORT = 8080
"""Where the image takes predictions."""
CONTAINER = "model"


class EcsOptions(AwsOptions, frozen=True, kw_only=True):
    cluster: str
    image: str
    """tidegate's image, the same as for Kubernetes, in a registry that the tasks can reach."""
    execution_role: str
    listener: str
    """ARN of the load balancer's listener, to which tidegate adds a rule for each endpoint."""
    vpc: str
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    task_role: str = ""
    """With the right to read the model data."""
    public_address: bool = False
    cpu: int = 1024
    """CPU units of a task where the spec says nothing; 1024 are one core."""
    memory: int = 2048
    """MiB of a task where the spec says nothing."""
    allow_unsigned: bool = False
    """Whoever reaches the load balancer may ask the models, although the server has access keys: tasks do not get
    them, and check no signature."""
    idle_timeout: Annotated[int, msgspec.Meta(ge=10, le=4000)] = 60
    """Seconds of the load balancer's attribute ``idle_timeout.timeout_seconds``. Tasks answer earlier: what the
    balancer gives up counts as an error of no target group, and so would look like a good request of its version."""
    log_group: str = "/tidegate/ecs"
    strategy: Literal["ROLLING", "BLUE_GREEN", "LINEAR", "CANARY"] = "ROLLING"
    """ECS's own deployments in `render`; tidegate's rollouts need none of them."""
    infrastructure_role: str = ""
    """With which ECS itself shifts the weights of a listener rule, for strategies other than ROLLING."""


def service_name(fleet: FleetId) -> str:
    return f"tidegate-{fleet.endpoint}-{fleet.generation}-{fleet.variant}"


def group_name(fleet: FleetId, installation: str) -> str:
    """Return the name of a fleet's target group. It may have 32 characters at most, so a digest names the fleet."""
    return f"tg-{hashlib.sha256(f'{installation}/{fleet}'.encode()).hexdigest()[:24]}"


def path_pattern(endpoint: str) -> str:
    return f"/endpoints/{endpoint}/*"
