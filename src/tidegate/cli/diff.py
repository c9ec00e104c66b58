"""``diff``: what deploying a spec file would change against what serves now."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tidegate.cli.alarms import format_condition
from tidegate.cli.artifacts import prepare
from tidegate.cli.client import ApiClient, ServerError
from tidegate.cli.deploy import SpecPath, is_local, read_spec
from tidegate.cli.output import AsJson, client, console
from tidegate.cli.tables import Table, key
from tidegate.domain.alarm import Alarm
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.endpoint import ProductionVariant
from tidegate.domain.registry import Model

Facts = dict[str, str]
"""What can be compared: name in terms of a spec -> value, as people write it."""


@dataclass(frozen=True)
class Change:
    """One difference; None where there is nothing before, or after."""

    what: str
    before: str | None
    after: str | None


def diff(spec_file: SpecPath, as_json: AsJson = False) -> None:
    """Show what deploying a spec file would change.

    Compares it with the version that serves: images, model data, environment, instances, alarms and bounds of
    autoscaling. Changes nothing; a placeholder of a plan counts as model data.

    \b
    Examples:
      tidegate diff fraud.yaml
      tidegate diff fraud.yaml --json | jq '.changes[].what'
    """
    loaded = read_spec(spec_file)
    with client() as server:
        data = prepare(loaded, spec_file.parent, must_exist=is_local(server))
        wish = loaded.wish(datetime.now(UTC), data)
        endpoint = _find(server, wish.endpoint)
        before = {} if endpoint is None else read_facts(server, endpoint)
    after = wanted_facts(wish)
    serving = None if endpoint is None else endpoint["config"]
    changes = list(compare(before, after, same_version=serving == wish.config.name))
    document = {
        "endpoint": wish.endpoint,
        "exists": endpoint is not None,
        "serving": serving,
        "config": wish.config.name,
        "changes": [vars(change) for change in changes],
    }
    if as_json:
        print(json.dumps(document))
        return
    print(_describe(document))
    if changes:
        console().print(_table(changes))


def compare(before: Mapping[str, str], after: Mapping[str, str], *, same_version: bool) -> Iterator[Change]:
    """Differences in the order of the spec. Another version with the same values has other model data under the same
    address."""
    found = [
        Change(name, before.get(name), after.get(name))
        for name in (*after, *(name for name in before if name not in after))
        if before.get(name) != after.get(name)
    ]
    yield from found
    of_version = [one for one in found if not one.what.startswith(("alarm ", "autoscaling "))]
    if before and not same_version and not of_version:
        yield Change("content of the model data, or its settings", "as it serves", "other")


def wanted_facts(wish: DesiredDeployment) -> Facts:
    models = {model.name: model for model in wish.models}
    found: Facts = {}
    for variant in (*wish.config.variants, *wish.config.shadows):
        found |= _capacity(variant, scaled=wish.autoscaling is not None)
        found |= _containers(variant.name, models[variant.model_name])
    if wish.autoscaling is not None:
        found |= _bounds(wish.autoscaling.variant, wish.autoscaling.minimum, wish.autoscaling.maximum)
    return found | {f"alarm {_alarm_key(one, wish.config.name)}": _condition(one) for one in wish.alarms}


def _capacity(variant: ProductionVariant, *, scaled: bool) -> Facts:
    if variant.serverless is not None:
        return {f"{variant.name} serverless memory": f"{variant.serverless.memory // 2**20} MiB"}
    found = {f"{variant.name} instance_type": variant.instance_type}
    # With autoscaling the count is not the spec's to say.
    return found if scaled else {f"{variant.name} instances": str(variant.instance_count), **found}


def _containers(variant: str, model: Model) -> Facts:
    found: Facts = {}
    for name, one in zip(model.container_names, model.containers, strict=True):
        where = variant if len(model.containers) == 1 else f"{variant} {name}"
        found |= {f"{where} image": one.image, f"{where} data": one.data_url or "none"}
        found |= {f"{where} environment {key}": value for key, value in sorted(one.environment.items())}
    return found


def _bounds(variant: str, least: int, most: int) -> Facts:
    return {f"autoscaling {variant}": f"min {least}, max {most}"}


def _alarm_key(alarm: Alarm, config: str) -> str:
    return alarm.name.removeprefix(f"{config}-")


def _condition(alarm: Alarm) -> str:
    return format_condition(
        {
            "comparison": str(alarm.comparison),
            "datapoints_to_alarm": alarm.datapoints_to_alarm,
            "evaluation_periods": alarm.evaluation_periods,
            "period": alarm.period,
            "threshold": alarm.threshold,
            "metric": alarm.metric,
            "statistic": alarm.statistic,
        }
    )


def read_facts(server: ApiClient, endpoint: Mapping[str, Any]) -> Facts:
    """The same of the version that serves; nothing if none does yet."""
    config = endpoint["config"]
    if config is None:
        return {}
    scaled = {one["variant"]: one for one in endpoint.get("scaling") or ()}
    described = server.sagemaker("DescribeEndpointConfig", {"EndpointConfigName": config})
    found: Facts = {}
    for one in (*described["ProductionVariants"], *(described.get("ShadowProductionVariants") or ())):
        name = one["VariantName"]
        if serverless := one.get("ServerlessConfig"):
            found[f"{name} serverless memory"] = f"{serverless['MemorySizeInMB']} MiB"
        else:
            if not scaled:
                found[f"{name} instances"] = str(one["InitialInstanceCount"])
            found[f"{name} instance_type"] = one["InstanceType"]
        found |= _described_containers(name, server.sagemaker("DescribeModel", {"ModelName": one["ModelName"]}))
    for name, one in scaled.items():
        found |= _bounds(name, one["min"], one["max"])
    names = {alarm["name"] for alarm in endpoint["alarms"]}
    for alarm in server.alarms():
        if alarm["name"] in names:
            found[f"alarm {alarm['name'].removeprefix(f'{config}-')}"] = format_condition(alarm)
    return found


def _described_containers(variant: str, model: Mapping[str, Any]) -> Facts:
    containers = [model["PrimaryContainer"]] if model.get("PrimaryContainer") else model["Containers"]
    found: Facts = {}
    for place, one in enumerate(containers, 1):
        name = one.get("ContainerHostname") or f"container-{place}"
        where = variant if len(containers) == 1 else f"{variant} {name}"
        found |= {f"{where} image": one["Image"], f"{where} data": one.get("ModelDataUrl") or "none"}
        environment = one.get("Environment") or {}
        found |= {f"{where} environment {key}": value for key, value in sorted(environment.items())}
    return found


def _find(server: ApiClient, name: str) -> dict[str, Any] | None:
    try:
        return server.endpoint(name)
    except ServerError as error:
        if error.status == 404:
            return None
        raise


def _describe(document: Mapping[str, Any]) -> str:
    name, config = document["endpoint"], document["config"]
    if not document["exists"]:
        return f'endpoint "{name}" would be created, with version {config}:'
    if not document["changes"]:
        return f'endpoint "{name}" would not change: {config} serves already'
    if document["serving"] == config:
        return f'endpoint "{name}" would keep version {config}, with other settings:'
    return f'endpoint "{name}" would be updated from {document["serving"] or "nothing"} to {config}:'


def _table(changes: list[Change]) -> Table:
    shown = Table(key("WHAT"), key("BEFORE"), key("AFTER"))
    for one in changes:
        shown.add_row(one.what, one.before or "-", one.after or "-")
    return shown
