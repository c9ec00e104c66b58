"""Observes a lesson: its endpoint's record, history, evidence, alarm, drift, activities and journal, its requests;
and draws the picture of a run from it, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tidegate.console.activity import read_activity, variants_of
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.finding import Finding
from tidegate.domain.observation import Observation
from tidegate.features.autoscaling import activities
from tidegate.features.autoscaling import service as scalables
from tidegate.features.drift.kinds import DRIFT
from tidegate.features.evidence.judge import recompute_record
from tidegate.features.evidence.service import find_evidence
from tidegate.features.lessons import run_service
from tidegate.features.lessons.lesson import Attempt, EvidenceCheck, Lesson, LessonFacts, LessonProgress
from tidegate.features.lessons.run_records import LiveRun
from tidegate.features.lessons.traffic import Counts
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.journal_view import read_events
from tidegate.ports.store import Tx
from tidegate.rollout import desired_state
from tidegate.rollout.status import status
from tidegate.service import history
from tidegate.service.record_kinds import ALARM, ENDPOINT

SHOWN_EVENTS = 80
JOURNAL_LINES = 400
SHOWN_ACTIVITIES = 12
IN_SERVICE = "InService"
MOST_POINTS = 900
"""Seconds that are drawn."""
Tick = tuple[int | None, int | None, float | None]
UNKNOWN_TICK: Tick = (None, None, None)
SECOND, SENT, ANSWERED, FAILED, DESIRED, READY, SHARE = range(7)
"""Places in a point of a picture."""
KEPT = (
    *("sent", "answered", "failed", "alarm", "alarm_reason"),
    *("drift", "drift_rows", "desired", "ready", "share"),
)
"""Facts that are kept of a run."""


@dataclass(frozen=True)
class LessonObservation:
    """``journal`` and ``activities``: oldest first."""

    facts: LessonFacts
    journal: list[dict[str, str]]
    activities: list[dict[str, str]]


async def observe(
    gateway: Gateway,
    endpoint: str,
    run: LiveRun | None,
    versions: Mapping[str, str],
    counts: Counts,
    now: datetime,
) -> LessonObservation:
    """``run``: the open one; ``versions``: config -> version of the lesson."""
    context = gateway.context
    facts = LessonFacts(
        open=run is not None,
        by=run.by if run is not None else "",
        ending=run is not None and run.ending,
        sent=counts.sent,
        answered=sum(counts.answered.values()),
        failed=sum(counts.failed.values()),
        by_config=dict(counts.answered),
    )
    observed = context.observed(endpoint)
    found, variants = await context.store.read(lambda tx: _read(tx, endpoint, run, facts, observed, versions))
    if not found.facts.present:
        return found
    activity = await read_activity(context.metrics, endpoint, variants, int(now.timestamp()))
    return replace(found, facts=replace(found.facts, rate=activity.rate, service=activity.p50_ms))


def _read(
    tx: Tx,
    name: str,
    run: LiveRun | None,
    facts: LessonFacts,
    observed: Observation | None,
    versions: Mapping[str, str],
) -> tuple[LessonObservation, list[str]]:
    """With the names of the endpoint's variants. ``failure`` is also that somebody else has deleted the endpoint."""
    saved = tx.get(ENDPOINT, name)
    endpoint = None if saved is None else saved.body
    if endpoint is None or run is None or endpoint.deleting or not run_service.is_own(tx, run):
        deleting = endpoint is not None and endpoint.deleting
        stranger = endpoint is not None and not deleting
        gone = replace(facts, deleting=deleting, stranger=stranger, failure="somebody deleted it meanwhile")
        return LessonObservation(gone, [], []), []
    rollout = endpoint.rollout
    drift = schedule.body.last if (schedule := tx.get(DRIFT, name)) else None
    alarms = [part.name for part in run.made if part.kind == ALARM.name]
    alarm = tx.get(ALARM, alarms[0]) if alarms else None
    last = endpoint.last if endpoint.last is not None and endpoint.last.old is not None else None
    config = endpoint.serving.config_name if endpoint.serving is not None else ""
    facts = replace(
        facts,
        present=True,
        failure=(endpoint.failure_reason or "it could not be created") if endpoint.failed else "",
        serves=endpoint.serving is not None and str(status(endpoint)[0]) == IN_SERVICE,
        serving=versions.get(config),
        other=config if config and config not in versions else None,
        rolling=None if rollout is None else versions.get(rollout.new.config_name, rollout.new.config_name),
        rolling_back=rollout is not None and rollout.cause is not None,
        attempts=tuple(
            Attempt(versions[own], one.outcome, one.served_at is not None, one.rollout, one.reason)
            for one in history.read(tx, name).begun
            if (own := one.version.config_name) in versions
        ),
        outcome=str(last.phase) if last else "",
        reason=(last.reason or "") if last else "",
        desired=sum(fleet.count for fleet in desired_state.fleets(endpoint).values()),
        ready=_count_ready(observed),
        share=_read_share(endpoint, observed),
        evidence=_check_evidence(tx, name),
        alarm=str(alarm.body.state) if alarm else "",
        alarm_reason=alarm.body.state_reason if alarm else "",
        drift=str(drift.verdict) if drift else "",
        drift_rows=drift.rows if drift else 0,
        findings=tuple(f"{one.column}: {one.description}" for one in drift.findings) if drift else (),
        scaled=bool(list(scalables.list_for_endpoint(tx, name))),
    )
    return LessonObservation(facts, _list_journal(tx, name), _list_activities(tx, name)), variants_of(endpoint)


def _list_journal(tx: Tx, name: str) -> list[dict[str, str]]:
    events = read_events(tx, name, 0, JOURNAL_LINES).events[-SHOWN_EVENTS:]
    return [{"at": str(one["at"]), "said": str(one["message"]), "kind": str(one["kind"])} for one in events]


def _list_activities(tx: Tx, name: str) -> list[dict[str, str]]:
    done = [record.activity for record in reversed(activities.find(tx, f"{name}/"))]
    scaling = [{"at": one.started.isoformat(), "said": one.cause} for one in done if not one.not_scaled]
    return scaling[-SHOWN_ACTIVITIES:]


def _check_evidence(tx: Tx, name: str) -> EvidenceCheck | None:
    record = find_evidence(tx, name)
    if record is None:
        return None
    _, same = recompute_record(record)
    return EvidenceCheck(record.rollout, record.verdict.finding is Finding.FAIL, same)


def _count_ready(observed: Observation | None) -> int | None:
    if observed is None or observed.fleets is None:
        return None
    return sum(fleet.ready for fleet in observed.fleets.values())


def _read_share(endpoint: Endpoint, observed: Observation | None) -> float | None:
    """Percent of the requests on the new version of the update under way, or of the last one."""
    rollout = endpoint.rollout or endpoint.last
    if rollout is None or rollout.old is None or observed is None or observed.routes is None:
        return None
    return observed.routes.share_of(rollout.new.generation) / 100


# --- what is kept of a run, and what pages and clients are shown of it ---


def note_tick(ticks: dict[int, Tick], second: int, facts: LessonFacts) -> None:
    """``ticks``: second -> instances desired and ready, and percent on the new version."""
    ticks[second] = (facts.desired, facts.ready, facts.share)
    while len(ticks) > MOST_POINTS:
        del ticks[next(iter(ticks))]


def make_picture(
    lesson: Lesson,
    progress: LessonProgress,
    observed: LessonObservation,
    counts: Counts,
    ticks: Mapping[int, Tick],
    now: float,
) -> dict[str, Any]:
    """``now``: epoch seconds."""
    facts = observed.facts
    return {
        **{name: getattr(facts, name) for name in KEPT},
        "step": progress.step,
        "seconds": round(max(0.0, now - progress.begun), 1),
        "longest": lesson.longest,
        "held": counts.held,
        "last_failure": counts.last_failure,
        "answered_by": dict(counts.answered),
        "failed_by": dict(counts.failed),
        "marks": dict(progress.marks),
        "points": draw_points(progress.begun, now, counts, ticks),
        "journal": observed.journal,
        "activities": observed.activities,
    }


def draw_points(begun: float, now: float, counts: Counts, ticks: Mapping[int, Tick]) -> list[list[float | None]]:
    """For each second of the run: its number, requests sent, answered and failed, instances desired and ready,
    percent on the new version. A second that was not observed has what was observed before it."""
    first, last = int(begun), int(now)
    points, before = list[list[float | None]](), UNKNOWN_TICK
    for second in range(max(first, last - MOST_POINTS), last):
        before = ticks.get(second, before)
        counted = counts.seconds.get(second)
        flows = (counted.sent, counted.answered, counted.failed) if counted else (0, 0, 0)
        points.append([second - first, *flows, *before])
    return points
