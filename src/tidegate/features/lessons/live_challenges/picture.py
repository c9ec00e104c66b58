"""A live challenge as plain data: what is kept of it, and what pages and clients are shown. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.features.lessons.live_challenges.look import Look
from tidegate.features.lessons.live_challenges.progress import Challenge, Progress
from tidegate.features.lessons.live_runs.traffic import Counts

MOST_POINTS = 900
"""Seconds that are drawn."""
Tick = tuple[int | None, int | None, float | None]
_UNSEEN: Tick = (None, None, None)


@dataclass
class Ticks:
    """What was seen in each second of a run: instances wanted and ready, percent on the new version."""

    seen: dict[int, Tick] = field(default_factory=dict)

    def add(self, second: int, look: Look) -> None:
        facts = look.facts
        self.seen[second] = (facts.desired, facts.ready, facts.share)
        while len(self.seen) > MOST_POINTS:
            del self.seen[next(iter(self.seen))]


def make_picture(
    challenge: Challenge, progress: Progress, seen: Look, counts: Counts, ticks: Ticks, now: float
) -> dict[str, Any]:
    facts = seen.facts
    return {
        "stages": [stage.title for stage in challenge.stages],
        "stage": progress.stage,
        "seconds": round(max(0.0, now - progress.begun), 1),
        "longest": challenge.longest,
        "sent": facts.sent,
        "answered": facts.answered,
        "failed": facts.failed,
        "held": counts.held,
        "last_failure": counts.last_failure,
        "answered_by": dict(counts.answered),
        "failed_by": dict(counts.failed),
        "alarm": facts.alarm,
        "alarm_reason": facts.alarm_reason,
        "drift": facts.drift,
        "drift_rows": facts.drift_rows,
        "desired": facts.desired,
        "ready": facts.ready,
        "marks": dict(progress.marks),
        "points": draw_points(progress.begun, now, counts, ticks),
        "journal": seen.journal,
        "activities": seen.activities,
    }


def draw_points(begun: float, now: float, counts: Counts, ticks: Ticks) -> list[list[float | None]]:
    """For each second of the run: its number, requests sent, answered and failed, instances wanted and ready,
    percent on the new version. A second without a look has what was seen before it."""
    first, last = int(begun), int(now)
    points, before = list[list[float | None]](), _UNSEEN
    for second in range(max(first, last - MOST_POINTS), last):
        before = ticks.seen.get(second, before)
        counted = counts.seconds.get(second)
        flows = (counted.sent, counted.answered, counted.failed) if counted else (0, 0, 0)
        points.append([second - first, *flows, *before])
    return points


def name_versions(versions: Mapping[str, str], picture: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``versions``: config -> name. Answers and failures of each, those that nobody answered last."""
    answered, failed = picture.get("answered_by", {}), picture.get("failed_by", {})
    names = [*versions, *(one for one in {**answered, **failed} if one not in versions)]
    return [
        {
            "name": versions.get(config, config) or "no instance",
            "config": config,
            "answered": answered.get(config, 0),
            "failed": failed.get(config, 0),
        }
        for config in names
    ]
