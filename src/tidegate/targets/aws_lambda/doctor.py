"""Checks what the target needs at AWS, and prints the least policy."""

from collections.abc import Sequence

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import TargetError, TidegateError
from tidegate.ports.target import Finding, Level, Options
from tidegate.targets.aws.botocore_calls import open_calls
from tidegate.targets.aws.calls import Calls
from tidegate.targets.aws.checks import Probe, check_identity, policy_finding, run_checks, run_probe
from tidegate.targets.aws.options import parse_options
from tidegate.targets.aws.policies import CallRow
from tidegate.targets.aws_lambda.options import NAME, AwsLambdaOptions
from tidegate.targets.aws_lambda.render import render_calls
from tidegate.targets.aws_lambda.zip_package import megabytes


def check_lambda(options: Options, desired: DesiredDeployment | None) -> Sequence[Finding]:
    try:
        settings = parse_options(options, AwsLambdaOptions, NAME)
    except TidegateError as error:
        return [Finding("settings", Level.ERROR, error.message, "correct the file of TIDEGATE_TARGETS")]
    return run_checks(check(open_calls(settings), settings, options, desired))


async def check(
    calls: Calls, settings: AwsLambdaOptions, options: Options, desired: DesiredDeployment | None
) -> list[Finding]:
    found = [Finding("settings", Level.OK, f"region {settings.region}, role {settings.role}")]
    found.append(await check_identity(calls))
    for probe in probes(settings):
        found.append(await run_probe(calls, probe))
    found.append(await check_quotas(calls))
    if desired is not None:
        found.append(check_spec(desired, options))
    found.append(policy_finding(rows(settings)))
    return found


def probes(settings: AwsLambdaOptions) -> list[Probe]:
    name = f"{settings.prefix}doctor"
    found = [
        Probe("functions", "lambda", "GetFunction", {"FunctionName": name}),
        Probe("tags", "resourcegroupstaggingapi", "GetResources", {"ResourceTypeFilters": ["lambda:function"]}),
        Probe("metrics", "cloudwatch", "ListMetrics", {"Namespace": "AWS/Lambda"}),
        Probe("logs", "logs", "DescribeLogStreams", {"logGroupName": f"/aws/lambda/{name}"}),
    ]
    if settings.code_bucket:
        found.append(Probe("code bucket", "s3", "GetBucketLocation", {"Bucket": settings.code_bucket}))
    return found


async def check_quotas(calls: Calls) -> Finding:
    """Space for packages and concurrency that are left in the account."""
    try:
        account = await calls.call("lambda", "GetAccountSettings", {})
    except TargetError as error:
        return Finding("quotas", Level.UNKNOWN, str(error), "allow lambda:GetAccountSettings")
    limit, usage = account.get("AccountLimit", {}), account.get("AccountUsage", {})
    free = int(limit.get("TotalCodeSize", 0)) - int(usage.get("TotalCodeSize", 0))
    unreserved = int(limit.get("UnreservedConcurrentExecutions", 0))
    told = f"{megabytes(free)} left for packages, {unreserved} concurrent executions unreserved"
    if free < 500 * 1024 * 1024 or unreserved < 10:
        return Finding("quotas", Level.WARNING, told, "remove old versions, or have the quota raised")
    return Finding("quotas", Level.OK, told)


def check_spec(desired: DesiredDeployment, options: Options) -> Finding:
    try:
        rendering = render_calls(desired, options)
    except TidegateError as error:
        return Finding("spec", Level.ERROR, error.message, "change the spec, or take another target")
    return Finding("spec", Level.OK, "; ".join(rendering.notes))


def rows(settings: AwsLambdaOptions) -> list[CallRow]:
    """Every call of the target, on its own functions where Lambda can say so."""
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
