"""A live run: something that is shown on a throw-away endpoint of this server, with requests that the server sends.

Its record is there before anything is made, so that whoever goes on after a crash knows what to remove.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from tidegate.domain.access import Means

TAG = "tidegate:live-run"
"""Of an endpoint that a live run made: the run's id. An endpoint without it is somebody else's."""
MAX_RATE = 200.0
"""Requests a second."""
MAX_LASTING = timedelta(hours=4)
SET_BACK = timedelta(minutes=1)
"""How far a clock may be behind the beginning of a run: an hour that is set back must not prolong it."""


@dataclass(frozen=True)
class Phase:
    """So many requests a second for so many seconds."""

    seconds: float
    rate: float


@dataclass(frozen=True)
class Traffic:
    """Requests to the endpoint: the phases one after the other. ``requests``: the file in the run's folder that has
    them, a JSON object with ``body`` and ``content_type`` a line, sent in turn."""

    since: datetime
    phases: tuple[Phase, ...]
    requests: str = "requests.jsonl"

    @property
    def until(self) -> datetime:
        return self.since + timedelta(seconds=sum(phase.seconds for phase in self.phases))

    def rate_at(self, now: datetime) -> float:
        """Requests a second; 0 before and after."""
        left = (now - self.since).total_seconds()
        for phase in self.phases if left >= 0 else ():
            if left < phase.seconds:
                return phase.rate
            left -= phase.seconds
        return 0.0

    def due(self, now: datetime) -> int:
        """How many requests are due by then, from the first on."""
        left, total = max(0.0, (now - self.since).total_seconds()), 0.0
        for phase in self.phases:
            total += phase.rate * min(left, phase.seconds)
            left = max(0.0, left - phase.seconds)
        return math.floor(total + 1e-6)


@dataclass(frozen=True)
class Made:
    """A record that the run's endpoint needed and that was not there before."""

    kind: str
    """``alarm``, ``config`` or ``model``."""
    name: str


@dataclass(frozen=True)
class Beginner:
    """Who began a run, as the server recognised them; ``token``: label of the API token that was shown."""

    name: str
    means: Means
    token: str = ""


@dataclass(frozen=True)
class LiveRun:
    """``what`` it shows names the record: there is one of each, the latest. It ends at ``until`` at the latest."""

    what: str
    id: str
    endpoint: str
    by: str
    started_at: datetime
    until: datetime
    made: tuple[Made, ...] = ()
    traffic: Traffic | None = None
    ending_at: datetime | None = None
    """When its end was asked for: all that it made is removed since."""
    ended_by: str = ""
    ended_at: datetime | None = None
    """When all was removed."""
    beginner: Beginner | None = None
    """Whose rights the run has. None, of an earlier version: nobody's."""
    endpoint_created_at: datetime | None = None
    """When the record of the run's endpoint was created, which is the run's also without its tag."""

    @property
    def open(self) -> bool:
        """Whether something of it may be there."""
        return self.ended_at is None

    def is_over(self, now: datetime) -> bool:
        """Whether it has lasted as long as it may, or the clock no longer says how long it has lasted."""
        return now >= min(self.until, self.started_at + MAX_LASTING) or now < self.started_at - SET_BACK

    @property
    def ending(self) -> bool:
        return self.open and self.ending_at is not None

    def traffic_at(self, now: datetime) -> Traffic | None:
        """What is to be sent now."""
        flows = (
            self.traffic is not None
            and not self.ending
            and self.open
            and not self.is_over(now)
            and now < self.traffic.until
        )
        return self.traffic if flows else None
