"""The plan as a spec that can be deployed, and as a job where no endpoint is needed: plain data in a spec's keys."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.features.planner import rules
from tidegate.features.planner.flowchart import Place
from tidegate.features.planner.sizing import FleetSize, OnDemandSize
from tidegate.features.planner.strategy import Strategy
from tidegate.features.planner.tables import table
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.spec.placeholders import planned_address

TAG = "tidegate:"


def digest(answers: object, version: str) -> str:
    """Return 12 hex digits: the same for the same answers and prices."""
    text = json.dumps([answers, version], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def spec(
    facts: Mapping[str, Any],
    place: Place,
    size: FleetSize | OnDemandSize,
    strategy: Strategy,
    tag: str,
    peaks: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the plan as the contents of a spec file. Where the answers do not tell where the model data is, the spec
    has an address to be corrected. ``peaks`` are the entries of the calendar."""
    alarms = alarm_section(facts, strategy)
    made: dict[str, Any] = {"endpoint": facts["name"], **_model_section(facts, place)}
    if isinstance(size, OnDemandSize):
        made["serverless"] = {"memory": f"{size.memory_gib}GiB", "max_concurrency": size.concurrency}
        if place.target == "lambda":
            made["serverless"]["per_instance"] = 1
    else:
        made["instances"] = max(1, size.least)
        made["instance_type"] = size.type.name
        made["routing"] = "least_outstanding_requests"
        if size.scales:
            made["autoscaling"] = _scaling(size, place.mode) | ({"calendar": list(peaks)} if peaks else {})
    if place.mode == "asynchronous":
        made["async"] = {
            "output": f"s3://answers/{facts['name']}/",
            "failure": f"s3://answers/{facts['name']}-failed/",
        }
    rollout = dict(strategy.rollout)
    evidence = rules.holds(table("alarms")["require_evidence"], facts)
    made["rollout"] = rollout | ({"require_evidence": True} if evidence else {})
    made["alarms"] = alarms
    made["tags"] = _tags(facts, tag)
    return made


def alarm_section(facts: Mapping[str, Any], strategy: Strategy) -> dict[str, dict[str, Any]]:
    """Return the alarms by key, as a spec has them."""
    book = table("alarms")
    here = {**facts, "first_part_rate": facts["rate"] * strategy.first_part}
    span = {key: value for key, value in rules.first(book["periods"], here).items() if key != "when"}
    made = {}
    for key in ("errors", "slow", "refused"):
        rule = book[key]
        if not rules.holds(rule.get("when", {}), here):
            continue
        limit = rules.first(rule["above"], here)["value"]
        made[key] = {
            "metric": rule["metric"],
            "statistic": rule["statistic"],
            "above": _spec_time(facts["latency"]) if limit == "{latency}" else limit,
            **span,
            "description": rule["why"],
        }
    return made


def job(facts: Mapping[str, Any], fleet: FleetSize, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a batch transform job as ``POST /tidegate/v1/transforms`` takes it, without the fingerprints of local
    files."""
    name, by_line = facts["name"], facts["by_line"]
    source = {"uri": f"s3://data/{name}/", "content_type": table("content")[facts["model_kind"]]}
    return {
        "spec": dict(spec),
        "source": source | ({"split": "Line"} if by_line else {}),
        "sink": {"uri": f"s3://answers/{name}/"} | ({"by_line": True} if by_line else {}),
        **({"processing": {"join": True}} if by_line else {}),
        "on_bad_rows": "errors",
        "instances": fleet.least,
    }


def _spec_time(seconds: float) -> str:
    """Format a time as a spec has it: ``100ms``, ``8s``."""
    if seconds == int(seconds):
        return f"{int(seconds)}s"
    return f"{seconds * 1000:.3f}".rstrip("0").rstrip(".") + "ms"


def _scaling(fleet: FleetSize, mode: str) -> dict[str, Any]:
    """Return the autoscaling section, by Application Auto Scaling's rule: requests of a minute, or the backlog of a
    minute of an instance's work."""
    metric = "backlog" if mode == "asynchronous" else "invocations"
    return {"min": fleet.least, "max": fleet.most, "target": fleet.per_minute, "metric": metric, "rule": "aws"}


def _model_section(facts: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Return the ``model``, ``pipeline`` or ``containers`` section."""
    name, frameworks = facts["name"], facts["frameworks"]
    if place.architecture == "pipeline":
        each = frameworks if len(frameworks) > 1 else frameworks * len(facts["stages"])
        pairs = zip(facts["stages"], each, strict=True)
        return {"pipeline": [{"name": stage, **_model(name, framework, stage)} for stage, framework in pairs]}
    if place.architecture == "direct":
        names = _distinct(frameworks)
        pairs = zip(names, frameworks, strict=True)
        return {"containers": [{"name": one, **_model(name, framework, one)} for one, framework in pairs]}
    made = _model(name, frameworks[0], None)
    if place.architecture == "multi_model":
        made |= {"data": planned_address(name, None, ""), "multi_model": {}}
    return {"model": made}


def _model(name: str, framework: str, part: str | None) -> dict[str, Any]:
    runtime = RuntimeKind(framework).descriptor
    return {"image": runtime.images[0].shown, "data": planned_address(name, part, runtime.planner_data)}


def _distinct(frameworks: tuple[str, ...]) -> list[str]:
    """Return distinct names of frameworks: ``xgboost, xgboost-2`` where one is there twice."""
    names: list[str] = []
    for framework in frameworks:
        seen = sum(name == framework or name.startswith(f"{framework}-") for name in names)
        names.append(f"{framework}-{seen + 1}" if seen else framework)
    return names


def _tags(facts: Mapping[str, Any], tag: str) -> dict[str, str]:
    tags = {"plan": tag, "environment": facts["environment"], "criticality": facts["criticality"]}
    on_spot = facts["spot"] and facts["target"] in ("eks", "ecs")
    if on_spot:
        tags["capacity"] = "spot"
    if on_spot and facts["environment"] == "production":
        tags["spot-override"] = facts["spot_override"]
    return {TAG + key: value for key, value in tags.items()}
