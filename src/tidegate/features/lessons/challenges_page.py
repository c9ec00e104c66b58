"""The page of the four challenges: what each demonstration is asked, and its outcome as figures and charts. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from tidegate.console.figures import format_clock
from tidegate.features.lessons.challenges.drift import CHANGES
from tidegate.features.lessons.challenges.peak import RULES
from tidegate.features.lessons.challenges.update import DEATHS
from tidegate.features.rehearse.page import DEFAULTS, STRATEGIES, build_spec

SHOWS: Mapping[str, tuple[str, str]] = {
    "drift": ("Drift", "Requests change, nothing fails, and the model is wrong more often."),
    "peak": ("A tenfold peak", "Year end comes within seconds, and latency may not follow."),
    "update": ("An update under load", "The next version takes over while things die, and no request is lost."),
    "incident": ("An incident", "Afterwards: who did what, when, and what did it reach?"),
}
CHANGE_TITLES: Mapping[str, str] = {
    "country": "A new country is onboarded",
    "amounts": "Amounts rise by 2 % a day",
    "hours": "A source stops sending hours",
    "nothing": "Nothing changes",
}
RULE_TITLES: Mapping[str, str] = {
    "calendar": "By the calendar, and by what is in flight",
    "fast": "By what is in flight, within seconds",
    "tracking": "Target tracking, as on AWS",
    "none": "None: one instance",
}
DEATH_TITLES: Mapping[str, str] = {
    "old": "an instance of the old version",
    "new": "an instance of the new version",
    "controller": "the controller, for four minutes",
}
STARTUPS = ("1", "5", "30", "120")
"""Seconds."""
LOOKS: tuple[dict[str, Any], ...] = (
    {"colour": "--blue"},
    {"colour": "--green", "dash": [7, 4]},
    {"colour": "--warn", "dash": [2, 4]},
    {"colour": "--bad", "dash": [12, 4]},
)
UPDATE_FORM = {**DEFAULTS, "wait": "2m", "final_bake": "1m"}
INCIDENT_FORM = {**DEFAULTS, "wait": "10m"}


def asked_for(query: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """Which demonstration, and its request; a value that there is none of is left at its default."""
    show = query.get("show", "drift")
    show = show if show in SHOWS else "drift"
    return show, _REQUESTS[show](query)


def _choose(query: Mapping[str, str], name: str, among: Mapping[str, Any] | tuple[str, ...], default: str) -> str:
    given = query.get(name, default)
    return given if given in among else default


def _ask_drift(query: Mapping[str, str]) -> dict[str, Any]:
    return {"change": _choose(query, "change", CHANGES, "country")}


def _ask_peak(query: Mapping[str, str]) -> dict[str, Any]:
    return {
        "rule": _choose(query, "rule", RULES, "fast"),
        "startup": float(_choose(query, "startup", STARTUPS, "5")),
    }


def _ask_update(query: Mapping[str, str]) -> dict[str, Any]:
    strategy = _choose(query, "strategy", STRATEGIES, "linear")
    given = query.get("deaths")
    deaths = list(DEATHS) if given is None else [one for one in given.split(",") if one in DEATHS]
    return {"spec": build_spec({**UPDATE_FORM, "strategy": strategy}), "rps": 150.0, "deaths": deaths}


def _ask_incident(query: Mapping[str, str]) -> dict[str, Any]:
    return {"spec": build_spec(INCIDENT_FORM), "rps": 40.0, "startup": 30.0}


_REQUESTS: Mapping[str, Callable[[Mapping[str, str]], dict[str, Any]]] = {
    "drift": _ask_drift,
    "peak": _ask_peak,
    "update": _ask_update,
    "incident": _ask_incident,
}


def shown(show: str, asked: Mapping[str, Any], outcome: Any) -> dict[str, Any]:
    """``asked``: the request as ``asked_for`` made it; ``outcome``: what the demonstration gave, or None where it
    could not be run."""
    made = None if outcome is None else _VIEWS[show](asked, outcome)
    return {"shows": SHOWS, "show": show, "asked": asked, "options": _options(show, asked), "made": made}


def _options(show: str, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Fields of the form: selections of one value, and of several."""
    if show == "drift":
        return [_field("change", "What changes, from the eighth day on", CHANGE_TITLES, asked["change"])]
    if show == "peak":
        starts = {one: f"{one} s" for one in STARTUPS}
        return [
            _field("rule", "How instances are added", RULE_TITLES, asked["rule"]),
            _field("startup", "An instance starts within", starts, f"{asked['startup']:g}"),
        ]
    if show == "update":
        rollout = asked["spec"]["rollout"]["strategy"]
        return [
            _field("strategy", "Strategy", STRATEGIES, rollout),
            {
                **{"name": "deaths", "label": "What dies on the way", "many": DEATH_TITLES},
                "value": asked["deaths"],
            },
        ]
    return []


def _field(name: str, label: str, choices: Mapping[str, str], value: str) -> dict[str, Any]:
    return {"name": name, "label": label, "choices": choices, "value": value}


def _view_drift(asked: Mapping[str, Any], outcome: Mapping[str, Any]) -> dict[str, Any]:
    days = outcome["days"]
    columns = sorted({column for day in days for column in day["distances"]})
    series = [
        {"label": column, **look, "values": [day["distances"].get(column) for day in days]}
        for column, look in zip(columns, LOOKS, strict=False)
    ]
    if any(day["missing"] > 0 for day in days):
        missing = [day["missing"] for day in days]
        series.append({"label": "rows without hours", "colour": "--sea", "dash": [4, 2], "values": missing})
    line = {"label": "what matters", "colour": "--ink-soft", "dash": [1, 5]}
    series.append({**line, "values": [outcome["least"]] * len(days)})
    return {
        "found": outcome["found"],
        "alarm": outcome["alarm"],
        "begins": outcome["begins"],
        "least": outcome["least"],
        "baseline": outcome["baseline"],
        "reason": outcome["reason"],
        "changed": asked["change"] != "nothing",
        "days": len(days),
        "findings": next((day["findings"] for day in days if day["drifted"]), []),
        "chart": {
            **{"x": [day["day"] for day in days], "series": series, "across": "day"},
            "marks": [day for day in (outcome["begins"], outcome["alarm"]) if day is not None],
        },
    }


def _view_peak(asked: Mapping[str, Any], outcome: Mapping[str, Any]) -> dict[str, Any]:
    ruled, alone, step = outcome["ruled"], outcome["alone"], outcome["step"]
    able = [count * outcome["carries"] for count in ruled["ready"]]
    seconds = [step * place for place in range(len(able))]
    capacity = {"label": "requests/s that the ready instances carry", **LOOKS[1], "values": able}
    arrivals = {"label": "requests/s that come", **LOOKS[0], "values": outcome["arrivals"]}
    waits = [
        {"label": "with the rule", **LOOKS[1], "values": [max(0.01, one) for one in ruled["wait"]]},
        {"label": "one instance", **LOOKS[3], "values": [max(0.01, one) for one in alone["wait"]]},
    ]
    return {
        "ruled": ruled,
        "alone": alone,
        "requests": outcome["requests"],
        "largest": outcome["largest"],
        "fixed_hours": outcome["fixed_hours"],
        "part_late": ruled["late"] / outcome["requests"],
        "alone_late": alone["late"] / outcome["requests"],
        "ruled_at_all": asked["rule"] != "none",
        "activities": [
            {"clock": format_clock(one["at"]), "said": one["cause"], "kind": ""}
            for one in outcome["activities"][:8]
        ],
        "chart": {
            **{"x": seconds, "series": [arrivals, capacity], "clock": True, "across": "minutes", "steps": True},
        },
        "waits": {
            **{"x": seconds, "series": waits, "clock": True, "across": "minutes", "log_up": True, "after": " s"},
        },
    }


def _view_update(asked: Mapping[str, Any], outcome: Mapping[str, Any]) -> dict[str, Any]:
    points = outcome["points"]
    journal = [{**line, "kind": ""} for line in outcome["journal"]]
    journal += [{**line, "kind": "person"} for line in outcome["died"]]
    times = [point[0] for point in points]
    old = {"label": "ready, old version", **LOOKS[0], "values": [point[2] for point in points]}
    new = {"label": "ready, new version", **LOOKS[1], "values": [point[3] for point in points]}
    share = {
        "label": "of the requests go to the new version",
        **LOOKS[1],
        "values": [point[1] for point in points],
    }
    marks = [line["at"] for line in outcome["died"]]
    common = {"x": times, "clock": True, "across": "minutes", "steps": True, "marks": marks}
    return {
        "passed": outcome["phase"] == "Succeeded",
        "phase": outcome["phase"],
        "requests": outcome["requests"],
        "nobody": outcome["nobody"],
        "fewest": outcome["fewest"],
        "checked": outcome["checked"],
        "took": format_clock(outcome["seconds"]),
        "died": outcome["died"],
        "journal": [
            {**line, "clock": format_clock(line["at"])} for line in sorted(journal, key=lambda one: one["at"])
        ],
        "chart": {**common, "series": [share], "most": 100, "after": " %"},
        "instances": {**common, "series": [old, new]},
    }


def _view_incident(asked: Mapping[str, Any], outcome: Mapping[str, Any]) -> dict[str, Any]:
    met, turned, back = outcome["met"], outcome["turned"], outcome["back"]
    return {
        **outcome,
        "lines": [{**line, "clock": format_clock(line["at"])} for line in outcome["lines"]],
        "met_clock": format_clock(met),
        "lasted": format_clock(back - met),
        "turning": f"{back - turned:.1f} s",
    }


_VIEWS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]] = {
    "drift": _view_drift,
    "peak": _view_peak,
    "update": _view_update,
    "incident": _view_incident,
}
