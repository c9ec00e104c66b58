"""A shadow test: for some time a second model gets copies of an endpoint's requests, then one of the two stays."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from tidegate.domain.capture import Capture
from tidegate.ports.store import Kind

USUAL_LENGTH = timedelta(days=7)
"""SageMaker's, where no schedule is given."""


class ExperimentStatus(StrEnum):
    """SageMaker's words."""

    CREATED = "Created"
    STARTING = "Starting"
    RUNNING = "Running"
    UPDATING = "Updating"
    STOPPING = "Stopping"
    COMPLETED = "Completed"
    CANCELLED = "Cancelled"


ENDED = (ExperimentStatus.COMPLETED, ExperimentStatus.CANCELLED)


class VariantAction(StrEnum):
    """The action that is taken on a variant when the test stops."""

    RETAIN = "Retain"
    REMOVE = "Remove"
    PROMOTE = "Promote"


@dataclass(frozen=True)
class ExperimentVariant:
    name: str
    model_name: str
    instance_type: str
    instance_count: int


@dataclass(frozen=True)
class ExperimentEnding:
    """How the test stops. ``desired``: sizes of the variants that stay."""

    source: VariantAction = VariantAction.RETAIN
    shadow: VariantAction = VariantAction.REMOVE
    state: ExperimentStatus = ExperimentStatus.COMPLETED
    reason: str = ""
    desired: tuple[ExperimentVariant, ...] = ()


@dataclass(frozen=True)
class ShadowExperiment:
    """``source`` is the production variant, whose requests are copied to ``shadow``; ``percent`` of them."""

    name: str
    endpoint: str
    source: ExperimentVariant
    shadow: ExperimentVariant
    percent: int
    start: datetime
    end: datetime
    created_at: datetime
    capture: Capture | None = None
    description: str = ""
    role: str = ""
    wire: dict[str, object] = field(default_factory=dict)
    """Members of CreateInferenceExperiment that Describe echoes."""
    status: ExperimentStatus = ExperimentStatus.CREATED
    reason: str = ""
    before: str = ""
    """The config that the endpoint ran before the test; empty: the test created it."""
    configs: int = 0
    """Endpoint configs that the test has made."""
    running: str = ""
    """The config of the test that the endpoint runs."""
    wanted: str = ""
    """The config that the endpoint is on its way to; empty: it was not asked for yet."""
    ending: ExperimentEnding | None = None
    began_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED


# --- the records that shadow keeps ---


EXPERIMENT = Kind("experiment", ShadowExperiment)
KINDS: tuple[Kind[Any], ...] = (EXPERIMENT,)
TAGGABLE: dict[str, Kind[Any]] = {"inference-experiment": EXPERIMENT}
"""By the type of the resource in its ARN."""
