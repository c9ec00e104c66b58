"""A deployment as the plain data of a spec: the inverse of ``parse``. Defaults are left out, so that two renderings
differ in the keys that a person would have to change."""

from collections.abc import Mapping
from typing import Any

from tidegate.domain.admission import DEFAULT_ADMISSION, Quotas
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.endpoint import EndpointConfig, ProductionVariant
from tidegate.domain.fleet import Serverless
from tidegate.domain.registry import MULTI_MODEL, ContainerDefinition, Model
from tidegate.domain.registry_addresses import FOLLOW
from tidegate.spec import multi_model, serving_options, value_types
from tidegate.spec.admission import default_burst
from tidegate.spec.following import render_following
from tidegate.spec.render_guards import render_alarms, render_rollout
from tidegate.spec.sections import render_sections
from tidegate.spec.unit_texts import bytes_text, duration_text, number, percent_text, rate_text
from tidegate.spec.upstream import render_upstream

Section = dict[str, Any]


def render(deployed: DesiredDeployment) -> Section:
    """Plain data that ``parse`` makes the same deployment of, where a spec can say all of it."""
    config = deployed.config
    models = {model.name: model for model in deployed.models}
    made: Section = {"endpoint": deployed.endpoint}
    if deployed.target is not None:
        made["target"] = deployed.target
    made |= _render_variants(config, models)
    if "model" in made and FOLLOW in deployed.sections:
        made["model"]["follow"] = render_following(deployed.sections[FOLLOW])
    first = config.variants[0]
    if first.admission.quotas is not None:
        made["quotas"] = _quotas(first.admission.quotas)
    if first.serverless is not None:
        made["serverless"] = _serverless(first.serverless)
    if config.shadows:
        made["shadow"] = _shadow(config.shadows[0], first, models)
    made |= render_sections(deployed)
    if rollout := render_rollout(deployed):
        made["rollout"] = rollout
    if deployed.alarms:
        made["alarms"] = render_alarms(deployed)
    if deployed.tags:
        made["tags"] = dict(deployed.tags)
    return made


def _render_variants(config: EndpointConfig, models: Mapping[str, Model]) -> Section:
    """Render the variants that serve: the keys of a single variant, or a list of several."""
    only = config.variants[0]
    if len(config.variants) == 1 and only.name == serving_options.ONLY_VARIANT and only.weight == 1:
        return render_model(models[only.model_name]) | _variant(only)
    return {
        "variants": [
            {"name": one.name, **render_model(models[one.model_name]), **_weight(one), **_variant(one)}
            for one in config.variants
        ]
    }


def _weight(variant: ProductionVariant) -> Section:
    return {} if variant.weight == 1 else {"weight": number(variant.weight)}


def _variant(variant: ProductionVariant) -> Section:
    made: Section = {}
    if variant.serverless is None:
        made |= {} if variant.instance_count == 1 else {"instances": variant.instance_count}
        made |= {} if variant.instance_type == "local" else {"instance_type": variant.instance_type}
    if variant.routing is not None and variant.routing.value.lower() != "random":
        made["routing"] = variant.routing.value.lower()
    for key, seconds in (
        ("startup_timeout", variant.startup_timeout),
        ("download_timeout", variant.download_timeout),
    ):
        if seconds is not None:
            made[key] = duration_text(seconds)
    if variant.memory_limit is not None:
        made["memory"] = bytes_text(variant.memory_limit)
    if variant.devices:
        made["devices"] = variant.devices
    if variant.admission.max_in_flight != DEFAULT_ADMISSION.max_in_flight:
        made["max_in_flight"] = variant.admission.max_in_flight
    if variant.admission.queue_time != DEFAULT_ADMISSION.queue_time:
        made["queue_time"] = duration_text(variant.admission.queue_time)
    return made


def render_model(model: Model) -> Section:
    """Render ``model``, ``pipeline`` or ``containers``."""
    if model.single or len(model.containers) == 1:
        return {"model": _model(model.containers[0])}
    key = "containers" if model.execution_mode == serving_options.MODES["containers"] else "pipeline"
    named = zip(model.container_names, model.containers, strict=True)
    return {key: [{"name": name, **_model(one)} for name, one in named]}


def _model(container: ContainerDefinition) -> Section:
    environment = dict(container.environment)
    upstream = container.upstream
    made: Section = {"image": container.image} if upstream is None else render_upstream(container.image, upstream)
    if container.data_url is not None:
        made["data"] = container.data_url
    if environment.get(serving_options.METHOD) in value_types.METHODS:
        made["method"] = environment.pop(serving_options.METHOD)
    if container.fingerprint is not None:
        made["fingerprint"] = container.fingerprint
    if container.mode == MULTI_MODEL:
        made["multi_model"] = multi_model.render(environment) | ({} if container.cache else {"cache": False})
    if environment:
        made["environment"] = environment
    return made


def _shadow(shadow: ProductionVariant, production: ProductionVariant, models: Mapping[str, Model]) -> Section:
    share = percent_text(shadow.weight / production.weight) if production.weight else "100%"
    made: Section = {**render_model(models[shadow.model_name]), **_variant(shadow)}
    made |= {} if share == "100%" else {"share": share}
    return made if shadow.name == "shadow" else {**made, "name": shadow.name}


def _serverless(given: Serverless) -> Section:
    usual = Serverless(given.memory, given.max_concurrency)
    made: Section = {"memory": bytes_text(given.memory), "max_concurrency": given.max_concurrency}
    made |= {} if given.provisioned == usual.provisioned else {"provisioned": given.provisioned}
    made |= {} if given.idle_after == usual.idle_after else {"idle_after": duration_text(given.idle_after)}
    return made if given.per_instance == usual.per_instance else {**made, "per_instance": given.per_instance}


def _quotas(given: Quotas) -> Section:
    made: Section = {"rate": rate_text(given.rate.per_second)}
    if given.header:
        made["by"] = f"header {given.header}"
    buckets = (given.rate, *given.clients.values())
    if any(one.burst != default_burst(one.per_second) for one in buckets):
        made["burst"] = number(given.rate.burst)
    if given.clients:
        made["clients"] = {name: rate_text(one.per_second) for name, one in given.clients.items()}
    return made
