"""Render what the target would create for a spec: the calls of Lambda's API, or a CloudFormation template. Pure but
for the sizes of installed packages.

The package is built when the endpoint is deployed; here its place is named.
"""

from collections.abc import Mapping

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid, TargetRefused
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.traffic import WHOLE, Route, RouteTable
from tidegate.ports.target import Document, Options, Rendering
from tidegate.serving.contract.images import ANY_IMAGE
from tidegate.targets.aws.desired_fleets import desired_fleets
from tidegate.targets.aws.options import parse_options
from tidegate.targets.aws.ownership import owner_tags
from tidegate.targets.aws_lambda import distributions
from tidegate.targets.aws_lambda.description import check_fleet, configuration, creation, extras
from tidegate.targets.aws_lambda.marks import LIVE, FleetMark, fleet_alias, fleet_mark, traffic_mark, version_mark
from tidegate.targets.aws_lambda.options import NAME, AwsLambdaOptions, function_name
from tidegate.targets.aws_lambda.zip_package import MOST_DIRECT, MOST_UNPACKED, megabytes

OWNER = "<id of the platform's state folder>"
PACKAGE = "<package>"


def render_calls(desired: DesiredDeployment, options: Options) -> Rendering:
    """The calls of a first deployment, in order. Raises Invalid or TargetRefused."""
    settings, fleet = _read(desired, options)
    function = function_name(settings, desired.endpoint)
    named = {"FunctionName": function}
    tags = owner_tags(settings.installation or OWNER, desired.endpoint)
    table = RouteTable(desired.endpoint, 1, (Route(fleet.id, WHOLE),))
    version = {"FunctionVersion": "1"}
    calls: list[tuple[str, Mapping[str, object]]] = [
        (
            "CreateFunction",
            {**named, "Code": _code(settings), **configuration(settings, fleet), **creation(settings, tags)},
        ),
        ("PublishVersion", {**named, "Description": version_mark(fleet.id, fleet.config_name)}),
    ]
    if fleet.variant.serverless is not None and fleet.variant.serverless.provisioned:
        count = fleet.variant.serverless.provisioned
        members = {**named, "Qualifier": "1", "ProvisionedConcurrentExecutions": count}
        calls.append(("PutProvisionedConcurrencyConfig", members))
    mark = fleet_mark(FleetMark(1, fleet.count))
    calls += [
        ("CreateAlias", {**named, "Name": fleet_alias(fleet.id), **version, "Description": mark}),
        ("CreateAlias", {**named, "Name": LIVE, **version, "Description": traffic_mark(table)}),
    ]
    documents = tuple(
        Document(f"lambda {operation}", {"service": "lambda", "operation": operation, "members": dict(members)})
        for operation, members in calls
    )
    return Rendering(documents, _notes(settings, fleet))


def render_template(desired: DesiredDeployment, options: Options) -> Rendering:
    """A CloudFormation template for a first version. Raises Invalid or TargetRefused."""
    settings, fleet = _read(desired, options)
    if settings.package == "zip" and not settings.code_bucket:
        raise Invalid("a template takes a zip package from S3 only: set `code_bucket` of target lambda")
    tags = [
        {"Key": key, "Value": value}
        for key, value in owner_tags(settings.installation or "template", desired.endpoint).items()
    ]
    fixed = {key: value for key, value in creation(settings, {}).items() if key not in ("Publish", "Tags")}
    function = {
        "FunctionName": function_name(settings, desired.endpoint),
        "Code": _code(settings),
        **configuration(settings, fleet),
        **fixed,
        "Tags": tags,
    }
    if not function.get("Layers"):
        function.pop("Layers", None)
    version: dict[str, object] = {
        "FunctionName": {"Ref": "Function"},
        "Description": version_mark(fleet.id, fleet.config_name),
    }
    if fleet.variant.serverless is not None and fleet.variant.serverless.provisioned:
        count = fleet.variant.serverless.provisioned
        version["ProvisionedConcurrencyConfig"] = {"ProvisionedConcurrentExecutions": count}
    alias = {
        "FunctionName": {"Ref": "Function"},
        "FunctionVersion": {"Fn::GetAtt": ["Version", "Version"]},
        "Name": LIVE,
    }
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Endpoint {desired.endpoint} as a function of Lambda, by tidegate",
        "Resources": {
            "Function": {"Type": "AWS::Lambda::Function", "Properties": function},
            "Version": {"Type": "AWS::Lambda::Version", "Properties": version},
            "Live": {"Type": "AWS::Lambda::Alias", "Properties": alias},
        },
        "Outputs": {"Live": {"Value": {"Ref": "Live"}, "Description": "ARN to invoke"}},
    }
    note = "what a template creates is CloudFormation's: tidegate neither changes nor deletes it"
    return Rendering((Document("template", template),), (note, *_notes(settings, fleet)))


def render_image(desired: DesiredDeployment, options: Options) -> Rendering:
    """A Dockerfile for a function over the limits of zip packages. Raises Invalid or TargetRefused."""
    _, fleet = _read(desired, options)
    wanted = ",".join(sorted({extra for extra in extras(fleet.variant.model, ANY_IMAGE) if extra}))
    lines = [
        f"FROM public.ecr.aws/lambda/python:{distributions.runtime_name().removeprefix('python')}",
        f"RUN pip install --no-cache-dir 'tidegate[{wanted}]'"
        if wanted
        else "RUN pip install --no-cache-dir tidegate",
        "COPY replica.json ${LAMBDA_TASK_ROOT}/replica.json",
        "COPY model ${LAMBDA_TASK_ROOT}/model",
        'CMD ["tidegate.serving.aws_lambda.function.handle"]',
    ]
    note = "replica.json and model/ are those of a zip package; push the image to ECR and set `image_uri`"
    return Rendering((Document("Dockerfile", {"lines": lines}),), (note,))


def _read(desired: DesiredDeployment, options: Options) -> tuple[AwsLambdaOptions, FleetSpec]:
    settings = parse_options(options, AwsLambdaOptions, NAME)
    if settings.package == "image" and not settings.image_uri:
        raise Invalid("settings of target 'lambda': package: image needs `image_uri`")
    fleets = desired_fleets(desired)
    for fleet in fleets:
        check_fleet(fleet)
    if len(fleets) != 1:
        raise TargetRefused("an alias of Lambda routes to two versions at most: give the spec one variant")
    return settings, fleets[0]


def _code(settings: AwsLambdaOptions) -> dict[str, object]:
    if settings.package == "image":
        return {"ImageUri": settings.image_uri}
    if settings.code_bucket:
        return {"S3Bucket": settings.code_bucket, "S3Key": f"tidegate/{PACKAGE}.zip"}
    return {"ZipFile": PACKAGE}


def _notes(settings: AwsLambdaOptions, fleet: FleetSpec) -> tuple[str, ...]:
    if settings.package == "image":
        return ("the image must be in ECR of the same region and have the handler's package",)
    needed = {
        one.name: one.size
        for extra in extras(fleet.variant.model, ANY_IMAGE)
        for one in distributions.collect(extra)
    }
    note = (
        f"libraries take {megabytes(sum(needed.values()))} unpacked of {megabytes(MOST_UNPACKED)}; the zip may have"
        f" {megabytes(MOST_DIRECT)} without `code_bucket`; both are checked before the upload"
    )
    return (note,)
