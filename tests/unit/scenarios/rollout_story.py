"""How scenarios are told: an update in a world whose invariants are watched, and what is asked of its end."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from tests.samples import version
from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint, Rollout, VersionRequest
from tidegate.domain.observation import Capabilities
from tidegate.domain.rollout import DeploymentConfig, Phase, Version
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.rollout import commands
from tidegate.rollout.commands import VariantChange
from tidegate.simulation.faults import AlarmTurns, ScriptedEvent, UserCommand, When, WorldTiming
from tidegate.simulation.invariants import Invariants
from tidegate.simulation.world import World

DAY = 86_400.0
Command = Callable[[Endpoint, datetime], Endpoint]


def pause(endpoint: Endpoint, now: datetime) -> Endpoint:
    return commands.pause(endpoint, "ann", now)


def resume(endpoint: Endpoint, now: datetime) -> Endpoint:
    return commands.resume(endpoint, "bob", now)


def abort(endpoint: Endpoint, now: datetime) -> Endpoint:
    return commands.abort(endpoint, "ann", now)


def promote(endpoint: Endpoint, now: datetime) -> Endpoint:
    return commands.promote(endpoint, "ann", now)


def promote_fully(endpoint: Endpoint, now: datetime) -> Endpoint:
    return commands.promote_fully(endpoint, "ann", now)


def scale(count: int | None = None, weight: float | None = None, variant: str = "AllTraffic") -> Command:
    return lambda endpoint, now: commands.scale(endpoint, {variant: VariantChange(weight, count)}, now)


def retry(endpoint: Endpoint, now: datetime) -> Endpoint:
    return commands.retry(endpoint, rollout_id="again", override=False, can=Capabilities(), now=now)


def begin(to: Version, config: DeploymentConfig, override: bool = False) -> Command:
    def command(endpoint: Endpoint, now: datetime) -> Endpoint:
        wish = VersionRequest(to, config, now)
        name = f"to {to.config_name} at {now:%H:%M:%S}"
        return commands.begin(endpoint, wish, rollout_id=name, can=Capabilities(), now=now, override=override)

    return command


def supersede(to: Version, config: DeploymentConfig) -> Command:
    def command(endpoint: Endpoint, now: datetime) -> Endpoint:
        wish = VersionRequest(to, config, now)
        return commands.supersede(endpoint, wish, rollout_id=to.config_name, can=Capabilities(), now=now)

    return command


def does(command: Command, phase: Phase | None = None, nth: int = 1, after: float = 0.0) -> UserCommand:
    return UserCommand(When(phase, nth, after), "command", command)


def fires(phase: Phase | None = None, nth: int = 1, after: float = 0.0, alarm: str = "alarm") -> AlarmTurns:
    return AlarmTurns(When(phase, nth, after), alarm, AlarmState.ALARM)


@dataclass
class Story:
    """An update of ``old`` to ``new``. Replicas start in 30 s; effects are immediate unless said otherwise."""

    config: DeploymentConfig
    script: tuple[ScriptedEvent, ...] = ()
    old: Version = field(default_factory=lambda: version("v1", 4))
    new: Version = field(default_factory=lambda: version("v2", 4))
    physics: WorldTiming = field(default_factory=WorldTiming)
    alarms: dict[str, AlarmState] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.world: World = make_updating_world(
            self.old,
            self.new,
            self.config,
            alarms=self.alarms,
            physics=self.physics,
            script=self.script,
            watchers=(Invariants(),),
        )

    def run(self, until: float = DAY) -> "Story":
        self.world.run(until)
        return self

    def do(self, command: Command) -> "Story":
        self.world.do("command", command)
        return self

    @property
    def record(self) -> Endpoint:
        assert self.world.record is not None
        return self.world.record

    @property
    def rollout(self) -> Rollout:
        assert self.record.rollout is not None
        return self.record.rollout

    @property
    def last(self) -> Rollout:
        assert self.record.rollout is None and self.record.last is not None
        return self.record.last

    @property
    def serves(self) -> str:
        """The config that has all of the traffic."""
        assert self.record.serving is not None
        table = self.world.target.routes(self.world.name)
        assert {route.fleet.generation for route in table.routes} == {self.record.serving.generation}
        return self.record.serving.config_name

    def ready(self, generation: int) -> int:
        fleets = (f.seen() for id, f in self.world.target.fleets.items() if id.generation == generation)
        return sum(fleet.ready for fleet in fleets)

    def share(self, generation: int) -> int:
        """Basis points in force."""
        return self.world.target.routes(self.world.name).share_of(generation)

    def times(self, phase: Phase) -> list[float]:
        """When the phase was entered, in seconds from the start."""
        return self.times_of(phase)

    def times_of(self, what: str) -> list[float]:
        """When an event of this kind happened, in seconds from the start."""
        kind = f"rollout.{what}"
        return [entry.at for entry in self.world.journal for event in entry.events if event.kind == kind]

    def shares(self) -> list[int]:
        """Every share that the new side was wanted to have, in order, without repetition."""
        found: list[int] = []
        for entry in self.world.journal:
            if entry.record is None or entry.record.traffic is None:
                continue
            rollout = entry.record.rollout or entry.record.last
            share = entry.record.traffic.share_of(rollout.new.generation) if rollout else 0
            if not found or found[-1] != share:
                found.append(share)
        return found
