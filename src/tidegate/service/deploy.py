"""Deploy a spec as a whole: models, config, alarms, and creation or update of the endpoint. Idempotent."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.endpoint import Endpoint, EndpointConfig
from tidegate.domain.errors import AlreadyExists, Conflict, InProgress
from tidegate.domain.observation import Capabilities, Event
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.targets import LOCAL, TargetTable
from tidegate.ports.store import Kind, StoredRecord, Tx
from tidegate.rollout import commands
from tidegate.service import alarms, configs, endpoints, models, rollout_settings
from tidegate.service import tags as labels
from tidegate.service.endpoint_extension import DeploymentIds, endpoint_extensions
from tidegate.service.endpoints import CarryOver, UpdateRequest
from tidegate.service.record_kinds import ALARM, CONFIG, ENDPOINT, MODEL
from tidegate.service.rollout_settings import same_alarm
from tidegate.service.targets import choose_target

T = TypeVar("T", Model, EndpointConfig)
LOCAL_IDS = DeploymentIds()


@dataclass(frozen=True)
class DeployOptions:
    """``override``: allow a version that an alarm rolled back before. ``supersede``: replace an update in
    progress."""

    by: str
    override: bool = False
    supersede: bool = False


class DeployOutcome(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    SUPERSEDED = "superseded"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class DeployResult:
    endpoint: str
    config: str
    change: DeployOutcome
    message: str


def deploy(
    tx: Tx,
    desired: DesiredDeployment,
    options: DeployOptions,
    *,
    runnable: Callable[[ContainerDefinition], None],
    rollout_id: str,
    targets: TargetTable,
    now: datetime,
    ids: DeploymentIds = LOCAL_IDS,
) -> DeployResult:
    """Raises Invalid, NotFound, AlreadyExists, LimitExceeded, InProgress or Conflict; then nothing is saved."""
    target = choose_target(tx, desired.endpoint, desired.target, desired.tags, targets)
    done = _apply(tx, replace(desired, target=target), options, runnable, rollout_id, targets.of(target), now)
    for one in endpoint_extensions():
        if one.member:
            one.apply(tx, desired.endpoint, desired.sections.get(one.member), ids, now)
    return done


def _apply(
    tx: Tx,
    desired: DesiredDeployment,
    options: DeployOptions,
    runnable: Callable[[ContainerDefinition], None],
    rollout_id: str,
    can: Capabilities,
    now: datetime,
) -> DeployResult:
    saved = tx.get(ENDPOINT, desired.endpoint)
    if saved is not None and find_target(saved.body) != desired.config.name:
        saved = endpoints.require_settled(tx, desired.endpoint, now)
    if saved is not None:
        _check_deployable(saved.body, desired, options)
    _register(tx, desired, runnable, now)
    keep = CarryOver(counts=desired.autoscaling is not None)
    asked = UpdateRequest(desired.config.name, desired.deployment, options.by, keep, options.override)
    if saved is None:
        endpoints.create_endpoint(
            tx,
            desired.endpoint,
            asked,
            desired.tags,
            rollout_id=rollout_id,
            can=can,
            now=now,
            target=desired.target or LOCAL,
        )
        return _result(desired, DeployOutcome.CREATED, "is being created")
    if desired.tags:
        labels.add(tx, ENDPOINT, desired.endpoint, desired.tags, now)
    if saved.body.failed:
        endpoints.replace_failed_creation(tx, saved, asked, rollout_id=rollout_id, can=can, now=now)
        return _result(desired, DeployOutcome.CREATED, "is being created, in place of the creation that failed")
    under_way = saved.body.rollout
    if find_target(saved.body) == desired.config.name and not _list_changed_settings(saved.body, desired):
        if under_way is not None:
            return _result(desired, DeployOutcome.UNCHANGED, "is already being updated to this")
        return _update_settings(tx, saved, desired, options, now)
    if under_way is not None:
        _supersede(tx, saved, asked, rollout_id, can, now)
        return _result(desired, DeployOutcome.SUPERSEDED, f"gives up {under_way.new.config_name} for this")
    endpoints.update_endpoint(tx, desired.endpoint, asked, rollout_id=rollout_id, can=can, now=now)
    return _result(desired, DeployOutcome.UPDATED, "is being updated")


def _update_settings(
    tx: Tx, saved: StoredRecord[Endpoint], desired: DesiredDeployment, options: DeployOptions, now: datetime
) -> DeployResult:
    """The version runs already: save changed rollout settings for the next update."""
    before = saved.body.deployment
    if before is not None and rollout_settings.settings(before) == rollout_settings.settings(desired.deployment):
        return _result(desired, DeployOutcome.UNCHANGED, "runs this already")
    event = Event("rollout-settings", f"settings of the next rollout changed by {options.by}", {"by": options.by})
    endpoints.save(tx, saved, replace(saved.body, deployment=desired.deployment), event, now)
    return _result(
        desired,
        DeployOutcome.UNCHANGED,
        "runs this already; the changed rollout settings count from the next update on",
    )


def _list_changed_settings(endpoint: Endpoint, desired: DesiredDeployment) -> list[str]:
    return rollout_settings.differences(endpoint, desired.deployment, desired.alarms)


def _check_deployable(endpoint: Endpoint, desired: DesiredDeployment, options: DeployOptions) -> None:
    """Raises InProgress or Conflict if the endpoint cannot be deployed to now."""
    if endpoint.failed and not endpoint.deleting:
        return
    if find_target(endpoint) == desired.config.name and not endpoint.deleting:
        found = _list_changed_settings(endpoint, desired)
        if not found or (options.supersede and endpoint.rollout is not None and endpoint.rollout.old is not None):
            return
        raise Conflict(
            f'endpoint "{endpoint.name}" is being updated to {desired.config.name} with other settings '
            f"({'; '.join(found)}): let the rollout end, abort it, or supersede it to start over with these",
            about=(ENDPOINT.name, endpoint.name),
        )
    if options.supersede and endpoint.rollout is not None and not endpoint.deleting:
        return
    try:
        endpoints.require_idle(endpoint)
    except InProgress as error:
        if endpoint.rollout is None:
            raise
        raise InProgress(f"{error.message}, or supersede it", about=error.about) from None


def find_target(endpoint: Endpoint) -> str | None:
    """Config that the endpoint runs, or will run once its rollout succeeds."""
    rollout = endpoint.rollout
    if rollout is not None and rollout.cause is None:
        return rollout.new.config_name
    if rollout is not None and rollout.successor is not None:
        return rollout.successor.wanted.version.config_name
    if endpoint.mixed is not None:
        return None  # after a failed rollback a second version serves beside it
    return endpoint.serving.config_name if endpoint.serving and rollout is None else None


def _register(
    tx: Tx, desired: DesiredDeployment, runnable: Callable[[ContainerDefinition], None], now: datetime
) -> None:
    for model in desired.models:
        if not _exists(tx, MODEL, model.name, model):
            models.create_model(tx, replace(model, created_at=now), {}, runnable=runnable, now=now)
    if not _exists(tx, CONFIG, desired.config.name, desired.config):
        configs.create_config(tx, replace(desired.config, created_at=now), {}, now)
    for alarm in desired.alarms:
        old = tx.get(ALARM, alarm.name)
        if old is None or not same_alarm(old.body, alarm):
            alarms.put(tx, alarm, now)


def _exists(tx: Tx, kind: Kind[T], name: str, body: T) -> bool:
    """Whether the same record exists. Raises AlreadyExists if a different one has its name."""
    saved = tx.get(kind, name)
    if saved is not None and replace(saved.body, created_at=body.created_at) != body:
        raise AlreadyExists(f'there is another {kind.name} "{name}": choose another name', about=(kind.name, name))
    return saved is not None


def _supersede(
    tx: Tx, saved: StoredRecord[Endpoint], asked: UpdateRequest, rollout_id: str, can: Capabilities, now: datetime
) -> None:
    config = configs.get_config(tx, asked.config_name).body
    wanted = endpoints.build_request(tx, saved.body, config, asked, can, now)
    changed = commands.supersede(
        saved.body, wanted, rollout_id=rollout_id, can=can, now=now, override=asked.override
    )
    event = Event("supersede", f'superseded by config "{config.name}", asked for by {asked.by}', {"by": asked.by})
    endpoints.save(tx, saved, changed, event, now)


def _result(desired: DesiredDeployment, change: DeployOutcome, message: str) -> DeployResult:
    return DeployResult(desired.endpoint, desired.config.name, change, f'endpoint "{desired.endpoint}" {message}')
