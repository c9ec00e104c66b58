"""A live run: a lesson played on a throw-away endpoint of this server, with requests that the server sends.

Its record is there before anything is made, so that whoever goes on after a crash knows what to remove.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from tidegate.domain.access import Means
from tidegate.ports.store import Kind

TAG = "tidegate:live-run"
"""The tag of an endpoint that a live run made: the run's id. An endpoint without it is somebody else's."""
MAX_RATE = 200.0
"""Requests a second."""
MAX_LASTING = timedelta(hours=4)
SET_BACK = timedelta(minutes=1)
"""How far a clock may be behind the beginning of a run: an hour that is set back must not prolong it."""


@dataclass(frozen=True)
class RunTraffic:
    """Requests to the endpoint, ``rate`` a second for so many seconds, from the file ``requests`` in its folder:
    a JSON object with ``body`` and ``content_type`` a line, sent in turn."""

    since: datetime
    seconds: float = 0.0
    rate: float = 0.0
    requests: str = "requests.jsonl"

    @property
    def until(self) -> datetime:
        return self.since + timedelta(seconds=self.seconds)

    def due(self, now: datetime) -> int:
        """How many requests are due by then, from the first on."""
        passed = min(max(0.0, (now - self.since).total_seconds()), self.seconds)
        return math.floor(self.rate * passed + 1e-6)


class LessonVerdict(StrEnum):
    """How a lesson ended. ``INTERRUPTED``: the server was started again on the way."""

    SHOWN = "shown"
    NOT_SHOWN = "not shown"
    FAILED = "failed"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class RunPart:
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
    """``what`` is the name of the lesson and of the record: there is one of each, the latest. It ends at ``until`` at
    the latest."""

    what: str
    id: str
    endpoint: str
    by: str
    started_at: datetime
    until: datetime
    made: tuple[RunPart, ...] = ()
    traffic: RunTraffic | None = None
    ending_at: datetime | None = None
    """When its end was asked for: all that it made is removed since."""
    ended_by: str = ""
    ended_at: datetime | None = None
    """When all was removed."""
    beginner: Beginner | None = None
    """Whose rights the run has. None, of an earlier version: nobody's."""
    endpoint_created_at: datetime | None = None
    """When the record of the run's endpoint was created, which is the run's also without its tag."""
    verdict: LessonVerdict | None = None
    """None: it goes on, or the learner judges it."""
    said: str = ""
    judged_at: datetime | None = None
    picture: dict[str, object] = field(default_factory=dict)
    """Figures of the run as they were last observed."""

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

    def traffic_at(self, now: datetime) -> RunTraffic | None:
        """The traffic that is due now; None if nothing is to be sent."""
        flows = (
            self.traffic is not None
            and not self.ending
            and self.open
            and not self.is_over(now)
            and now < self.traffic.until
        )
        return self.traffic if flows else None


LIVE_RUN = Kind("live-run", LiveRun)
KINDS: tuple[Kind[Any], ...] = (LIVE_RUN,)
