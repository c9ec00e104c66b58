"""The plan as a spec that can be deployed, and as a job where no endpoint is needed: plain data in a spec's keys."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.domain.errors import Invalid
from tidegate.domain.transform import RequestLimits
from tidegate.features.evidence.harm_words import OF_LABELS, parse_harm, write_evidence
from tidegate.features.planner import rules, units
from tidegate.features.planner.flowchart import Place
from tidegate.features.planner.sizing import FleetSize, OnDemandSize
from tidegate.features.planner.strategy import WHOLE, Strategy
from tidegate.features.planner.tables import table
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.spec.placeholders import planned_address
from tidegate.spec.unit_texts import percent_text

TAG = "tidegate:"
WAITING = "waiting"
"""Key of the alarm on the age of the backlog, which guards no rollout."""
_SHOWN_BY = dict.fromkeys(OF_LABELS, "labelled rows that both versions answer") | {
    "predictions": "copies of requests that both versions answer"
}
"""What shows a harm that a comparison of the versions' own requests does not."""
_USUAL_REQUEST = 6_000_000
"""Bytes of a request of a batch transform job unless MaxPayloadInMB says more."""


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
    """Return the plan as the contents of a spec file, without its workload. Where the answers do not tell where the
    model data is, the spec has an address to be corrected. ``peaks`` are the entries of the calendar."""
    made: dict[str, Any] = {"endpoint": facts["name"], **_model_section(facts, place)}
    if place.mode == "batch" and isinstance(size, FleetSize):
        made |= {"instances": size.least, "instance_type": size.type.name, "job": _job_section(facts, place)}
        return made | {"tags": _tags(facts, tag)}
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
    evidence = rules.holds(table("alarms")["require_evidence"], facts) and "alarms" not in rollout
    made["rollout"] = rollout | ({"require_evidence": True} if evidence else {})
    alarms = made["alarms"] = alarm_section(facts, strategy)
    if WAITING in alarms:
        made["rollout"].setdefault("alarms", [key for key in alarms if key != WAITING])
    made["tags"] = _tags(facts, tag)
    return made


def evidence_section(facts: Mapping[str, Any], strategy: Strategy) -> dict[str, Any]:
    """Return the section that rules the named harm out before a version gets more than the first part of the traffic;
    nothing where no harm is named. Raises Invalid for a harm that no target of a plan can show, and for a rollout
    without a first part."""
    if not facts["harm"]:
        return {}
    harm = parse_harm(facts["harm"])
    for name, needed in _SHOWN_BY.items():
        if name in harm:
            raise Invalid(
                f"harm: a harm to {name.replace('_', ' ')} is shown by {needed}, which the local target alone has:"
                " rule it out there before (evidence: assure), and name failed answers or latency here"
            )
    if strategy.first_part >= WHOLE:
        raise Invalid(
            f"harm: {strategy.title}: a new version has all traffic at once, so no harm can be ruled out before;"
            " name a playbook with a canary, plan for more instances or another platform, or leave harm out"
        )
    before = percent_text(strategy.first_part)
    return {"evidence": write_evidence(harm, before)}


def alarm_section(facts: Mapping[str, Any], strategy: Strategy) -> dict[str, dict[str, Any]]:
    """Return the alarms by key, as a spec has them."""
    book = table("alarms")
    here = {**facts, "first_part_rate": facts["rate"] * strategy.first_part}
    span = {key: value for key, value in rules.first(book["periods"], here).items() if key != "when"}
    made = {} if facts["mode"] != "asynchronous" else {WAITING: _waiting_alarm(facts)}
    for key in ("errors", "slow", "refused"):
        rule = book[key]
        if not rules.holds(rule.get("when", {}), here):
            continue
        limit = rules.first(rule["above"], here)["value"]
        made[key] = {
            "metric": rule["metric"],
            "statistic": rule["statistic"],
            "above": units.format_spec_time(facts["latency"]) if limit == "{latency}" else limit,
            **span,
            "description": rule["why"],
        }
    return made


def _waiting_alarm(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the alarm on the age of the backlog."""
    rule = table("alarms")["waiting"]
    return {
        "metric": rule["metric"],
        "statistic": rule["statistic"],
        "above": math.ceil(facts["latency"] or facts["slowest_from_zero"]),
        **{"period": "1m", "periods": 5, "datapoints": 3},
        **{"namespace": "AWS/SageMaker", "dimensions": {"EndpointName": facts["name"]}},
        "description": rule["why"],
    }


def _job_section(facts: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Return a batch transform job. SageMaker fails a file with its first bad record."""
    name, by_line = facts["name"], facts["by_line"]
    made = {
        "input": f"s3://data/{name}/",
        "output": f"s3://answers/{name}/",
        "content_type": table("content")[facts["model_kind"]],
    }
    made |= {"split": "line", "join": True} if by_line else {}
    made |= {} if place.target == "sagemaker" else {"on_bad_rows": "errors"}
    usual = RequestLimits().timeout
    made |= {"timeout": units.format_spec_time(math.ceil(facts["slowest"]))} if facts["slowest"] > usual else {}
    return made | ({"megabytes": math.ceil(facts["payload"] / 1e6)} if facts["payload"] > _USUAL_REQUEST else {})


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
