"""Computes a promise, a rehearsal or a simulation for a page. Runs in a process of its own (``python -m
tidegate.features.rehearse.compute_process``), since it takes seconds of processor time and may be killed at any
moment.

Reads one request as JSON from stdin: ``{"what": ..., "now": ..., "body": {...}}``; writes ``{"answer": ...}`` or
``{"error": ...}`` to stdout.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import msgspec

from tidegate import spec
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid, TidegateError
from tidegate.features.rehearse.promise import Baseline, PromiseTerms, expectations, promise
from tidegate.features.rehearse.rehearsal import rehearsed_faults, spec_scenario
from tidegate.features.rehearse.rehearsal.rehearsal import rehearse
from tidegate.features.rehearse.rehearsal.simulation import simulate
from tidegate.host.features import features
from tidegate.spec.units import duration

RUNS, RUNS_WITH_EVIDENCE = 200, 20
MAX_RUNS = 2_000
"""Maximum number of runs in a rehearsal for a page; the command allows more."""
NICENESS = 10
"""Niceness, so that serving processes have precedence."""


class ComputeRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Fields of every request. Texts have the same format as in the commands."""

    spec: dict[str, Any]
    usual: list[str] = []
    startup: str = "30s"


class PromiseRequest(ComputeRequest, kw_only=True):
    rps: float
    wanted: list[str] = []
    power: str = "95%"
    false_alarms: str = "1%"


class RehearsalRequest(ComputeRequest, kw_only=True):
    rps: float
    faults: list[str] = []
    runs: int | None = None
    """None: 200, and 20 of a rollout whose versions are compared, which take longer."""
    seed: int = 1


class SimulationRequest(ComputeRequest, kw_only=True):
    """With ``rps`` one rollout is rehearsed, with requests and alarms; without it, ``alarms`` fire as given."""

    rps: float | None = None
    faults: list[str] = []
    alarms: list[str] = []
    seed: int = 1


def compute(what: str, body: Mapping[str, object], now: datetime) -> dict[str, object]:
    """Raises Invalid for an invalid request."""
    for _, demonstrations in features().hooks("demonstrations"):
        if what in demonstrations:
            shown, demonstrate = demonstrations[what]
            found: dict[str, object] = demonstrate(_read(what, body, shown), now)
            return found
    kind, work = COMPUTATIONS[what]
    asked = _read(what, body, kind)
    return work(asked, spec.parse(asked.spec, now))


def _read(what: str, body: Mapping[str, object], kind: type[Any]) -> Any:
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"{what}: {error}") from None


def _compute_promise(asked: PromiseRequest, wish: DesiredDeployment) -> dict[str, object]:
    plan = spec_scenario.make_plan(wish)
    terms = PromiseTerms(
        expectations.parse_part(asked.power, "power"),
        expectations.parse_part(asked.false_alarms, "false_alarms"),
        duration(asked.startup, ("startup",)),
        spec_scenario.traffic_parts(wish),
        all(model.serial for model in wish.models),
    )
    baseline = _parse_baseline(asked, wish)
    wanted = expectations.parse_wanted(asked.wanted) if asked.wanted else expectations.default_wanted(baseline)
    found = promise(plan, wish.alarms, asked.rps, baseline, wanted, terms)
    return {**asdict(found), "kept": found.kept}


def _run_rehearsal(asked: RehearsalRequest, wish: DesiredDeployment) -> dict[str, object]:
    runs = asked.runs
    if runs is None:
        runs = RUNS if wish.deployment.evidence is None else RUNS_WITH_EVIDENCE
    if not 1 <= runs <= MAX_RUNS:
        raise Invalid(f"{runs} runs: give 1 to {MAX_RUNS}, or use the command")
    baseline, fault = _parse_baseline(asked, wish), expectations.parse_fault(asked.faults)
    rehearsed_faults.check_faults(fault, baseline, wish)
    made = spec_scenario.make_scenario(wish, asked.rps, baseline, duration(asked.startup, ("startup",)))
    return asdict(rehearse(made, fault, runs=runs, seed=asked.seed))


def _parse_baseline(asked: ComputeRequest, wish: DesiredDeployment) -> Baseline:
    return spec_scenario.fill_in_latency(wish, expectations.parse_baseline(asked.usual))


def _run_simulation(asked: SimulationRequest, wish: DesiredDeployment) -> dict[str, object]:
    startup = duration(asked.startup, ("startup",))
    if asked.rps is None:
        names = spec_scenario.alarm_names(asked.spec, wish)
        script = [spec_scenario.parse_alarm_turn(text, names, wish) for text in asked.alarms]
        timeline = simulate(*spec_scenario.make_versions(wish), wish.deployment, script=script, startup=startup)
        return spec_scenario.render_timeline(timeline)
    if asked.alarms:
        raise Invalid("simulate: give either rps, from which alarms are computed, or alarms")
    baseline, fault = _parse_baseline(asked, wish), expectations.parse_fault(asked.faults)
    rehearsed_faults.check_faults(fault, baseline, wish)
    made = spec_scenario.make_scenario(wish, asked.rps, baseline, startup)
    return spec_scenario.render_rehearsed(spec_scenario.rehearse_once(made, fault, asked.seed))


COMPUTATIONS: dict[str, tuple[type[Any], Callable[[Any, DesiredDeployment], dict[str, object]]]] = {
    "promise": (PromiseRequest, _compute_promise),
    "rehearse": (RehearsalRequest, _run_rehearsal),
    "simulate": (SimulationRequest, _run_simulation),
}


def main() -> None:
    os.nice(NICENESS)
    asked = json.load(sys.stdin)
    try:
        told: dict[str, object] = {
            "answer": compute(asked["what"], asked["body"], datetime.fromisoformat(asked["now"]))
        }
    except TidegateError as error:
        told = {"error": error.message}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
