"""The simulated challenges, by name: the type of a request, and the function that computes its answer."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from tidegate.features.lessons.challenges import drift, incident, peak, update

DEMONSTRATIONS: dict[str, tuple[type[Any], Callable[[Any, datetime], dict[str, object]]]] = {
    "drift": (drift.DriftRequest, lambda asked, now: drift.demonstrate(asked)),
    "peak": (peak.PeakRequest, lambda asked, now: peak.demonstrate(asked)),
    "update": (update.UpdateRequest, update.demonstrate),
    "incident": (incident.IncidentRequest, incident.demonstrate),
}
"""For the console's pages alone: they are none of the API's."""
