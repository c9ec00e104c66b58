"""Faults that only real loops can suffer: of their process, database, clock, workers and clients. Those of the fleets
themselves are in ``simulation/faults.py``."""

from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum

from tidegate.simulation.faults import Fault, RolloutSide, When

# The controller's process


@dataclass(frozen=True)
class ControllerDies:
    """Killed at the ``awaits``-th await after ``when``, restarted ``absence`` seconds later."""

    when: When
    awaits: int
    absence: float


@dataclass(frozen=True)
class ControllerFreezes:
    """Stopped and continued (SIGSTOP, a virtual machine that is not scheduled): time passes, nothing runs."""

    when: When
    seconds: float


@dataclass(frozen=True)
class MachineCrashes:
    """Controller, proxy and workers die at once and are restarted ``absence`` seconds later."""

    when: When
    absence: float


# The database of records and metrics


@dataclass(frozen=True)
class DatabaseLocked:
    """Another process holds its lock. ``reads``: readers wait, too."""

    when: When
    seconds: float
    reads: bool = True


@dataclass(frozen=True)
class DatabaseFull:
    """Reads work; writes raise Unavailable."""

    when: When
    seconds: float


@dataclass(frozen=True)
class DatabaseAway:
    """Every call raises Unavailable after ``hang`` seconds: a restarting server, or a silent connection."""

    when: When
    seconds: float
    hang: float = 0.0


@dataclass(frozen=True)
class DatabaseSlow:
    """Every transaction takes ``latency`` seconds longer."""

    when: When
    seconds: float
    latency: float


@dataclass(frozen=True)
class AnswersLost:
    """The next ``count`` writing transactions are committed, but their callers get Unavailable."""

    when: When
    count: int


@dataclass(frozen=True)
class MetricsFail:
    """Metrics cannot be written, or read unless in memory, while records can."""

    when: When
    seconds: float
    reads: bool = False


# Time


@dataclass(frozen=True)
class ClockSteps:
    """The wall clock is set forward or back."""

    when: When
    by: float


# Fleets, proxy and traffic


@dataclass(frozen=True)
class ReplicasHang:
    """Workers stop answering everything, including statistics; the proxy notices by its health check."""

    when: When
    side: RolloutSide
    count: int = 1


@dataclass(frozen=True)
class ProxyDies:
    """Requests fail until it is restarted; routes cannot be read or set."""

    when: When
    seconds: float


@dataclass(frozen=True)
class TargetFails:
    """Actions raise Transient. ``landed``: after they took effect."""

    when: When
    seconds: float
    landed: bool = False


@dataclass(frozen=True)
class TrafficStops:
    """No requests for that long."""

    when: When
    seconds: float


class PageDamage(StrEnum):
    """What is wrong with the statistics pages of some workers."""

    LATE = "late"
    """They are two seconds old."""
    MISSING = "missing"
    """They get no answer."""
    GARBAGE = "garbage"
    """They are not JSON, or not a page."""
    NULL = "null"
    """A number is null, as JSON writes infinity."""
    INFINITE = "infinite"
    """Numbers that add up to infinity."""
    CONTRADICTORY = "contradictory"
    """More errors than requests, negative counts, invalid sketches."""
    FUTURE = "future"
    """Seconds that are hours off, in both directions."""


@dataclass(frozen=True)
class PagesDamaged:
    """One side's workers answer with damaged pages."""

    when: When
    seconds: float
    side: RolloutSide
    damage: PageDamage


@dataclass(frozen=True)
class VersionBehaviour:
    """How a version behaves: fraction of requests that fail, latency (microseconds), and whether it answers at all.
    Health checks always succeed."""

    errors: float = 0.0
    latency: int = 20_000
    answers: bool = True

    @property
    def good(self) -> bool:
        return self == VersionBehaviour()


@dataclass(frozen=True)
class BehaviourChanges:
    """The new version starts to behave like this after ``requests`` requests."""

    when: When
    conduct: VersionBehaviour
    requests: int = 0


# People and programs at the API


class GuardEdit(StrEnum):
    DELETE = "delete"
    BLUNT = "blunt"
    """Redefined so that it never fires."""
    RETARGET = "retarget"
    """Redefined to watch a metric without data."""
    SET_OK = "set OK"
    SET_ALARM = "set ALARM"


@dataclass(frozen=True)
class GuardEdited:
    when: When
    edit: GuardEdit


SUPERSEDE, TOUCH = "supersede", "touch"
COMMANDS = ("pause", "resume", "abort", "promote", SUPERSEDE, TOUCH)
"""Names of a ``UserCommand`` here. TOUCH: somebody else writes the record, so that what was read before is stale."""


def describe_fault(fault: Fault) -> str:
    """One line for a timeline, without the time."""
    assert is_dataclass(fault)
    words = [f"{f.name} {getattr(fault, f.name)}" for f in fields(fault) if f.name not in ("when", "command")]
    return " ".join([type(fault).__name__, ", ".join(words)]).strip()


def fault_duration(fault: Fault) -> float:
    """Seconds until the fault ends by itself."""
    return float(getattr(fault, "seconds", 0.0) or getattr(fault, "absence", 0.0))
