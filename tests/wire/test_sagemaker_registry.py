"""Models, endpoint configs and tags through boto3."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.served_wire import ACCOUNT, REGION, START, Served

ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
CONTAINER = {"Image": IMAGE, "ModelDataUrl": "file:///models/fraud.tar.gz", "Environment": {"A": "1"}}
VARIANT = {
    "VariantName": "main",
    "ModelName": "fraud",
    "InitialInstanceCount": 2,
    "InstanceType": "ml.m5.large",
}


def refused(call: Any, **params: Any) -> tuple[str, int, str]:
    """Code, status and message of the error that the call ends in."""
    with pytest.raises(ClientError) as error:
        call(**params)
    answer = error.value.response
    assert answer["ResponseMetadata"]["RequestId"]
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


@pytest.fixture
def model(sagemaker: Any) -> str:
    arn: str = sagemaker.create_model(ModelName="fraud", PrimaryContainer=CONTAINER)["ModelArn"]
    return arn


def test_a_model_is_described_as_it_was_given(sagemaker: Any, model: str) -> None:
    assert model == f"{ARN}:model/fraud"
    found = sagemaker.describe_model(ModelName="fraud")
    assert found["PrimaryContainer"] == {**CONTAINER, "Mode": "SingleModel"}
    assert found["CreationTime"] == START
    assert found["EnableNetworkIsolation"] is False
    unset = {"Containers", "VpcConfig", "ExecutionRoleArn", "InferenceExecutionConfig", "DeploymentRecommendation"}
    assert not unset & found.keys()


def test_every_member_of_a_model_comes_back(sagemaker: Any) -> None:
    source = {"S3Uri": "s3://models/fraud/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    given = {
        "Containers": [
            {
                "Image": IMAGE,
                "ContainerHostname": "first",
                "ImageConfig": {"RepositoryAccessMode": "Platform"},
                "ModelDataSource": {"S3DataSource": source},
            }
        ],
        "InferenceExecutionConfig": {"Mode": "Serial"},
        "ExecutionRoleArn": "arn:aws:iam::123456789012:role/hosting",
        "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        "EnableNetworkIsolation": True,
    }
    sagemaker.create_model(ModelName="whole", **given)
    found = sagemaker.describe_model(ModelName="whole")
    given["Containers"][0]["Mode"] = "SingleModel"  # type: ignore[index]
    assert {name: found[name] for name in given} == given
    assert "PrimaryContainer" not in found


def test_a_model_name_can_be_taken_once(sagemaker: Any, model: str, wire: Served) -> None:
    before = wire.journal()
    assert refused(sagemaker.create_model, ModelName="fraud", PrimaryContainer=CONTAINER) == (
        "ValidationException",
        400,
        f'Cannot create already existing model "{ARN}:model/fraud".',
    )
    assert wire.journal() == before


def test_a_deleted_model_is_gone(sagemaker: Any, model: str) -> None:
    sagemaker.delete_model(ModelName="fraud")
    missing = ("ValidationException", 400, f'Could not find model "{ARN}:model/fraud".')
    assert refused(sagemaker.describe_model, ModelName="fraud") == missing
    assert refused(sagemaker.delete_model, ModelName="fraud") == missing


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "Give either PrimaryContainer or Containers"),
        ({"PrimaryContainer": CONTAINER, "Containers": [CONTAINER]}, "Give either PrimaryContainer or Containers"),
        ({"Containers": [CONTAINER] * 16}, "'containers' failed to satisfy constraint"),
        (
            {"Containers": [CONTAINER] * 2, "InferenceExecutionConfig": {"Mode": "Direct"}},
            "Mode Direct: every container needs a ContainerHostname",
        ),
        (
            {"Containers": [{**CONTAINER, "ContainerHostname": "same"}] * 2},
            "ContainerHostname 'same' is given to several containers",
        ),
        (
            {"Containers": [{**CONTAINER, "ContainerHostname": "container-2"}, CONTAINER]},
            "ContainerHostname 'container-2' is given to several containers",
        ),
        (
            {"Containers": [CONTAINER], "InferenceExecutionConfig": {"Mode": "X"}},
            "enum value set: [Serial, Direct]",
        ),
        ({"PrimaryContainer": {"ModelDataUrl": "s3://b/k"}}, "A container needs an Image"),
        ({"PrimaryContainer": {"ModelPackageName": "fraud"}}, ":model-package/fraud does not exist."),
        ({"PrimaryContainer": {"Image": "two words"}}, "regular expression pattern: [\\S]+"),
        ({"PrimaryContainer": {**CONTAINER, "ModelDataUrl": "ftp://x/y"}}, "'primaryContainer.modelDataUrl'"),
        (
            {"PrimaryContainer": {**CONTAINER, "ModelDataUrl": "s3://<your-bucket>/model.tar.gz"}},
            "Could not access model data at s3://<your-bucket>/model.tar.gz: model data s3://<your-bucket>/model.tar.gz"
            " is a placeholder: put in where your model is",
        ),
        (
            {"PrimaryContainer": {**CONTAINER, "Mode": "MultiModel", "ModelDataUrl": "s3://.../all/"}},
            "model data s3://.../all/ is a placeholder",
        ),
        ({"PrimaryContainer": {**CONTAINER, "Environment": {"1A": "x"}}}, "'primaryContainer.environment.key'"),
        ({"PrimaryContainer": {**CONTAINER, "Mode": "Some"}}, "enum value set: [SingleModel, MultiModel]"),
        (
            {"PrimaryContainer": {**CONTAINER, "Environment": {f"V{n}": "x" * 1024 for n in range(40)}}},
            "the limit is 32768",
        ),
    ],
)
def test_bad_models_are_refused_and_nothing_is_written(
    sagemaker: Any, wire: Served, params: dict[str, Any], message: str
) -> None:
    code, status, said = refused(sagemaker.create_model, ModelName="fraud", **params)
    assert (code, status) == ("ValidationException", 400)
    assert message in said
    assert wire.journal() == []


def test_lists_come_in_pages_and_the_last_has_no_token(sagemaker: Any, wire: Served) -> None:
    for number in range(12):
        sagemaker.create_model(ModelName=f"fraud-{number:02}", PrimaryContainer=CONTAINER)
        wire.clock.advance(1)
    first = sagemaker.list_models()
    assert [entry["ModelName"] for entry in first["Models"]] == [f"fraud-{n:02}" for n in range(11, 1, -1)]
    last = sagemaker.list_models(NextToken=first["NextToken"])
    assert [entry["ModelName"] for entry in last["Models"]] == ["fraud-01", "fraud-00"]
    assert "NextToken" not in last
    pages = sagemaker.get_paginator("list_models").paginate(
        SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 5}
    )
    assert [len(page["Models"]) for page in pages] == [5, 5, 2]


def test_lists_are_filtered_by_name_and_time(sagemaker: Any, wire: Served) -> None:
    moments = []
    for name in ("fraud-a", "churn-b", "fraud-c"):
        sagemaker.create_model(ModelName=name, PrimaryContainer=CONTAINER)
        moments.append(wire.clock.now())
        wire.clock.advance(60)

    def names(**params: Any) -> list[str]:
        return [entry["ModelName"] for entry in sagemaker.list_models(**params)["Models"]]

    assert names(NameContains="fraud") == ["fraud-c", "fraud-a"]
    assert names(CreationTimeAfter=moments[0]) == ["fraud-c", "churn-b"]
    assert names(CreationTimeBefore=moments[2], SortBy="Name", SortOrder="Ascending") == ["churn-b", "fraud-a"]
    assert names(NameContains="nothing") == []


@pytest.mark.parametrize("operation", ["list_models", "list_endpoint_configs", "list_endpoints"])
def test_a_strange_page_token_is_refused(sagemaker: Any, operation: str) -> None:
    code, status, _ = refused(getattr(sagemaker, operation), NextToken="not one of ours")
    assert (code, status) == ("ValidationException", 400)


def test_list_limits_are_checked_by_the_server(sagemaker: Any) -> None:
    code, _, said = refused(sagemaker.list_models, MaxResults=101, NameContains="under_score", SortBy="Size")
    assert code == "ValidationException"
    assert said.startswith("3 validation errors detected: ")
    assert "Value '101' at 'maxResults' failed to satisfy constraint: Member must have value less than" in said
    assert "Value 'Size' at 'sortBy' failed to satisfy constraint: Member must satisfy enum value set:" in said


def test_a_config_is_described_as_it_was_given(sagemaker: Any, model: str) -> None:
    variants = [
        {
            **VARIANT,
            "InitialVariantWeight": 0.25,
            "VolumeSizeInGB": 8,
            "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
            "ContainerStartupHealthCheckTimeoutInSeconds": 120,
            "ModelDataDownloadTimeoutInSeconds": 60,
        },
        {**VARIANT, "VariantName": "side", "InstanceType": "local.small"},
    ]
    answer = sagemaker.create_endpoint_config(EndpointConfigName="v1", ProductionVariants=variants, KmsKeyId="key")
    assert answer["EndpointConfigArn"] == f"{ARN}:endpoint-config/v1"
    found = sagemaker.describe_endpoint_config(EndpointConfigName="v1")
    assert found["ProductionVariants"] == [variants[0], {**variants[1], "InitialVariantWeight": 1.0}]
    assert (found["KmsKeyId"], found["CreationTime"]) == ("key", START)
    assert "DataCaptureConfig" not in found
    (entry,) = sagemaker.list_endpoint_configs(NameContains="v1")["EndpointConfigs"]
    assert entry == {
        "EndpointConfigName": "v1",
        "EndpointConfigArn": f"{ARN}:endpoint-config/v1",
        "CreationTime": START,
    }


def test_a_config_name_can_be_taken_once(sagemaker: Any, model: str) -> None:
    sagemaker.create_endpoint_config(EndpointConfigName="v1", ProductionVariants=[VARIANT])
    assert refused(sagemaker.create_endpoint_config, EndpointConfigName="v1", ProductionVariants=[VARIANT]) == (
        "ValidationException",
        400,
        f'Cannot create already existing endpoint configuration "{ARN}:endpoint-config/v1".',
    )


def test_a_config_needs_its_models(sagemaker: Any, wire: Served) -> None:
    assert refused(sagemaker.create_endpoint_config, EndpointConfigName="v1", ProductionVariants=[VARIANT]) == (
        "ValidationException",
        400,
        f'Could not find model "{ARN}:model/fraud".',
    )
    assert wire.journal() == []


def test_a_deleted_config_is_gone(sagemaker: Any, model: str) -> None:
    sagemaker.create_endpoint_config(EndpointConfigName="v1", ProductionVariants=[VARIANT])
    sagemaker.delete_endpoint_config(EndpointConfigName="v1")
    missing = (
        "ValidationException",
        400,
        f'Could not find endpoint configuration "{ARN}:endpoint-config/v1".',
    )
    assert refused(sagemaker.describe_endpoint_config, EndpointConfigName="v1") == missing
    assert refused(sagemaker.delete_endpoint_config, EndpointConfigName="v1") == missing


SHADOW = {"VariantName": "shadow", "ModelName": "fraud"}
SERVERLESS = {"MemorySizeInMB": 1024, "MaxConcurrency": 1}
CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://b/k",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}


@pytest.mark.parametrize(
    ("variants", "extra", "message"),
    [
        (
            [],
            {},
            "Value '[]' at 'productionVariants' failed to satisfy constraint: Member must have length greater",
        ),
        ([VARIANT] * 11, {}, "Member must have length less than or equal to 10"),
        ([VARIANT, VARIANT], {}, 'variant "main" is given twice'),
        ([{**VARIANT, "InitialVariantWeight": 0.0}], {}, "at least one must be above 0"),
        ([{**VARIANT, "VariantName": "-x"}], {}, "'productionVariants.1.member.variantName'"),
        ([{**VARIANT, "InstanceType": "ml m5"}], {}, "'productionVariants.1.member.instanceType'"),
        ([{"VariantName": "main", "ModelName": "fraud", "InitialInstanceCount": 1}], {}, "needs InstanceType"),
        (
            [{"VariantName": "main", "ModelName": "fraud", "InstanceType": "ml.m5.large"}],
            {},
            "InitialInstanceCount",
        ),
        ([{"VariantName": "main", "ServerlessConfig": SERVERLESS}], {}, "needs ModelName"),
        ([{**VARIANT, "RoutingConfig": {"RoutingStrategy": "KV_AWARE"}}], {}, "RoutingStrategy KV_AWARE is not"),
        ([VARIANT], {"DataCaptureConfig": {**CAPTURE, "DestinationS3Uri": "s3://b/../k"}}, "has a part . or .."),
        ([VARIANT], {"DataCaptureConfig": {**CAPTURE, "InitialSamplingPercentage": 101}}, "less than or equal to"),
        (
            [VARIANT],
            {"DataCaptureConfig": {**CAPTURE, "DestinationS3Uri": "file:///srv/c", "KmsKeyId": "alias/k"}},
            "KmsKeyId encrypts objects in S3",
        ),
        ([VARIANT], {"ShadowProductionVariants": [VARIANT]}, r'variant "main" is given twice'),
        (
            [VARIANT, {**VARIANT, "VariantName": "other"}],
            {"ShadowProductionVariants": [{**VARIANT, "VariantName": "shadow"}]},
            "has 2 production and 1 shadow variants",
        ),
        (
            [VARIANT],
            {"ShadowProductionVariants": [{**SHADOW, "ServerlessConfig": SERVERLESS}]},
            "cannot be serverless",
        ),
        (
            [VARIANT],
            {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/../k"}}},
            "has a part . or ..",
        ),
        (
            [VARIANT],
            {"ExplainerConfig": {"ClarifyExplainerConfig": {"ShapConfig": {"ShapBaselineConfig": {}}}}},
            "ExplainerConfig is not supported yet",
        ),
    ],
)
def test_bad_configs_are_refused_and_nothing_is_written(
    model: str, wire: Served, variants: list[Any], extra: dict[str, Any], message: str
) -> None:
    before = wire.journal()
    unchecked = wire.client("sagemaker", parameter_validation=False)
    code, status, said = refused(
        unchecked.create_endpoint_config, EndpointConfigName="v1", ProductionVariants=variants, **extra
    )
    assert (code, status) == ("ValidationException", 400)
    assert message in said
    assert wire.journal() == before


def test_a_shadow_is_shown_as_it_was_given_and_not_beside_many_models(wire: Served, model: str) -> None:
    sagemaker = wire.client("sagemaker")
    shadow = {**VARIANT, "VariantName": "next", "InitialVariantWeight": 0.25}
    given = {"ProductionVariants": [VARIANT], "ShadowProductionVariants": [shadow]}
    sagemaker.create_endpoint_config(EndpointConfigName="shaded", **given)
    [shown] = sagemaker.describe_endpoint_config(EndpointConfigName="shaded")["ShadowProductionVariants"]
    assert shown == shadow
    many = {"Image": "tidegate/xgboost", "Mode": "MultiModel", "ModelDataUrl": "s3://bucket/models/"}
    sagemaker.create_model(ModelName="many", PrimaryContainer=many)
    given["ShadowProductionVariants"] = [{**shadow, "ModelName": "many"}]
    code, _, said = refused(sagemaker.create_endpoint_config, EndpointConfigName="v1", **given)
    assert code == "ValidationException" and 'variant "next" has a multi-model container' in said


def test_capture_that_is_switched_off_is_accepted(sagemaker: Any, model: str) -> None:
    off = {**CAPTURE, "EnableCapture": False}
    sagemaker.create_endpoint_config(EndpointConfigName="v1", ProductionVariants=[VARIANT], DataCaptureConfig=off)
    assert sagemaker.describe_endpoint_config(EndpointConfigName="v1")["DataCaptureConfig"] == off


def tag(key: str, value: str = "x") -> dict[str, str]:
    return {"Key": key, "Value": value}


def test_tags_merge_and_go_with_their_resource(sagemaker: Any) -> None:
    arn = sagemaker.create_model(ModelName="fraud", PrimaryContainer=CONTAINER, Tags=[tag("b"), tag("a")])[
        "ModelArn"
    ]
    added = sagemaker.add_tags(ResourceArn=arn, Tags=[tag("b", "new"), tag("équipe/1", "")])["Tags"]
    assert added == [tag("a"), tag("b", "new"), tag("équipe/1", "")]
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a", "not there"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [tag("b", "new"), tag("équipe/1", "")]
    sagemaker.delete_model(ModelName="fraud")
    assert refused(sagemaker.list_tags, ResourceArn=arn)[2] == f'Could not find model "{arn}".'
    sagemaker.create_model(ModelName="fraud", PrimaryContainer=CONTAINER)
    assert sagemaker.list_tags(ResourceArn=arn) | {"ResponseMetadata": None} == {
        "Tags": [],
        "ResponseMetadata": None,
    }


def test_tags_have_limits(sagemaker: Any, model: str) -> None:
    many = [tag(f"key-{number:02}") for number in range(50)]
    sagemaker.add_tags(ResourceArn=model, Tags=many)
    assert "would have 51 tags" in refused(sagemaker.add_tags, ResourceArn=model, Tags=[tag("more")])[2]
    assert "reserved" in refused(sagemaker.add_tags, ResourceArn=model, Tags=[tag("aws:x")])[2]
    assert "Duplicate" in refused(sagemaker.add_tags, ResourceArn=model, Tags=[tag("a"), tag("a")])[2]
    pattern = refused(sagemaker.add_tags, ResourceArn=model, Tags=[tag("no#hash")])[2]
    assert "Value 'no#hash' at 'tags.1.member.key'" in pattern
    assert len(sagemaker.list_tags(ResourceArn=model, MaxResults=50)["Tags"]) == 50


@pytest.mark.parametrize(
    "arn",
    [
        f"{ARN}:training-job/fraud",
        f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:model/fraud",
        f"arn:aws:sagemaker:{REGION}:999999999999:model/fraud",
    ],
)
def test_tags_of_somebody_else_are_refused(sagemaker: Any, model: str, arn: str) -> None:
    code, status, said = refused(sagemaker.list_tags, ResourceArn=arn)
    assert (code, status) == ("ValidationException", 400)
    assert arn in said
