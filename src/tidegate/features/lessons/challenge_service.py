"""Use cases of live challenges: what the latest of each showed, and whether there is room for one."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from tidegate.domain.errors import LimitExceeded
from tidegate.domain.observation import Capabilities
from tidegate.features.lessons.challenge_records import LiveChallenge, Verdict
from tidegate.features.lessons.kinds import LIVE_CHALLENGE
from tidegate.ports.store import Tx
from tidegate.service import quotas
from tidegate.service.record_kinds import ENDPOINT

INSTANCE_TYPE = "local"


def find(tx: Tx, name: str) -> LiveChallenge | None:
    saved = tx.get(LIVE_CHALLENGE, name)
    return None if saved is None else saved.body


def keep(tx: Tx, challenge: LiveChallenge, now: datetime) -> None:
    """In place of the one before."""
    tx.put(LIVE_CHALLENGE, challenge.name, challenge, expect=None, now=now)


def end(
    tx: Tx, name: str, run: str, verdict: Verdict, said: str, now: datetime, picture: dict[str, Any] | None = None
) -> None:
    """Nothing changes if another run has taken its place, or it has ended before. ``picture`` None: as it was last
    kept."""
    saved = tx.get(LIVE_CHALLENGE, name)
    if saved is None or saved.body.run != run or saved.body.verdict is not None:
        return
    shown = saved.body.picture if picture is None else picture
    ended = replace(saved.body, verdict=verdict, said=said, ended_at=now, picture=shown)
    tx.put(LIVE_CHALLENGE, name, ended, expect=saved.version, now=now)


def require_room(tx: Tx, instances: int, can: Capabilities) -> None:
    """Raises LimitExceeded if the server's quota has not as many instances left, UnreadableRecord while an endpoint
    cannot be counted."""
    quota = can.quotas.get(INSTANCE_TYPE)
    if quota is None:
        return
    used = sum(quotas.instances(saved.body)[INSTANCE_TYPE] for saved in tx.find(ENDPOINT).require_all())
    if used + instances > quota:
        raise LimitExceeded(
            f"no room: it takes up to {instances} instances, and of the quota of {quota} (TIDEGATE_QUOTAS)"
            f" {max(0, quota - used)} are left: delete an endpoint, or raise the quota"
        )
