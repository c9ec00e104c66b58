"""Render what the target would create for a spec: API calls, or a CloudFormation template. Pure.

The template may leave deployments to ECS itself (setting ``strategy``): rolling with a circuit breaker, or
blue/green, linear and canary with the spec's alarms. tidegate's own rollouts need none of these.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.traffic import WHOLE, split
from tidegate.ports.target import Document, Options, Rendering
from tidegate.serving.contract.images import ANY_IMAGE
from tidegate.settings import Settings
from tidegate.targets.aws.desired_fleets import desired_fleets
from tidegate.targets.aws.options import parse_options
from tidegate.targets.aws.ownership import owner_tags
from tidegate.targets.ecs.options import CONTAINER, NAME, EcsOptions, group_name, path_pattern, service_name
from tidegate.targets.ecs.rule_weights import forward_action
from tidegate.targets.ecs.scaling_resources import scaling_resources
from tidegate.targets.ecs.task_definition import check_fleet, service, serving_port, target_group, task_definition

OWNER = "template"


def render_calls(desired: DesiredDeployment, options: Options) -> Rendering:
    """The calls of a first deployment, in order. Raises Invalid or TargetRefused."""
    settings, fleets = _read(desired, options)
    owner = settings.installation or OWNER
    tags = owner_tags(owner, desired.endpoint)
    calls: list[tuple[str, str, Mapping[str, object]]] = []
    groups = {fleet.id: f"<ARN of {group_name(fleet.id, owner)}>" for fleet in fleets}
    for fleet in fleets:
        calls.append(("elbv2", "CreateTargetGroup", target_group(settings, group_name(fleet.id, owner), tags)))
    shares = split(WHOLE, {groups[fleet.id]: fleet.variant.weight for fleet in fleets})
    rule = {
        "ListenerArn": settings.listener,
        "Priority": 1,
        "Conditions": conditions(desired.endpoint),
        "Actions": forward_action(shares),
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
    calls.append(("elbv2", "CreateRule", rule))
    for fleet in fleets:
        definition = task_definition(settings, fleet, ANY_IMAGE, tags, Settings())
        calls.append(("ecs", "RegisterTaskDefinition", definition))
        name, port = service_name(fleet.id), serving_port(fleet, ANY_IMAGE)
        calls.append(("ecs", "CreateService", service(settings, fleet, name, groups[fleet.id], tags, port)))
    documents = tuple(
        Document(f"{of} {operation}", {"service": of, "operation": operation, "members": dict(members)})
        for of, operation, members in calls
    )
    return Rendering(documents, ("the rule's priority is the first one that is free",))


def render_template(desired: DesiredDeployment, options: Options) -> Rendering:
    """Render a deployment as a CloudFormation template. Raises Invalid or TargetRefused."""
    settings, fleets = _read(desired, options)
    if len(fleets) != 1:
        raise Invalid("a template has one service: give the spec one variant, or render the calls")
    (fleet,) = fleets
    tags = owner_tags(settings.installation or OWNER, desired.endpoint)
    definition = _capitalised(task_definition(settings, fleet, ANY_IMAGE, tags, Settings()))
    resources: dict[str, object] = {
        "Tasks": {"Type": "AWS::ECS::TaskDefinition", "Properties": definition},
        "Group": {"Type": "AWS::ElasticLoadBalancingV2::TargetGroup", "Properties": _group(settings, tags)},
        "Rule": {
            "Type": "AWS::ElasticLoadBalancingV2::ListenerRule",
            "Properties": _rule(settings, desired.endpoint),
        },
        "Service": {
            "Type": "AWS::ECS::Service",
            "DependsOn": "Rule",
            "Properties": _service(settings, fleet, desired, tags),
        },
    }
    if settings.strategy != "ROLLING":
        if not settings.infrastructure_role:
            raise Invalid(
                f"strategy {settings.strategy} needs `infrastructure_role`, with which ECS shifts traffic"
            )
        resources["OtherGroup"] = resources["Group"]
    notes = ["what a template creates is CloudFormation's: tidegate neither changes nor deletes it"]
    if desired.autoscaling is not None:
        scaling = scaling_resources(settings, desired.autoscaling, datetime.now(UTC))
        resources |= scaling.resources
        notes += scaling.notes
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Endpoint {desired.endpoint} as a service of ECS, by tidegate",
        "Resources": resources,
    }
    return Rendering((Document("template", template),), tuple(notes))


def conditions(endpoint: str) -> list[dict[str, object]]:
    return [{"Field": "path-pattern", "PathPatternConfig": {"Values": [path_pattern(endpoint)]}}]


def _read(desired: DesiredDeployment, options: Options) -> tuple[EcsOptions, Sequence[FleetSpec]]:
    settings = parse_options(options, EcsOptions, NAME)
    fleets = desired_fleets(desired)
    for fleet in fleets:
        check_fleet(fleet)
    return settings, fleets


def _group(settings: EcsOptions, tags: Mapping[str, str]) -> dict[str, object]:
    return {key: value for key, value in target_group(settings, "-", tags).items() if key != "Name"}


def _rule(settings: EcsOptions, endpoint: str) -> dict[str, object]:
    groups: list[dict[str, object]] = [{"TargetGroupArn": {"Ref": "Group"}, "Weight": 1}]
    if settings.strategy != "ROLLING":
        groups.append({"TargetGroupArn": {"Ref": "OtherGroup"}, "Weight": 0})
    return {
        "ListenerArn": settings.listener,
        "Priority": 1,
        "Conditions": conditions(endpoint),
        "Actions": [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}],
    }


def _service(
    settings: EcsOptions, fleet: FleetSpec, desired: DesiredDeployment, tags: Mapping[str, str]
) -> dict[str, object]:
    port = serving_port(fleet, ANY_IMAGE)
    made = _capitalised(service(settings, fleet, "-", "-", tags, port))
    balancer: dict[str, object] = {
        "TargetGroupArn": {"Ref": "Group"},
        "ContainerName": CONTAINER,
        "ContainerPort": port,
    }
    if settings.strategy != "ROLLING":
        balancer["AdvancedConfiguration"] = {
            "AlternateTargetGroupArn": {"Ref": "OtherGroup"},
            "ProductionListenerRule": {"Ref": "Rule"},
            "RoleArn": settings.infrastructure_role,
        }
    made |= {
        "TaskDefinition": {"Ref": "Tasks"},
        "LoadBalancers": [balancer],
        "DeploymentConfiguration": _deployment(settings, desired),
    }
    return made


def _deployment(settings: EcsOptions, desired: DesiredDeployment) -> dict[str, object]:
    """ECS rolls back by its circuit breaker, and by the alarms of the spec's rollout."""
    made: dict[str, object] = {
        "DeploymentCircuitBreaker": {"Enable": True, "Rollback": True},
        "MinimumHealthyPercent": 100,
        "MaximumPercent": 200,
    }
    for alarm in desired.alarms:
        if alarm.signal is not None and alarm.name in desired.deployment.alarms:
            raise Invalid(
                f"alarm {alarm.name}: CloudWatch, which ECS asks, reads no signals from {alarm.signal.url}: take the"
                " alarm out, or deploy to the target, where tidegate's controller reads them"
            )
    if desired.deployment.alarms:
        made["Alarms"] = {"AlarmNames": list(desired.deployment.alarms), "Enable": True, "Rollback": True}
    if settings.strategy != "ROLLING":
        made["Strategy"] = settings.strategy
        made["BakeTimeInMinutes"] = 5
    if settings.strategy == "LINEAR":
        made["LinearConfiguration"] = {"StepPercent": 10, "StepBakeTimeInMinutes": 5}
    if settings.strategy == "CANARY":
        made["CanaryConfiguration"] = {"CanaryPercent": 10, "CanaryBakeTimeInMinutes": 10}
    return made


def _capitalised(value: Mapping[str, object]) -> dict[str, object]:
    """Members of ECS's API as CloudFormation names them; keys that users choose stay."""
    return {f"{key[0].upper()}{key[1:]}": _inner(key, member) for key, member in value.items()}


def _inner(key: str, value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value) if key == "options" else _capitalised(value)
    if isinstance(value, list):
        return [_inner(key, one) for one in value]
    return value
