"""What is seen of a live challenge's endpoint: its record, alarm, drift, activities and journal, and its requests."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tidegate.console.activity import read_activity, variants_of
from tidegate.domain.drift import DriftOutcome
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import Observation
from tidegate.features.autoscaling import service as scalables
from tidegate.features.drift.kinds import DRIFT
from tidegate.features.lessons.live_challenges.progress import Facts
from tidegate.features.lessons.live_runs.traffic import Counts
from tidegate.features.lessons.run_records import LiveRun
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.journal_view import read_events
from tidegate.ports.store import Tx
from tidegate.rollout import desired_state
from tidegate.rollout.status import status
from tidegate.service import activities
from tidegate.service.record_kinds import ALARM, ENDPOINT

SHOWN_EVENTS = 80
JOURNAL_LINES = 400
SHOWN_ACTIVITIES = 12
IN_SERVICE = "InService"


@dataclass(frozen=True)
class Look:
    """``journal`` and ``activities``: oldest first."""

    facts: Facts
    journal: list[dict[str, str]]
    activities: list[dict[str, str]]


@dataclass(frozen=True)
class Stored:
    """What the store has of it."""

    endpoint: Endpoint | None
    alarm: tuple[str, str]
    drift: DriftOutcome | None
    scaled: bool
    journal: list[dict[str, str]]
    activities: list[dict[str, str]]


async def look(gateway: Gateway, run: LiveRun, counts: Counts, now: datetime) -> Look:
    context = gateway.context
    stored = await context.store.read(lambda tx: _read(tx, run))
    facts = describe(stored, context.observed(run.endpoint), counts)
    if stored.endpoint is not None and stored.endpoint.serving is not None:
        variants = variants_of(stored.endpoint)
        activity = await read_activity(context.metrics, run.endpoint, variants, int(now.timestamp()))
        facts = replace(facts, service=activity.p50_ms)
    return Look(facts, stored.journal, stored.activities)


def _read(tx: Tx, run: LiveRun) -> Stored:
    endpoint, drift = tx.get(ENDPOINT, run.endpoint), tx.get(DRIFT, run.endpoint)
    names = [made.name for made in run.made if made.kind == ALARM.name]
    alarm = tx.get(ALARM, names[0]) if names else None
    journal = [
        {"at": str(one["at"]), "said": str(one["message"]), "kind": str(one["kind"])}
        for one in (read_events(tx, run.endpoint, 0, JOURNAL_LINES).events if endpoint else [])
    ]
    done = [record.activity for record in reversed(activities.find(tx, f"{run.endpoint}/"))]
    return Stored(
        endpoint.body if endpoint else None,
        (str(alarm.body.state), alarm.body.state_reason) if alarm else ("", ""),
        drift.body.last if drift else None,
        bool(list(scalables.list_for_endpoint(tx, run.endpoint))),
        journal[-SHOWN_EVENTS:],
        [{"at": one.started.isoformat(), "said": one.cause} for one in done if not one.not_scaled][
            -SHOWN_ACTIVITIES:
        ],
    )


def describe(stored: Stored, seen: Observation | None, counts: Counts) -> Facts:
    """Pure. An endpoint that somebody else has deleted is one that failed."""
    by_config = dict(counts.answered)
    counted: dict[str, Any] = {
        "sent": counts.sent,
        "answered": sum(by_config.values()),
        "failed": sum(counts.failed.values()),
        "by_config": by_config,
    }
    endpoint = stored.endpoint
    if endpoint is None or endpoint.deleting:
        return Facts(failure="somebody deleted it meanwhile", **counted)
    last = endpoint.last if endpoint.last is not None and endpoint.last.old is not None else None
    found = stored.drift
    return Facts(
        serves=endpoint.serving is not None and str(status(endpoint)[0]) == IN_SERVICE,
        failure=(endpoint.failure_reason or "it could not be created") if endpoint.failed else "",
        config=endpoint.serving.config_name if endpoint.serving else "",
        updating=endpoint.rollout is not None,
        outcome=str(last.phase) if last else "",
        reason=(last.reason or "") if last else "",
        desired=sum(spec.count for spec in desired_state.fleets(endpoint).values()),
        ready=_count_ready(seen),
        share=_read_share(endpoint, seen),
        alarm=stored.alarm[0],
        alarm_reason=stored.alarm[1],
        drift=str(found.verdict) if found else "",
        drift_rows=found.rows if found else 0,
        findings=tuple(f"{one.column}: {one.description}" for one in found.findings) if found else (),
        scaled=stored.scaled,
        **counted,
    )


def _count_ready(seen: Observation | None) -> int | None:
    if seen is None or seen.fleets is None:
        return None
    return sum(fleet.ready for fleet in seen.fleets.values())


def _read_share(endpoint: Endpoint, seen: Observation | None) -> float | None:
    """Percent of the requests on the new version of the update under way, or of the last one."""
    rollout = endpoint.rollout or endpoint.last
    if rollout is None or rollout.old is None or seen is None or seen.routes is None:
        return None
    return seen.routes.share_of(rollout.new.generation) / 100
