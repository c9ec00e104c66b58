"""A live challenge as its page shows it: state, stages, figures, plots, journal. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tidegate.console.endpoint_rows import BAD, GOOD, WARN
from tidegate.console.figures import UNKNOWN, format_clock, format_milliseconds
from tidegate.console.plots import Box, LinePlot
from tidegate.features.lessons.challenge_records import LiveChallenge, Verdict
from tidegate.features.lessons.live_challenges.picture import name_versions
from tidegate.features.lessons.live_challenges.progress import Challenge

SECOND, SENT, ANSWERED, FAILED, DESIRED, READY, SHARE = range(7)
"""Places in a point of ``picture.draw_points``."""
TONES: Mapping[Verdict, str] = {
    Verdict.SHOWN: GOOD,
    Verdict.NOT_SHOWN: BAD,
    Verdict.FAILED: BAD,
    Verdict.STOPPED: WARN,
    Verdict.INTERRUPTED: WARN,
}
VERSIONS: Mapping[str, str] = {"v1": "the first version", "v2": "the new version", "bad": "the bad version"}

Points = Sequence[Sequence[float | None]]


@dataclass(frozen=True)
class Surroundings:
    """``obstacle``: why this server can run none, or empty; ``removing``: what it made is not yet all gone;
    ``other``: another challenge that is under way, or empty."""

    obstacle: str = ""
    removing: bool = False
    other: str = ""
    may_operate: bool = False


def describe(challenge: Challenge, found: LiveChallenge | None, around: Surroundings) -> dict[str, Any]:
    """``found`` None: it was never run here."""
    running = found is not None and found.verdict is None
    free = not running and not around.removing and not around.other
    shown: dict[str, Any] = {
        **asdict(around),
        "name": challenge.name,
        "about": challenge.about,
        "longest": format_clock(challenge.longest),
        "may_start": around.may_operate and free and not around.obstacle,
        "may_stop": around.may_operate and running,
        "running": running,
        "found": found is not None,
    }
    return shown if found is None else {**shown, **_describe_run(challenge, found)}


def _describe_run(challenge: Challenge, found: LiveChallenge) -> dict[str, Any]:
    picture: dict[str, Any] = found.picture
    verdict = found.verdict
    seen = "sent" in picture
    tone = TONES[verdict] if verdict is not None else ""
    return {
        "run": found.run,
        "endpoint": found.endpoint,
        "by": found.by,
        "begun_at": found.begun_at.isoformat(),
        "verdict": "running" if verdict is None else str(verdict),
        "tone": tone,
        "said": found.said,
        "took": format_clock(picture.get("seconds", 0.0)),
        "stages": _stages(challenge, picture, verdict),
        "seen": seen,
        "commands": [(told, line.format(name=found.endpoint)) for told, line in challenge.commands],
        "stats": _stats(challenge.name, picture) if seen else [],
        "versions": _versions(picture) if seen else [],
        "plots": _plots(challenge.name, picture["points"]) if seen else [],
        "journal": picture.get("journal", []),
        "activities": picture.get("activities", []),
        "findings": picture.get("marks", {}).get("findings", []),
        "notes": _notes(picture) if seen else [],
    }


def _stages(challenge: Challenge, picture: Mapping[str, Any], verdict: Verdict | None) -> list[dict[str, str]]:
    present = picture.get("stage", 0)
    found = []
    for number, stage in enumerate(challenge.stages):
        if number < present or verdict is Verdict.SHOWN:
            state = "done"
        elif number > present:
            state = "ahead" if verdict is None else "never"
        else:
            state = "now" if verdict is None else "turned"
        found.append({"title": stage.title, "state": state})
    return found


def _stats(name: str, picture: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Label, value, and what is said of it."""
    failed = picture["failed"]
    rows = [
        ("Requests sent", f"{picture['sent']:,}", f"{picture['answered']:,} answered"),
        ("Failed", f"{failed:,}", picture["last_failure"] if failed else "none"),
    ]
    return rows + _OWN[name](picture)


def _drift_stats(picture: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    words = {"no_drift": "no drift", "": "none yet"}
    look = words.get(picture["drift"], picture["drift"])
    return [
        ("The last look", look, f"of {picture['drift_rows']:,} captured rows"),
        ("Alarm", picture["alarm"] or UNKNOWN, ""),
    ]


def _peak_stats(picture: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    marks = picture["marks"]
    wanted = f"{_number(picture['desired'])} wanted, {marks.get('largest', UNKNOWN)} at most"
    service = format_milliseconds(marks.get("service"))
    return [
        ("Instances ready", _number(picture["ready"]), wanted),
        ("A request takes", service, "measured before the peak; the rule is set from it"),
    ]


def _update_stats(picture: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    lost = picture["sent"] - picture["answered"] - picture["failed"]
    return [
        ("In flight", f"{max(0, lost):,}", "sent, and not answered yet"),
        ("On the new version", _percent(picture), "of the requests"),
    ]


def _incident_stats(picture: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    marks = picture["marks"]
    lasted = f"{marks['back'] - marks['shipped']:.0f} s" if {"back", "shipped"} <= marks.keys() else UNKNOWN
    return [
        ("The bad version had traffic for", lasted, "seen once a second"),
        ("On the bad version", _percent(picture), "of the requests"),
    ]


_OWN = {"drift": _drift_stats, "peak": _peak_stats, "update": _update_stats, "incident": _incident_stats}


def _percent(picture: Mapping[str, Any]) -> str:
    points = picture["points"]
    share = points[-1][SHARE] if points else None
    return UNKNOWN if share is None else f"{share:g} %"


def _number(value: int | None) -> str:
    return UNKNOWN if value is None else str(value)


def _versions(picture: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Answers by version, where there are several."""
    named = {config: VERSIONS.get(version, version) for config, version in picture.get("versions", {}).items()}
    return name_versions(named, picture) if len(named) > 1 else []


def _notes(picture: Mapping[str, Any]) -> list[str]:
    marks = picture["marks"]
    told = [marks[name] for name in ("cause", "refused", "alarm_reason") if marks.get(name)]
    if picture["held"]:
        told.append(f"{picture['held']:,} requests were not sent: too many had no answer yet.")
    return told


def _plots(name: str, points: Points) -> list[LinePlot]:
    if len(points) < 2:
        return []
    flows = (("sent", SENT), ("answered", ANSWERED), ("failed", FAILED))
    plots = [_plot("Requests each second", points, flows, "")]
    if name == "peak":
        plots.append(_plot("Instances", points, (("wanted", DESIRED), ("ready", READY)), ""))
    if name in ("update", "incident"):
        plots.append(_plot("Share of the new version", points, (("of the requests", SHARE),), " %", 100.0))
    return plots


def _plot(
    title: str, points: Points, series: Sequence[tuple[str, int]], unit: str, top: float | None = None
) -> LinePlot:
    """What is not known is not drawn."""
    drawn = [(name, _read_series(points, at)) for name, at in series]
    most = max((value for _, line in drawn for _, value in line), default=0.0)
    box = Box(0.0, float(points[-1][SECOND] or 0), top or max(1.0, 1.1 * most))
    lines = tuple(box.line(name, style, line) for style, (name, line) in enumerate(drawn) if line)
    said = "; ".join(
        f"{name} {line[-1][1]:g}{unit} at last, {max(value for _, value in line):g}{unit} at most"
        for name, line in drawn
        if line
    )
    return LinePlot(title, f"{box.top:.0f}{unit}", "0:00", format_clock(box.last), said or "nothing yet", lines)


def _read_series(points: Points, at: int) -> list[tuple[float, float]]:
    return [(float(one[SECOND] or 0), float(value)) for one in points if (value := one[at]) is not None]
