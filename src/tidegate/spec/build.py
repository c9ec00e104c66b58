"""Convert the checked structures of a spec to domain objects."""

import math
import re
from dataclasses import asdict, replace
from datetime import datetime

from tidegate.domain.admission import DEFAULT_ADMISSION
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.devices import MOST_DEVICES
from tidegate.domain.endpoint import EndpointConfig, ProductionVariant
from tidegate.domain.fleet import RoutingStrategy, Serverless
from tidegate.domain.registry_addresses import FOLLOW
from tidegate.domain.rollout import BlueGreen, DeploymentConfig, Holdback, RollingUpdate, TrafficRouting
from tidegate.domain.traffic import WHOLE
from tidegate.spec import serving_options, structures, value_types
from tidegate.spec.admission import HEADER, admission
from tidegate.spec.alarms import alarms
from tidegate.spec.check import convert_checked
from tidegate.spec.following import build_following
from tidegate.spec.placeholders import refuse_placeholders
from tidegate.spec.problem import KeyPath, SpecError, suggest
from tidegate.spec.sections import build_sections, config_content, refuse_switched_off, spec_file_of
from tidegate.spec.units import duration, memory, one_of, percent, seconds, size
from tidegate.spec.upstream import check_scaling

# --- the ``serverless`` section of a spec ---


_PATH: KeyPath = ("serverless",)
_NOT_WITH = (
    "instances",
    "instance_type",
    "routing",
    "memory",
    "devices",
    "max_in_flight",
    "queue_time",
    "variants",
    "shadow",
)
_NUMBERS = (("max_concurrency", 1), ("provisioned", 0), ("per_instance", 1))


def _serverless_bounds(spec: structures.SpecFile) -> Serverless | None:
    """Serverless limits; None if the spec is not serverless. Raises SpecError."""
    given = spec.serverless
    if given is None:
        return None
    empty = structures.SpecFile(endpoint=spec.endpoint)
    for key in _NOT_WITH:
        if getattr(spec, key) != getattr(empty, key):
            raise SpecError((key,), "cannot be combined with serverless")
    if spec.model is not None and spec.model.multi_model is not None:
        raise SpecError(("model", "multi_model"), "cannot be combined with serverless")
    if spec.rollout is not None and spec.rollout.strategy == "rolling":
        raise SpecError(
            ("rollout", "strategy"), "rolling cannot be combined with serverless, which has no instances"
        )
    for key, least in _NUMBERS:
        if getattr(given, key) < least:
            raise SpecError((*_PATH, key), f"{getattr(given, key)}: must be at least {least}")
    if given.provisioned > given.max_concurrency:
        raise SpecError((*_PATH, "provisioned"), f"{given.provisioned}: more than max_concurrency")
    size, idle = memory(given.memory, (*_PATH, "memory")), duration(given.idle_after, (*_PATH, "idle_after"))
    if size < 1:
        raise SpecError((*_PATH, "memory"), "must be above 0")
    if idle <= 0:
        raise SpecError((*_PATH, "idle_after"), "must be above 0")
    return Serverless(size, given.max_concurrency, given.provisioned, idle, given.per_instance)


Variant = tuple[KeyPath, structures.VariantSection]
_STRATEGY_KEYS = {
    "all_at_once": {"final_bake"},
    "canary": {"size", "wait", "final_bake", "holdback", "stick"},
    "linear": {"step", "wait", "final_bake", "holdback", "stick"},
    "rolling": {"batch", "wait", "rollback_batch", "stick"},
}


def parse(data: object, now: datetime, written: object = None) -> DesiredDeployment:
    """Parse plain data. ``written``: the spec before its references were replaced by what they stand for. Raises
    Invalid with the place: ``rollout.strategy: unknown strategy 'linera', did you mean 'linear'?``"""
    refuse_switched_off(data)
    spec = convert_checked(spec_file_of(data), data)
    _name(spec.endpoint, ("endpoint",))
    variants = _variants(spec)
    shadows = _shadows(spec, [variant for _, variant in variants])
    config = _config(spec, variants, shadows, now)
    models = {
        variant.name: serving_options.model(spec.endpoint, variant, now) for _, variant in (*variants, *shadows)
    }
    desired = DesiredDeployment(
        endpoint=spec.endpoint,
        models=tuple({model.name: model for model in models.values()}.values()),
        config=config,
        deployment=DeploymentConfig(),
        tags=dict(spec.tags),
        target=None if spec.target is None else _target(spec.target),
    )
    desired = _name_config(build_sections(spec, desired, now, "config"))
    containers = {name: model.container_names for name, model in models.items()}
    named = alarms(spec, desired.config, containers, now)
    rollout = spec.rollout or structures.RolloutSpec()
    deployment = _deployment(rollout, {key: alarm.name for key, alarm in named.items()})
    desired = replace(desired, deployment=deployment, alarms=tuple(named.values()))
    desired = build_sections(spec, desired, now, "deployment", "")
    if (following := build_following(spec, data if written is None else written)) is not None:
        desired = replace(desired, sections={**desired.sections, FOLLOW: following})
    check_scaling(desired)
    return desired


def parse_runnable(data: object, now: datetime, written: object = None) -> DesiredDeployment:
    """``parse`` for those who start what it says. Also raises Invalid for model data that is only a placeholder."""
    desired = parse(data, now, written)
    refuse_placeholders(data)
    return desired


def _target(name: str) -> str:
    _name(name, ("target",))
    return name


def _variants(spec: structures.SpecFile) -> list[Variant]:
    given = [key for key in serving_options.KEYS if getattr(spec, key) is not None]
    if spec.variants is not None and given:
        raise SpecError(("variants",), f"give either {given[0]} or variants, not both")
    if spec.variants is None:
        if not given:
            raise SpecError((), "'model' is missing (or 'pipeline', 'containers' or 'variants')")
        only = structures.VariantSection(
            name=serving_options.ONLY_VARIANT,
            model=spec.model,
            pipeline=spec.pipeline,
            containers=spec.containers,
            instances=spec.instances,
            instance_type=spec.instance_type,
            routing=spec.routing,
            startup_timeout=spec.startup_timeout,
            memory=spec.memory,
            devices=spec.devices,
            download_timeout=spec.download_timeout,
            max_in_flight=spec.max_in_flight,
            queue_time=spec.queue_time,
        )
        return [((), only)]
    for key in ("max_in_flight", "queue_time"):
        if getattr(spec, key) is not None:
            raise SpecError((key,), "cannot be combined with variants: set it for each variant")
    if not 1 <= len(spec.variants) <= 10:
        raise SpecError(("variants",), f"{len(spec.variants)} variants, expected 1 to 10")
    seen: set[str] = set()
    for index, variant in enumerate(spec.variants):
        _name(variant.name, ("variants", index, "name"))
        if variant.name in seen:
            raise SpecError(("variants", index, "name"), f"{variant.name!r} is given twice")
        seen.add(variant.name)
    if not any(variant.weight > 0 for variant in spec.variants):
        raise SpecError(("variants",), "every weight is 0: no variant would take requests")
    return [(("variants", index), variant) for index, variant in enumerate(spec.variants)]


def _shadows(spec: structures.SpecFile, production: list[structures.VariantSection]) -> list[Variant]:
    """The shadow as a variant whose weight over that of the production variant is the share."""
    given, path = spec.shadow, ("shadow",)
    if given is None:
        return []
    if len(production) != 1:
        raise SpecError(path, "a shadow needs exactly one variant, and there are several")
    _name(given.name, (*path, "name"))
    if given.name == production[0].name:
        raise SpecError((*path, "name"), f"{given.name!r} is the name of the variant itself: choose another")
    variant = structures.VariantSection(
        name=given.name,
        model=given.model,
        instances=given.instances,
        instance_type=given.instance_type,
        weight=percent(given.share, (*path, "share")) / 100 * production[0].weight,
        routing=given.routing,
        startup_timeout=given.startup_timeout,
        memory=given.memory,
        devices=given.devices,
        download_timeout=given.download_timeout,
    )
    return [(path, variant)]


def _production(endpoint: str, path: KeyPath, variant: structures.VariantSection) -> ProductionVariant:
    serving_options.check(variant, path)
    if variant.instances < 1:
        raise SpecError((*path, "instances"), f"{variant.instances}: must be at least 1")
    if not math.isfinite(variant.weight) or variant.weight < 0:
        raise SpecError((*path, "weight"), f"{variant.weight:g}: must be 0 or more")
    routing = one_of(variant.routing, value_types.ROUTINGS, (*path, "routing"))
    timeouts = {
        key: None if value is None else seconds(value, (*path, key), least=1)
        for key, value in (
            ("startup_timeout", variant.startup_timeout),
            ("download_timeout", variant.download_timeout),
        )
    }
    return ProductionVariant(
        name=variant.name,
        model_name=serving_options.model_name(endpoint, variant),
        instance_count=variant.instances,
        instance_type=variant.instance_type,
        weight=float(variant.weight),
        routing=RoutingStrategy[routing.upper()],
        startup_timeout=timeouts["startup_timeout"],
        memory_limit=None if variant.memory is None else memory(variant.memory, (*path, "memory")),
        devices=_devices(variant, path),
        download_timeout=timeouts["download_timeout"],
    )


def _devices(variant: structures.VariantSection, path: KeyPath) -> int:
    if not 0 <= variant.devices <= MOST_DEVICES:
        raise SpecError((*path, "devices"), f"{variant.devices}: must be 0 to {MOST_DEVICES}")
    if variant.devices and variant.model is not None and variant.model.multi_model is not None:
        raise SpecError((*path, "devices"), "cannot be combined with multi_model: many models share no device")
    gpus = None if variant.model is None else variant.model.gpus
    if gpus is not None and not 0 <= gpus <= MOST_DEVICES:
        raise SpecError((*path, "model", "gpus"), f"{gpus}: must be 0 to {MOST_DEVICES}")
    if gpus and variant.devices and gpus != variant.devices:
        raise SpecError(
            (*path, "devices"), f"{variant.devices}, and gpus of the model is {gpus}: give one of them"
        )
    return gpus or variant.devices


def _config(
    spec: structures.SpecFile, variants: list[Variant], shadows: list[Variant], now: datetime
) -> EndpointConfig:
    """Make the config without its name, which is derived from all of its content."""
    bounds = _serverless_bounds(spec)
    return EndpointConfig(
        name="",
        variants=tuple(
            replace(
                _production(spec.endpoint, path, variant),
                serverless=bounds,
                admission=admission(variant.max_in_flight, variant.queue_time, spec.quotas, path),
            )
            for path, variant in variants
        ),
        created_at=now,
        shadows=tuple(_production(spec.endpoint, path, variant) for path, variant in shadows),
    )


def _name_config(desired: DesiredDeployment) -> DesiredDeployment:
    """Name the config by all that it says."""
    config = desired.config
    content: list[object] = [_content(variant) for variant in config.variants]
    content += [{"shadow": _shadow_content(variant)} for variant in config.shadows]
    content += config_content(desired)
    return replace(desired, config=replace(config, name=serving_options.content_name(desired.endpoint, content)))


def _content(variant: ProductionVariant) -> dict[str, object]:
    """Content for the config's name. Defaults of newer keys are left out, so that a new key does not change the names
    of existing specs."""
    content = asdict(variant)
    silent = [
        key
        for key, usual in (("serverless", None), ("admission", DEFAULT_ADMISSION), ("devices", 0))
        if getattr(variant, key) == usual
    ]
    return {key: value for key, value in content.items() if key not in silent}


def _shadow_content(variant: ProductionVariant) -> dict[str, object]:
    return {key: value for key, value in asdict(variant).items() if key != "devices" or value}


def _deployment(spec: structures.RolloutSpec, alarm_names: dict[str, str]) -> DeploymentConfig:
    strategy = one_of(spec.strategy, value_types.STRATEGIES, ("rollout", "strategy"))
    _check_strategy_keys(spec, strategy)
    keys = list(alarm_names) if spec.alarms is None else spec.alarms
    for index, key in enumerate(keys):
        if key not in alarm_names:
            hint = suggest(key, alarm_names) or ", the file declares no alarms"
            raise SpecError(("rollout", "alarms", index), f"unknown alarm {key!r}{hint}")
    timeout = None if spec.timeout is None else seconds(spec.timeout, ("rollout", "timeout"), least=1)
    blue_green = None if strategy == "rolling" else _blue_green(spec, strategy)
    holdback = None if spec.holdback is None else _holdback(spec, spec.holdback)
    waits = duration(spec.wait, ("rollout", "wait")) + duration(spec.final_bake, ("rollout", "final_bake"))
    waits += holdback.seconds if holdback is not None else 0
    if timeout is not None and timeout <= waits:
        raise SpecError(("rollout", "timeout"), f"{spec.timeout!r}: must be longer than the waits in total")
    return DeploymentConfig(
        blue_green=blue_green,
        rolling=_rolling(spec) if strategy == "rolling" else None,
        execution_timeout=timeout,
        alarms=tuple(dict.fromkeys(alarm_names[key] for key in keys)),
        require_evidence=spec.require_evidence,
        holdback=holdback,
        stick="" if spec.stick is None else _stick(spec.stick.header),
    )


def _stick(header: str) -> str:
    if not HEADER.fullmatch(header):
        raise SpecError(("rollout", "stick", "header"), f"{header!r}: expected a header's name such as X-Client")
    return header


def _holdback(spec: structures.RolloutSpec, given: structures.HoldbackSpec) -> Holdback:
    path = ("rollout", "holdback")
    if duration(spec.final_bake, ("rollout", "final_bake")):
        raise SpecError(path, "takes the place of final_bake: leave one of them out")
    share = round(percent(given.share, (*path, "share")) * WHOLE / 100)
    if not 0 < share <= WHOLE // 2:
        raise SpecError((*path, "share"), f"{given.share}: must be above 0% and at most 50%")
    return Holdback(share, seconds(given.for_, (*path, "for"), least=1))


def _check_strategy_keys(spec: structures.RolloutSpec, strategy: str) -> None:
    needed = {"canary": "size", "linear": "step", "rolling": "batch"}.get(strategy)
    if needed and getattr(spec, needed) is None:
        raise SpecError(("rollout",), f"strategy {strategy} needs {needed!r}, such as {needed}: 10%")
    empty = structures.RolloutSpec()
    for key in ("size", "step", "batch", "rollback_batch", "wait", "final_bake", "holdback", "stick"):
        if key not in _STRATEGY_KEYS[strategy] and getattr(spec, key) != getattr(empty, key):
            users = [name for name, keys in _STRATEGY_KEYS.items() if key in keys]
            raise SpecError(("rollout", key), f"applies to {' and '.join(users)}, but the strategy is {strategy}")


def _blue_green(spec: structures.RolloutSpec, strategy: str) -> BlueGreen:
    key, given = ("size", spec.size) if strategy == "canary" else ("step", spec.step)
    return BlueGreen(
        routing=TrafficRouting[strategy.upper()],
        wait=seconds(spec.wait, ("rollout", "wait")),
        size=None if given is None else size(given, ("rollout", key), most=50),
        termination_wait=seconds(spec.final_bake, ("rollout", "final_bake")),
    )


def _rolling(spec: structures.RolloutSpec) -> RollingUpdate:
    back = spec.rollback_batch
    assert spec.batch is not None, "checked by _check_strategy_keys"
    return RollingUpdate(
        batch=size(spec.batch, ("rollout", "batch"), least=5, most=50),
        wait=seconds(spec.wait, ("rollout", "wait")),
        rollback_batch=None if back is None else size(back, ("rollout", "rollback_batch"), least=5, most=100),
    )


def _name(text: str, path: KeyPath) -> None:
    if not re.fullmatch(value_types.NAME, text):
        raise SpecError(path, f"{text!r}: expected 1 to 63 letters, digits and hyphens, not at the ends")
