"""State of an endpoint in the terms of a spec, in the form of a desired deployment."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from tidegate.domain.alarm import Alarm
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.endpoint import Endpoint, EndpointConfig, ProductionVariant
from tidegate.domain.fleet import VariantSpec
from tidegate.domain.registry import Model
from tidegate.domain.rollout import DeploymentConfig, Version
from tidegate.ports.store import Filter, Tx
from tidegate.service import tags as labels
from tidegate.service.endpoint_extension import endpoint_extensions
from tidegate.service.record_kinds import ALARM, CONFIG, ENDPOINT
from tidegate.service.records import read_if_readable
from tidegate.service.views import alarms_of


@dataclass(frozen=True)
class EndpointDeployment:
    """State of an endpoint in the terms of a spec. ``kept`` has, for display, what the endpoint has that the spec
    does not declare and a deploy leaves alone."""

    endpoint: DesiredDeployment
    kept: tuple[str, ...] = ()


def read_deployed(tx: Tx, desired: DesiredDeployment) -> EndpointDeployment | None:
    """The state that deploying ``desired`` would change: the version that serves, or that is being created, with its
    guards and settings. None if there is neither. Counts and weights are those of the config: a deploy of the same
    version leaves them as they were changed since."""
    saved = tx.get(ENDPOINT, desired.endpoint)
    version = None if saved is None else _version(saved.body)
    if saved is None or version is None:
        return None
    config = _config(tx, version)
    deployment = _deployment(saved.body)
    guards, others = _alarms(tx, desired, config, deployment.alarms)
    tags = labels.read(tx, ENDPOINT, desired.endpoint)
    found = DesiredDeployment(
        endpoint=desired.endpoint,
        models=_models(version),
        config=config,
        deployment=deployment,
        alarms=guards,
        tags={key: tags[key] for key in desired.tags if key in tags},
        # A spec that names no target leaves it as it is.
        target=None if desired.target is None else saved.body.target,
        sections=dict(_read_sections(tx, desired.endpoint)),
    )
    kept = (*(f"tag {key}" for key in tags if key not in desired.tags), *(f"alarm {name}" for name in others))
    return EndpointDeployment(found, kept)


def describe_deployed(tx: Tx, name: str) -> DesiredDeployment | None:
    """Describe the version that serves, or is being created, in the terms of a spec. None if there is neither."""
    saved = tx.get(ENDPOINT, name)
    version = None if saved is None else _version(saved.body)
    if saved is None or version is None:
        return None
    guards = tuple(alarms_of(tx, saved.body))
    desired = describe_version(tx, name, version, _deployment(saved.body), guards)
    found = read_deployed(tx, replace(desired, target=saved.body.target, tags=labels.read(tx, ENDPOINT, name)))
    return None if found is None else found.endpoint


def describe_version(
    tx: Tx, endpoint: str, version: Version, deployment: DeploymentConfig, guards: tuple[Alarm, ...]
) -> DesiredDeployment:
    """A version and how it was rolled out, in the terms of a spec."""
    config, models = _config(tx, version), _models(version)
    return DesiredDeployment(endpoint=endpoint, models=models, config=config, deployment=deployment, alarms=guards)


def _read_sections(tx: Tx, endpoint: str) -> Iterator[tuple[str, Any]]:
    for one in endpoint_extensions():
        found = one.read(tx, endpoint) if one.member else None
        if found is not None:
            yield one.member, found


def _version(endpoint: Endpoint) -> Version | None:
    if endpoint.serving is not None:
        return endpoint.serving
    return endpoint.rollout.new if endpoint.rollout is not None else None


def _deployment(endpoint: Endpoint) -> DeploymentConfig:
    if endpoint.rollout is not None and endpoint.serving is None:
        return endpoint.rollout.deployment
    return endpoint.deployment or DeploymentConfig()


def _config(tx: Tx, version: Version) -> EndpointConfig:
    """The config's record; where that was deleted, what was copied of it."""
    saved = tx.get(CONFIG, version.config_name)
    if saved is not None:
        return saved.body
    first = version.production[0]
    return EndpointConfig(
        name=version.config_name,
        variants=tuple(_variant(one) for one in version.production),
        created_at=first.model.created_at,
        shadows=tuple(_variant(one) for one in version.variants if one.shadow),
        asynchronous=first.asynchronous,
        capture=first.capture,
    )


def _variant(given: VariantSpec) -> ProductionVariant:
    return ProductionVariant(
        name=given.name,
        model_name=given.model.name,
        instance_count=given.instance_count,
        instance_type=given.instance_type,
        weight=given.weight,
        routing=given.routing,
        serverless=given.serverless,
        memory_limit=None if given.serverless is not None else given.memory_limit,
        startup_timeout=_omit_default(given.startup_timeout, VariantSpec.startup_timeout),
        download_timeout=_omit_default(given.download_timeout, VariantSpec.download_timeout),
        devices=given.devices,
        admission=given.admission,
    )


def _omit_default(seconds: float, default: float) -> int | None:
    return None if seconds == default else int(seconds)


def _models(version: Version) -> tuple[Model, ...]:
    """Return the models of a version as they were created. A version that was rolled back to by ``undo`` also names
    kept model data, which is left out."""
    return tuple(
        replace(one.model, containers=tuple(replace(each, artifact=None) for each in one.model.containers))
        for one in version.variants
    )


def _alarms(
    tx: Tx, desired: DesiredDeployment, config: EndpointConfig, guards: tuple[str, ...]
) -> tuple[tuple[Alarm, ...], list[str]]:
    """Return the alarms that guard the endpoint or that the spec declares, in the spec's order, and the names of the
    others that a spec of this endpoint left on record."""
    prefixes = (f"{config.name}-", f"{desired.endpoint}-")
    known = {saved.name: saved.body for one in prefixes for saved in tx.find(ALARM, Filter(name_prefix=one)).items}
    others_named = (read_if_readable(tx, ALARM, name) for name in (*guards, *(one.name for one in desired.alarms)))
    known |= {saved.name: saved.body for saved in others_named if saved is not None}
    wanted = (_present(alarm.name, desired, config, guards, known) for alarm in desired.alarms)
    names = [name for name in dict.fromkeys((*wanted, *guards)) if name in known]
    others = [
        name
        for name, alarm in known.items()
        if name not in names and name.startswith(prefixes) and _is_of(alarm, desired.endpoint, config)
    ]
    return tuple(known[name] for name in names), others


def _present(
    name: str, desired: DesiredDeployment, config: EndpointConfig, guards: tuple[str, ...], known: Collection[str]
) -> str:
    """Name of the alarm that has the key of ``name`` now. One for the version that serves and one for the endpoint
    may both be on record, where a spec once changed the scope: then the one that guards counts."""
    own, whole = f"{desired.config.name}-", f"{desired.endpoint}-"
    scoped = name.startswith(own)
    key = name.removeprefix(own if scoped else whole)
    names = (f"{config.name}-{key}", f"{whole}{key}")
    ordered = names if scoped else names[::-1]
    return next((one for one in ordered if one in guards), next((one for one in ordered if one in known), name))


def _is_of(alarm: Alarm, endpoint: str, config: EndpointConfig) -> bool:
    """Return whether an alarm watches the endpoint as a whole or this version of it, and acts on nothing."""
    named = alarm.dimensions.get("EndpointName") == endpoint and not alarm.alarm_actions
    return named and alarm.dimensions.get("EndpointConfigName", config.name) == config.name
