"""The traffic page: turns a form into a spec, and a rehearsed rollout into drawing data. Pure."""

from collections.abc import Mapping
from typing import Any

STRATEGIES: Mapping[str, str] = {
    "all_at_once": "All at once",
    "canary": "Canary",
    "linear": "Linear",
    "rolling": "Rolling",
}
DESCRIPTIONS: Mapping[str, str] = {
    "all_at_once": "Every request goes to the new version in one change; the old fleet stays whole for the bake.",
    "canary": "A small part of the requests goes to the new version first; after a bake, all of them.",
    "linear": "Equal steps, a bake after each. A bad version is detected while it has one step of the requests.",
    "rolling": "Instances are replaced in batches, without a second fleet; a rollback has to restart old ones.",
}
FAULTS: Mapping[str, str] = {
    "": "None: the new version is as good as the old",
    "error-rate": "More requests fail",
    "latency": "Answers are slower",
    "failed-start": "Its instances do not start",
}
SIZES = {"canary": "size", "linear": "step", "rolling": "batch"}
DEFAULTS: Mapping[str, str] = {
    "strategy": "linear",
    "size": "25%",
    "wait": "10m",
    "final_bake": "5m",
    "instances": "4",
    "rps": "40",
    "fault": "error-rate",
    "amount": "5%",
    "startup": "30s",
    "seed": "1",
}
AMOUNTS = {"error-rate": "5%", "latency": "+80ms"}


def form_values(query: Mapping[str, str]) -> dict[str, str]:
    """Values of the form, with defaults for missing ones."""
    given = {key: query.get(key, default).strip()[:40] for key, default in DEFAULTS.items()}
    fault = given["fault"]
    if fault in AMOUNTS and (not given["amount"] or (fault == "latency") != given["amount"].endswith("s")):
        given["amount"] = AMOUNTS[fault]
    return given


def build_spec(form: Mapping[str, str]) -> dict[str, Any]:
    """A spec of the form's rollout, with two alarms on the new version."""
    rollout: dict[str, str] = {"strategy": form["strategy"]}
    if form["strategy"] in SIZES:
        rollout |= {SIZES[form["strategy"]]: form["size"], "wait": form["wait"]}
    if form["strategy"] != "rolling":
        rollout["final_bake"] = form["final_bake"]
    often = {"period": "10s", "periods": 3, "datapoints": 2}
    return {
        "endpoint": "rehearsal",
        "model": {"image": "tidegate/auto", "data": "s3://models/any.tar.gz"},
        "instances": int(form["instances"]) if form["instances"].isdecimal() else form["instances"],
        "rollout": rollout,
        "alarms": {
            "errors": {"metric": "Invocation5XXErrors", "statistic": "Average", "above": "2%", **often},
            "slow": {"metric": "ModelLatency", "statistic": "p99", "above": "100ms", **often},
        },
    }


def simulation_body(form: Mapping[str, str]) -> dict[str, Any]:
    """The request that simulates the rollout."""
    fault = form["fault"]
    told = f"{fault}={form['amount']}" if fault in AMOUNTS else fault
    return {
        "spec": build_spec(form),
        "rps": _parse_number(form["rps"]),
        "faults": [told] if told else [],
        "usual": ["p50=20ms", "p99=60ms"],
        "startup": form["startup"],
        "seed": int(form["seed"]) if form["seed"].isdecimal() else 1,
    }


def _parse_number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def template_context(form: Mapping[str, str], outcome: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "form": form,
        "strategies": STRATEGIES,
        "about": DESCRIPTIONS,
        "faults": FAULTS,
        "outcome": None if outcome is None else drawing_data(form, outcome),
    }


def drawing_data(form: Mapping[str, str], outcome: Mapping[str, Any]) -> dict[str, Any]:
    """Moments as the page draws them: seconds, the new version's share in percent, ready instances of each side, and
    messages."""
    run, moments = outcome["run"], outcome["moments"]
    return {
        "run": {**run, "alarms": [name.rpartition("-")[2] for name in run["alarms"]]},
        "seconds": round(moments[-1]["at"], 1) if moments else 0.0,
        "instances": int(form["instances"]),
        "moments": [_start_moment(form), *(_moment(moment) for moment in moments)],
    }


def _start_moment(form: Mapping[str, str]) -> dict[str, Any]:
    return {
        "at": 0.0,
        "clock": format_clock(0),
        "phase": "Provisioning",
        "share": 0,
        "old": int(form["instances"]),
        "new": 0,
        "said": ["the new version's instances are being started"],
    }


def _moment(moment: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "at": round(moment["at"], 1),
        "clock": format_clock(moment["at"]),
        "phase": moment["phase"],
        "share": moment["share"] / 100,
        "old": moment["old_ready"],
        "new": moment["new_ready"],
        "said": [event["message"] for event in moment["events"]],
    }


def format_clock(seconds: float) -> str:
    """Hours, minutes and seconds since the start."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
