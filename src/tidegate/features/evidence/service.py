"""Use cases of evidence: keep it beside the endpoint, show it, recompute its verdict."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.errors import NotFound
from tidegate.domain.evidence import PROVING, EvidenceBlock, EvidenceRecord, Finding, StoredEvidence
from tidegate.features.evidence.bounds import LEVEL
from tidegate.features.evidence.judge import false_alarm_rates, recompute_record
from tidegate.features.evidence.kinds import EVIDENCE
from tidegate.features.evidence.replay_service import show_replay
from tidegate.features.evidence.timeline import EvidenceTrace
from tidegate.ports.store import Tx
from tidegate.rollout import evidence_rule
from tidegate.service.record_kinds import ENDPOINT
from tidegate.service.records import require


def find_evidence(tx: Tx, endpoint: str) -> EvidenceRecord | None:
    """The evidence of the endpoint's last rollout that was compared."""
    saved = tx.get(EVIDENCE, endpoint)
    if saved is None:
        return None
    blocks = {
        at: msgspec.json.decode(text, type=prepare_type(EvidenceBlock)) for at, text in saved.body.blocks.items()
    }
    return _by_present_rules(replace(saved.body.record, blocks=blocks))


def _by_present_rules(record: EvidenceRecord) -> EvidenceRecord:
    """A record whose verdict does not say more than it rests on: by earlier rules, a pass was the absence of a
    failure."""
    if record.rules >= PROVING or record.verdict.finding is not Finding.PASS:
        return record
    passed = [
        replace(one, finding=Finding.UNDECIDED) if one.finding is Finding.PASS else one
        for one in record.verdict.results
    ]
    reason = f"{record.verdict.reason} (by an earlier tidegate, which proved nothing by that)"
    return replace(
        record, verdict=replace(record.verdict, finding=Finding.UNDECIDED, reason=reason, results=tuple(passed))
    )


def keep_evidence(tx: Tx, record: EvidenceRecord, second: int) -> None:
    """Write the record, unless its endpoint is gone."""
    if tx.get(ENDPOINT, record.endpoint) is None:
        return
    blocks = {at: msgspec.json.encode(block).decode() for at, block in record.blocks.items()}
    stored = StoredEvidence(replace(record, blocks={}), blocks)
    tx.put(EVIDENCE, record.endpoint, stored, expect=None, now=datetime.fromtimestamp(second, UTC))


def show_evidence(tx: Tx, endpoint: str) -> dict[str, object]:
    """The record as plain data, with the part of the false rollback rate of each comparison, and the verdict that
    follows from the kept blocks. Raises NotFound."""
    require(tx, ENDPOINT, endpoint)
    record, replay = find_evidence(tx, endpoint), show_replay(tx, endpoint)
    if record is None and replay is None:
        raise NotFound(f"endpoint {endpoint} has no rollout whose versions were compared")
    if record is None:
        return {"replay": replay}
    again, _ = recompute_record(record)
    found: dict[str, object] = msgspec.to_builtins(record)
    rates = false_alarm_rates(record.config, len(record.variants))
    found["false_alarm_rates"] = {one.value: rate for one, rate in rates.items()}
    found["recomputed"] = msgspec.to_builtins(again)
    if replay is not None and replay["rollout"] == record.rollout:
        found["replay"] = replay
    return found


def find_compared(tx: Tx, endpoint: str) -> tuple[EvidenceRecord, Rollout | None]:
    """The evidence of the last rollout that was compared, and that rollout, if the endpoint still knows it. Raises
    NotFound."""
    saved = require(tx, ENDPOINT, endpoint)
    record = find_evidence(tx, endpoint)
    if record is None:
        raise NotFound(f"endpoint {endpoint} has no rollout whose versions were compared")
    return record, _rollout_of(saved.body, record.rollout)


def _rollout_of(endpoint: Endpoint, id: str) -> Rollout | None:
    known = (endpoint.rollout, endpoint.last)
    return next((one for one in known if one is not None and one.id == id), None)


def describe_timeline(record: EvidenceRecord, rollout: Rollout | None, trace: EvidenceTrace) -> dict[str, Any]:
    """How the evidence grew, as plain data. Times are epoch seconds."""
    deadline = None if rollout is None else evidence_rule.deadline(rollout)
    decides = rollout is not None and rollout.plan.evidence is not None
    return {
        "endpoint": record.endpoint,
        "rollout": record.rollout,
        "old": record.old_config,
        "new": record.new_config,
        "action": str(record.config.action) if decides else None,
        "finding": str(record.verdict.finding),
        "reason": record.verdict.reason,
        "stage": record.verdict.stage + 1,
        "since": trace.since,
        "through": record.through,
        "bake_until": _second(rollout.bake_until) if rollout is not None and deadline is not None else None,
        "deadline": _second(deadline),
        "ended": None if rollout is None else _second(rollout.ended_at),
        "outcome": None if rollout is None else str(rollout.phase),
        "threshold": 1.0,
        "level": LEVEL,
        "at": list(trace.at),
        "stages": [{"stage": one.stage + 1, "at": one.at} for one in trace.stages],
        "comparisons": msgspec.to_builtins(trace.comparisons),
        "assure": msgspec.to_builtins(record.config.assure),
        "harms": msgspec.to_builtins(record.verdict.harms),
    }


def _second(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()
