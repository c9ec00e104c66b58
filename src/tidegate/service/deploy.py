"""A whole spec at once: models, config, alarms, and the creation or update of the endpoint. The same again is no
change."""

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
from tidegate.ports.store import Kind, Saved, Tx
from tidegate.rollout import commands
from tidegate.service import alarms, configs, endpoints, models, rollout_settings, spec_scaling
from tidegate.service import tags as labels
from tidegate.service.endpoints import CarryOver, UpdateRequest
from tidegate.service.record_kinds import ALARM, CONFIG, ENDPOINT, MODEL
from tidegate.service.rollout_settings import same_alarm
from tidegate.service.spec_scaling import Arns

T = TypeVar("T", Model, EndpointConfig)
LOCAL_ARNS = Arns()


@dataclass(frozen=True)
class DeployOptions:
    """``override``: roll out even what evidence turned down before. ``supersede``: an update that is under way
    gives way to this one."""

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
    wish: DesiredDeployment,
    how: DeployOptions,
    *,
    runnable: Callable[[ContainerDefinition], None],
    rollout_id: str,
    can: Capabilities,
    now: datetime,
    arns: Arns = LOCAL_ARNS,
) -> DeployResult:
    """Raises Invalid, NotFound, AlreadyExists, LimitExceeded, InProgress or Conflict; then nothing of the wish is
    kept."""
    done = _apply(tx, wish, how, runnable, rollout_id, can, now)
    spec_scaling.apply_scaling(tx, wish.endpoint, wish.autoscaling, arns, now)
    return done


def _apply(
    tx: Tx,
    wish: DesiredDeployment,
    how: DeployOptions,
    runnable: Callable[[ContainerDefinition], None],
    rollout_id: str,
    can: Capabilities,
    now: datetime,
) -> DeployResult:
    saved = tx.get(ENDPOINT, wish.endpoint)
    if saved is not None:
        _check_deployable(saved.body, wish, how)
    _register(tx, wish, runnable, now)
    keep = CarryOver(counts=wish.autoscaling is not None)
    asked = UpdateRequest(wish.config.name, wish.deployment, how.by, keep, how.override)
    if saved is None:
        endpoints.create_endpoint(tx, wish.endpoint, asked, wish.tags, rollout_id=rollout_id, can=can, now=now)
        return _result(wish, DeployOutcome.CREATED, "is being created")
    if wish.tags:
        labels.add(tx, ENDPOINT, wish.endpoint, wish.tags, now)
    under_way = saved.body.rollout
    if _target_config(saved.body) == wish.config.name and not _changed_settings(saved.body, wish):
        if under_way is not None:
            return _result(wish, DeployOutcome.UNCHANGED, "is on its way to this")
        return _update_settings(tx, saved, wish, how, now)
    if under_way is not None:
        _supersede(tx, saved, asked, rollout_id, can, now)
        return _result(wish, DeployOutcome.SUPERSEDED, f"gives up {under_way.new.config_name} for this")
    endpoints.update_endpoint(tx, wish.endpoint, asked, rollout_id=rollout_id, can=can, now=now)
    return _result(wish, DeployOutcome.UPDATED, "is being updated")


def _update_settings(
    tx: Tx, saved: Saved[Endpoint], wish: DesiredDeployment, how: DeployOptions, now: datetime
) -> DeployResult:
    """The version runs already. Settings of rollouts are those of the next one, and are on record from now on."""
    before = saved.body.deployment
    if before is not None and rollout_settings.settings(before) == rollout_settings.settings(wish.deployment):
        return _result(wish, DeployOutcome.UNCHANGED, "runs this already")
    event = Event("rollout-settings", f"settings of the next rollout changed by {how.by}", {"by": how.by})
    endpoints.save(tx, saved, replace(saved.body, deployment=wish.deployment), event, now)
    return _result(
        wish,
        DeployOutcome.UNCHANGED,
        "runs this already; the changed rollout settings count from the next update on",
    )


def _changed_settings(endpoint: Endpoint, wish: DesiredDeployment) -> list[str]:
    return rollout_settings.differences(endpoint, wish.deployment, wish.alarms)


def _check_deployable(endpoint: Endpoint, wish: DesiredDeployment, how: DeployOptions) -> None:
    """Raises InProgress or Conflict when the endpoint cannot take the wish now."""
    if _target_config(endpoint) == wish.config.name and not endpoint.deleting and not endpoint.failed:
        found = _changed_settings(endpoint, wish)
        if not found or (how.supersede and endpoint.rollout is not None and endpoint.rollout.old is not None):
            return
        raise Conflict(
            f'endpoint "{endpoint.name}" is on its way to {wish.config.name} with other settings '
            f"({'; '.join(found)}): let the rollout end, abort it, or supersede it to start over with these",
            about=(ENDPOINT.name, endpoint.name),
        )
    if how.supersede and endpoint.rollout is not None and not endpoint.deleting:
        return
    try:
        endpoints.require_idle(endpoint)
    except InProgress as error:
        if endpoint.rollout is None:
            raise
        raise InProgress(f"{error.message}, or supersede it", about=error.about) from None


def _target_config(endpoint: Endpoint) -> str | None:
    """The config that the endpoint runs, or will when all goes well."""
    rollout = endpoint.rollout
    if rollout is not None and rollout.cause is None:
        return rollout.new.config_name
    if rollout is not None and rollout.successor is not None:
        return rollout.successor.wanted.version.config_name
    if endpoint.mixed is not None:
        return None  # another version serves beside it, since a rollback failed
    return endpoint.serving.config_name if endpoint.serving and rollout is None else None


def _register(
    tx: Tx, wish: DesiredDeployment, runnable: Callable[[ContainerDefinition], None], now: datetime
) -> None:
    for model in wish.models:
        if not _exists(tx, MODEL, model.name, model):
            models.create_model(tx, replace(model, created_at=now), {}, runnable=runnable, now=now)
    if not _exists(tx, CONFIG, wish.config.name, wish.config):
        configs.create_config(tx, replace(wish.config, created_at=now), {}, now)
    for alarm in wish.alarms:
        old = tx.get(ALARM, alarm.name)
        if old is None or not same_alarm(old.body, alarm):
            alarms.put(tx, alarm, now)


def _exists(tx: Tx, kind: Kind[T], name: str, body: T) -> bool:
    """Whether the same record is there; raises AlreadyExists when another one has its name."""
    saved = tx.get(kind, name)
    if saved is not None and replace(saved.body, created_at=body.created_at) != body:
        raise AlreadyExists(f'there is another {kind.name} "{name}": choose another name', about=(kind.name, name))
    return saved is not None


def _supersede(
    tx: Tx, saved: Saved[Endpoint], asked: UpdateRequest, rollout_id: str, can: Capabilities, now: datetime
) -> None:
    config = configs.get_config(tx, asked.config_name).body
    wanted = endpoints.build_request(tx, saved.body, config, asked, can, now)
    changed = commands.supersede(
        saved.body, wanted, rollout_id=rollout_id, can=can, now=now, override=asked.override
    )
    event = Event("supersede", f'superseded by config "{config.name}", asked for by {asked.by}', {"by": asked.by})
    endpoints.save(tx, saved, changed, event, now)


def _result(wish: DesiredDeployment, change: DeployOutcome, message: str) -> DeployResult:
    return DeployResult(wish.endpoint, wish.config.name, change, f'endpoint "{wish.endpoint}" {message}')
