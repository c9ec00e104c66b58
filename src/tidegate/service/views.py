"""Status documents of endpoints: plain JSON data from the record and the last observation. Shares in percent."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import msgspec

from tidegate.domain.alarm import Alarm
from tidegate.domain.endpoint import UNREADABLE, Endpoint, Rollout
from tidegate.domain.fleet import FleetId
from tidegate.domain.observation import FleetStatus, Observation
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.rollout import Version
from tidegate.domain.traffic import RouteTable
from tidegate.ports.store import Tx, Unreadable
from tidegate.rollout import desired_state
from tidegate.rollout.evidence_rule import choose_stage, explain_condition, find_known_at, verdict_on_stage
from tidegate.rollout.status import confirmed_table, serving_version, status
from tidegate.service.alarms import read_shown

EndpointDocument = dict[str, object]


def named_alarms(endpoint: Endpoint) -> tuple[str, ...]:
    """Names of the alarms of the rollout in progress, otherwise of the last DeploymentConfig."""
    deployment = endpoint.rollout.deployment if endpoint.rollout else endpoint.deployment
    return deployment.alarms if deployment else ()


def alarms_of(tx: Tx, endpoint: Endpoint) -> list[Alarm]:
    """Return those of ``named_alarms`` that exist, without those of versions that are gone."""
    found = (read_shown(tx, name) for name in named_alarms(endpoint))
    return of_present_versions(endpoint, (alarm for alarm in found if alarm is not None))


def of_present_versions(endpoint: Endpoint, alarms: Iterable[Alarm]) -> list[Alarm]:
    """The alarms but those that watch only a version that the endpoint does not have: after a rollback the last
    deployment names the alarms of the version that was rejected, which say nothing of what serves."""
    rollout = endpoint.rollout
    versions = (endpoint.serving, *((rollout.old, rollout.new) if rollout is not None else ()))
    present = {version.config_name for version in versions if version is not None}
    return [alarm for alarm in alarms if alarm.dimensions.get("EndpointConfigName") in (None, *present)]


def unreadable_view(found: Unreadable) -> EndpointDocument:
    """The status document of an endpoint of which nothing else is known."""
    return {
        "name": found.name,
        "target": None,
        "status": UNREADABLE,
        "why": found.why,
        "config": None,
        "failure_reason": found.why,
        "created_at": _time(found.created_at),
        "modified_at": _time(found.modified_at),
        "rollout": None,
        "last": None,
        "capture": None,
        "fleets": [],
        "alarms": [],
    }


def endpoint_view(endpoint: Endpoint, seen: Observation | None, alarms: Iterable[Alarm]) -> EndpointDocument:
    """Make the status document of an endpoint. Unknown values are None."""
    now, why = status(endpoint)
    serving, notes = serving_version(endpoint), _notes(seen)
    return {
        "name": endpoint.name,
        "target": endpoint.target,
        "status": str(now),
        "why": "; ".join([why, *notes]),
        "config": serving.config_name if serving else None,
        "failure_reason": endpoint.failure_reason,
        "created_at": _time(endpoint.created_at),
        "modified_at": _time(endpoint.modified_at),
        "rollout": _rollout(endpoint, endpoint.rollout, seen) if endpoint.rollout else None,
        "last": _last(endpoint.last) if endpoint.last else None,
        "capture": _capture(serving) if serving else None,
        "fleets": [_fleet(endpoint, fleet, seen) for fleet in _fleets(endpoint, seen)],
        "alarms": [_alarm(alarm) for alarm in alarms],
        **({"notes": notes} if notes else {}),
    }


def _notes(seen: Observation | None) -> list[str]:
    """Return the notes on an endpoint that its readers need and that no phase contains."""
    if seen is None:
        return []
    fleets = sorted((seen.fleets or {}).values(), key=lambda one: one.id)
    found = [
        f"fleet {fleet.id}: {said}" for fleet in fleets if fleet.failure is None and (said := _problem(fleet))
    ]
    return [*found, *seen.troubles]


def _problem(fleet: FleetStatus) -> str | None:
    missing = f"missing, and being restored: {', '.join(fleet.missing)}" if fleet.missing else ""
    return "; ".join(filter(None, (fleet.problem, missing))) or None


def _capture(version: Version) -> EndpointDocument | None:
    """Data capture of the version that serves. What it wrote and dropped is in the metrics."""
    capture = version.variants[0].capture
    if capture is None or not capture.enabled:
        return None
    redacted = capture.redaction is not None
    return {"destination": capture.destination, "percent": capture.percent, "redacted": redacted}


def _rollout(endpoint: Endpoint, rollout: Rollout, seen: Observation | None) -> EndpointDocument:
    stages, table = rollout.plan.stages, _table(endpoint, seen)
    number = rollout.stage + 1 if seen is None else choose_stage(rollout, seen)
    following = None if number is None or number >= len(stages) else stages[number].share / 100
    return {
        "id": rollout.id,
        "from": rollout.old.config_name if rollout.old else None,
        "to": rollout.new.config_name,
        "phase": str(rollout.phase),
        "holdback": rollout.holds_back,
        "stage": rollout.stage + 1,
        "stages": len(stages),
        "share": {
            "now": table.share_of(rollout.new.generation) / 100,
            "next": following if rollout.cause is None else 0.0,
            **_requested(endpoint, seen, lambda table: table.share_of(rollout.new.generation)),
        },
        "paused": {"since": _time(rollout.pause.since), "by": rollout.pause.by} if rollout.pause else None,
        "started_at": _time(rollout.started_at),
        "bake_until": _time(rollout.bake_until),
        "deadline": _time(rollout.phase_deadline),
        "expires_at": _time(rollout.expires_at),
        "cause": rollout.cause,
        "reason": rollout.reason,
        "failures": list(rollout.failures),
        "explanation": to_plain(rollout.explanation),
        "evidence": _evidence(rollout, seen),
        "conditions": [
            {
                "type": c.type,
                "status": c.status,
                "reason": c.reason,
                "message": explain_condition(c, rollout, seen),
                "since": _time(c.since),
            }
            for c in rollout.conditions
        ],
    }


def _evidence(rollout: Rollout, seen: Observation | None) -> EndpointDocument | None:
    """Describe when guards were last evaluated, over which span requests were counted, and what is waited for."""
    found = seen.guard_check if seen else None
    if found is None or seen is None:
        return None
    verdict = verdict_on_stage(rollout, seen)
    return {
        "judged_at": _time(found.judged_at),
        "since": _time(found.since),
        "through": _time(found.through),
        "waits": [] if verdict is None else to_plain(verdict.waits),
        "known_at": _time(find_known_at(rollout, seen)),
    }


def _last(rollout: Rollout) -> EndpointDocument:
    return {
        "id": rollout.id,
        "to": rollout.new.config_name,
        "outcome": str(rollout.phase),
        "cause": rollout.cause,
        "reason": rollout.reason,
        "failures": list(rollout.failures),
        "explanation": to_plain(rollout.explanation),
        "started_at": _time(rollout.started_at),
        "ended_at": _time(rollout.ended_at),
    }


def _fleets(endpoint: Endpoint, seen: Observation | None) -> list[FleetId]:
    """Desired fleets and those that still exist, oldest first."""
    there = seen.fleets if seen and seen.fleets else {}
    return sorted({*desired_state.fleets(endpoint), *there})


def _fleet(endpoint: Endpoint, id: FleetId, seen: Observation | None) -> EndpointDocument:
    version, side = _side(endpoint, id.generation)
    spec = desired_state.fleets(endpoint).get(id)
    found: FleetStatus | None = (seen.fleets or {}).get(id) if seen else None
    problem = _problem(found) if found else None

    def share_in(table: RouteTable) -> int:
        return sum(route.share for route in table.routes if route.fleet == id)

    return {
        "fleet": str(id),
        "side": side,
        "variant": id.variant,
        "copies": _copies(endpoint, id),
        "config": version.config_name if version else None,
        "share": share_in(_table(endpoint, seen)) / 100,
        **_requested(endpoint, seen, share_in),
        "desired": spec.count if spec else 0,
        "ready": found.ready if found else 0,
        "starting": found.starting if found else 0,
        "draining": found.draining if found else 0,
        "failure": found.failure if found else None,
        **({} if problem is None else {"problem": problem}),
        "devices": {replica: list(names) for replica, names in found.devices} if found else {},
        "architecture": _architecture(spec.variant.model) if spec else None,
    }


def _copies(endpoint: Endpoint, id: FleetId) -> float | None:
    """Percentage of its version's requests that a shadow fleet gets; None for other fleets."""
    mirrors = (spec.mirror for spec in desired_state.fleets(endpoint).values())
    return next((mirror.share / 100 for mirror in mirrors if mirror is not None and mirror.fleet == id), None)


def _architecture(model: Model) -> EndpointDocument:
    """Describe the containers of a model. ``mode`` is single, serial (a pipeline) or direct (side by side)."""
    mode = "single" if len(model.containers) == 1 else model.execution_mode.lower()
    named = zip(model.container_names, model.containers, strict=True)
    containers = [{"name": name, "image": each.image, **_address(each)} for name, each in named]
    return {"mode": mode, "containers": containers}


def _address(container: ContainerDefinition) -> EndpointDocument:
    """The address of a service."""
    return {"url": container.service} if container.service else {}


def _side(endpoint: Endpoint, generation: int) -> tuple[Version | None, str]:
    """Version of a generation and its role: serving, old, new, mixed (left by a failed rollback) or leaving (no
    longer desired)."""
    rollout = endpoint.rollout
    if rollout and rollout.new.generation == generation:
        return rollout.new, "new"
    if endpoint.serving and endpoint.serving.generation == generation:
        return endpoint.serving, "old" if rollout else "serving"
    if endpoint.mixed and endpoint.mixed.version.generation == generation:
        return endpoint.mixed.version, "mixed"
    if endpoint.last and endpoint.last.new.generation == generation:
        return endpoint.last.new, "leaving"
    return None, "leaving"


def _table(endpoint: Endpoint, seen: Observation | None) -> RouteTable:
    """Table that was last observed in force, or the desired one if none was."""
    return confirmed_table(endpoint, seen) or desired_state.traffic(endpoint)


def _requested(
    endpoint: Endpoint, seen: Observation | None, share_in: Callable[[RouteTable], int]
) -> EndpointDocument:
    """The share that was requested, where another one is in force or none is confirmed."""
    table, asked = confirmed_table(endpoint, seen), share_in(desired_state.traffic(endpoint))
    if table is None:
        return {"requested": asked / 100, "confirmed": False}
    return {} if share_in(table) == asked else {"requested": asked / 100, "confirmed": True}


def _alarm(alarm: Alarm) -> EndpointDocument:
    return {
        "name": alarm.name,
        "state": str(alarm.state),
        "reason": alarm.state_reason,
        "since": _time(alarm.state_changed_at),
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def to_plain(value: object) -> Any:
    """Return a value as JSON has it, with lists in place of tuples."""
    return msgspec.json.decode(msgspec.json.encode(value))
