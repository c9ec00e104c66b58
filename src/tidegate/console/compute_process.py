"""What a page asks to have computed: a promise, a rehearsal, a simulation. Runs in a process of its own
(``python -m tidegate.console.compute_process``): it takes a processor for seconds and may be stopped at any moment.

One question as JSON on stdin: ``{"what": ..., "now": ..., "body": {...}}``; on stdout ``{"answer": ...}`` or
``{"error": ...}``.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from random import Random
from typing import Any

import msgspec

from tidegate import spec
from tidegate.advisor.promise import Baseline, Terms, expectations, promise
from tidegate.advisor.rehearsal import spec_scenario
from tidegate.advisor.rehearsal.rehearsal import Stage, rehearse
from tidegate.advisor.rehearsal.simulation import Recorder, simulate
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid, TidegateError
from tidegate.spec.units import duration

MOST_RUNS = 2_000
"""Of a rehearsal that a page asks for; the command may have more."""
POLITE = 10
"""By how much its priority is lower than that of what serves."""


class Normal(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What every question has. Texts are written as for the commands."""

    spec: dict[str, Any]
    usual: list[str] = []
    startup: str = "30s"


class PromiseAsked(Normal, kw_only=True):
    rps: float
    wanted: list[str] = []
    power: str = "95%"
    false_alarms: str = "1%"


class RehearsalAsked(Normal, kw_only=True):
    rps: float
    faults: list[str] = []
    runs: int = 200
    seed: int = 1


class SimulationAsked(Normal, kw_only=True):
    """With ``rps`` one rollout is rehearsed, requests and alarms and all; without, ``alarms`` go off as told."""

    rps: float | None = None
    faults: list[str] = []
    alarms: list[str] = []
    seed: int = 1


def answer(what: str, body: Mapping[str, object], now: datetime) -> dict[str, object]:
    """Raises Invalid for a question that cannot be meant."""
    kind, work = QUESTIONS[what]
    try:
        asked = msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"{what}: {error}") from None
    return work(asked, spec.parse(asked.spec, now))


def _promise(asked: PromiseAsked, wish: DesiredDeployment) -> dict[str, object]:
    plan = spec_scenario.plan(wish)
    terms = Terms(
        expectations.part(asked.power, "power"),
        expectations.part(asked.false_alarms, "false_alarms"),
        duration(asked.startup, ("startup",)),
        spec_scenario.parts(wish),
    )
    baseline = _baseline(asked, wish)
    wanted = expectations.wanted(asked.wanted) if asked.wanted else expectations.matters(baseline)
    found = promise(plan, wish.alarms, asked.rps, baseline, wanted, terms)
    return {**asdict(found), "kept": found.kept}


def _rehearsal(asked: RehearsalAsked, wish: DesiredDeployment) -> dict[str, object]:
    if not 1 <= asked.runs <= MOST_RUNS:
        raise Invalid(f"{asked.runs} runs: give 1 to {MOST_RUNS}, or use the command")
    made = spec_scenario.scenario(wish, asked.rps, _baseline(asked, wish), duration(asked.startup, ("startup",)))
    return asdict(rehearse(made, expectations.fault(asked.faults), runs=asked.runs, seed=asked.seed))


def _baseline(asked: Normal, wish: DesiredDeployment) -> Baseline:
    return spec_scenario.with_latency(wish, expectations.baseline(asked.usual))


def _simulation(asked: SimulationAsked, wish: DesiredDeployment) -> dict[str, object]:
    startup = duration(asked.startup, ("startup",))
    if asked.rps is None:
        names = spec_scenario.named(asked.spec, wish)
        happenings = [spec_scenario.goes_off(text, names, wish) for text in asked.alarms]
        timeline = simulate(*spec_scenario.versions(wish), wish.deployment, happenings=happenings, startup=startup)
        return spec_scenario.document(timeline)
    if asked.alarms:
        raise Invalid("simulate: give rps, and alarms go off by themselves, or alarms without rps")
    made = spec_scenario.scenario(wish, asked.rps, _baseline(asked, wish), startup)
    recorder = Recorder()
    run = Stage(made, expectations.fault(asked.faults)).run(Random(asked.seed), (recorder,))
    return {"run": asdict(run), "moments": [asdict(moment) for moment in recorder.moments]}


QUESTIONS: dict[str, tuple[type[Any], Callable[[Any, DesiredDeployment], dict[str, object]]]] = {
    "promise": (PromiseAsked, _promise),
    "rehearse": (RehearsalAsked, _rehearsal),
    "simulate": (SimulationAsked, _simulation),
}


def main() -> None:
    os.nice(POLITE)
    asked = json.load(sys.stdin)
    try:
        told: dict[str, object] = {
            "answer": answer(asked["what"], asked["body"], datetime.fromisoformat(asked["now"]))
        }
    except TidegateError as error:
        told = {"error": error.message}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
