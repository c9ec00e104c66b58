"""The kinds of records in the store, each with the type of its body."""

from dataclasses import dataclass, field
from typing import Any

from tidegate.domain.alarm import Alarm
from tidegate.domain.drift import DriftRecord, DriftSchedule
from tidegate.domain.endpoint import Endpoint, EndpointConfig
from tidegate.domain.evidence import StoredEvidence
from tidegate.domain.experiment import ShadowExperiment
from tidegate.domain.history import History
from tidegate.domain.live_challenge import LiveChallenge
from tidegate.domain.live_run import LiveRun
from tidegate.domain.monitoring_schedule import MonitoringExecution, MonitoringJob, MonitoringSchedule
from tidegate.domain.package import Package, PackageGroup
from tidegate.domain.processing_job import ProcessingJob
from tidegate.domain.recommendation import RecommendationJob
from tidegate.domain.registry import Model, Tags
from tidegate.domain.replay import ReplayRecord
from tidegate.domain.transform import TransformJob
from tidegate.domain.usage import Usage
from tidegate.ports.store import Kind
from tidegate.service.scaling_records import ActivityRecord, Scalable


@dataclass(frozen=True)
class TagSet:
    """Tags of one resource; the record's name is ``kind/name`` of the resource."""

    tags: Tags = field(default_factory=dict)


@dataclass(frozen=True)
class Cursor:
    """Last journal line whose state changes a receiver has got; the record's name is derived from its address."""

    seq: int


MODEL = Kind("model", Model)
CONFIG = Kind("config", EndpointConfig)
ENDPOINT = Kind("endpoint", Endpoint)
HISTORY = Kind("rollout-history", History)
USAGE = Kind("usage", Usage)
EVIDENCE = Kind("evidence", StoredEvidence)
DRIFT_SCHEDULE = Kind("drift-schedule", DriftSchedule)
DRIFT = Kind("drift", DriftRecord)
REPLAY = Kind("replay", ReplayRecord)
ALARM = Kind("alarm", Alarm)
TAGS = Kind("tags", TagSet)
TRANSFORM = Kind("transform", TransformJob)
RECOMMENDATION = Kind("recommendation", RecommendationJob)
LIVE_RUN = Kind("live-run", LiveRun)
EXPERIMENT = Kind("experiment", ShadowExperiment)
QUALITY_JOB = Kind("quality-job", MonitoringJob)
MODEL_QUALITY_JOB = Kind("model-quality-job", MonitoringJob)
MODEL_BIAS_JOB = Kind("model-bias-job", MonitoringJob)
PROCESSING = Kind("processing-job", ProcessingJob)
MONITORING_SCHEDULE = Kind("monitoring-schedule", MonitoringSchedule)
EXECUTION = Kind("monitoring-execution", MonitoringExecution)

PACKAGE_GROUP = Kind("package-group", PackageGroup)
PACKAGE = Kind("package", Package)

CURSOR = Kind("state-events", Cursor)
LIVE_CHALLENGE = Kind("live-challenge", LiveChallenge)

SCALABLE = Kind("scalable", Scalable)
ACTIVITY = Kind("activity", ActivityRecord)

ALL: tuple[Kind[Any], ...] = (
    MODEL,
    CONFIG,
    ENDPOINT,
    HISTORY,
    USAGE,
    EVIDENCE,
    DRIFT_SCHEDULE,
    DRIFT,
    REPLAY,
    ALARM,
    TAGS,
    TRANSFORM,
    RECOMMENDATION,
    LIVE_RUN,
    EXPERIMENT,
    QUALITY_JOB,
    MODEL_QUALITY_JOB,
    MODEL_BIAS_JOB,
    PROCESSING,
    MONITORING_SCHEDULE,
    EXECUTION,
    PACKAGE_GROUP,
    PACKAGE,
    SCALABLE,
    ACTIVITY,
    CURSOR,
    LIVE_CHALLENGE,
)
