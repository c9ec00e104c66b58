"""Members are checked against the patterns of the service's model as Java reads them."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::123456789012:role/tidegate"
SPECIFICATION = {"Containers": [{"Image": "xgboost:3", "ModelDataUrl": "s3://models/fraud.tar.gz"}]}
WRONG = "failed to satisfy constraint: Member must satisfy regular expression pattern"


@pytest.mark.parametrize(
    "text", ["Fraud, 2nd try (+3 %)", "Größe – “fein”", "不正検知", "नमस्ते", "e\u0301 €", "😀"]
)
def test_descriptions_are_taken_in_every_language(sagemaker: Any, text: str) -> None:
    sagemaker.create_model_package_group(ModelPackageGroupName="fraud", ModelPackageGroupDescription=text)
    arn = sagemaker.create_model_package(
        ModelPackageGroupName="fraud",
        ModelPackageDescription=text,
        InferenceSpecification=SPECIFICATION,
        SourceUri="s3://models/größe",
        CustomerMetadataProperties={"größe": "fein_1"},
    )["ModelPackageArn"]
    shown = sagemaker.describe_model_package(ModelPackageName=arn)
    assert (shown["ModelPackageDescription"], shown["CustomerMetadataProperties"]) == (text, {"größe": "fein_1"})
    assert sagemaker.describe_model_package_group(ModelPackageGroupName="fraud")[
        "ModelPackageGroupDescription"
    ] == (text)


@pytest.mark.parametrize(
    ("operation", "members", "path"),
    [
        ("create_model_package_group", {"ModelPackageGroupDescription": "a\nb"}, "modelPackageGroupDescription"),
        ("create_model_package_group", {"Tags": [{"Key": "a", "Value": "b\nc"}]}, "tags.1.member.value"),
        ("create_model_package_group", {"Tags": [{"Key": "a\tb", "Value": "c"}]}, "tags.1.member.key"),
        ("create_model_package_group", {"Tags": [{"Key": "a", "Value": "50 €"}]}, "tags.1.member.value"),
        ("create_model", {"ExecutionRoleArn": "arn:aws:iam::١٢٣٤٥٦٧٨٩٠١٢:role/tidegate"}, "executionRoleArn"),
        ("create_model", {"PrimaryContainer": {"Image": "a b"}}, "primaryContainer.image"),
    ],
)
def test_a_value_that_does_not_match_the_models_pattern_is_refused(
    sagemaker: Any, operation: str, members: dict[str, Any], path: str
) -> None:
    required: dict[str, Any] = {"ModelPackageGroupName": "fraud"}
    if operation == "create_model":
        required = {"ModelName": "fraud", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": "xgboost:3"}}
    with pytest.raises(ClientError) as refused:
        getattr(sagemaker, operation)(**{**required, **members})
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert f"at '{path}' {WRONG}" in refused.value.response["Error"]["Message"]
