"""Rehearse a rollout many times: the real state machine on a virtual clock, the real alarms on drawn requests.

Each run draws its own requests. Runs with the fault show how reliably and how soon a bad version is rolled back; runs
without it show how often a good one is rolled back by mistake.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from tidegate.domain.alarm import Alarm
from tidegate.domain.errors import Invalid
from tidegate.domain.evidence import Comparison, EvidenceConfig
from tidegate.domain.observation import Capabilities
from tidegate.domain.rollout import DeploymentConfig, Phase, RolloutPlan, Version
from tidegate.domain.traffic import WHOLE
from tidegate.features.rehearse.promise import HEALTHY, Baseline, VersionFault
from tidegate.features.rehearse.rehearsal.alarm_replay import is_simulated
from tidegate.features.rehearse.rehearsal.compared_traffic import (
    ComparedVariant,
    ComparisonSampler,
    describe_assumptions,
    without_unknown,
)
from tidegate.features.rehearse.rehearsal.paired_sampling import PairSampler, ReplaySampler
from tidegate.features.rehearse.rehearsal.run_statistics import Proportion, ValueSpread
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.features.rehearse.rehearsal.stage_findings import (
    ComparisonSpoke,
    EvidenceSummary,
    FindingRecorder,
    StageFinding,
    summarise,
)
from tidegate.features.rehearse.rehearsal.traffic import RehearsalTraffic, VariantStream, make_streams
from tidegate.rollout.plan import compile_plan
from tidegate.simulation.faults import AlarmTurns, RolloutSide, StartsFail, When, WorldTiming
from tidegate.simulation.world import Watcher, World

MAX_RUNS = 100_000
HOLD_LIMIT = 86_400.0
"""Seconds beyond its duration after which a stuck rollout counts as held."""
HOLD_LIMIT_COMPARED = 1_800.0
"""The same where the versions are compared, after the deadlines of its stages."""
SHIFT_DELAY = 0.5
"""Seconds until a traffic change takes effect."""
HOUR = 3_600
REPLAYED_POSITIVES = 300


class RunOutcome(StrEnum):
    PASSED = "passed"
    ROLLED_BACK = "rolled back"
    HELD = "held"


@dataclass(frozen=True)
class Scenario:
    """The rollout to rehearse. ``alarms``: those that the deployment names. ``rate``: requests per second to the
    endpoint. ``startup``: seconds until instances are ready."""

    old: Version
    new: Version
    deployment: DeploymentConfig
    alarms: tuple[Alarm, ...]
    rate: float
    baseline: Baseline
    startup: float = 30.0
    positives: int = REPLAYED_POSITIVES
    """Labelled rows of 1 in a replay."""

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1e6:
            raise Invalid(f"traffic of {self.rate:g} requests per second: give a rate above 0 and up to a million")

    @property
    def plan(self) -> RolloutPlan:
        return compile_plan(self.old, self.new, self.deployment, Capabilities())

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Sentences on the assumptions, and on what is left out of the evidence."""
        known = self.baseline.predictions is not None
        return tuple(describe_assumptions(self.deployment.evidence, self.positives, predictions_known=known))

    @property
    def seconds(self) -> float:
        """Duration of a successful rollout in seconds."""
        plan = self.plan
        return self.startup * (len(plan.stages) if plan.rolling else 1) + sum(s.bake for s in plan.stages)


@dataclass(frozen=True)
class RehearsalRun:
    """Result of one run. ``alarms`` were in ALARM at the rollback; ``stage`` it was in, from 0; ``requests`` of the
    new version until it had no more traffic; ``seconds`` from the first shift until the rollback (0 if that came
    earlier), or until success."""

    outcome: RunOutcome
    cause: str | None
    """A ``Cause``."""
    alarms: tuple[str, ...]
    stage: int
    requests: int
    seconds: float
    reason: str | None = None
    findings: tuple[StageFinding, ...] = ()
    """What the evidence said, by stage."""
    spoke: tuple[ComparisonSpoke, ...] = ()
    """Comparisons that found a difference."""


@dataclass(frozen=True)
class RunSummary:
    """Summary of runs with the same fault. ``requests`` and ``seconds`` are of those that rolled back; ``by_alarm``
    and ``by_stage`` count them."""

    back: Proportion
    held: int
    requests: ValueSpread | None
    seconds: ValueSpread | None
    by_alarm: Mapping[str, int]
    by_stage: tuple[int, ...]
    by_cause: Mapping[str, int]
    each_requests: tuple[int, ...]
    each_seconds: tuple[float, ...]
    evidence: EvidenceSummary = field(default_factory=EvidenceSummary)

    @classmethod
    def of(cls, runs: Sequence[RehearsalRun], stages: int) -> "RunSummary":
        back = [run for run in runs if run.outcome is RunOutcome.ROLLED_BACK]
        at = Counter(run.stage for run in back)
        return cls(
            back=Proportion.wilson(len(back), len(runs)),
            held=sum(run.outcome is RunOutcome.HELD for run in runs),
            requests=ValueSpread.of([float(run.requests) for run in back]),
            seconds=ValueSpread.of([run.seconds for run in back]),
            by_alarm=dict(Counter(name for run in back for name in run.alarms)),
            by_stage=tuple(at[stage] for stage in range(stages)),
            by_cause=dict(Counter(str(run.cause) for run in back)),
            each_requests=tuple(run.requests for run in back),
            each_seconds=tuple(round(run.seconds, 1) for run in back),
            evidence=summarise((run.findings, run.spoke) for run in runs),
        )


@dataclass(frozen=True)
class Rehearsal:
    """The results of all runs. ``faulty``: None without a fault. ``seconds``: duration of a successful rollout.
    ``shares``: percent of each stage. ``untouched``: alarms that drawn requests do not affect; they stay OK.
    ``evidence``: assumptions, and what is left out of the evidence."""

    runs: int
    seed: int
    seconds: float
    shares: tuple[float, ...]
    untouched: tuple[str, ...]
    faulty: RunSummary | None
    healthy: RunSummary
    evidence: tuple[str, ...] = ()


@dataclass
class PreparedScenario:
    """A scenario with a fault, prepared for any number of runs."""

    scenario: Scenario
    fault: VersionFault
    streams: list[VariantStream] = field(default_factory=list)
    comparison: ComparisonSampler | None = None

    def __post_init__(self) -> None:
        scenario, weights = self.scenario, self.scenario.new.weights
        parts = {name: weight / sum(weights.values()) for name, weight in weights.items() if weight}
        bad = scenario.baseline.with_fault(self.fault)
        config = scenario.deployment.evidence
        compared = frozenset[Comparison]() if config is None else frozenset(config.compare)
        self.streams = make_streams(scenario.rate, parts, scenario.alarms, scenario.baseline, bad, compared)
        if config is not None:
            self.comparison = _make_sampler(scenario, self.fault, self.streams, without_unknown(config))

    def run(self, chance: Random, watchers: Sequence[Watcher] = (), *, to_end: bool = False) -> RehearsalRun:
        """Run one rollout to its end or until the new version has no more traffic; ``to_end``: watchers see also how
        a fleet is removed afterwards."""
        scenario = self.scenario
        offset = chance.uniform(0, HOUR)
        compared = None if self.comparison is None else self.comparison.begin(chance)
        traffic = RehearsalTraffic(self.streams, chance, offset, compared, self.fault.no_data)
        states = {name: state for name, state in traffic.states.items() if name in scenario.deployment.alarms}
        fails = (
            [StartsFail(When(), RolloutSide.NEW, "its instances do not come up")]
            if self.fault.failed_start
            else []
        )
        world = make_updating_world(
            scenario.old,
            scenario.new,
            scenario.deployment,
            alarms=states,
            physics=WorldTiming(latencies=(SHIFT_DELAY,), startups=(scenario.startup,)),
            script=fails,
            watchers=watchers,
        )
        world.compared = compared
        found = _RunInProgress(world, traffic).play(scenario.seconds + self._hold_limit())
        if to_end and found.outcome is not RunOutcome.HELD:
            world.run(world.now + HOLD_LIMIT, settled=_is_rollout_over)
        return found

    def _hold_limit(self) -> float:
        """Return the seconds that a rollout may take beyond those of a successful one. Each stage may wait for
        evidence until its deadline. Beyond that, comparing for a day takes minutes of processor time."""
        plan = self.scenario.plan
        if plan.evidence is None:
            return HOLD_LIMIT
        return plan.evidence.deadline * len(plan.stages) + HOLD_LIMIT_COMPARED


def _is_rollout_over(world: World) -> bool:
    return world.record is None or world.record.rollout is None


@dataclass
class _RunInProgress:
    world: World
    traffic: RehearsalTraffic
    shifted: float | None = None
    turned: float | None = None

    def play(self, limit: float) -> RehearsalRun:
        world, traffic = self.world, self.traffic
        while world.now < limit and not self._is_over():
            until = min(limit, limit if world.due is None else world.due)
            self._follow()
            if traffic.advance(until, self._share()):
                world.pass_time(traffic.now)
                self._tell()
            else:
                world.pass_time(until)
            self._note()
        return self._run()

    def _follow(self) -> None:
        """Note in the comparison in which stage the rollout is."""
        if (compared := self.traffic.compared) is None:
            return
        assert self.world.record is not None
        rollout = self.world.record.rollout
        if rollout is None:
            return
        copied = rollout.phase in (Phase.ACTIVATING_TRAFFIC, Phase.BAKING)
        active = rollout.plan.stages[rollout.stage].share < WHOLE
        compared.follow(rollout.stage, self.world.now, copied=copied, active=active)

    def _share(self) -> float:
        """Return the new version's share in force."""
        assert self.world.record is not None
        table = self.world.target.routes(self.world.record.name)
        return table.share_of(self.world.record.generation) / WHOLE

    def _tell(self) -> None:
        for name, state in self.traffic.states.items():
            if name in self.world.alarms and self.world.alarms[name] is not state:
                self.world.inject(AlarmTurns(When(), name, state))
        self.world.wake(0.0)

    def _phase(self) -> Phase:
        assert self.world.record is not None
        rollout = self.world.record.rollout or self.world.record.last
        assert rollout is not None
        return rollout.phase

    def _is_over(self) -> bool:
        phase = self._phase()
        passed = phase in (Phase.TERMINATING, Phase.SUCCEEDED)
        return passed or (phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK) and not self._share()) or phase.ended

    def _note(self) -> None:
        if self.shifted is None and self._share():
            self.shifted = self.world.now
        if self.turned is None and self._phase() in (Phase.ROLLING_BACK, Phase.ROLLED_BACK):
            self.turned = self.world.now

    def _run(self) -> RehearsalRun:
        assert self.world.record is not None
        rollout = self.world.record.rollout or self.world.record.last
        assert rollout is not None
        end = self.world.now if self.turned is None else self.turned
        seconds = 0.0 if self.shifted is None else max(0.0, end - self.shifted)
        outcome = RunOutcome.HELD
        if self.turned is not None:
            outcome = RunOutcome.ROLLED_BACK
        elif self._is_over():
            outcome = RunOutcome.PASSED
        firing = tuple(sorted(name for name, state in self.world.alarms.items() if state == "ALARM"))
        found = FindingRecorder() if self.traffic.compared is None else self.traffic.compared.recorder
        return RehearsalRun(
            outcome,
            rollout.cause,
            firing,
            rollout.stage,
            self.traffic.requests,
            seconds,
            rollout.reason,
            found.found,
            tuple(found.spoke),
        )


def _make_sampler(
    scenario: Scenario, fault: VersionFault, streams: Sequence[VariantStream], config: EvidenceConfig
) -> ComparisonSampler:
    counts = tuple(
        {one.name: max(1, one.instance_count) for one in version.production}
        for version in (scenario.old, scenario.new)
    )
    latency = scenario.baseline.latency
    made = {}
    for one in streams:
        instances = (counts[0].get(one.variant, 1), counts[1][one.variant])
        pairs = PairSampler(
            config,
            fault,
            min(1.0, one.new.side.error_rate + one.new.side.refusal_rate),
            one.rate,
            *instances,
            None if latency is None else latency.moments[0],
        )
        kinds = (one.good.kinds, one.new.kinds)
        made[one.variant] = ComparedVariant.of(scenario.baseline, fault, kinds, instances, pairs)
    replay = ReplaySampler(config, tuple(made), fault.auc_loss, scenario.positives)
    return ComparisonSampler(config, made, fault, replay)


def rehearse(
    scenario: Scenario,
    fault: VersionFault,
    *,
    runs: int,
    seed: int = 0,
    done: Callable[[int], None] = lambda count: None,
) -> Rehearsal:
    """Run ``runs`` rollouts with the fault and as many without; the same seed gives the same result. ``done``
    receives the number of finished runs, out of ``count_runs``."""
    if not 1 <= runs <= MAX_RUNS:
        raise Invalid(f"{runs} runs: give 1 to {MAX_RUNS}")
    plan = scenario.plan
    stages = len(plan.stages)
    faulty = None
    if fault != HEALTHY:
        faulty = RunSummary.of(
            list(_run_all(PreparedScenario(scenario, fault), runs, f"fault {seed}", done, 0)), stages
        )
    before = runs if faulty else 0
    healthy = RunSummary.of(
        list(_run_all(PreparedScenario(scenario, HEALTHY), runs, f"good {seed}", done, before)), stages
    )
    shares = tuple(stage.share / 100 for stage in plan.stages)
    untouched = tuple(alarm.name for alarm in scenario.alarms if not is_simulated(alarm, scenario.baseline))
    said = scenario.assumptions
    return Rehearsal(runs, seed, scenario.seconds, shares, untouched, faulty, healthy, said)


def count_runs(fault: VersionFault, runs: int) -> int:
    """Return the total number of rollouts in a rehearsal."""
    return runs if fault == HEALTHY else 2 * runs


def _run_all(
    stage: PreparedScenario, runs: int, seed: str, done: Callable[[int], None], before: int
) -> Iterator[RehearsalRun]:
    for number in range(runs):
        yield stage.run(Random(f"{seed} {number}"))
        done(before + number + 1)
