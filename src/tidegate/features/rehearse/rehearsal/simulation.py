"""Simulates a rollout on a virtual clock: what happens, and when, with these versions, this config and these
alarms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint, VersionRequest
from tidegate.domain.fleet import ReplicaState
from tidegate.domain.observation import Capabilities, Event
from tidegate.domain.rollout import DeploymentConfig, Phase, Version
from tidegate.rollout import commands, desired_state
from tidegate.rollout.step import step
from tidegate.simulation.faults import ControllerCrash, ScriptedEvent, WorldTiming
from tidegate.simulation.world import START, JournalEntry, StepFunction, Watcher, World

YEAR = 366 * 86_400.0


@dataclass(frozen=True)
class TimelineMoment:
    """One entry of a timeline; ``at`` is seconds from the start, counts are ready instances."""

    at: float
    phase: str
    share: int
    """Wanted share of the new version in basis points."""
    old_ready: int
    new_ready: int
    events: tuple[Event, ...]


@dataclass(frozen=True)
class RolloutTimeline:
    """The timeline of a rollout. ``phase`` is its final phase, or the one at the time limit."""

    moments: tuple[TimelineMoment, ...]
    phase: Phase
    reason: str | None
    seconds: float

    def at(self, phase: Phase, nth: int = 1) -> float:
        """Seconds from the start until the phase was entered for the ``nth`` time."""
        times = [m.at for m in self.moments for e in m.events if e.kind == f"rollout.{phase}"]
        return times[nth - 1]


def simulate(
    old: Version | None,
    new: Version,
    deployment: DeploymentConfig,
    *,
    script: Sequence[ScriptedEvent] = (),
    startup: float = 30.0,
    alarms: Mapping[str, AlarmState] | None = None,
    can: Capabilities | None = None,
    limit: float = YEAR,
) -> RolloutTimeline:
    """Simulate the rollout of ``new`` over ``old``, or the creation of the endpoint. ``script`` lists the events:
    alarms that change, replicas that die, commands. Alarms are OK at first unless ``alarms`` says otherwise.
    ``startup`` is seconds until a replica is ready; ``limit`` is when to stop. Raises what ``compile_plan``
    raises."""
    counter = TimelineRecorder()
    world = make_updating_world(
        old,
        new,
        deployment,
        script=script,
        physics=WorldTiming(startups=(startup,)),
        alarms=alarms,
        can=can,
        watchers=(counter,),
    )
    world.run(limit, settled=lambda world: world.record is None or world.record.rollout is None)
    record = world.record
    rollout = (record.rollout or record.last) if record else None
    phase = rollout.phase if rollout else Phase.FAILED
    return RolloutTimeline(tuple(counter.moments), phase, rollout.reason if rollout else None, world.now)


def make_updating_world(
    old: Version | None,
    new: Version,
    deployment: DeploymentConfig,
    *,
    alarms: Mapping[str, AlarmState] | None = None,
    physics: WorldTiming | None = None,
    script: Sequence[ScriptedEvent] = (),
    crashes: Sequence[ControllerCrash] = (),
    watchers: Sequence[Watcher] = (),
    can: Capabilities | None = None,
    step: StepFunction = step,
) -> World:
    """Make a world in which ``old`` serves fully and the update to ``new`` has just been requested."""
    endpoint = Endpoint("simulated", START, START)
    if old is not None:
        endpoint = replace(endpoint, generation=1, serving=replace(old, generation=1))
        endpoint = desired_state.route(endpoint, 0)
    wish = VersionRequest(new, deployment, START)
    begun = commands.begin(endpoint, wish, rollout_id="r1", can=can or Capabilities(), now=START)
    world = World(
        begun,
        physics=physics or WorldTiming(),
        alarms={name: AlarmState.OK for name in deployment.alarms} | dict(alarms or {}),
        script=script,
        crashes=crashes,
        watchers=watchers,
        step=step,
    )
    world.journal.append(JournalEntry(0.0, begun, (), "begin"))
    world.target.serve(endpoint)
    return world


@dataclass
class TimelineRecorder:
    """Records a moment for every journal line and every change of ready instances."""

    moments: list[TimelineMoment] = field(default_factory=list)
    _lines: int = 0

    def decided(self, *_: object) -> None:
        pass

    def changed(self, world: World) -> None:
        lines, self._lines = world.journal[self._lines :], len(world.journal)
        for line in lines:
            if line.events:
                self.moments.append(_make_moment(world, line))


def _make_moment(world: World, line: JournalEntry) -> TimelineMoment:
    record = line.record
    rollout = (record.rollout or record.last) if record else None
    if record is None or rollout is None:
        return TimelineMoment(line.at, "Gone", 0, 0, 0, line.events)
    count = partial(_count_ready, world)
    share = desired_state.traffic(record).share_of(rollout.new.generation)
    old = count(rollout.old.generation) if rollout.old else 0
    return TimelineMoment(line.at, str(rollout.phase), share, old, count(rollout.new.generation), line.events)


def _count_ready(world: World, generation: int) -> int:
    fleets = (f for id, f in world.target.fleets.items() if id.generation == generation)
    return sum(len(fleet.of(ReplicaState.READY)) for fleet in fleets)
