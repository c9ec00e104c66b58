"""The life of a shadow test, decided from its record, its endpoint and the time. Pure."""

from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from tidegate.domain.endpoint import Endpoint
from tidegate.features.shadow.records import ExperimentEnding, ExperimentStatus, ShadowExperiment, VariantAction

RETAINED = (VariantAction.RETAIN, VariantAction.RETAIN)


class EndpointChange(StrEnum):
    """A change to request of the endpoint, once, in the transaction that saves the record."""

    TEST = "test"
    """Run the variants of the test."""
    END = "end"
    """Run what stays after it."""


def step(
    test: ShadowExperiment, endpoint: Endpoint | None, now: datetime
) -> tuple[ShadowExperiment, EndpointChange | None]:
    """The record as it is now, and what is to be asked. An endpoint that is being changed is waited for."""
    if test.ended:
        return test, None
    if test.status is ExperimentStatus.CREATED:
        return _wait(test, endpoint, now)
    if endpoint is None or endpoint.deleting:
        return end(test, ExperimentStatus.CANCELLED, "the endpoint was deleted", now), None
    if endpoint.failed:
        reason = endpoint.failure_reason or "the endpoint could not be created"
        return end(test, ExperimentStatus.CANCELLED, reason, now), None
    if _is_changing(endpoint):
        return test, None
    serving = endpoint.serving.config_name if endpoint.serving else ""
    if test.wanted:
        return _arrive(test, serving, _failure(endpoint), now), None
    if serving != test.running:
        reason = f'the endpoint was updated to config "{serving}"'
        return end(test, ExperimentStatus.CANCELLED, reason, now), None
    if test.ending is None and now >= test.end:
        test = replace(test, status=ExperimentStatus.STOPPING, ending=ExperimentEnding())
    if test.ending is not None:
        if (test.ending.source, test.ending.shadow) == RETAINED:
            return end(test, test.ending.state, test.ending.reason, now), None
        return test, EndpointChange.END
    return test, EndpointChange.TEST if test.status is ExperimentStatus.UPDATING else None


def _wait(
    test: ShadowExperiment, endpoint: Endpoint | None, now: datetime
) -> tuple[ShadowExperiment, EndpointChange | None]:
    if now < test.start or (endpoint is not None and (endpoint.deleting or _is_changing(endpoint))):
        return test, None
    if now >= test.end:
        reason = "its end had passed before it could start"
        return end(test, ExperimentStatus.CANCELLED, reason, now), None
    return replace(test, status=ExperimentStatus.STARTING, began_at=now), EndpointChange.TEST


def _arrive(test: ShadowExperiment, serving: str, failure: str, now: datetime) -> ShadowExperiment:
    """The endpoint has come to rest: on the config that was asked for, or on the one before."""
    there, wanted = serving == test.wanted, replace(test, wanted="")
    if test.ending is not None:
        if there:
            return end(wanted, test.ending.state, test.ending.reason, now)
        return end(wanted, ExperimentStatus.CANCELLED, f"what was to stay was not deployed: {failure}", now)
    if there:
        return replace(wanted, status=ExperimentStatus.RUNNING, running=serving, reason="")
    if serving == test.running and test.running:
        return replace(wanted, status=ExperimentStatus.RUNNING, reason=f"the update was not deployed: {failure}")
    return end(wanted, ExperimentStatus.CANCELLED, f"the shadow variant was not deployed: {failure}", now)


def end(test: ShadowExperiment, status: ExperimentStatus, reason: str, now: datetime) -> ShadowExperiment:
    return replace(test, status=status, reason=reason, wanted="", ended_at=now)


def _is_changing(endpoint: Endpoint) -> bool:
    return endpoint.rollout is not None or endpoint.scaling is not None


def _failure(endpoint: Endpoint) -> str:
    last = endpoint.last.reason if endpoint.last else None
    return endpoint.failure_reason or last or "the endpoint was updated to another config"
