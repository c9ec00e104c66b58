"""A rollout as a picture: its stages, and the share of the new version over time. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tidegate.console.figures import format_clock
from tidegate.domain.endpoint import Rollout
from tidegate.domain.rollout import Phase
from tidegate.domain.traffic import WHOLE
from tidegate.ports.store import JournalLine

WIDTH, HEIGHT = 1000.0, 100.0
"""Of the drawing, which is stretched to its place."""
ENDS: Mapping[str, int] = {"rollout.RolledBack": 0, "rollout.Succeeded": WHOLE}
SHIFTS = ("rollout.ActivatingTraffic", "rollout.ShiftingBack")
COMMANDS = ("pause", "resume", "abort", "promote", "retry", "supersede", "update", "undo")

Point = tuple[datetime, int]
"""From when on the new version has this share, in basis points."""


def stage_steps(rollout: Rollout) -> list[dict[str, Any]]:
    """The stages of the plan, each behind, present or ahead."""
    turned = rollout.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.ROLLBACK_FAILED, Phase.FAILED)
    found = []
    for number, stage in enumerate(rollout.plan.stages):
        if rollout.phase is Phase.SUCCEEDED or number < rollout.stage or rollout.phase is Phase.TERMINATING:
            state = "done"
        elif number == rollout.stage:
            state = "turned" if turned else "now"
        else:
            state = "never" if turned else "ahead"
        bake = f"bake {format_clock(stage.bake)}" if stage.bake else "no bake"
        bake = f"holdback {format_clock(stage.bake)}" if stage.holdback else bake
        found.append({"share": f"{stage.share / 100:g} %", "bake": bake, "state": state})
    return found


def share_points(rollout: Rollout, lines: Iterable[JournalLine]) -> list[Point]:
    """From the journal, oldest first: when each share was set."""
    points: list[Point] = [(rollout.started_at, 0)]
    for line in lines:
        for event in line.events:
            if event.data.get("rollout") != rollout.id:
                continue
            share = ENDS.get(event.kind, event.data.get("share") if event.kind in SHIFTS else None)
            known = isinstance(share, int) and not isinstance(share, bool) and 0 <= share <= WHOLE
            if isinstance(share, int) and known and share != points[-1][1]:
                points.append((line.at, share))
    return points


def planned_points(rollout: Rollout) -> list[Point]:
    """The shares to come and the planned end, if every bake ends in time; empty where that is not known, as where
    budgets choose the stages."""
    assure = None if rollout.plan.evidence is None else rollout.plan.evidence.assure
    if assure is not None and assure.ramp:
        return []
    if rollout.phase is not Phase.BAKING or rollout.bake_until is None or rollout.pause or rollout.skips_bake:
        return []
    at, found = rollout.bake_until, list[Point]()
    share = rollout.plan.stages[rollout.stage].share
    for stage in rollout.plan.stages[rollout.stage + 1 :]:
        found.append((at, stage.share))
        at, share = at + timedelta(seconds=stage.bake), stage.share
    return [*found, (at, share)]


@dataclass(frozen=True)
class _Chart:
    """``done`` and ``planned`` are points of polylines, ``area`` those of the polygon below ``done``. ``now`` and
    ``marks`` are places across; a mark has what was asked for then."""

    start: str
    end: str
    done: str
    area: str
    planned: str
    now: float
    marks: tuple[tuple[float, str], ...]
    told: str


def draw_chart(rollout: Rollout, points: Sequence[Point], lines: Iterable[JournalLine], now: datetime) -> _Chart:
    planned = planned_points(rollout)
    until = min(rollout.ended_at or now, now)
    start, end = rollout.started_at, max(planned[-1][0] if planned else until, until)
    length = max(1.0, (end - start).total_seconds())

    def across(at: datetime) -> float:
        return round(min(1.0, max(0.0, (at - start).total_seconds() / length)) * WIDTH, 1)

    done = _steps([(across(at), share) for at, share in points], across(until))
    ahead = _steps([(across(until), points[-1][1]), *((across(at), share) for at, share in planned)], WIDTH)
    marks = [
        (across(line.at), event.message)
        for line in lines
        for event in line.events
        if event.kind in COMMANDS and start <= line.at <= until
    ]
    return _Chart(
        start=start.isoformat(),
        end=end.isoformat(),
        done=_text(done),
        area=_text([(0.0, HEIGHT), *done, (done[-1][0], HEIGHT)]),
        planned=_text(ahead) if planned else "",
        now=across(until),
        marks=tuple(marks),
        told=", ".join(f"{share / 100:g} % at {at:%H:%M:%S} UTC" for at, share in points),
    )


def _steps(points: Sequence[tuple[float, int]], end: float) -> list[tuple[float, float]]:
    """Corners of a line that keeps each value until the next one."""
    found: list[tuple[float, float]] = []
    for x, share in points:
        if found:
            found.append((x, found[-1][1]))
        found.append((x, HEIGHT - HEIGHT * share / WHOLE))
    return [*found, (max(end, found[-1][0]), found[-1][1])]


def _text(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)
