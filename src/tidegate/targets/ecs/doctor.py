"""Checks what the target needs at AWS, and prints the least policy."""

from collections.abc import Sequence

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import TidegateError
from tidegate.ports.target import CheckFinding, Options
from tidegate.targets.aws.checks import AwsCaller, PermissionProbe, check_target, probe_checks, settings_error
from tidegate.targets.aws.client import open_client
from tidegate.targets.aws.options import parse_options
from tidegate.targets.aws.policies import CallRow
from tidegate.targets.ecs.options import NAME, EcsOptions
from tidegate.targets.ecs.render import render_calls


def check_ecs(options: Options, desired: DesiredDeployment | None) -> Sequence[CheckFinding]:
    try:
        settings = parse_options(options, EcsOptions, NAME)
    except TidegateError as error:
        return [settings_error(error)]
    return check(open_client(settings, settings.deadline), settings, options, desired)


def check(
    caller: AwsCaller, settings: EcsOptions, options: Options, desired: DesiredDeployment | None
) -> list[CheckFinding]:
    checks = probe_checks(caller, probes(settings))
    render = None if desired is None else lambda: render_calls(desired, options)
    told = f"region {settings.region}, cluster {settings.cluster}"
    return check_target(caller, told, checks, render, rows(settings))


def probes(settings: EcsOptions) -> list[PermissionProbe]:
    return [
        PermissionProbe("services", "ecs", "ListServices", {"cluster": settings.cluster}),
        PermissionProbe("listener", "elbv2", "DescribeRules", {"ListenerArn": settings.listener}),
        PermissionProbe("target groups", "elbv2", "DescribeTargetGroups", {"Names": ["tidegate-doctor"]}),
        PermissionProbe("metrics", "cloudwatch", "ListMetrics", {"Namespace": "AWS/ApplicationELB"}),
        PermissionProbe("logs", "logs", "DescribeLogStreams", {"logGroupName": settings.log_group}),
    ]


def rows(settings: EcsOptions) -> list[CallRow]:
    region = settings.region
    services = f"arn:aws:ecs:{region}:*:service/{settings.cluster.rpartition('/')[2]}/tidegate-*"
    balancer = settings.listener.replace(":listener/", ":listener-rule/")
    roles = tuple(role for role in (settings.execution_role, settings.task_role) if role)
    return [
        CallRow(
            "ecs",
            ("CreateService", "UpdateService", "DeleteService", "DescribeServices", "TagResource"),
            (services,),
            "run fleets as services",
        ),
        CallRow(
            "ecs",
            ("ListServices", "RegisterTaskDefinition", "ListTasks", "DescribeTasks"),
            ("*",),
            "list services and describe tasks",
        ),
        CallRow(
            "elbv2",
            ("CreateTargetGroup", "DeleteTargetGroup", "AddTags"),
            (f"arn:aws:elasticloadbalancing:{region}:*:targetgroup/tg-*",),
            "give fleets target groups",
        ),
        CallRow(
            "elbv2",
            ("CreateRule", "ModifyRule", "DeleteRule", "AddTags"),
            (settings.listener, f"{balancer}/*"),
            "shift traffic by the rules of the listener",
        ),
        CallRow(
            "elbv2",
            ("DescribeRules", "DescribeTags", "DescribeTargetGroups", "DescribeTargetHealth"),
            ("*",),
            "look at rules and healthy tasks",
        ),
        CallRow("iam", ("PassRole",), roles, "give tasks their roles"),
        CallRow("cloudwatch", ("GetMetricData", "ListMetrics"), ("*",), "count requests and errors"),
        CallRow(
            "logs",
            ("DescribeLogStreams", "GetLogEvents"),
            (f"arn:aws:logs:{region}:*:log-group:{settings.log_group}*",),
            "show logs",
        ),
    ]
