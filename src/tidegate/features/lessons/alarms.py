"""Which guard sees which fault: each fault in a rollout of its own, with the guards that are chosen."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tidegate.console.figures import format_clock
from tidegate.domain.rollout import Cause
from tidegate.features.lessons.lesson import Choice, Lesson, Simulation, outcome
from tidegate.features.rehearse.computations import rehearse
from tidegate.features.rehearse.page import DEFAULTS, build_spec

GUARDS: Mapping[str, str] = {
    "errors": "Alarm: more than 2 % fail",
    "refused": "Alarm: more than 5 % are refused",
    "slow": "Alarm: p99 above 100 ms",
    "predictions": "Evidence: predictions differ",
}
FAULTS: Mapping[str, tuple[str, str]] = {
    "error-rate=5%": ("5 more of 100 requests fail", "errors"),
    "error-rate=1%": ("1 more of 100 requests fails", "errors"),
    "refusal-rate=10%": ("10 more of 100 requests are refused", "errors of the client, who did nothing new"),
    "latency=+80ms": ("Each answer takes 80 ms more", "slow answers"),
    "prediction-shift=0.5": ("Scores move, at the same speed", "nothing: status 200, wrong scores"),
    "failed-start": ("The new instances do not start", "nothing: the old version serves"),
}
"""Fault -> its title, and what clients notice."""
USUAL = ["p50=20ms", "p99=60ms", "mean=0.4", "deviation=0.1"]
STRATEGY = {**DEFAULTS, "strategy": "canary", "size": "10%", "wait": "10m"}
RATES: Mapping[str, str] = {"2": "2 a second", "40": "40 a second", "200": "200 a second"}


def simulate(chosen: Mapping[str, Any], now: datetime) -> dict[str, object]:
    """Rehearse a rollout of each fault."""
    guards = chosen["guards"]
    body = {"spec": _write_spec(guards), "rps": float(chosen["rate"]), "usual": USUAL, "only": "timeline"}
    found = {fault: rehearse({**body, "faults": [fault]}, now)["run"] for fault in FAULTS}
    runs: dict[str, dict[str, Any]] = {fault: run for fault, run in found.items() if isinstance(run, dict)}
    caught = [fault for fault, run in runs.items() if run["outcome"] == "rolled back"]
    missed = [FAULTS[fault][0] for fault, run in runs.items() if run["outcome"] == "passed"]
    return outcome(
        (
            ("Faults that were rolled back", f"{len(caught)} of {len(FAULTS)}", "", "good" if not missed else ""),
            ("Faults that reached everybody", str(len(missed)), "", "bad" if missed else "good"),
        ),
        "Each fault was rolled out as a canary of 10 % with a bake of ten minutes, by the code that does it here;"
        " requests are drawn by chance. A guard sees what its metric counts and nothing else, and needs"
        " enough requests"
        " to see a small rise. A version that does not start needs no alarm: it never gets traffic. What no alarm can"
        " see, such as scores that move, is found by a comparison of the two versions.",
        findings=[f"{one}: no guard that you chose sees it." for one in missed],
        tables=[
            (
                "Each fault, and the guard that saw it",
                ("Fault", "What clients notice", "Who saw it", "After the first request", "Requests that met it"),
                [_row(fault, run) for fault, run in runs.items()],
            )
        ],
        further=("Of a spec of yours", "tidegate rehearse serving.yaml --rps 40 --fault error-rate=5%"),
        facts={fault: {"outcome": str(run["outcome"]), "seen": _name_guards(run)} for fault, run in runs.items()},
    )


def _write_spec(guards: list[str]) -> dict[str, Any]:
    made = build_spec(STRATEGY)
    made["alarms"] = {name: alarm for name, alarm in made["alarms"].items() if name in guards}
    if "predictions" in guards:
        made["evidence"] = {"compare": ["predictions"]}
    return made


def _name_guards(run: Mapping[str, Any]) -> str:
    names = [name.rpartition("-")[2] for name in run["alarms"]]
    if run["outcome"] == "passed":
        return "nobody"
    return ", ".join(names) or ("the evidence" if run["cause"] == Cause.EVIDENCE else "the rollout itself")


def _row(fault: str, run: Mapping[str, Any]) -> list[str]:
    title, noticed = FAULTS[fault]
    back = run["outcome"] == "rolled back"
    return [
        title,
        noticed,
        _name_guards(run),
        format_clock(run["seconds"]) if back and run["seconds"] else "–" if back else str(run["outcome"]),
        f"{run['requests']:,.0f}",
    ]


ALARMS_LESSON = Lesson(
    "alarms",
    "Which alarm sees which fault",
    "Choose guards and let six faults loose: who notices, after how many requests?",
    simulation=Simulation(
        simulate,
        (
            Choice("guards", "Guards", GUARDS, "errors,refused,slow", many=True),
            Choice("rate", "Requests", RATES, "40"),
        ),
    ),
)
