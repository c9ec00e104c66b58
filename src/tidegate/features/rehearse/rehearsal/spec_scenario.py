"""Prepares a spec file for simulation and rehearsal. The serving version is assumed to be of the same size."""

import re
from dataclasses import replace
from random import Random

from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid
from tidegate.domain.evidence import Comparison
from tidegate.domain.rollout import Phase
from tidegate.features.rehearse.promise import (
    Baseline,
    HarmPromise,
    LatencyDistribution,
    PromiseTerms,
    VersionFault,
    alarm_model,
    promise_assurance,
)
from tidegate.features.rehearse.promise.detection import RolloutSetting
from tidegate.features.rehearse.rehearsal.rehearsal import (
    REPLAYED_POSITIVES,
    PreparedScenario,
    RehearsalRun,
    Scenario,
)
from tidegate.features.rehearse.rehearsal.simulation import RolloutTimeline, TimelineRecorder
from tidegate.rollout.desired_plan import make_plan, make_versions
from tidegate.simulation.faults import AlarmTurns, When
from tidegate.spec.problem import suggest
from tidegate.spec.units import duration

ASSUMED_LATENCY = LatencyDistribution.lognormal(20_000, 80_000)
"""Of a good version, where nothing says what is usual."""


def check_assurance(
    wish: DesiredDeployment, baseline: Baseline | None = None, startup: float = 0.0
) -> tuple[HarmPromise, ...]:
    """Return what each harm of the spec's assurance takes at the rate of its workload; nothing without both.
    ``baseline``: None: no request fails on either version, which takes least. Raises Invalid for a harm that cannot
    be ruled out before the deadline."""
    evidence, rate = wish.deployment.evidence, getattr(wish.sections.get("workload"), "rps", None)
    if evidence is None or evidence.assure is None or not rate:
        return ()
    setting = RolloutSetting(make_plan(wish), rate, baseline or Baseline(0.0), startup)
    return promise_assurance(evidence, setting, PromiseTerms(startup=startup, parts=traffic_parts(wish)))


def traffic_parts(wish: DesiredDeployment) -> dict[str, float]:
    """Variant -> its fraction of the requests."""
    weights = make_versions(wish)[1].weights
    return {name: weight / sum(weights.values()) for name, weight in weights.items() if weight}


def fill_in_latency(wish: DesiredDeployment, baseline: Baseline) -> Baseline:
    """Fill in an assumed latency if none is given and an alarm of the rollout watches it, or evidence compares it."""
    spread = None if baseline.latency else alarm_model.assume_latency(find_guards(wish))
    evidence = wish.deployment.evidence
    if spread is None and evidence is not None and Comparison.LATENCY in evidence.compare:
        spread = baseline.latency or ASSUMED_LATENCY
    return baseline if spread is None else replace(baseline, latency=spread)


def find_guards(wish: DesiredDeployment) -> tuple[Alarm, ...]:
    """The alarms that can roll back the rollout."""
    return tuple(alarm for alarm in wish.alarms if alarm.name in wish.deployment.alarms)


def make_scenario(wish: DesiredDeployment, rate: float, baseline: Baseline, startup: float) -> Scenario:
    old, new = make_versions(wish)
    positives = baseline.positives or REPLAYED_POSITIVES
    return Scenario(old, new, wish.deployment, find_guards(wish), rate, baseline, startup, positives)


def rehearse_once(scenario: Scenario, fault: VersionFault, seed: int) -> tuple[RolloutTimeline, RehearsalRun]:
    """Rehearse one rollout and keep its timeline. The same seed gives the same one."""
    recorder = TimelineRecorder()
    run = PreparedScenario(scenario, fault).run(Random(seed), (recorder,), to_end=True)
    last = recorder.moments[-1] if recorder.moments else None
    phase = Phase.PROVISIONING if last is None else Phase(last.phase)
    return RolloutTimeline(tuple(recorder.moments), phase, run.reason, 0.0 if last is None else last.at), run


def alarm_names(data: object, wish: DesiredDeployment) -> dict[str, str]:
    """Key of each alarm in a spec's plain data -> its name on the server."""
    alarms = data.get("alarms") if isinstance(data, dict) else None
    return dict(zip(alarms or {}, (one.name for one in wish.alarms), strict=True))


def parse_alarm_turn(text: str, names: dict[str, str], wish: DesiredDeployment) -> AlarmTurns:
    """Parse ``errors@stage=2`` or ``errors@90m``. Raises Invalid."""
    key, at, when = text.partition("@")
    if not at:
        raise Invalid(f"--alarm {text!r}: expected KEY@stage=N or KEY@TIME, such as errors@stage=2 or errors@90m")
    if key not in names:
        raise Invalid(
            f"--alarm {text!r}: unknown alarm {key!r}{suggest(key, names) or ', the spec declares none'}"
        )
    if names[key] not in wish.deployment.alarms:
        raise Invalid(f"--alarm {text!r}: the rollout does not watch {key!r}")
    stage = re.fullmatch(r"stage=([1-9][0-9]{0,3})", when)
    moment = (
        When(Phase.ACTIVATING_TRAFFIC, nth=int(stage[1]), after=1.0)
        if stage
        else When(after=duration(when, ("--alarm",)))
    )
    return AlarmTurns(moment, names[key], AlarmState.ALARM)
