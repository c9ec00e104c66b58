"""Events that may happen to a simulated endpoint, and when. Times are relative to the rollout's phases, since defects
hide at their edges: an alarm two seconds after the start of the second bake finds what one at a random time does
not."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.rollout import Phase


@dataclass(frozen=True)
class When:
    """``after`` seconds after the ``nth`` entry of ``phase`` (counted over the life of the world); without a phase,
    after the start."""

    phase: Phase | None = None
    nth: int = 1
    after: float = 0.0


class RolloutSide(StrEnum):
    OLD = "old"
    NEW = "new"


class CrashPoint(StrEnum):
    """Where in a tick the controller dies."""

    OBSERVED = "observed"
    SAVED = "saved"
    ACTING = "acting"
    """After the first of the tick's actions."""


@dataclass(frozen=True)
class AlarmTurns:
    when: When
    alarm: str
    state: AlarmState | None
    """None: the alarm is deleted."""


@dataclass(frozen=True)
class ReplicasDie:
    """Some ready replicas of one side die; the target replaces them."""

    when: When
    side: RolloutSide
    count: int = 1


@dataclass(frozen=True)
class StartsFail:
    """From then on no replica of that side starts; the target reports why."""

    when: When
    side: RolloutSide
    why: str = "exit code 1"


@dataclass(frozen=True)
class StartsRecover:
    """Replicas of that side start again."""

    when: When
    side: RolloutSide


@dataclass(frozen=True)
class ObservationGap:
    """For ``seconds`` these parts of every observation are None; ``evidence`` does not advance, since nothing is
    collected or evaluated. ``lost``: what was not collected is lost for good."""

    when: When
    seconds: float
    fleets: bool = False
    routes: bool = False
    alarms: bool = False
    evidence: bool = False
    lost: bool = False


@dataclass(frozen=True)
class RouterRestarts:
    """The router restarts without routes; a write in flight is lost with it."""

    when: When


@dataclass(frozen=True)
class UserCommand:
    """A user's command; its error is kept in ``World.refused``."""

    when: When
    what: str
    command: Callable[[Endpoint, datetime], Endpoint] = field(compare=False)


@dataclass(frozen=True)
class ControllerCrash:
    """The controller dies in its ``nth`` tick that changes the record and restarts ``down`` seconds later."""

    nth: int
    point: CrashPoint
    down: float = 5.0


ScriptedEvent = (
    AlarmTurns | ReplicasDie | StartsFail | StartsRecover | ObservationGap | RouterRestarts | UserCommand
)


@dataclass(frozen=True)
class WorldTiming:
    """Durations in seconds, and what gets lost. Tuples are cycled through, one value per effect or replica."""

    latencies: tuple[float, ...] = (0.0,)
    losses: tuple[bool, ...] = (False,)
    startups: tuple[float, ...] = (30.0,)
    drains: tuple[float, ...] = (1.0,)
    resync: float = 1.0
    """Until the controller repeats an action that it has not observed."""
