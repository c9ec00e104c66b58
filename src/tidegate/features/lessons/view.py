"""A lesson as its page shows it: its steps with their buttons and commands, state, figures and plots. Pure."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tidegate.console.endpoint_rows import BAD, GOOD, WARN
from tidegate.console.figures import UNKNOWN, format_clock
from tidegate.console.plots import Box, LinePlot
from tidegate.features.lessons.lab import EXAMPLE
from tidegate.features.lessons.lesson import START, STOP, Lesson, LessonStatus, LessonStep, StepReport, StepState
from tidegate.features.lessons.observation import ANSWERED, DESIRED, FAILED, READY, SECOND, SENT, SHARE
from tidegate.features.lessons.run_records import LessonVerdict, LiveRun

TONES: Mapping[LessonVerdict, str] = {
    LessonVerdict.SHOWN: GOOD,
    LessonVerdict.NOT_SHOWN: BAD,
    LessonVerdict.FAILED: BAD,
    LessonVerdict.STOPPED: WARN,
    LessonVerdict.INTERRUPTED: WARN,
}
STEPS: Mapping[StepState, tuple[str, str]] = {
    StepState.AHEAD: ("to come", ""),
    StepState.READY: ("your turn", ""),
    StepState.UNDER_WAY: ("under way", WARN),
    StepState.DONE: ("done", GOOD),
    StepState.MISSED: ("not shown", BAD),
    StepState.NEVER: ("not reached", ""),
}
"""Word and tone of a step."""
VERSIONS: Mapping[str, str] = {"v1": "the first version", "v2": "the new version", "bad": "the bad version"}
LINES: Mapping[str, tuple[str, tuple[tuple[str, int], ...], str, float | None]] = {
    "requests": ("Requests each second", (("sent", SENT), ("answered", ANSWERED), ("failed", FAILED)), "", None),
    "instances": ("Instances", (("desired", DESIRED), ("ready", READY)), "", None),
    "share": ("Share of the new version", (("of the requests", SHARE),), " %", 100.0),
}
"""Title, lines, unit and top of a plot."""

Call = Callable[[str], str]
Points = Sequence[Sequence[float | None]]


def describe(
    status: LessonStatus, obstacle: str, may_operate: bool, folder: Path, url: str, signed: bool
) -> dict[str, Any]:
    """``obstacle``: why this server can play no challenge; ``folder``: of the run's versions; ``signed``: whether the
    server asks who sends a request."""
    lesson, run = status.lesson, status.run
    running = run is not None and run.verdict is None
    free = not running and not status.removing and not status.other and not obstacle
    reports = {one.name: one for one in status.steps}
    call = partial(_write_call, lesson.name, url=url, signed=signed)
    return {
        "name": lesson.name,
        "title": lesson.title,
        "about": lesson.about,
        "live": lesson.live,
        "by_learner": lesson.by_learner,
        "longest": format_clock(lesson.longest),
        "obstacle": "" if lesson.by_learner else obstacle,
        "other": status.other,
        "removing": status.removing,
        "may_operate": may_operate,
        "run": "" if run is None else run.id,
        "by": "" if run is None else run.by,
        "buttons": []
        if lesson.by_learner
        else _list_buttons(lesson, run, may_operate and free, may_operate, call),
        "steps": [
            _describe_step(step, reports.get(step.name), may_operate, _fill_commands(step, lesson, folder, call))
            for step in lesson.steps
        ],
        **dict.fromkeys(("verdict", "tone", "said"), ""),
        **dict.fromkeys(
            ("commands", "stats", "versions", "plots", "journal", "activities", "findings", "notes"), ()
        ),
        **(_describe_run(lesson, run) if run is not None and not lesson.by_learner else {}),
    }


def _write_call(lesson: str, step: str, url: str, signed: bool) -> str:
    """The command that does a step by the native API."""
    body = '-H "Content-Type: application/json" -d \'{"by": "me"}\''
    who = ' -H "Authorization: Bearer $TIDEGATE_TOKEN"' if signed else ""
    return f"curl -X POST {url}/tidegate/v1/lessons/{lesson}/{step} {body}{who}"


def _list_buttons(
    lesson: Lesson, run: LiveRun | None, may_start: bool, may_operate: bool, call: Call
) -> list[dict[str, str]]:
    if may_start:
        again = " again" if run is not None else ""
        confirm = f"Makes an endpoint of its own on this server, for {format_clock(lesson.longest)} at the most."
        return [{"step": START, "label": f"Run it live{again}", "confirm": confirm, "line": call(START)}]
    if may_operate and run is not None and run.verdict is None:
        confirm = "Ends it, and removes its endpoint with all that it needed."
        return [{"step": STOP, "label": "Stop it", "confirm": confirm, "line": call(STOP)}]
    return []


def _fill_commands(step: LessonStep, lesson: Lesson, folder: Path, call: Call) -> list[tuple[str, str]]:
    """A remark and the command line each."""
    places = {"folder": shlex.quote(str(folder)), "parent": shlex.quote(str(folder.parent)), "example": EXAMPLE}
    lines = [(about, line.format(endpoint=lesson.endpoint, **places)) for about, line in step.commands]
    return lines or ([("As a command", call(step.name))] if step.label else [])


def _describe_step(
    step: LessonStep, report: StepReport | None, may: bool, commands: list[tuple[str, str]]
) -> dict[str, Any]:
    """``report`` None: the lesson was not begun."""
    report = report or StepReport(StepState.AHEAD)
    ready = report.state is StepState.READY
    word, tone = STEPS[report.state]
    return {
        "name": step.name,
        "title": step.title,
        "text": step.text,
        "state": str(report.state),
        "word": word,
        "tone": tone or (report.tone if ready else ""),
        "notice": report.tone if report.tone in (BAD, WARN) else "",
        "said": report.said,
        "version": step.version,
        "label": (f"{step.label} again" if report.again else step.label) if ready and may else "",
        "waits": ready and not may and bool(step.label),
        "confirm": step.confirm,
        "commands": commands,
    }


def _describe_run(lesson: Lesson, run: LiveRun) -> dict[str, Any]:
    picture: dict[str, Any] = run.picture
    known, verdict = "sent" in picture, run.verdict
    return {
        "endpoint": run.endpoint,
        "verdict": "running" if verdict is None else str(verdict),
        "tone": TONES[verdict] if verdict is not None else "",
        "said": run.said,
        "took": format_clock(picture.get("seconds", 0.0)),
        "commands": [(told, line.format(endpoint=run.endpoint)) for told, line in lesson.commands]
        if verdict is None
        else [],
        "stats": _list_stats(lesson, picture) if known else [],
        "versions": _list_versions(picture) if known else [],
        "plots": _draw_plots(lesson, picture["points"]) if known else [],
        "journal": picture.get("journal", []),
        "activities": picture.get("activities", []),
        "findings": picture.get("marks", {}).get("findings", []),
        "notes": _list_notes(picture) if known else [],
    }


def _list_stats(lesson: Lesson, picture: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Label, value, and a remark."""
    failed, share = picture["failed"], picture["share"]
    return [
        ("Requests sent", f"{picture['sent']:,}", f"{picture['answered']:,} answered"),
        ("Failed", f"{failed:,}", picture["last_failure"] if failed else "none"),
        *lesson.stats({**picture, "share": UNKNOWN if share is None else f"{share:g} %"}),
    ]


def _list_versions(picture: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Answers and failures of each version, where there are several; those that nobody answered last."""
    versions = {config: VERSIONS.get(version, version) for config, version in picture.get("versions", {}).items()}
    if len(versions) < 2:
        return []
    answered, failed = picture.get("answered_by", {}), picture.get("failed_by", {})
    return [
        {
            "name": versions.get(config, config) or "no instance",
            "config": config,
            "answered": answered.get(config, 0),
            "failed": failed.get(config, 0),
        }
        for config in {**versions, **answered, **failed}
    ]


def _list_notes(picture: Mapping[str, Any]) -> list[str]:
    notes = [picture["marks"][name] for name in ("cause", "refused", "alarm_reason") if picture["marks"].get(name)]
    if picture["held"]:
        notes.append(f"{picture['held']:,} requests were not sent: too many had no answer yet.")
    return notes


def _draw_plots(lesson: Lesson, points: Points) -> list[LinePlot]:
    return [_draw_plot(points, *LINES[name]) for name in ("requests", *lesson.plots)] if len(points) > 1 else []


def _draw_plot(
    points: Points, title: str, series: Sequence[tuple[str, int]], unit: str, top: float | None
) -> LinePlot:
    """Unknown values are not drawn."""
    drawn = [
        (name, [(float(one[SECOND] or 0), float(value)) for one in points if (value := one[at]) is not None])
        for name, at in series
    ]
    most = max((value for _, line in drawn for _, value in line), default=0.0)
    box = Box(0.0, float(points[-1][SECOND] or 0), top or max(1.0, 1.1 * most))
    lines = tuple(box.line(name, style, line) for style, (name, line) in enumerate(drawn) if line)
    said = "; ".join(
        f"{name} {line[-1][1]:g}{unit} at last, {max(value for _, value in line):g}{unit} at most"
        for name, line in drawn
        if line
    )
    return LinePlot(title, f"{box.top:.0f}{unit}", "0:00", format_clock(box.last), said or "nothing yet", lines)
