"""Use cases of evidence: keep it beside the endpoint, show it, recompute its verdict."""

from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from tidegate.domain.errors import NotFound
from tidegate.domain.evidence import EvidenceBlock, EvidenceRecord, StoredEvidence
from tidegate.evidence.judge import false_alarm_rates, recompute
from tidegate.ports.store import Tx
from tidegate.service.record_kinds import ENDPOINT, EVIDENCE
from tidegate.service.records import require
from tidegate.service.replays import show_replay


def find_evidence(tx: Tx, endpoint: str) -> EvidenceRecord | None:
    """The evidence of the endpoint's last rollout that was compared."""
    saved = tx.get(EVIDENCE, endpoint)
    if saved is None:
        return None
    blocks = {at: msgspec.json.decode(text, type=EvidenceBlock) for at, text in saved.body.blocks.items()}
    return replace(saved.body.record, blocks=blocks)


def keep_evidence(tx: Tx, record: EvidenceRecord, second: int) -> None:
    """Write the record, unless its endpoint is gone."""
    if tx.get(ENDPOINT, record.endpoint) is None:
        return
    blocks = {at: msgspec.json.encode(block).decode() for at, block in record.blocks.items()}
    stored = StoredEvidence(replace(record, blocks={}), blocks)
    tx.put(EVIDENCE, record.endpoint, stored, expect=None, now=datetime.fromtimestamp(second, UTC))


def forget_evidence(tx: Tx, endpoint: str, now: datetime) -> None:
    """The endpoint was removed."""
    if tx.get(EVIDENCE, endpoint) is not None:
        tx.delete(EVIDENCE, endpoint, expect=None, now=now)


def show_evidence(tx: Tx, endpoint: str) -> dict[str, object]:
    """The record as plain data, with the part of the false rollback rate of each comparison, and the verdict that
    follows from the kept blocks. Raises NotFound."""
    require(tx, ENDPOINT, endpoint)
    record, replay = find_evidence(tx, endpoint), show_replay(tx, endpoint)
    if record is None and replay is None:
        raise NotFound(f"endpoint {endpoint} has no rollout whose versions were compared")
    if record is None:
        return {"replay": replay}
    again = recompute(record.config, record.variants, record.blocks.values(), record.verdict.stage)
    found: dict[str, object] = msgspec.to_builtins(record)
    rates = false_alarm_rates(record.config, len(record.variants))
    found["false_alarm_rates"] = {one.value: rate for one, rate in rates.items()}
    found["recomputed"] = msgspec.to_builtins(again)
    if replay is not None and replay["rollout"] == record.rollout:
        found["replay"] = replay
    return found
