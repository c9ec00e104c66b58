"""What may happen to a simulated endpoint, and when. Moments are told by the rollout's own phases, since faults
hide at its edges: an alarm two seconds after the second bake began finds what one at a random time does not."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.rollout import Phase


@dataclass(frozen=True)
class When:
    """``after`` seconds after the ``nth`` entry of ``phase`` (over the life of the world); without a phase, after
    the start."""

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
    """None: it is deleted."""


@dataclass(frozen=True)
class ReplicasDie:
    """That many ready replicas of one side end; the target starts others in their place."""

    when: When
    side: RolloutSide
    count: int = 1


@dataclass(frozen=True)
class StartsFail:
    """From then on no replica of that side comes up; the target reports why."""

    when: When
    side: RolloutSide
    why: str = "exit code 1"


@dataclass(frozen=True)
class StartsRecover:
    """Replicas of that side come up again."""

    when: When
    side: RolloutSide


@dataclass(frozen=True)
class ObservationGap:
    """For ``seconds`` these parts of every observation are None; ``evidence`` stays as it was: nothing is collected
    or judged. ``lost``: and what was not collected is lost for good."""

    when: When
    seconds: float
    fleets: bool = False
    routes: bool = False
    alarms: bool = False
    evidence: bool = False
    lost: bool = False


@dataclass(frozen=True)
class RouterRestarts:
    """The router starts anew, without routes; a write that was on its way to the one before is lost with it."""

    when: When


@dataclass(frozen=True)
class UserCommand:
    """A command; what it raises is kept in ``World.refused``."""

    when: When
    what: str
    command: Callable[[Endpoint, datetime], Endpoint] = field(compare=False)


@dataclass(frozen=True)
class ControllerCrash:
    """The controller dies in its ``nth`` tick that changes the record and is back ``down`` seconds later."""

    nth: int
    point: CrashPoint
    down: float = 5.0


ScriptedEvent = (
    AlarmTurns | ReplicasDie | StartsFail | StartsRecover | ObservationGap | RouterRestarts | UserCommand
)


@dataclass(frozen=True)
class WorldTiming:
    """How long things take, in seconds, and what gets lost. Tuples are gone through again and again, one value for
    each effect or replica."""

    latencies: tuple[float, ...] = (0.0,)
    losses: tuple[bool, ...] = (False,)
    startups: tuple[float, ...] = (30.0,)
    drains: tuple[float, ...] = (1.0,)
    resync: float = 1.0
    """Until the controller asks again for what it did not see come true."""
