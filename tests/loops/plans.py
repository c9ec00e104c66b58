"""Plans of simulated worlds: everything that is decided before a world runs, drawn from one seed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from tests.loops import faults as f
from tests.loops.faults import GuardEdit, PageDamage, VersionBehaviour
from tests.loops.ground_truth import MAIN
from tests.loops.machine import MachineTiming
from tests.samples import all_at_once, canary, linear, percent, rolling
from tidegate.domain.alarm import Alarm, ComparisonOperator, MissingData
from tidegate.domain.rollout import DeploymentConfig, Phase
from tidegate.simulation.faults import (
    Fault,
    ObservationGap,
    ReplicasDie,
    RolloutSide,
    StartsFail,
    UserCommand,
    When,
)
from tidegate.simulation.world import START

VARIANT = "AllTraffic"
OLD, NEW, NEXT = "v1", "v2", "v3"
MAX_DURATION = 900.0
"""Maximum virtual seconds of a world."""


@dataclass(frozen=True)
class Neighbour:
    """Another endpoint on the same platform: its requests, the state of its pages, and its alarms."""

    rate: float
    damage: PageDamage | None
    alarms: int = 0
    periods: int = 0
    """Periods of each alarm."""
    read_cost: float = 0.0
    """Seconds to read one period of an alarm."""


@dataclass(frozen=True)
class WorldPlan:
    """``second``: offset in a wall-clock second at which the world begins."""

    seed: int
    old_count: int
    new_count: int
    deployment: DeploymentConfig
    guards: tuple[Alarm, ...]
    rate: float
    physics: MachineTiming
    faults: tuple[Fault, ...]
    neighbour: Neighbour | None = None
    scaled: bool = False
    second: float = 0.0

    @property
    def innocent(self) -> bool:
        """Whether no fault affects the new version."""
        missing = any(alarm.missing is MissingData.BREACHING for alarm in self.guards)
        return not missing and not any(_harms_new_version(fault) for fault in self.faults)


def _harms_new_version(fault: Fault) -> bool:
    match fault:
        case f.BehaviourChanges(conduct=conduct):
            return not conduct.good
        case f.GuardEdited(edit=edit):
            return edit is GuardEdit.SET_ALARM
        case f.ReplicasHang() | ReplicasDie() | f.PagesDamaged() | StartsFail():
            return True
    return False


def draw_plan(seed: int) -> WorldPlan:
    """Draw the plan of a seed. Guards can detect what they watch: their windows fit into every bake."""
    chance = Random(f"plan {seed}")
    pick = chance.choice
    evidence = chance.random() < 0.15
    names = pick((("errors",), ("errors",), ("latency",), ("errors", "latency")))
    guards = tuple(_draw_guard(chance, name, evidence) for name in names)
    window = max(alarm.period * alarm.evaluation_periods for alarm in guards) + 3
    rolls = chance.random() < 0.15
    count = 2 if rolls else pick((1, 1, 2))
    neighbour = _draw_neighbour(chance) if chance.random() < 0.12 else None
    plan = WorldPlan(
        seed=seed,
        old_count=pick((count, count, 2)),
        new_count=count,
        deployment=replace(
            _draw_deployment(chance, rolls, window + pick((0, 1, 3)), names), require_evidence=evidence
        ),
        guards=guards,
        rate=float(pick((8, 12, 30))),
        physics=MachineTiming(
            (pick((0.3, 1.0, 2.5)),), (pick((0.1, 0.5, 2.0)),), pick((1.0, 2.0)), pick((4.0, 8.0))
        ),
        faults=(),
        neighbour=neighbour,
        scaled=chance.random() < 0.08,
        second=chance.random(),
    )
    drawn = list(_draw_behaviour(chance))
    if neighbour is not None:
        drawn = [fault for fault in drawn if fault.when == When()]  # other times would be ambiguous
    else:
        kinds = [pick(PLATFORM) for _ in range(pick((0, 1, 1, 1, 2, 2, 3)))]
        kinds += [pick(PEOPLE) for _ in range(pick((0, 0, 0, 1, 2)))]
        kinds += [pick(REPLICAS) for _ in range(pick((0, 0, 0, 0, 1)))]
        drawn += [kind(chance) for kind in kinds]
        if chance.random() < 0.04:
            drawn += _draw_unattended_deaths(chance)
    return replace(plan, faults=tuple(drawn))


def _draw_guard(chance: Random, name: str, evidence: bool) -> Alarm:
    """If evidence is required, a guard on a single config would hold any other config's rollout for ever."""
    period = chance.choice((1, 1, 1, 1, 5, 10))
    periods = chance.choice((1, 2, 3)) if period == 1 else 1
    dimensions = {"EndpointName": MAIN, "VariantName": VARIANT}
    if not evidence and chance.random() < 0.4:
        dimensions["EndpointConfigName"] = NEW
    errors = name == "errors"
    return Alarm(
        name=name,
        namespace="AWS/SageMaker",
        metric="Invocation5XXErrors" if errors else "ModelLatency",
        dimensions=dimensions,
        statistic="Average" if errors else chance.choice(("p90", "p99")),
        period=period,
        evaluation_periods=periods,
        datapoints_to_alarm=chance.randint(1, periods),
        threshold=chance.choice((0.01, 0.05)) if errors else 1e6,
        comparison=ComparisonOperator.GREATER,
        configured_at=START,
        missing=chance.choice((MissingData.MISSING, MissingData.IGNORE, MissingData.NOT_BREACHING)),
    )


def _draw_deployment(chance: Random, rolls: bool, wait: int, alarms: tuple[str, ...]) -> DeploymentConfig:
    size = percent(chance.choice((25, 50)))
    if rolls:
        return rolling(percent(50), wait, chance.choice((None, percent(50))), alarms)
    match chance.choice(("canary", "canary", "linear", "at once")):
        case "canary":
            return canary(size, wait, wait, alarms)
        case "linear":
            return linear(percent(50), wait, wait, alarms)
    return all_at_once(wait, alarms)


FAILS = VersionBehaviour(errors=1.0)
BAD = (
    FAILS,
    FAILS,
    VersionBehaviour(errors=1.0, latency=2_000_000),
    VersionBehaviour(errors=0.5),
    VersionBehaviour(latency=3_000_000),
    VersionBehaviour(answers=False),
)


def _draw_behaviour(chance: Random) -> list[Fault]:
    """Draw the new version's behaviour."""
    bad = chance.choice(BAD)
    drawn = chance.random()
    if drawn < 0.35:
        return []
    if drawn < 0.7:
        return [f.BehaviourChanges(When(), bad)]
    if drawn < 0.9:
        return [f.BehaviourChanges(_draw_when(chance), bad, chance.choice((0, 0, 10, 100)))]
    begin = _draw_when(chance)
    end = replace(begin, after=begin.after + chance.choice((2.0, 5.0, 15.0)))
    return [f.BehaviourChanges(begin, bad), f.BehaviourChanges(end, VersionBehaviour())]


def _draw_unattended_deaths(chance: Random) -> list[Fault]:
    """Workers die while no controller collects their counts."""
    begin, away = _draw_when(chance), chance.choice((4.0, 7.0, 12.0))
    death = replace(begin, after=begin.after + away * chance.choice((0.5, 0.9, 1.0)))
    gap = chance.choice((f.ControllerDies(begin, 0, away), f.ControllerFreezes(begin, away)))
    return [gap, ReplicasDie(death, RolloutSide.NEW, 2)]


def _draw_neighbour(chance: Random) -> Neighbour:
    if chance.random() < 0.35:
        return Neighbour(10.0, None, chance.choice((5, 20)), 60, chance.choice((0.002, 0.01, 0.05)))
    return Neighbour(20.0, chance.choice(list(PageDamage)))


def _draw_when(chance: Random) -> When:
    phase = chance.choice(PHASES)
    whole = chance.choice((0.0, 0.0, 0.4, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 11.0))
    after = whole + chance.choice((0.0, chance.random()))
    return When(phase, chance.choice((1, 1, 2, 2, 3)), after)


PHASES = (
    *[Phase.BAKING] * 6,
    Phase.ACTIVATING_TRAFFIC,
    Phase.PROVISIONING,
    Phase.TERMINATING,
    Phase.ROLLING_BACK,
)
SHORT = (0.5, 2.0, 4.0, 6.0, 10.0, 20.0)
LONG = (3.0, 8.0, 15.0, 30.0, 60.0)


def _seconds(*among: float) -> Callable[[Random], float]:
    return lambda chance: chance.choice(among) + chance.choice((0.0, chance.random()))


def _of(kind: Callable[..., Fault], **members: Callable[[Random], Any]) -> Callable[[Random], Fault]:
    return lambda chance: kind(_draw_when(chance), **{name: member(chance) for name, member in members.items()})


def _among(*values: Any) -> Callable[[Random], Any]:
    return lambda chance: chance.choice(values)


_side = _among(RolloutSide.OLD, RolloutSide.NEW, RolloutSide.NEW)
Drawer = Callable[[Random], Fault]
PLATFORM: tuple[Drawer, ...] = (
    _of(f.ControllerDies, awaits=lambda c: c.randrange(60), absence=_seconds(0.2, 2.0, 5.0, 12.0, 30.0, 200.0)),
    _of(f.ControllerDies, awaits=lambda c: c.randrange(60), absence=_seconds(0.2, 2.0, 5.0, 12.0, 30.0, 200.0)),
    _of(f.ControllerFreezes, seconds=_seconds(*SHORT, 60.0, 300.0)),
    _of(f.MachineCrashes, absence=_seconds(*SHORT)),
    _of(f.DatabaseLocked, seconds=_seconds(*LONG), reads=_among(True, True, False)),
    _of(f.DatabaseFull, seconds=_seconds(*LONG)),
    _of(f.DatabaseAway, seconds=_seconds(*LONG), hang=_among(0.0, 0.0, 3.0)),
    _of(f.DatabaseSlow, seconds=_seconds(*LONG), latency=_among(0.1, 0.4, 1.0)),
    _of(f.AnswersLost, count=_among(1, 1, 3)),
    _of(f.MetricsFail, seconds=_seconds(*LONG), reads=_among(False, True)),
    _of(f.ClockSteps, by=_among(3600.0, 60.0, 7.0, 1.5, -1.5, -7.0, -90.0, -3600.0)),
    _of(f.ProxyDies, seconds=_seconds(0.5, 3.0, 8.0)),
    _of(f.TargetFails, seconds=_seconds(*SHORT), landed=_among(False, True)),
    _of(ObservationGap, seconds=_seconds(*SHORT), fleets=_among(True, False), routes=_among(False, True)),
    _of(f.TrafficStops, seconds=_seconds(2.0, 5.0, 12.0)),
)
PEOPLE: tuple[Drawer, ...] = (
    _of(f.GuardEdited, edit=_among(*GuardEdit)),
    _of(f.GuardEdited, edit=_among(GuardEdit.DELETE, GuardEdit.BLUNT, GuardEdit.RETARGET)),
    _of(UserCommand, what=_among(*f.COMMANDS)),
    _of(UserCommand, what=_among(f.TOUCH)),
)
REPLICAS: tuple[Drawer, ...] = (
    _of(f.ReplicasHang, side=_side, count=_among(1, 2)),
    _of(ReplicasDie, side=_side, count=_among(1, 2)),
    _of(f.PagesDamaged, seconds=_seconds(*SHORT), side=_side, damage=_among(*PageDamage)),
    _of(StartsFail, side=_side, seconds=_seconds(*SHORT)),
)
