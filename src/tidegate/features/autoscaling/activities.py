"""Scaling activities: kept for six weeks, also for deregistered targets."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from tidegate.domain.observation import Event
from tidegate.domain.scaling import Activity, ScalableTarget
from tidegate.features.autoscaling.scalable_records import ACTIVITY, ActivityRecord
from tidegate.ports.store import Filter, Tx

KEPT = timedelta(weeks=6)


def put(tx: Tx, target: ScalableTarget, done: Iterable[Activity], now: datetime) -> None:
    """Save activities that started, ended, or were refused."""
    for activity in done:
        record = ActivityRecord(target.endpoint, target.variant, target.dimension, activity)
        event = Event("scaling.Activity", f"{activity.status}: {activity.description} {activity.cause}")
        tx.put(ACTIVITY, record.name, record, expect=None, now=now, events=[event])


def find(tx: Tx, prefix: str = "") -> list[ActivityRecord]:
    """Activities, newest first. A ``prefix`` that names an endpoint or a target ends with ``/``."""
    found = [saved.body for saved in tx.find(ACTIVITY, Filter(name_prefix=prefix)).items]
    return sorted(found, key=lambda record: (record.activity.started, record.name), reverse=True)


def latest(tx: Tx, prefix: str, most: int) -> list[ActivityRecord]:
    """The last that were recorded, newest first, without a look at all of them."""
    return [saved.body for saved in tx.find(ACTIVITY, Filter(name_prefix=prefix), most).items]


def prune(tx: Tx, now: datetime) -> None:
    for saved in tx.find(ACTIVITY, Filter(modified_before=now - KEPT)).items:
        tx.delete(ACTIVITY, saved.name, expect=saved.version, now=now)
