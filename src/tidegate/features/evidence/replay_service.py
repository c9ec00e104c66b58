"""Use cases of replays: keep what was found beside the endpoint, show it."""

from datetime import datetime

import msgspec

from tidegate.domain.replay import ReplayRecord
from tidegate.features.evidence.kinds import REPLAY
from tidegate.ports.store import Tx
from tidegate.service.record_kinds import ENDPOINT


def find_replay(tx: Tx, endpoint: str) -> ReplayRecord | None:
    """Return the replay of the endpoint's last rollout that had one, or None."""
    saved = tx.get(REPLAY, endpoint)
    return None if saved is None else saved.body


def keep_replay(tx: Tx, record: ReplayRecord, now: datetime) -> None:
    """Write the record, unless its endpoint is gone."""
    if tx.get(ENDPOINT, record.endpoint) is not None:
        tx.put(REPLAY, record.endpoint, record, expect=None, now=now)


def show_replay(tx: Tx, endpoint: str) -> dict[str, object] | None:
    """Return the endpoint's last replay as plain data, or None."""
    record = find_replay(tx, endpoint)
    return None if record is None else msgspec.to_builtins(record)
