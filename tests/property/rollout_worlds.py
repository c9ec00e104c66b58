"""Random worlds for the rollout machine: versions, configs, and what goes wrong, aimed at the edges of phases."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf

from hypothesis import strategies as st

from tests.samples import all_at_once, canary, instances, linear, percent, rolling, version
from tidegate.domain.alarm import AlarmState
from tidegate.domain.assurance import Assurance, Harm
from tidegate.domain.endpoint import Endpoint, VersionRequest
from tidegate.domain.evidence import Comparison, EvidenceConfig
from tidegate.domain.observation import Capabilities
from tidegate.domain.rollout import DeploymentConfig, Holdback, Phase, Version
from tidegate.domain.traffic import WHOLE
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.rollout import commands
from tidegate.rollout.commands import VariantChange
from tidegate.rollout.step import step
from tidegate.simulation.faults import (
    AlarmTurns,
    ControllerCrash,
    CrashPoint,
    ObservationGap,
    ReplicasDie,
    RolloutSide,
    RouterRestarts,
    ScriptedEvent,
    StartsFail,
    UserCommand,
    When,
    WorldTiming,
)
from tidegate.simulation.invariants import Invariants, expect
from tidegate.simulation.world import StepFunction, World

DAY = 86_400.0
LONG = 40 * DAY

PHASES = (Phase.PROVISIONING, Phase.ACTIVATING_TRAFFIC, Phase.BAKING, Phase.TERMINATING, Phase.ROLLING_BACK)

seconds = st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0, 29.0, 30.0, 31.0, 59.9, 60.0, 61.0, 299.0, 300.0, 301.0])
whens = st.builds(
    When,
    phase=st.one_of(st.none(), st.sampled_from(PHASES), st.just(Phase.BAKING)),
    nth=st.integers(1, 4),
    after=seconds,
)
physics = st.builds(
    WorldTiming,
    latencies=st.lists(st.sampled_from([0.0, 0.1, 0.9, 3.0, 12.0, 100.0]), min_size=1, max_size=6).map(tuple),
    losses=st.lists(st.booleans(), min_size=1, max_size=5).map(lambda drawn: (*drawn, False)),
    startups=st.lists(st.sampled_from([1.0, 30.0, 200.0]), min_size=1, max_size=3).map(tuple),
    resync=st.just(20.0),
    drains=st.lists(st.sampled_from([0.0, 1.0, 60.0]), min_size=1, max_size=2).map(tuple),
)


@dataclass(frozen=True)
class Setting:
    """Everything that makes a world, so that a failing one can be read and made again."""

    old: Version
    new: Version
    deployment: DeploymentConfig
    physics: WorldTiming
    script: tuple[ScriptedEvent, ...]
    crashes: tuple[ControllerCrash, ...] = ()

    def world(self, invariants: Invariants | None = None, step: StepFunction = step) -> World:
        return make_updating_world(
            self.old,
            self.new,
            self.deployment,
            physics=self.physics,
            script=self.script,
            crashes=self.crashes,
            watchers=(invariants,) if invariants else (),
            step=step,
        )


sides = st.sampled_from(RolloutSide)
alarm_turns = st.builds(AlarmTurns, whens, st.just("alarm"), st.sampled_from([*AlarmState, None]))
alarm_fires = st.builds(AlarmTurns, whens, st.just("alarm"), st.just(AlarmState.ALARM))
deaths = st.builds(ReplicasDie, whens, sides, st.integers(1, 3))
blindness = st.builds(
    ObservationGap, whens, seconds, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans()
)
failing = st.builds(StartsFail, whens, sides, st.just("exit code 1"), st.sampled_from([inf, inf, 60.0, 400.0]))
forgetting = st.builds(RouterRestarts, whens)


COMMANDS = ("pause", "resume", "abort", "promote", "promote_fully", "scale", "supersede")


@st.composite
def people(draw: st.DrawFn, commands_of: Sequence[str] = COMMANDS) -> UserCommand:
    """One command. Whether it is accepted depends on the moment; refusing is an answer too."""
    when = draw(whens)
    what = draw(st.sampled_from(commands_of))
    match what:
        case "scale":
            change = VariantChange(
                draw(st.sampled_from([None, 0.5, 2.0])), draw(st.sampled_from([None, 1, 2, 3, 5]))
            )
            return UserCommand(when, what, lambda e, now: commands.scale(e, {"AllTraffic": change}, now))
        case "supersede":
            return UserCommand(when, what, superseding(f"v{draw(st.integers(3, 5))}"))
        case _:
            return UserCommand(when, what)


def superseding(name: str) -> Callable[[Endpoint, datetime], Endpoint]:
    def command(endpoint: Endpoint, now: datetime) -> Endpoint:
        wish = VersionRequest(version(name, 2), canary(percent(50), 60), now)
        return commands.supersede(
            endpoint, wish, rollout_id=f"to-{name}-{endpoint.generation}", can=Capabilities(), now=now
        )

    return command


@st.composite
def deployments(draw: st.DrawFn) -> DeploymentConfig:
    wait, bake = draw(st.sampled_from([0, 60, 300])), draw(st.sampled_from([0, 60]))
    evidence = draw(st.booleans())
    size = draw(st.sampled_from([percent(5), percent(33), percent(50), instances(1)]))
    config = draw(
        st.sampled_from(
            [
                all_at_once(bake, ("alarm",)),
                canary(size, wait, bake, evidence=evidence),
                linear(size, wait, bake, evidence=evidence),
                rolling(size, wait, evidence=evidence),
                rolling(size, wait, draw(st.sampled_from([instances(1), percent(50)])), evidence=evidence),
            ]
        )
    )
    spare = draw(st.sampled_from([None, None, 1, 120, 1000]))
    waits = 20 * wait + bake
    steps = config.rolling is not None or (config.blue_green is not None and config.blue_green.size is not None)
    if steps and draw(st.booleans()):
        copies = draw(st.sampled_from([0, 30, 200]))
        compared = EvidenceConfig(compare=(Comparison.ERRORS, Comparison.PAIRED), copies=copies)
        # The worlds' verdict rules every harm out, while there is one.
        if config.blue_green is not None and config.blue_green.size in (percent(5), percent(33)):
            before = draw(st.sampled_from([3300, 5000]))
            compared = replace(
                compared, assure=draw(st.sampled_from([None, Assurance(Harm(errors=0.01), before)]))
            )
        config, waits = replace(config, evidence=compared), waits + copies
    fits = config.blue_green is not None and steps and not config.blue_green.termination_wait
    if fits and size != percent(50) and draw(st.booleans()):
        config, waits = replace(config, holdback=Holdback(100, 600)), waits + 600
    return replace(config, execution_timeout=None if spare is None else waits + spare)


@st.composite
def settings(draw: st.DrawFn, happenings: st.SearchStrategy[ScriptedEvent], evidence: bool = False) -> Setting:
    counts = draw(st.sampled_from([2, 3, 4]))
    deployment = draw(deployments())
    beside, weight = draw(st.sampled_from([(0, 1.0), (0, 1.0), (2, 3.0), (2, 0.0)]))
    if deployment.rolling:
        beside = 0

    def sized(name: str, count: int) -> Version:
        sizes = {"AllTraffic": count, "Beside": beside} if beside else {"AllTraffic": count}
        return version(name, sizes, {"Beside": weight}, shadow=draw(st.sampled_from([0, 0, 1, 2])))

    return Setting(
        old=sized("v1", draw(st.sampled_from([counts, 2, 5]))),
        new=sized("v2", counts),
        deployment=replace(deployment, require_evidence=evidence or deployment.require_evidence),
        physics=draw(physics),
        script=tuple(draw(st.lists(happenings, max_size=5))),
    )


troubles = st.one_of(alarm_fires, alarm_turns, deaths, blindness, failing, forgetting)
anything = st.one_of(troubles, people(), people(), people())
crashes = st.lists(
    st.builds(
        ControllerCrash, st.integers(1, 12), st.sampled_from(CrashPoint), st.sampled_from([0.0, 1.0, 400.0])
    ),
    max_size=2,
).map(tuple)


def ended(world: World) -> bool:
    return world.record is None or world.record.rollout is None


def check(setting: Setting, step: StepFunction = step) -> World:
    """Runs the world to the end of its last rollout, all invariants watched. People come back: what is paused is
    resumed, the alarm recovers, replicas come up again, so that nothing but a fault can hold it."""
    world = setting.world(Invariants(), step)
    for _ in range(len(setting.script) + 1):
        world.run(world.now + LONG, settled=ended)
        if ended(world):
            world.target.broken.clear()
            world.run(world.now + DAY)
            if ended(world):
                break
        world.do("resume", lambda e, now: commands.resume(e, "ann", now))
        world.alarms["alarm"] = AlarmState.OK
        world.wake(0.0)
    expect(ended(world), "every rollout ends", world.record)
    the_end_is_as_told(world)
    return world


def the_end_is_as_told(world: World) -> None:
    """Succeeded: all traffic on new and only new left. RolledBack: all on old, with a reason. Then nothing is
    asked for any more."""
    record, seen = world.record, world.look()
    assert record is not None and record.last is not None and record.serving is not None
    assert seen.routes is not None and seen.fleets is not None
    if record.last.phase is Phase.ROLLBACK_FAILED:
        expect(record.mixed and record.rollback_failed and record.failure_reason, "a mix says so", record)
        return
    good = record.last.phase is Phase.SUCCEEDED
    generation = record.last.new.generation if good else record.serving.generation
    expect(record.serving.generation == generation, "what serves is on record", record.serving)
    expect(seen.routes.share_of(generation) == WHOLE, "all traffic is where it belongs", seen.routes)
    expect({id.generation for id in seen.fleets} == {generation}, "nothing else is left", seen.fleets)
    expect(good or record.last.reason, "turning back has a reason", record.last)
    expect(world.step(record, seen, world.instant()).actions == (), "at rest nothing is asked for", seen)
