"""A rehearsal of a rollout: what is asked, and the report of what was found.

A request has the texts that a person gives, to the command and to the API alike. The report has three parts, from the
same inputs: the timeline of one rollout, what the guards can detect (the promise), and the outcome of many runs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

import msgspec

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid
from tidegate.domain.evidence import Comparison
from tidegate.features.rehearse.promise import (
    Baseline,
    HarmPromise,
    Promise,
    PromiseTerms,
    Quantity,
    VersionFault,
    expectations,
    promise,
)
from tidegate.features.rehearse.quantities import format_millis
from tidegate.features.rehearse.rehearsal import spec_scenario
from tidegate.features.rehearse.rehearsal.rehearsal import Rehearsal, RehearsalRun, rehearse
from tidegate.features.rehearse.rehearsal.simulation import RolloutTimeline, simulate
from tidegate.rollout.desired_plan import make_plan, make_versions
from tidegate.spec.units import duration
from tidegate.spec.value_types import SpecData

RUNS, RUNS_WITH_EVIDENCE = 1_000, 100
"""By default. A rollout whose versions are compared takes up to seconds of processor time."""


class ReportPart(StrEnum):
    """The parts of a report, in the order in which they are shown."""

    TIMELINE = "timeline"
    DETECTION = "detection"
    RUNS = "runs"


class RehearsalRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A question about a spec, in texts with units. Without ``rps`` there is a timeline alone, in which ``alarms``
    fire as given; with it requests are drawn, from which alarms and evidence follow."""

    spec: SpecData
    rps: float | None = None
    faults: list[str] = []
    alarms: list[str] = []
    usual: list[str] = []
    wanted: list[str] = []
    power: str = "95%"
    false_alarms: str = "1%"
    runs: int | None = None
    """None: as many as are usual, and fewer of a rollout whose versions are compared, which take longer."""
    seed: int = 1
    startup: str = "30s"
    only: ReportPart | None = None


@dataclass(frozen=True)
class RehearsalInputs:
    """A request, parsed. ``assumed``: what was assumed of a good version for lack of ``usual``; ``startup``: seconds
    until an instance is ready."""

    request: RehearsalRequest
    wish: DesiredDeployment
    baseline: Baseline
    fault: VersionFault
    wanted: Mapping[Quantity, float]
    startup: float
    runs: int
    assumed: str | None = None

    @classmethod
    def parse(
        cls,
        request: RehearsalRequest,
        wish: DesiredDeployment,
        usual_runs: tuple[int, int] = (RUNS, RUNS_WITH_EVIDENCE),
    ) -> "RehearsalInputs":
        """``usual_runs``: number of runs by default, without and with evidence. Raises Invalid."""
        _check_traffic(request)
        given = expectations.parse_baseline(request.usual)
        baseline = spec_scenario.fill_in_latency(wish, given)
        fault = expectations.parse_fault(request.faults)
        _check_fault(fault, baseline, wish)
        runs = request.runs
        if runs is None:
            runs = usual_runs[wish.deployment.evidence is not None]
        return cls(
            request,
            wish,
            baseline,
            fault,
            _choose_wanted(request.wanted, fault, baseline),
            duration(request.startup, ("startup",)),
            runs,
            None if request.rps is None or baseline is given else _describe_assumption(baseline),
        )

    @property
    def parts(self) -> frozenset[ReportPart]:
        """The parts that are reported."""
        if self.request.only is not None:
            return frozenset({self.request.only})
        return frozenset(ReportPart if self.request.rps is not None else {ReportPart.TIMELINE})

    @property
    def terms(self) -> PromiseTerms:
        return PromiseTerms(
            expectations.parse_part(self.request.power, "power"),
            expectations.parse_part(self.request.false_alarms, "false alarms"),
            self.startup,
            spec_scenario.traffic_parts(self.wish),
            all(model.serial for model in self.wish.models),
        )


@dataclass(frozen=True)
class RehearsalReport:
    """All that was found. ``timeline``: of one rollout; ``run``: how it ended, and what the evidence said, where
    requests were drawn. ``shares``: percent of each stage; ``evidence``: what is assumed or left out of it. Parts
    that nobody asked for are None."""

    inputs: RehearsalInputs
    shares: tuple[float, ...]
    evidence: tuple[str, ...] = ()
    timeline: RolloutTimeline | None = None
    run: RehearsalRun | None = None
    detection: Promise | None = None
    runs: Rehearsal | None = None
    harms: tuple[HarmPromise, ...] = ()
    """What an assurance takes at the rate of the spec's workload, where no other rate is given."""

    def document(self) -> dict[str, object]:
        """For JSON. The part alone if only one is asked for, else the runs with the others as members."""
        parts: dict[str, dict[str, object] | None] = {
            ReportPart.TIMELINE: self._timeline(),
            ReportPart.DETECTION: self._detection(),
        }
        runs: dict[str, object] = {} if self.runs is None else asdict(self.runs)
        only = self.inputs.request.only
        found = {**runs, **parts} if only is None else parts.get(only, runs)
        return {**(found or {}), "assumed": self.inputs.assumed}

    def _timeline(self) -> dict[str, object] | None:
        if self.timeline is None:
            return None
        found = self.timeline
        told: dict[str, object] = {"phase": str(found.phase), "reason": found.reason, "seconds": found.seconds}
        told |= {"harms": [asdict(one) for one in self.harms]} if self.harms else {}
        drawn = (
            {} if self.run is None else {"run": asdict(self.run), "shares": self.shares, "evidence": self.evidence}
        )
        return {**told, "moments": [asdict(moment) for moment in found.moments], **drawn}

    def _detection(self) -> dict[str, object] | None:
        return None if self.detection is None else {**asdict(self.detection), "kept": self.detection.kept}


def report_rehearsal(inputs: RehearsalInputs, done: Callable[[int], None] = lambda count: None) -> RehearsalReport:
    """Compute the parts that are asked for. ``done`` gets the number of finished runs. Raises Invalid."""
    plan, parts, rate = make_plan(inputs.wish), inputs.parts, inputs.request.rps
    shares = tuple(stage.share / 100 for stage in plan.stages)
    if rate is None:
        harms = spec_scenario.check_assurance(inputs.wish, inputs.baseline, inputs.startup)
        return RehearsalReport(inputs, shares, timeline=_simulate(inputs), harms=harms)
    report = RehearsalReport(inputs, shares)
    if ReportPart.DETECTION in parts:
        found = promise(plan, inputs.wish.alarms, rate, inputs.baseline, inputs.wanted, inputs.terms)
        report = replace(report, detection=found)
    if parts == {ReportPart.DETECTION}:
        return report
    scenario = spec_scenario.make_scenario(inputs.wish, rate, inputs.baseline, inputs.startup)
    report = replace(report, evidence=scenario.assumptions)
    if ReportPart.TIMELINE in parts:
        timeline, run = spec_scenario.rehearse_once(scenario, inputs.fault, inputs.request.seed)
        report = replace(report, timeline=timeline, run=run)
    if ReportPart.RUNS in parts:
        runs = rehearse(scenario, inputs.fault, runs=inputs.runs, seed=inputs.request.seed, done=done)
        report = replace(report, runs=runs)
    return report


def _simulate(inputs: RehearsalInputs) -> RolloutTimeline:
    """The rollout without requests: alarms fire as given."""
    wish, names = inputs.wish, spec_scenario.alarm_names(inputs.request.spec, inputs.wish)
    script = [spec_scenario.parse_alarm_turn(text, names, wish) for text in inputs.request.alarms]
    return simulate(*make_versions(wish), wish.deployment, script=script, startup=inputs.startup)


def _check_traffic(request: RehearsalRequest) -> None:
    if request.rps is not None:
        if request.alarms:
            raise Invalid("give either alarms that fire, or requests (--rps) that they are computed from")
    elif request.faults or request.usual or request.wanted:
        raise Invalid("faults and what is usual are about requests: give --rps, too")
    elif request.only not in (None, ReportPart.TIMELINE):
        raise Invalid(f"{request.only} is about requests: give --rps, too")


def _choose_wanted(texts: Sequence[str], fault: VersionFault, baseline: Baseline) -> Mapping[Quantity, float]:
    """Faults to detect: those that are named, else the rises of the rehearsed fault, else the usual ones."""
    return expectations.parse_wanted(texts) or fault.rises or expectations.default_wanted(baseline)


def _check_fault(fault: VersionFault, baseline: Baseline, wish: DesiredDeployment) -> None:
    """Raises Invalid for a fault that needs more to be known, or that this rollout has nothing to see it with: it
    would look as if it were let through."""
    config = wish.deployment.evidence
    compared = frozenset[Comparison]() if config is None else frozenset(config.compare)
    of_predictions = compared & {Comparison.PREDICTIONS, Comparison.PAIRED}
    if fault.prediction_shift and baseline.predictions is None and not of_predictions:
        raise Invalid(
            "--fault prediction-shift needs to know how a good version answers: --usual mean=A --usual deviation=B"
        )
    if fault.wrong_predictions and Comparison.PAIRED not in compared:
        raise Invalid(
            "--fault wrong-predictions: only both versions on the same requests show it, and the spec has no"
            " evidence: {compare: [paired]}"
        )
    if fault.changed_columns and Comparison.FEATURES not in compared:
        raise Invalid(
            "--fault changed-columns: only outputs of stages show it, and the spec has no evidence: {compare:"
            " [features]}"
        )
    if fault.auc_loss and (config is None or config.replay is None):
        raise Invalid("--fault auc-loss: only labelled rows show it, and the spec has no evidence: {replay: ...}")


def _describe_assumption(filled: Baseline) -> str:
    assert filled.latency is not None
    p50, p99 = (format_millis(filled.latency.quantile(part)) for part in (0.5, 0.99))
    said = f"latency of a good version not given (--usual): assumed p50={p50} p99={p99}"
    return said if filled.latency is spec_scenario.ASSUMED_LATENCY else f"{said}, half of the alarm's threshold"
