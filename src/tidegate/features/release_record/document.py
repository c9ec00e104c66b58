"""Composes the record of a release, from what the store has when its rollout has ended."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import msgspec

from tidegate import __version__
from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.fleet import VariantSpec
from tidegate.domain.history import HistoryEntry
from tidegate.domain.registry import ContainerDefinition
from tidegate.features.evidence.replay_service import find_replay
from tidegate.features.evidence.service import find_evidence
from tidegate.features.model_registry.endpoint import find_source
from tidegate.features.packages.records import DATA_DIGEST, PACKAGE
from tidegate.ports.store import Tx
from tidegate.service.deployed import describe_version
from tidegate.service.record_kinds import ENDPOINT
from tidegate.spec.render import render

MOST_EVENTS = 1_000
_MARGIN = timedelta(seconds=1)


def describe_release(tx: Tx, endpoint: Endpoint, entry: HistoryEntry, now: datetime) -> dict[str, Any]:
    """The record of an entry whose rollout has ended. What is not known is None."""
    rollout = endpoint.last if endpoint.last is not None and endpoint.last.id == entry.rollout else None
    evidence, replay = find_evidence(tx, endpoint.name), find_replay(tx, endpoint.name)
    rule = entry.deployment.approval
    return {
        "made_at": now.isoformat(),
        "made_by": f"tidegate {__version__}",
        "endpoint": endpoint.name,
        "target": endpoint.target,
        "version": entry.number,
        "config": entry.version.config_name,
        "rollout": entry.rollout,
        "outcome": str(entry.outcome),
        "reason": entry.reason,
        "failures": list(entry.failures),
        "explanation": msgspec.to_builtins(entry.explanation),
        "began_at": _time(entry.began_at),
        "served_at": _time(entry.served_at),
        "ended_at": _time(entry.ended_at),
        "requested_by": entry.asked_by or None,
        "approval": {
            "required_role": None if rule is None else str(rule.role),
            "by": None if entry.approval is None else entry.approval.message,
            "at": None if entry.approval is None else _time(entry.approval.since),
        },
        "spec": _describe_spec(tx, endpoint.name, entry, rollout),
        "spec_digest": entry.digest,
        "models": [
            _describe_model(tx, variant, place, each, entry)
            for variant in entry.version.variants
            for place, each in enumerate(variant.model.containers)
        ],
        "evidence": msgspec.to_builtins(evidence) if evidence and evidence.rollout == entry.rollout else None,
        "labels": msgspec.to_builtins(replay) if replay and replay.rollout == entry.rollout else None,
        "events": _list_events(tx, endpoint.name, entry),
    }


def _describe_spec(tx: Tx, name: str, entry: HistoryEntry, rollout: Rollout | None) -> Any:
    guards = () if rollout is None else rollout.guards
    return msgspec.to_builtins(render(describe_version(tx, name, entry.version, entry.deployment, guards)))


def _describe_model(
    tx: Tx, variant: VariantSpec, place: int, container: ContainerDefinition, entry: HistoryEntry
) -> dict[str, Any]:
    artifacts = entry.artifacts.get(variant.name, ())
    saved = tx.get(PACKAGE, container.package) if container.package else None
    properties = saved.body.wire.get("CustomerMetadataProperties") if saved is not None else None
    _, pinned, digest = container.image.partition("@")
    return {
        "variant": variant.name,
        "image": container.image,
        "image_digest": digest if pinned else None,
        "model_data": container.service or container.data_url,
        "artifact_digest": (artifacts[place] or None) if place < len(artifacts) else None,
        "package": container.package,
        "package_approval": None
        if saved is None
        else {"status": saved.body.approval, "by": saved.body.modified_by},
        "data_digest": properties.get(DATA_DIGEST) if isinstance(properties, dict) else None,
        "registry": None if (source := find_source(tx, container.fingerprint)) is None else asdict(source),
    }


def _list_events(tx: Tx, name: str, entry: HistoryEntry) -> list[dict[str, Any]]:
    """The journal of the endpoint while it was rolled out: each transition, and who asked for what."""
    until = (entry.ended_at or entry.served_at or entry.began_at) + _MARGIN
    since = entry.began_at - _MARGIN
    lines = tx.journal(kind=ENDPOINT.name, name=name, since=since, until=until, limit=MOST_EVENTS, bodies=False)
    return [
        {"at": _time(line.at), "kind": one.kind, "message": one.message, "data": dict(one.data)}
        for line in lines
        for one in line.events
    ]


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
