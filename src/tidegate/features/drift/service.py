"""Use cases of drift schedules: set one for an endpoint, find the look that is due, keep what it found."""

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from tidegate.domain.drift import DriftOutcome, DriftPoint, DriftRecord, DriftSchedule, DriftVerdict, check_terms
from tidegate.domain.errors import NotFound, UnreadableRecord
from tidegate.domain.observation import Event
from tidegate.features.capture.captured import captured_addresses
from tidegate.features.drift.kinds import DRIFT, DRIFT_SCHEDULE
from tidegate.ports.store import Tx
from tidegate.schedules.schedule import load_zone
from tidegate.service.endpoint_extension import DeploymentIds, EndpointExtension
from tidegate.service.record_kinds import ENDPOINT
from tidegate.service.records import require
from tidegate.storage.addresses import check_address

log = logging.getLogger(__name__)

MOST_POINTS = 100
"""Turns of the history that are kept."""


@dataclass(frozen=True)
class DueLook:
    """``addresses``: folders of the endpoint's captured files."""

    schedule: DriftSchedule
    addresses: tuple[str, ...]
    start: datetime
    end: datetime


def set_schedule(tx: Tx, schedule: DriftSchedule, now: datetime) -> None:
    """Set a schedule. It replaces an earlier one, whose history ends. Raises NotFound or Invalid."""
    require(tx, ENDPOINT, schedule.endpoint)
    check_schedule(schedule)
    _forget_drift(tx, schedule.endpoint, now)
    tx.put(DRIFT_SCHEDULE, schedule.endpoint, schedule, expect=None, now=now)


def check_schedule(schedule: DriftSchedule) -> None:
    """Raises Invalid."""
    check_address(schedule.baseline, "the baseline")
    check_terms(schedule)
    load_zone(schedule.zone)


def apply_schedule(tx: Tx, endpoint: str, wanted: DriftSchedule | None, now: datetime) -> None:
    """Apply the schedule of a spec. An unchanged schedule continues. If the spec has none, a schedule that an earlier
    spec declared ends, and one that a command set stays. Raises Invalid."""
    saved = tx.get(DRIFT_SCHEDULE, endpoint)
    if wanted is None:
        if saved is not None and saved.body.by_spec:
            _forget_drift(tx, endpoint, now)
    elif saved is None or replace(saved.body, created_at=wanted.created_at) != wanted:
        set_schedule(tx, wanted, now)


def remove_schedule(tx: Tx, endpoint: str, now: datetime) -> None:
    """Raises NotFound."""
    if not _forget_drift(tx, endpoint, now):
        raise _no_schedule(endpoint)


def _forget_drift(tx: Tx, endpoint: str, now: datetime) -> bool:
    """Remove the schedule and what it found; False if there was none."""
    tx.delete(DRIFT, endpoint, expect=None, now=now)
    return tx.delete(DRIFT_SCHEDULE, endpoint, expect=None, now=now)


def show_drift(tx: Tx, endpoint: str) -> dict[str, Any]:
    """Return the schedule, the last outcome and the history as plain data. Raises NotFound."""
    require(tx, ENDPOINT, endpoint)
    schedule = tx.get(DRIFT_SCHEDULE, endpoint)
    if schedule is None:
        raise _no_schedule(endpoint)
    found = tx.get(DRIFT, endpoint)
    last, history = (found.body.last, found.body.history) if found else (None, ())
    document = {"schedule": schedule.body, "rate": schedule.body.rate, "last": last, "history": history}
    shown: dict[str, Any] = msgspec.to_builtins(document)
    return shown


def _no_schedule(endpoint: str) -> NotFound:
    return NotFound(f"endpoint {endpoint} has no drift schedule: set one with 'tidegate drift schedule set'")


def find_due(tx: Tx, now: datetime) -> list[DueLook]:
    """One look at most of each schedule: those that were missed are not made up for."""
    due: list[DueLook] = []
    for saved in tx.find(DRIFT_SCHEDULE).items:
        try:
            record, endpoint = tx.get(DRIFT, saved.name), tx.get(ENDPOINT, saved.name)
        except UnreadableRecord as error:
            log.warning("the drift of %s is not looked at: %s", saved.name, error)
            continue
        end = due_end(saved.body, record.body.last.end if record else None, now)
        if end is not None and endpoint is not None and not endpoint.body.deleting:
            start = datetime.fromtimestamp(end.timestamp() - saved.body.window, UTC)
            due.append(DueLook(saved.body, captured_addresses(endpoint.body), start, end))
    return due


def due_end(schedule: DriftSchedule, last: datetime | None, now: datetime) -> datetime | None:
    """The end of the window that is due. A last look that lies in the future is one by a clock that was wrong, and
    holds up nothing."""
    end = datetime.fromtimestamp(now.timestamp() // schedule.every * schedule.every, UTC)
    return end if last is None or last < end or last > now else None


def keep_outcome(tx: Tx, schedule: DriftSchedule, outcome: DriftOutcome, now: datetime) -> bool:
    """Write what a look found, unless the schedule has changed meanwhile."""
    present = tx.get(DRIFT_SCHEDULE, schedule.endpoint)
    if present is None or present.body != schedule:
        return False
    saved = tx.get(DRIFT, schedule.endpoint)
    record, turned = _add_outcome(saved.body if saved else None, outcome)
    events = [Event("drift", describe(outcome))] if turned else []
    tx.put(DRIFT, schedule.endpoint, record, expect=saved.version if saved else 0, now=now, events=events)
    return True


def _add_outcome(record: DriftRecord | None, outcome: DriftOutcome) -> tuple[DriftRecord, bool]:
    """The record with one more outcome, and whether the verdict is another one than before."""
    if record is not None and record.last.verdict is outcome.verdict:
        return replace(record, last=outcome), False
    point = DriftPoint(outcome.end, outcome.verdict, outcome.total, describe(outcome))
    history = (*(record.history if record else ()), point)
    return DriftRecord(outcome, history[-MOST_POINTS:]), True


def describe(outcome: DriftOutcome) -> str:
    """One line for people."""
    if outcome.verdict is DriftVerdict.UNKNOWN:
        return f"drift is unknown: {outcome.reason}"
    if outcome.verdict is DriftVerdict.NO_DRIFT:
        return f"no drift in {outcome.rows} rows"
    first = outcome.findings[0]
    more = f", and {outcome.total - 1} more" if outcome.total > 1 else ""
    return f"drift in {outcome.rows} rows: {first.column}: {first.check}: {first.description}{more}"


# --- the drift schedule of an endpoint, as a part of its deployment ---


class _EndpointDrift(EndpointExtension):
    member = "drift"

    def apply(
        self, tx: Tx, endpoint: str, desired: DriftSchedule | None, ids: DeploymentIds, now: datetime
    ) -> None:
        apply_schedule(tx, endpoint, desired, now)

    def read(self, tx: Tx, endpoint: str) -> DriftSchedule | None:
        saved = tx.get(DRIFT_SCHEDULE, endpoint)
        return saved.body if saved is not None and saved.body.by_spec else None


EXTENSION = _EndpointDrift()
