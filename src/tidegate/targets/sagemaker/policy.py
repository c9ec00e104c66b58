"""The least IAM policies, computed from compiled calls: one for who deploys, one for the execution role. Pure."""

from collections.abc import Iterator
from typing import Any

from tidegate.targets.aws.policies import statement
from tidegate.targets.sagemaker.calls import CompiledDeployment
from tidegate.targets.sagemaker.images import ECR
from tidegate.targets.sagemaker.limits import LOG_GROUP
from tidegate.targets.sagemaker.options import SagemakerOptions
from tidegate.targets.sagemaker.tags import TAGGED

_SERVICES = {
    "sagemaker": "sagemaker",
    "cloudwatch": "cloudwatch",
    "application-autoscaling": "application-autoscaling",
}
_READS = (
    "sagemaker:DescribeEndpoint",
    "sagemaker:DescribeEndpointConfig",
    "sagemaker:DescribeModel",
    "sagemaker:ListTags",
)
_LISTS = (
    "sagemaker:ListEndpointConfigs",
    "sagemaker:ListModels",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:ListTagsForResource",
    "application-autoscaling:DescribeScalableTargets",
    "application-autoscaling:DescribeScalingPolicies",
    "application-autoscaling:DescribeScheduledActions",
    "servicequotas:ListServiceQuotas",
    "ecr:DescribeImages",
    "iam:GetRole",
    "iam:SimulatePrincipalPolicy",
)
"""Actions whose resource cannot be narrowed to one endpoint."""
_NETWORK = (
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "ec2:DescribeDhcpOptions",
)
_CLEANING = (
    "sagemaker:DeleteEndpoint",
    "sagemaker:DeleteEndpointConfig",
    "sagemaker:DeleteModel",
    "sagemaker:UpdateEndpoint",
    "sagemaker:InvokeEndpoint",
)


def caller_policy(compiled: CompiledDeployment, options: SagemakerOptions) -> dict[str, Any]:
    """Return the policy for the credentials that deploy, update, abort and delete this endpoint."""
    made = {f"{_SERVICES[call.service]}:{call.operation}" for call in compiled.calls}
    if any(call.operation in TAGGED for call in compiled.calls):
        made.add("sagemaker:AddTags")
    hosting = {action for action in made if action.startswith("sagemaker:")} | {*_READS, *_CLEANING}
    alarms = {action for action in made if action.startswith("cloudwatch:")}
    if alarms:
        alarms |= {"cloudwatch:DeleteAlarms", "cloudwatch:TagResource"}
    statements = [
        _statement("Hosting", hosting, _hosting_resources(compiled, options)),
        _statement("Reads", {*_LISTS}, ["*"]),
        _statement("Logs", {"logs:DescribeLogStreams", "logs:GetLogEvents"}, [_log_group(compiled, options)]),
        _statement(
            "ExecutionRole",
            {"iam:PassRole"},
            [options.role_arn],
            {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
    ]
    if alarms:
        prefix = f"arn:{options.partition}:cloudwatch:{options.region}:{options.account}:alarm"
        names = [f"{prefix}:{compiled.endpoint}-*", f"{prefix}:tidegate-*"]
        statements.append(_statement("Alarms", alarms, names))
    if compiled.abort_alarm:
        only = {"StringEquals": {"cloudwatch:namespace": "tidegate"}}
        statements.append(_statement("Abort", {"cloudwatch:PutMetricData"}, ["*"], only))
    scaling = {action for action in made if action.startswith("application-autoscaling:")}
    if scaling or compiled.before:
        scaling |= {
            "application-autoscaling:DeregisterScalableTarget",
            "application-autoscaling:DeleteScalingPolicy",
            "application-autoscaling:DeleteScheduledAction",
        }
        statements.append(_statement("Autoscaling", scaling, ["*"]))
        statements.append(
            _statement(
                "AutoscalingsRole",
                {"iam:CreateServiceLinkedRole"},
                [
                    f"arn:{options.partition}:iam::*:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/*"
                ],
                {"StringLike": {"iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"}},
            )
        )
    if compiled.uploads:
        statements += _bucket_statements(options.bucket, f"{options.prefix}/{compiled.endpoint}", options)
    return {"Version": "2012-10-17", "Statement": statements}


def role_policy(compiled: CompiledDeployment, options: SagemakerOptions) -> dict[str, Any]:
    """Return the policy for the execution role, which SageMaker takes on: data, images, logs, and the alarms of its
    guardrails."""
    data, repositories = _find_needs(compiled, options)
    statements = [*_basic_statements(options)]
    if repositories:
        pulls = {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}
        statements.append(_statement("Images", pulls, sorted(repositories)))
    statements += [*_data_statements(data, options), *_answer_statements(compiled, options)]
    if options.kms_key:
        statements.append(_statement("Key", {"kms:Decrypt", "kms:GenerateDataKey", "kms:CreateGrant"}, ["*"]))
    if options.subnets:
        statements.append(_statement("Network", set(_NETWORK), ["*"]))
    return {"Version": "2012-10-17", "Statement": statements}


def _find_needs(compiled: CompiledDeployment, options: SagemakerOptions) -> tuple[set[str], set[str]]:
    """Places of model data (without ``s3://``) and ARNs of repositories of images."""
    data: set[str] = set()
    repositories: set[str] = set()
    for call in compiled.models:
        for container in [call.params.get("PrimaryContainer"), *call.params.get("Containers", ())]:
            if container is None:
                continue
            source = container.get("ModelDataSource", {}).get("S3DataSource", {})
            address = container.get("ModelDataUrl") or source.get("S3Uri")
            if address:
                data.add(address.removeprefix("s3://"))
            if match := ECR.fullmatch(container["Image"]):
                repositories.add(
                    f"arn:{options.partition}:ecr:{match['region']}:{match['account']}:repository/{match['repository']}"
                )
    return data, repositories


def _basic_statements(options: SagemakerOptions) -> Iterator[dict[str, Any]]:
    group = f"arn:{options.partition}:logs:{options.region}:{options.account}:log-group:/aws/sagemaker/*"
    logs = {"logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"}
    yield _statement("Guardrails", {"cloudwatch:DescribeAlarms"}, ["*"])
    yield _statement("Metrics", {"cloudwatch:PutMetricData"}, ["*"])
    yield _statement("Logs", logs, [group])
    yield _statement("ImageToken", {"ecr:GetAuthorizationToken"}, ["*"])


def _data_statements(data: set[str], options: SagemakerOptions) -> Iterator[dict[str, Any]]:
    arn = f"arn:{options.partition}:s3:::"
    if data:
        objects = sorted(f"{arn}{place}{'*' if place.endswith('/') else ''}" for place in data)
        yield _statement("ModelData", {"s3:GetObject"}, objects)
        yield _statement("Buckets", {"s3:ListBucket"}, sorted({f"{arn}{place.split('/')[0]}" for place in data}))


def _answer_statements(compiled: CompiledDeployment, options: SagemakerOptions) -> Iterator[dict[str, Any]]:
    queued = compiled.config.params.get("AsyncInferenceConfig")
    if queued is None:
        return
    output, arn = queued["OutputConfig"], f"arn:{options.partition}:s3:::"
    paths = [path for path in (output["S3OutputPath"], output.get("S3FailurePath")) if path]
    places = [f"{arn}{path.removeprefix('s3://').rstrip('/')}/*" for path in paths]
    yield _statement("Answers", {"s3:GetObject", "s3:PutObject"}, places)
    topics = {topic for name, topic in output.get("NotificationConfig", {}).items() if name.endswith("Topic")}
    if topics:
        yield _statement("Notifications", {"sns:Publish"}, sorted(topics))


def actions_of(policy: dict[str, Any]) -> list[str]:
    return sorted({action for statement in policy["Statement"] for action in statement["Action"]})


def _log_group(compiled: CompiledDeployment, options: SagemakerOptions) -> str:
    place = f"arn:{options.partition}:logs:{options.region}:{options.account}"
    return f"{place}:log-group:{LOG_GROUP}{compiled.endpoint}:*"


def _hosting_resources(compiled: CompiledDeployment, options: SagemakerOptions) -> list[str]:
    """Names of endpoints stand in ARNs in lower case."""
    prefix = f"arn:{options.partition}:sagemaker:{options.region}:{options.account}"
    stem = compiled.config_name.rsplit("-", 1)[0].lower()
    return [
        f"{prefix}:endpoint/{compiled.endpoint.lower()}",
        f"{prefix}:endpoint-config/{stem}-*",
        f"{prefix}:model/{stem}-*",
    ]


def _bucket_statements(bucket: str, prefix: str, options: SagemakerOptions) -> list[dict[str, Any]]:
    arn = f"arn:{options.partition}:s3:::{bucket}"
    return [
        _statement("Upload", {"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"}, [f"{arn}/{prefix}/*"]),
        _statement("UploadBucket", {"s3:ListBucket", "s3:GetBucketLocation"}, [arn]),
    ]


def _statement(
    sid: str, actions: set[str], resources: list[str], condition: dict[str, Any] | None = None
) -> dict[str, Any]:
    return statement(sid, sorted(actions), resources, condition)
