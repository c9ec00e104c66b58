"""The records that lessons keeps."""

from typing import Any

from tidegate.features.lessons.challenge_records import LiveChallenge
from tidegate.features.lessons.run_records import LiveRun
from tidegate.ports.store import Kind

LIVE_RUN = Kind("live-run", LiveRun)
LIVE_CHALLENGE = Kind("live-challenge", LiveChallenge)
KINDS: tuple[Kind[Any], ...] = (
    LIVE_RUN,
    LIVE_CHALLENGE,
)
