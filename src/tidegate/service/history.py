"""Use cases of an endpoint's history: record it beside the endpoint, show it, go back to a version of it."""

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import UnreadableRecord
from tidegate.domain.fleet import VariantSpec
from tidegate.domain.history import History, HistoryEntry
from tidegate.ports.store import StoredRecord, Tx
from tidegate.rollout import history as histories
from tidegate.service.record_kinds import ENDPOINT, HISTORY
from tidegate.service.records import require
from tidegate.service.views import to_plain

log = logging.getLogger(__name__)


def record(tx: Tx, before: Endpoint | None, after: Endpoint, now: datetime) -> None:
    """Follow a change of the endpoint's record, in the same transaction. A history that cannot be read stays as it
    is, and never keeps the endpoint itself from being written: its rollout may have to turn back."""
    if not histories.is_affected(before, after):
        return
    try:
        saved = tx.get(HISTORY, after.name)
    except UnreadableRecord as error:
        log.warning("the history of endpoint %s is not continued: %s", after.name, error)
        return
    followed = histories.follow(saved.body if saved and before else None, before, after, now)
    tx.put(HISTORY, after.name, followed, expect=saved.version if saved else 0, now=now)


def read(tx: Tx, name: str) -> History:
    """Raises NotFound if there is no such endpoint."""
    endpoint = require(tx, ENDPOINT, name).body
    saved = tx.get(HISTORY, name)
    return saved.body if saved is not None else histories.seed(endpoint)


def record_artifacts(
    tx: Tx, name: str, found: Mapping[tuple[int, str], Mapping[str, tuple[str, ...]]], now: datetime
) -> None:
    """Add the digests of model data to entries; ``found``: number and rollout id -> variant -> digests. The rollout
    id guards against a deleted endpoint of the same name."""
    saved = _read_or_seed(tx, name, now)
    if saved is None:
        return
    entries = tuple(
        replace(entry, artifacts={**entry.artifacts, **found.get((entry.number, entry.rollout), {})})
        for entry in saved.body.entries
    )
    if entries != saved.body.entries:
        tx.put(HISTORY, name, History(entries), expect=saved.version, now=now)


def _read_or_seed(tx: Tx, name: str, now: datetime) -> StoredRecord[History] | None:
    saved = tx.get(HISTORY, name)
    if saved is not None:
        return saved
    endpoint = tx.get(ENDPOINT, name)
    return None if endpoint is None else StoredRecord(name, histories.seed(endpoint.body), 0, now, now)


def read_all(tx: Tx) -> dict[str, History]:
    """Endpoint -> its history, of those that can be read."""
    page = tx.find(HISTORY)
    kept, unknown = {saved.name: saved.body for saved in page.items}, {one.name for one in page.unreadable}
    return {
        saved.name: kept.get(saved.name) or histories.seed(saved.body)
        for saved in tx.find(ENDPOINT).items
        if saved.name not in unknown
    }


def all_known(tx: Tx) -> bool:
    """Whether each history and each endpoint can be read, so that what none of them names is needed by none."""
    return not (tx.find(HISTORY).unreadable or tx.find(ENDPOINT).unreadable)


def read_some(tx: Tx, names: Iterable[str]) -> dict[str, History | None]:
    """Endpoint -> its history; None for one that is gone. One that cannot be read is left out."""
    found: dict[str, History | None] = {}
    for name in names:
        with suppress(UnreadableRecord):
            found[name] = read(tx, name) if tx.get(ENDPOINT, name) is not None else None
    return found


def history_view(history: History, kept: Mapping[str, bool]) -> list[dict[str, object]]:
    """JSON documents, newest first. ``kept``: digest of model data -> whether it is in the state folder."""
    return [_entry_view(entry, kept) for entry in history.entries[::-1]]


def _entry_view(entry: HistoryEntry, kept: Mapping[str, bool]) -> dict[str, object]:
    missing = histories.missing_artifacts(entry, kept)
    return {
        "version": entry.number,
        "config": entry.version.config_name,
        "state": str(entry.outcome),
        "by": entry.asked_by,
        "began_at": _time(entry.began_at),
        "served_at": _time(entry.served_at),
        "ended_at": _time(entry.ended_at),
        "reason": entry.reason,
        "failures": list(entry.failures),
        "explanation": to_plain(entry.explanation),
        "rollout": entry.rollout,
        "generation": entry.version.generation,
        "spec_digest": entry.digest,
        "artifact_digests": {name: list(found) for name, found in entry.artifacts.items()},
        "artifacts_kept": not missing,
        "variants": [_variant_view(variant) for variant in entry.version.variants],
    }


def _variant_view(variant: VariantSpec) -> dict[str, object]:
    return {
        "name": variant.name,
        "shadow": variant.shadow,
        "instances": variant.instance_count,
        "instance_type": variant.instance_type,
        "weight": variant.weight,
        "containers": [
            {"image": each.image, "data": each.service or each.data_url, "fingerprint": each.fingerprint}
            for each in variant.model.containers
        ],
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
