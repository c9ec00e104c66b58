"""Desired state from a spec file, as domain objects: the native API's counterpart of SageMaker's Create calls."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tidegate.domain.alarm import Alarm
from tidegate.domain.endpoint import EndpointConfig
from tidegate.domain.registry import Model, Tags
from tidegate.domain.rollout import DeploymentConfig

if TYPE_CHECKING:
    # For annotations only: few specs scale, and these classes take a third of the time that reading a spec takes.
    from tidegate.domain.drift import DriftSchedule
    from tidegate.domain.scaling import Dimension, ScalingPolicy
    from tidegate.domain.transform import TransformJob


@dataclass(frozen=True)
class DesiredScaling:
    """Desired autoscaling of one variant. ``from_zero``: a policy of its own scales from zero to one instance when
    requests wait."""

    variant: str
    dimension: "Dimension"
    minimum: int
    maximum: int
    policies: "tuple[ScalingPolicy, ...]"
    from_zero: bool = False


@dataclass(frozen=True)
class DesiredDeployment:
    """One endpoint with everything it needs. Model and config names are derived from the content (name plus a short
    digest): the same spec always gives the same names, and a changed spec gives new ones."""

    endpoint: str
    models: tuple[Model, ...]
    config: EndpointConfig
    deployment: DeploymentConfig
    alarms: tuple[Alarm, ...] = ()
    tags: Tags = field(default_factory=dict)
    target: str | None = None
    """Where it runs; None: where the endpoint is, and a new one on the server's default target."""
    sections: Mapping[str, Any] = field(default_factory=dict)
    """What sections of features ask for, by their keys; a section that the spec does not have is not there."""

    @property
    def autoscaling(self) -> DesiredScaling | None:
        return self.sections.get("autoscaling")

    @property
    def drift(self) -> "DriftSchedule | None":
        return self.sections.get("drift")

    @property
    def job(self) -> "TransformJob | None":
        """The batch transform job that the spec describes in place of an endpoint."""
        return self.sections.get("job")
