"""What a spec file asks for, as domain objects: the native door's counterpart of the wire's Create calls."""

from dataclasses import dataclass, field

from tidegate.domain.alarm import Alarm
from tidegate.domain.endpoint import EndpointConfig
from tidegate.domain.registry import Model, Tags
from tidegate.domain.rollout import DeploymentConfig
from tidegate.domain.scaling import Dimension, ScalingPolicy


@dataclass(frozen=True)
class DesiredScaling:
    """Of one variant. ``from_zero``: a policy of its own takes it from no instance to one when requests wait."""

    variant: str
    dimension: Dimension
    minimum: int
    maximum: int
    policies: tuple[ScalingPolicy, ...]
    from_zero: bool = False


@dataclass(frozen=True)
class DesiredDeployment:
    """One endpoint with all it needs. Model and config names are derived from the content (name plus a short
    digest), so the same spec always gives the same names and a changed one gives new ones."""

    endpoint: str
    models: tuple[Model, ...]
    config: EndpointConfig
    deployment: DeploymentConfig
    alarms: tuple[Alarm, ...] = ()
    tags: Tags = field(default_factory=dict)
    autoscaling: DesiredScaling | None = None
