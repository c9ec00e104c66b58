"""Faults of a simulated world, and when they happen. Times are relative to the rollout's phases, since defects hide
at their edges: an alarm two seconds after the start of the second bake finds what one at a random time does not.

Faults that only real loops can suffer (of their database, process and clock) are in ``tests/loops/faults.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from math import inf
from typing import Protocol

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


class Fault(Protocol):
    """A fault that happens at one moment."""

    @property
    def when(self) -> When: ...


class RolloutSide(StrEnum):
    OLD = "old"
    NEW = "new"


class CrashPoint(StrEnum):
    """Point in a tick at which the controller dies."""

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
    """Fault in which no replica of one side starts for ``seconds``; the target reports why."""

    when: When
    side: RolloutSide
    why: str = "exit code 1"
    seconds: float = inf


@dataclass(frozen=True)
class ObservationGap:
    """Fault in which these parts of every observation are None for ``seconds``. ``evidence`` does not advance, since
    nothing is collected or evaluated. ``lost`` means that what was not collected is lost for good. Real loops read
    alarms and evidence from their database: only its faults hide them."""

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
    """A user's command. Without ``command`` it is the function of that name in ``rollout/commands.py``, such as
    pause, resume, abort or promote."""

    when: When
    what: str
    command: Callable[[Endpoint, datetime], Endpoint] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class ControllerCrash:
    """The controller dies in its ``nth`` tick that changes the record and restarts ``down`` seconds later."""

    nth: int
    point: CrashPoint
    down: float = 5.0


ScriptedEvent = AlarmTurns | ReplicasDie | StartsFail | ObservationGap | RouterRestarts | UserCommand


@dataclass(frozen=True)
class WorldTiming:
    """Durations in seconds, and what gets lost. Tuples are cycled through, one value per effect or replica."""

    latencies: tuple[float, ...] = (0.0,)
    losses: tuple[bool, ...] = (False,)
    startups: tuple[float, ...] = (30.0,)
    drains: tuple[float, ...] = (1.0,)
    resync: float = 1.0
    """Until the controller repeats an action that it has not observed."""
