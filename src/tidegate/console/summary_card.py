"""A card for each endpoint that fits a page: what it is, where it runs, how it changes, and what guards it. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tidegate.console.figures import UNKNOWN, format_clock
from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.fleet import VariantSpec
from tidegate.domain.memory_sizes import format_bytes
from tidegate.domain.rollout import CapacitySize, DeploymentConfig, SizeType, TrafficRouting

SHOWN_VERSIONS = 8


def make_card(endpoint: Endpoint, page: Mapping[str, Any]) -> dict[str, Any]:
    """Make the summary card of an endpoint. ``page`` is what the endpoint's own page shows
    (``endpoint_page.read_page``)."""
    version = endpoint.serving or (endpoint.rollout.new if endpoint.rollout else None)
    deployment = endpoint.rollout.deployment if endpoint.rollout else endpoint.deployment
    return {
        "name": endpoint.name,
        "headline": page["headline"],
        "created": endpoint.created_at.isoformat(),
        "config": version.config_name if version else UNKNOWN,
        "models": [_model(variant) for variant in version.variants] if version else [],
        "runs": [_runs(variant) for variant in version.variants] if version else [],
        "strategy": describe_strategy(deployment),
        "guards": _guards(deployment),
        "alarms": page["alarms"],
        "last": _last(endpoint.rollout or endpoint.last),
    }


def _model(variant: VariantSpec) -> dict[str, str]:
    """Values of environment variables may be secrets: their names alone are shown."""
    model = variant.model
    kind = "many models, each loaded when it is asked for" if model.multi_model else "one model"
    if len(model.containers) > 1:
        kind = f"{len(model.containers)} containers, {'one after the other' if model.serial else 'side by side'}"
    names = sorted({key for container in model.containers for key in container.environment})
    return {
        "variant": variant.name,
        "kind": kind,
        "images": ", ".join(dict.fromkeys(container.image for container in model.containers)),
        "data": ", ".join(each.service or each.data_url or "in the image" for each in model.containers),
        "environment": ", ".join(names) or "none",
    }


def _runs(variant: VariantSpec) -> dict[str, str]:
    count = f"{variant.instance_count} instance{'' if variant.instance_count == 1 else 's'}"
    if variant.serverless is not None:
        count = f"serverless, up to {variant.serverless.max_concurrency} requests at a time"
    limit = f"{format_bytes(variant.memory_limit)} each" if variant.memory_limit else "the server's limit"
    return {
        "variant": variant.name,
        "count": f"{count}{', copies only' if variant.shadow else ''}",
        "type": "this machine's processes" if variant.instance_type == "local" else variant.instance_type,
        "memory": limit,
        "mode": "asynchronous" if variant.asynchronous else "serverless" if variant.serverless else "real-time",
    }


def describe_strategy(deployment: DeploymentConfig | None) -> str:
    """Describe a deployment strategy, such as "Linear: steps of 25 %, 1:00:00 after each, 10:00 at the end"."""
    if deployment is None:
        return "none: a new version takes over at once"
    green, rolling = deployment.blue_green, deployment.rolling
    if rolling is not None:
        return f"Rolling: batches of {_size(rolling.batch)}, {format_clock(rolling.wait)} after each"
    if green is None or green.plain:
        return "All at once, without a bake"
    end = f", {format_clock(green.termination_wait)} at the end" if green.termination_wait else ""
    if green.routing is TrafficRouting.ALL_AT_ONCE:
        return f"All at once{end}"
    name, step = ("Canary", "first") if green.routing is TrafficRouting.CANARY else ("Linear", "a step")
    size = _size(green.size) if green.size else UNKNOWN
    if deployment.holdback is not None:
        held = deployment.holdback
        end = f", then {held.share / 100:g} % held back for {format_clock(held.seconds)}"
    return f"{name}: {size} {step}, {format_clock(green.wait)} after {'it' if step == 'first' else 'each'}{end}"


def _size(size: CapacitySize) -> str:
    return f"{size.value} instances" if size.type is SizeType.INSTANCE_COUNT else f"{size.value} %"


def _guards(deployment: DeploymentConfig | None) -> str:
    if deployment is None or not (deployment.alarms or deployment.evidence):
        return "Nothing rolls a bad version back."
    found = []
    if deployment.alarms:
        needed = ", which must have data" if deployment.require_evidence else ""
        found.append(f"{len(deployment.alarms)} alarm{'' if len(deployment.alarms) == 1 else 's'}{needed}")
    if deployment.evidence is not None:
        found.append(f"a comparison of both versions ({', '.join(map(str, deployment.evidence.compare))})")
    return f"A bad version is rolled back by {' and '.join(found)}."


def _last(rollout: Rollout | None) -> dict[str, Any] | None:
    if rollout is None:
        return None
    took = _seconds(rollout.started_at, rollout.ended_at)
    return {
        "to": rollout.new.config_name,
        "outcome": str(rollout.phase),
        "began": rollout.started_at.isoformat(),
        "took": UNKNOWN if took is None else format_clock(took),
        "stages": len(rollout.plan.stages),
        "reason": rollout.reason or "",
    }


def _seconds(began: datetime, ended: datetime | None) -> float | None:
    return None if ended is None else (ended - began).total_seconds()
