"""The page of rehearsals: turns a form into two specs, and two reports into what is drawn. Pure."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from tidegate.console.figures import format_clock as format_short_clock
from tidegate.features.rehearse.promise import Quantity
from tidegate.features.rehearse.quantities import format_probability, format_rise

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
    "refusal-rate": "More requests are refused",
    "latency": "Answers are slower",
    "failed-start": "Its instances do not start",
}
HARM: Mapping[str, str] = {
    "error-rate": "failed because of it",
    "refusal-rate": "were refused because of it",
    "latency": "were answered later",
}
"""What a fault does to the requests that it meets."""
SIZES = {"canary": "size", "linear": "step", "rolling": "batch"}
DEFAULTS: Mapping[str, str] = {
    "strategy": "linear",
    "size": "25%",
    "wait": "10m",
    "strategy2": "all_at_once",
    "size2": "10%",
    "wait2": "10m",
    "final_bake": "5m",
    "instances": "4",
    "rps": "40",
    "fault": "error-rate",
    "amount": "5%",
    "startup": "30s",
    "seed": "1",
    "figures": "",
}
RUNS = 20
"""Rollouts of each strategy with the fault, and as many without."""
AMOUNTS = {"error-rate": "5%", "refusal-rate": "10%", "latency": "+80ms"}
START_PART = 0.08
"""Of the playback, the most that goes by until the first request is shifted."""
PACE = 0.4
"""A stretch without news takes the playback this power of its seconds: long bakes go by, short turns can be seen."""
POSITIONS = 1000


def form_values(query: Mapping[str, str]) -> dict[str, str]:
    """Values of the form, with defaults for missing ones."""
    given = {key: query.get(key, default).strip()[:40] for key, default in DEFAULTS.items()}
    if "strategy2" not in query and given["strategy"] == DEFAULTS["strategy2"]:
        given["strategy2"] = DEFAULTS["strategy"]
    fault = given["fault"]
    if fault in AMOUNTS and (not given["amount"] or (fault == "latency") != given["amount"].endswith("s")):
        given["amount"] = AMOUNTS[fault]
    return given


def second_form(form: Mapping[str, str]) -> dict[str, str]:
    """The form of the rollout that the first is compared with."""
    return {**form, **{key: form[f"{key}2"] for key in ("strategy", "size", "wait")}}


def build_spec(form: Mapping[str, str]) -> dict[str, Any]:
    """A spec of the form's rollout, with three alarms on the new version."""
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
            "refused": {"metric": "Invocation4XXErrors", "statistic": "Average", "above": "5%", **often},
            "slow": {"metric": "ModelLatency", "statistic": "p99", "above": "100ms", **often},
        },
    }


def rehearsal_body(form: Mapping[str, str]) -> dict[str, Any]:
    """The request that rehearses the rollout: the timeline alone, which takes a tenth of the time, unless the figures
    of the other parts are asked for."""
    fault = form["fault"]
    told = f"{fault}={form['amount']}" if fault in AMOUNTS else fault
    figures = {"wanted": [told if fault in AMOUNTS else "error-rate=5%"], "runs": RUNS}
    return {
        "spec": build_spec(form),
        "rps": _parse_number(form["rps"]),
        "faults": [told] if told else [],
        "usual": ["p50=20ms", "p99=60ms"],
        "startup": form["startup"],
        "seed": int(form["seed"]) if form["seed"].isdecimal() else 1,
        **(figures if form["figures"] else {"only": "timeline"}),
    }


def _parse_number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def template_context(form: Mapping[str, str], outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``outcomes``: of the two rehearsals; none where one of them cannot be run."""
    return {
        "form": form,
        "strategies": STRATEGIES,
        "about": DESCRIPTIONS,
        "faults": FAULTS,
        "outcome": compare(form, outcomes) if outcomes else None,
        "address_of_figures": f"?{urlencode({**form, 'figures': 'yes'})}",
    }


def compare(form: Mapping[str, str], outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Both rollouts as the page draws them. ``findings``: None unless they are asked for; ``knots``:
    positions of the slider and the seconds that they mean."""
    forms = (form, second_form(form))
    ways = [
        _drawing_data(one, outcome.get("timeline", outcome)) for one, outcome in zip(forms, outcomes, strict=True)
    ]
    most = max(1, *(way["blast"]["met"] for way in ways))
    for way, side in zip(ways, ("a", "b"), strict=True):
        way["side"] = side
        way["blast"] |= {
            "met_part": round(100 * way["blast"]["met"] / most, 2),
            "harmed_part": round(100 * way["blast"]["harmed"] / most, 2),
        }
    return {
        "ways": ways,
        "findings": list_findings(outcomes) if all("detection" in one for one in outcomes) else None,
        "harm": HARM.get(form["fault"], ""),
        "seconds": max(way["seconds"] for way in ways),
        "knots": make_knots([way["moments"] for way in ways]),
        "verdict": _compare_reach(ways),
    }


def _compare_reach(ways: Sequence[Mapping[str, Any]]) -> str:
    """One sentence on which reached fewer users with a bad version; empty where none was turned back."""
    if any(way["run"]["outcome"] != "rolled back" for way in ways):
        return ""
    fewer, more = sorted(ways, key=lambda way: way["blast"]["met"])
    if fewer["blast"]["met"] == more["blast"]["met"]:
        return "Both let the bad version answer as many requests."
    times = more["blast"]["met"] / max(1, fewer["blast"]["met"])
    less = fewer["title"].lower()
    return f"{more['title']} let the bad version answer {times:.1f} times as many requests as {less}."


def list_findings(outcomes: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """List what the alarms of each rollout can detect, and how often it went well, as rows of a table."""
    columns = [dict(_list_findings(outcome)) for outcome in outcomes]
    return [(name, [column.get(name, "–") for column in columns]) for name in columns[0]]


def _list_findings(outcome: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    detection, bad, good = outcome["detection"], outcome["faulty"], outcome["healthy"]
    for one in detection["wanted"]:
        fault = f"{one['quantity']} {format_rise(Quantity(one['quantity']), one['size'])}"
        yield f"{fault}: detected in the first bake, computed", format_probability(one["first"])
        most = "–" if one["most_requests"] is None else f"{one['most_requests']:,.0f}"
        yield f"{fault}: requests until the rollback, on average", f"{one['requests']:,.0f}"
        yield f"{fault}: in 95 of 100 cases at most", most
    for one in detection["alarms"]:
        if one["smallest"]:
            smallest = format_rise(Quantity(one["quantity"]), one["smallest"][-1])
            yield f"Smallest fault that {one['name'].rpartition('-')[2]} detects, with 95 %", smallest
    if bad is not None:
        yield f"Bad versions rolled back, of {outcome['runs']} runs", f"{bad['back']['count']}"
        if bad["requests"] is not None:
            yield "Requests to a bad version, median of the runs", f"{bad['requests']['p50']:,.0f}"
    yield f"Good versions rolled back, of {outcome['runs']} runs", f"{good['back']['count']}"
    yield "A good version is rolled back, computed, in at most", format_probability(detection["false_alarm"])


def make_knots(runs: Sequence[Sequence[Mapping[str, Any]]]) -> list[tuple[float, float]]:
    """Positions (0 to POSITIONS) and seconds, both rising, between which the playback is even. The start of instances
    takes ``START_PART`` of it at the most, and the last moment is its end."""
    times = sorted({0.0, *(moment["at"] for run in runs for moment in run)})
    shifted = min((moment["at"] for run in runs for moment in run if moment["share"]), default=None)
    weights = [(later - earlier) ** PACE for earlier, later in itertools.pairwise(times)]
    if shifted is not None:
        starting = [place for place, at in enumerate(times[1:]) if at <= shifted]
        before, after = sum(weights[place] for place in starting), sum(weights[len(starting) :])
        most = after * START_PART / (1 - START_PART)
        if before > most > 0:
            for place in starting:
                weights[place] *= most / before
    whole, so_far, knots = sum(weights) or 1.0, 0.0, [(0.0, 0.0)]
    for at, weight in zip(times[1:], weights, strict=True):
        so_far += weight
        knots.append((round(POSITIONS * so_far / whole, 2), at))
    return knots


def _drawing_data(form: Mapping[str, str], outcome: Mapping[str, Any]) -> dict[str, Any]:
    """Moments as the page draws them: seconds, the new version's share in percent, ready instances of each side, and
    messages."""
    run, moments = outcome["run"], outcome["moments"]
    return {
        "run": {**run, "alarms": [name.rpartition("-")[2] for name in run["alarms"]]},
        "title": STRATEGIES.get(form["strategy"], form["strategy"]),
        "took": format_short_clock(run["seconds"]),
        "seconds": round(moments[-1]["at"], 1) if moments else 0.0,
        "instances": int(form["instances"]),
        "moments": [_start_moment(form), *(_moment(moment) for moment in moments)],
        "blast": _blast(form, run),
    }


def _blast(form: Mapping[str, str], run: Mapping[str, Any]) -> dict[str, Any]:
    """Requests that the new version answered, and about how many of them its fault harmed."""
    fault, met = form["fault"], run["requests"]
    part = {"latency": 1.0, "": 0.0, "failed-start": 0.0}.get(fault)
    if part is None:
        text = form["amount"]
        part = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    return {"met": met, "harmed": round(met * part)}


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
