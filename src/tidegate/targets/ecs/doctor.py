"""Checks what the target needs at AWS, and prints the least policy."""

from collections.abc import Sequence

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import TidegateError
from tidegate.ports.target import Finding, Level, Options
from tidegate.targets.aws.botocore_calls import open_calls
from tidegate.targets.aws.calls import Calls
from tidegate.targets.aws.checks import Probe, check_identity, policy_finding, run_checks, run_probe
from tidegate.targets.aws.options import parse_options
from tidegate.targets.aws.policies import CallRow
from tidegate.targets.ecs.options import NAME, EcsOptions
from tidegate.targets.ecs.render import render_calls


def check_ecs(options: Options, desired: DesiredDeployment | None) -> Sequence[Finding]:
    try:
        settings = parse_options(options, EcsOptions, NAME)
    except TidegateError as error:
        return [Finding("settings", Level.ERROR, error.message, "correct the file of TIDEGATE_TARGETS")]
    return run_checks(check(open_calls(settings), settings, options, desired))


async def check(
    calls: Calls, settings: EcsOptions, options: Options, desired: DesiredDeployment | None
) -> list[Finding]:
    found = [Finding("settings", Level.OK, f"region {settings.region}, cluster {settings.cluster}")]
    found.append(await check_identity(calls))
    for probe in probes(settings):
        found.append(await run_probe(calls, probe))
    if desired is not None:
        try:
            render_calls(desired, options)
            found.append(Finding("spec", Level.OK, "the target can run it"))
        except TidegateError as error:
            found.append(Finding("spec", Level.ERROR, error.message, "change the spec, or take another target"))
    found.append(policy_finding(rows(settings)))
    return found


def probes(settings: EcsOptions) -> list[Probe]:
    return [
        Probe("services", "ecs", "ListServices", {"cluster": settings.cluster}),
        Probe("listener", "elbv2", "DescribeRules", {"ListenerArn": settings.listener}),
        Probe("target groups", "elbv2", "DescribeTargetGroups", {"Names": ["tidegate-doctor"]}),
        Probe("metrics", "cloudwatch", "ListMetrics", {"Namespace": "AWS/ApplicationELB"}),
        Probe("logs", "logs", "DescribeLogStreams", {"logGroupName": settings.log_group}),
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
