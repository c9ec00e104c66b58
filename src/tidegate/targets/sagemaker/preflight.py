"""Check what can be known before anything is changed: reads only, each with its finding. Nothing is raised."""

import json
from collections.abc import Iterator
from datetime import datetime

from tidegate.domain.errors import Transient
from tidegate.ports.target import CheckFinding, Level
from tidegate.targets.aws.checks import check_identity, run_checks
from tidegate.targets.aws.client import AwsClient
from tidegate.targets.sagemaker.calls import CompiledDeployment, Params
from tidegate.targets.sagemaker.images import ECR
from tidegate.targets.sagemaker.observe import describe, describe_endpoint, pages, read_serving
from tidegate.targets.sagemaker.options import SagemakerOptions
from tidegate.targets.sagemaker.policy import actions_of, caller_policy, role_policy

_SIMULATED = 100
"""Actions of one simulation."""


def check_account(aws: AwsClient, options: SagemakerOptions) -> list[CheckFinding]:
    """Credentials and the execution role."""
    return run_checks(
        [
            ("credentials", lambda: check_identity(aws, options.account)),
            ("execution role", lambda: _role(aws, options)),
        ]
    )


def check_deployment(
    aws: AwsClient, options: SagemakerOptions, compiled: CompiledDeployment, now: datetime
) -> list[CheckFinding]:
    """Check everything of one compiled deployment."""
    return run_checks(
        [
            ("spec", lambda: _spec(compiled)),
            ("endpoint", lambda: _endpoint(aws, compiled)),
            ("permissions", lambda: _permissions(aws, options, compiled)),
            ("quota", lambda: _quotas(aws, compiled)),
            ("alarms", lambda: _alarms(aws, compiled)),
            ("model data", lambda: _data(aws, options, compiled)),
            ("images", lambda: _images(aws, compiled)),
            ("IAM policy", lambda: _policies(options, compiled)),
        ]
    )


def _role(aws: AwsClient, options: SagemakerOptions) -> Iterator[CheckFinding]:
    name = options.role_arn.rsplit("/", 1)[1]
    found = describe(aws, "GetRole", {"RoleName": name}, "iam")
    if found is None:
        yield CheckFinding(
            "execution role",
            Level.ERROR,
            f"{options.role_arn} does not exist",
            "create it, with sagemaker.amazonaws.com as its principal and the policy below",
        )
        return
    trust = found["Role"].get("AssumeRolePolicyDocument")
    if trust is not None and "sagemaker.amazonaws.com" not in json.dumps(trust):
        yield CheckFinding(
            "execution role",
            Level.ERROR,
            f"{name} does not let SageMaker assume it",
            "add sagemaker.amazonaws.com to the principals of its trust policy",
        )
        return
    yield CheckFinding("execution role", Level.OK, options.role_arn)


def _spec(compiled: CompiledDeployment) -> Iterator[CheckFinding]:
    for text in compiled.refusals:
        yield CheckFinding("spec", Level.ERROR, text)
    if not compiled.refusals:
        yield CheckFinding("spec", Level.OK, f"compiles to {len(compiled.calls)} calls")


def _endpoint(aws: AwsClient, compiled: CompiledDeployment) -> Iterator[CheckFinding]:
    there = describe_endpoint(aws, compiled.endpoint)
    if there is None:
        yield CheckFinding("endpoint", Level.OK, f"{compiled.endpoint} will be created")
        return
    status, config = there["EndpointStatus"], there["EndpointConfigName"]
    if status != "InService":
        yield CheckFinding(
            "endpoint", Level.WARNING, f"{compiled.endpoint} is {status}", "wait until it is in service"
        )
    if describe(aws, "DescribeEndpointConfig", {"EndpointConfigName": config}) is None:
        yield CheckFinding(
            "endpoint",
            Level.ERROR,
            f"the config {config} that serves was deleted, and SageMaker cannot update the endpoint without it",
            "create the config again under that name",
        )
        return
    serving = read_serving(aws, there)
    names = ", ".join(one.name for one in serving.variants) if serving else "no variants"
    yield CheckFinding("endpoint", Level.OK, f"{compiled.endpoint} runs {config} ({names})")


def _permissions(
    aws: AwsClient, options: SagemakerOptions, compiled: CompiledDeployment
) -> Iterator[CheckFinding]:
    who = str(aws.call("sts", "GetCallerIdentity")["Arn"])
    for whose, arn, policy in (
        ("permissions", _principal(who), caller_policy(compiled, options)),
        ("permissions of the execution role", options.role_arn, role_policy(compiled, options)),
    ):
        denied = list(_denied(aws, arn, actions_of(policy)))
        if denied:
            yield CheckFinding(whose, Level.ERROR, f"not allowed: {', '.join(denied)}", "attach the policy below")
        else:
            yield CheckFinding(whose, Level.OK, f"all {len(actions_of(policy))} actions are allowed")


def _principal(arn: str) -> str:
    """A session of an assumed role is simulated as its role."""
    if ":assumed-role/" not in arn:
        return arn
    account, name = arn.split(":")[4], arn.split("/")[1]
    return f"arn:{arn.split(':')[1]}:iam::{account}:role/{name}"


def _denied(aws: AwsClient, arn: str, actions: list[str]) -> Iterator[str]:
    for first in range(0, len(actions), _SIMULATED):
        params: Params = {"PolicySourceArn": arn, "ActionNames": actions[first : first + _SIMULATED]}
        results = [one for page in _marked(aws, params) for one in page["EvaluationResults"]]
        allowed = {one["EvalActionName"] for one in results if one["EvalDecision"] == "allowed"}
        refused = {one["EvalActionName"] for one in results} - allowed
        yield from sorted(refused)
        if missing := [name for name in params["ActionNames"] if name not in allowed | refused]:
            raise Transient(f"SimulatePrincipalPolicy: says nothing of {', '.join(missing)}: check again")


def _marked(aws: AwsClient, params: Params) -> Iterator[Params]:
    """Pages of IAM, which may have fewer results than were asked for."""
    marker: Params = {}
    while True:
        page = aws.call("iam", "SimulatePrincipalPolicy", params | marker)
        yield page
        if not page.get("IsTruncated"):
            return
        marker = {"Marker": page["Marker"]}


def _quotas(aws: AwsClient, compiled: CompiledDeployment) -> Iterator[CheckFinding]:
    """Both fleets of a blue/green update count."""
    wanted: dict[str, int] = {}
    for variant in compiled.config.params["ProductionVariants"]:
        if "InstanceType" in variant:
            wanted[variant["InstanceType"]] = (
                wanted.get(variant["InstanceType"], 0) + variant["InitialInstanceCount"]
            )
    if not wanted:
        yield CheckFinding("quota", Level.OK, "serverless: counts against concurrency, which is not checked")
        return
    there = describe_endpoint(aws, compiled.endpoint)
    serving = read_serving(aws, there) if there else None
    limits = {
        quota["QuotaName"]: quota["Value"]
        for page in pages(aws, "service-quotas", "ListServiceQuotas", {"ServiceCode": "sagemaker"})
        for quota in page["Quotas"]
    }
    for type, count in wanted.items():
        present = sum(one.count for one in serving.variants if one.instance_type == type) if serving else 0
        quota = limits.get(f"{type} for endpoint usage")
        if quota is None:
            yield CheckFinding("quota", Level.UNKNOWN, f"{type}: Service Quotas shows none", "look in its console")
        elif quota < present + count:
            yield CheckFinding(
                "quota",
                Level.ERROR,
                f"{type}: {quota:g} instances, and the update needs {present} and {count} at the same time",
                "ask for more in Service Quotas, or use strategy: rolling",
            )
        else:
            yield CheckFinding(
                "quota", Level.OK, f"{type}: {present + count} of {quota:g}, other endpoints not counted"
            )


def _alarms(aws: AwsClient, compiled: CompiledDeployment) -> Iterator[CheckFinding]:
    if not compiled.guards:
        yield CheckFinding("alarms", Level.WARNING, "no alarm guards this deployment")
        return
    found = aws.call("cloudwatch", "DescribeAlarms", {"AlarmNames": list(compiled.guards)})["MetricAlarms"]
    states = {one["AlarmName"]: one["StateValue"] for one in found}
    firing = [name for name, state in states.items() if state == "ALARM"]
    if firing:
        yield CheckFinding(
            "alarms",
            Level.ERROR,
            f"{', '.join(firing)}: in ALARM already, so an update would be rolled back at once",
            "find the cause, or wait until it is over",
        )
        return
    yield CheckFinding(
        "alarms", Level.OK, f"{len(states)} exist, {len(compiled.guards) - len(states)} will be made"
    )


def _data(aws: AwsClient, options: SagemakerOptions, compiled: CompiledDeployment) -> Iterator[CheckFinding]:
    addresses = set()
    for call in compiled.models:
        for container in [call.params.get("PrimaryContainer") or {}, *call.params.get("Containers", ())]:
            source = container.get("ModelDataSource", {}).get("S3DataSource", {})
            addresses.add(container.get("ModelDataUrl") or source.get("S3Uri"))
    uploads = {f"s3://{one.bucket}/{one.key}" for one in compiled.uploads}
    for address in sorted(addresses - {None}):
        bucket, _, key = address.removeprefix("s3://").partition("/")
        region = (describe(aws, "HeadBucket", {"Bucket": bucket}, "s3") or {}).get("BucketRegion")
        if region is None:
            yield CheckFinding(
                "model data", Level.ERROR, f"bucket {bucket} does not exist", "create it, or set another"
            )
        elif region != options.region:
            yield CheckFinding(
                "model data",
                Level.ERROR,
                f"bucket {bucket} is in {region}, and the endpoint in {options.region}",
                "copy the data to a bucket of the endpoint's region",
            )
        elif address in uploads:
            yield CheckFinding("model data", Level.OK, f"{address} will be uploaded")
        elif not _is_there(aws, bucket, key):
            yield CheckFinding("model data", Level.ERROR, f"{address} does not exist", "upload it")
        else:
            yield CheckFinding("model data", Level.OK, address)


def _is_there(aws: AwsClient, bucket: str, key: str) -> bool:
    if key.endswith("/") or not key:
        listed = aws.call("s3", "ListObjectsV2", {"Bucket": bucket, "Prefix": key, "MaxKeys": 1})
        return bool(listed.get("KeyCount"))
    return describe(aws, "HeadObject", {"Bucket": bucket, "Key": key}, "s3") is not None


def _images(aws: AwsClient, compiled: CompiledDeployment) -> Iterator[CheckFinding]:
    images = {
        container["Image"]
        for call in compiled.models
        for container in [
            *call.params.get("Containers", ()),
            *([call.params["PrimaryContainer"]] if "PrimaryContainer" in call.params else []),
        ]
    }
    for image in sorted(images):
        match = ECR.fullmatch(image)
        if match is None:
            continue  # a refusal of the compiler
        reference = match["reference"] or ":latest"
        id = {"imageDigest": reference[1:]} if reference.startswith("@") else {"imageTag": reference[1:]}
        params: Params = {
            "registryId": match["account"],
            "repositoryName": match["repository"],
            "imageIds": [id],
        }
        if describe(aws, "DescribeImages", params, "ecr") is None:
            yield CheckFinding(
                "images", Level.ERROR, f"{image} does not exist", "push it, or set the option images"
            )
        else:
            yield CheckFinding("images", Level.OK, image)


def _policies(options: SagemakerOptions, compiled: CompiledDeployment) -> Iterator[CheckFinding]:
    for whose, policy in (
        ("who deploys", caller_policy(compiled, options)),
        ("the execution role", role_policy(compiled, options)),
    ):
        yield CheckFinding("IAM policy", Level.OK, f"the least one for {whose}: {json.dumps(policy)}")
