"""Checks what the target needs at AWS, and prints the least policy."""

from collections.abc import Iterator, Sequence

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import TidegateError
from tidegate.ports.target import CheckFinding, Level, Options
from tidegate.targets.aws.checks import AwsCaller, PermissionProbe, check_target, probe_checks, settings_error
from tidegate.targets.aws.client import open_client
from tidegate.targets.aws.options import parse_options
from tidegate.targets.aws.policies import CallRow
from tidegate.targets.aws_lambda.options import NAME, AwsLambdaOptions
from tidegate.targets.aws_lambda.render import render_calls
from tidegate.targets.aws_lambda.zip_package import megabytes


def check_lambda(options: Options, desired: DesiredDeployment | None) -> Sequence[CheckFinding]:
    try:
        settings = parse_options(options, AwsLambdaOptions, NAME)
    except TidegateError as error:
        return [settings_error(error)]
    return check(open_client(settings, settings.deadline), settings, options, desired)


def check(
    caller: AwsCaller, settings: AwsLambdaOptions, options: Options, desired: DesiredDeployment | None
) -> list[CheckFinding]:
    checks = [*probe_checks(caller, probes(settings)), ("quotas", lambda: check_quotas(caller))]
    render = None if desired is None else lambda: render_calls(desired, options)
    return check_target(caller, f"region {settings.region}, role {settings.role}", checks, render, rows(settings))


def probes(settings: AwsLambdaOptions) -> list[PermissionProbe]:
    name = f"{settings.prefix}doctor"
    found = [
        PermissionProbe("functions", "lambda", "GetFunction", {"FunctionName": name}),
        PermissionProbe(
            "tags", "resourcegroupstaggingapi", "GetResources", {"ResourceTypeFilters": ["lambda:function"]}
        ),
        PermissionProbe("metrics", "cloudwatch", "ListMetrics", {"Namespace": "AWS/Lambda"}),
        PermissionProbe("logs", "logs", "DescribeLogStreams", {"logGroupName": f"/aws/lambda/{name}"}),
    ]
    if settings.code_bucket:
        found.append(PermissionProbe("code bucket", "s3", "GetBucketLocation", {"Bucket": settings.code_bucket}))
    return found


def check_quotas(caller: AwsCaller) -> Iterator[CheckFinding]:
    """Space for packages and concurrency that are left in the account."""
    account = caller.call("lambda", "GetAccountSettings")
    limit, usage = account.get("AccountLimit", {}), account.get("AccountUsage", {})
    free = int(limit.get("TotalCodeSize", 0)) - int(usage.get("TotalCodeSize", 0))
    unreserved = int(limit.get("UnreservedConcurrentExecutions", 0))
    told = f"{megabytes(free)} left for packages, {unreserved} concurrent executions unreserved"
    if free < 500 * 1024 * 1024 or unreserved < 10:
        yield CheckFinding("quotas", Level.WARNING, told, "remove old versions, or have the quota raised")
        return
    yield CheckFinding("quotas", Level.OK, told)


def rows(settings: AwsLambdaOptions) -> list[CallRow]:
    """List every call of the target, on its own functions where Lambda can say so."""
    functions = f"arn:aws:lambda:{settings.region}:*:function:{settings.prefix}*"
    found = [
        CallRow(
            "lambda",
            (
                *("CreateFunction", "GetFunction", "GetFunctionConfiguration", "DeleteFunction", "TagResource"),
                *("UpdateFunctionCode", "UpdateFunctionConfiguration", "PublishVersion", "ListVersionsByFunction"),
                *("CreateAlias", "UpdateAlias", "GetAlias", "ListAliases", "DeleteAlias"),
                *("PutProvisionedConcurrencyConfig", "GetProvisionedConcurrencyConfig"),
                *("DeleteProvisionedConcurrencyConfig", "Invoke"),
            ),
            (functions, f"{functions}:*"),
            "publish versions and shift traffic",
        ),
        CallRow("lambda", ("GetAccountSettings",), ("*",), "read quotas"),
        CallRow("iam", ("PassRole",), (settings.role,), "give functions their role"),
        CallRow("tag", ("GetResources",), ("*",), "find what this installation created"),
        CallRow("cloudwatch", ("GetMetricData", "ListMetrics"), ("*",), "count requests and errors"),
        CallRow(
            "logs",
            ("DescribeLogStreams", "GetLogEvents"),
            (f"arn:aws:logs:{settings.region}:*:log-group:/aws/lambda/{settings.prefix}*",),
            "show logs",
        ),
    ]
    if settings.code_bucket:
        bucket = f"arn:aws:s3:::{settings.code_bucket}"
        found.append(CallRow("s3", ("PutObject", "GetObject"), (f"{bucket}/tidegate/*",), "upload packages"))
        found.append(CallRow("s3", ("GetBucketLocation",), (bucket,), "find the bucket"))
    return found
