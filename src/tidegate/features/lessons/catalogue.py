"""The lessons that there are, in the order in which they are told. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tidegate.console.page_process import PageWork
from tidegate.domain.errors import NotFound
from tidegate.features.lessons.access import ACCESS_LESSON
from tidegate.features.lessons.alarms import ALARMS_LESSON
from tidegate.features.lessons.containers import CONTAINERS_LESSON
from tidegate.features.lessons.drift import make_lesson as make_drift
from tidegate.features.lessons.incident import INCIDENT
from tidegate.features.lessons.lab import LAB
from tidegate.features.lessons.lesson import Lesson, choose
from tidegate.features.lessons.modes import MODES_LESSON
from tidegate.features.lessons.peak import PEAK_LESSON
from tidegate.features.lessons.spot import SPOT_LESSON
from tidegate.features.lessons.update import UPDATE

NAMES = ("drift", "peak", "update", "incident", "lab")
"""Lessons that are played on the server."""
PLAYED = (MODES_LESSON, CONTAINERS_LESSON, SPOT_LESSON, ALARMS_LESSON, ACCESS_LESSON)
"""Lessons in simulation only."""
SIMULATED = tuple(one.name for one in PLAYED)
CAPTURE_SECONDS = 60


def find_lesson(name: str, capture_seconds: int = CAPTURE_SECONDS) -> Lesson:
    """``capture_seconds``: how late the server's captures come. Raises NotFound."""
    if name == "drift":
        return make_drift(capture_seconds)
    found = {one.name: one for one in (PEAK_LESSON, UPDATE, INCIDENT, LAB, *PLAYED)}.get(name)
    if found is None:
        raise NotFound(f"there is no lesson {name[:40]!r}: they are {', '.join(NAMES)}")
    return found


def play(data: Mapping[str, Any], now: datetime) -> dict[str, object]:
    """Simulate a lesson, in the process that computes for pages: ``{"lesson": name, "chosen": values}``."""
    simulation = find_lesson(data["lesson"]).simulation
    assert simulation is not None
    return simulation.play(data["chosen"], now)


def list_page_work() -> list[PageWork]:
    simulations = ((name, find_lesson(name).simulation) for name in NAMES + SIMULATED)
    return [
        PageWork(play, {"lesson": name, "chosen": choose(one, {})}, priced=False)
        for name, one in simulations
        if one is not None
    ]
