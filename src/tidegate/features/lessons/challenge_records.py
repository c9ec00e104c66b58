"""What a live challenge showed: kept under the challenge's name until the next one."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Verdict(StrEnum):
    """How a live challenge ended. ``INTERRUPTED``: the server was started again on the way."""

    SHOWN = "shown"
    NOT_SHOWN = "not shown"
    FAILED = "failed"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class LiveChallenge:
    """``run``: id of the live run; ``verdict`` None: it has not ended; ``picture``: figures as they were last
    seen."""

    name: str
    run: str
    endpoint: str
    by: str
    begun_at: datetime
    verdict: Verdict | None = None
    said: str = ""
    ended_at: datetime | None = None
    picture: dict[str, object] = field(default_factory=dict)
