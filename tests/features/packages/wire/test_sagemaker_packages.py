"""Model packages with boto3: registered, approved, deployed; what is not approved is not."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.served_wire import Served

CONTAINER = {
    "Image": "tidegate/xgboost",
    "ModelDataUrl": "s3://models/a.tar.gz",
    "Environment": {"A": "1", "B": "1"},
}
SPECIFICATION = {
    "Containers": [CONTAINER],
    "SupportedContentTypes": ["text/csv"],
    "SupportedResponseMIMETypes": ["text/csv"],
}
ROLE = "arn:aws:iam::123456789012:role/any"


@pytest.fixture
def group(sagemaker: Any) -> str:
    sagemaker.create_model_package_group(ModelPackageGroupName="fraud", Tags=[{"Key": "team", "Value": "pay"}])
    return "fraud"


def register(sagemaker: Any, group: str, **members: Any) -> str:
    given = {"ModelPackageGroupName": group, "InferenceSpecification": SPECIFICATION, **members}
    arn: str = sagemaker.create_model_package(**given)["ModelPackageArn"]
    return arn


def refusal(call: Any, **members: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(**members)
    return f"{raised.value.response['Error']['Code']}: {raised.value.response['Error']['Message']}"


def deploy(sagemaker: Any, arn: str, name: str, **members: Any) -> None:
    container = {"ModelPackageName": arn, **members}
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {"VariantName": "a", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)


def test_versions_are_numbered_and_wait_for_approval(sagemaker: Any, group: str) -> None:
    first, second = register(sagemaker, group), register(sagemaker, group, ModelApprovalStatus="Approved")
    assert [arn.rsplit(":", 1)[1] for arn in (first, second)] == ["model-package/fraud/1", "model-package/fraud/2"]
    shown = sagemaker.describe_model_package(ModelPackageName=first)
    assert (shown["ModelApprovalStatus"], shown["ModelPackageStatus"]) == ("PendingManualApproval", "Completed")
    assert (shown["ModelPackageGroupName"], shown["ModelPackageVersion"]) == ("fraud", 1)
    assert shown["InferenceSpecification"] == SPECIFICATION
    listed = sagemaker.list_model_packages(ModelPackageGroupName=group, SortOrder="Ascending", SortBy="Name")
    assert [one["ModelPackageVersion"] for one in listed["ModelPackageSummaryList"]] == [1, 2]
    assert not any("ModelPackageName" in one for one in listed["ModelPackageSummaryList"]), "AWS lists ARNs alone"
    approved = sagemaker.list_model_packages(ModelPackageGroupName=group, ModelApprovalStatus="Approved")
    assert [one["ModelPackageArn"] for one in approved["ModelPackageSummaryList"]] == [second]


def test_a_number_is_given_once(sagemaker: Any, group: str) -> None:
    sagemaker.delete_model_package(ModelPackageName=register(sagemaker, group))
    assert register(sagemaker, group).endswith("/2")


def test_a_call_that_is_repeated_registers_once(sagemaker: Any, group: str) -> None:
    assert register(sagemaker, group, ClientToken="once") == register(sagemaker, group, ClientToken="once")
    assert register(sagemaker, group, ClientToken="twice").endswith("/2")


@pytest.mark.parametrize("status", [None, "PendingManualApproval", "Rejected"])
def test_what_is_not_approved_is_not_deployed(sagemaker: Any, group: str, status: str | None) -> None:
    arn = register(sagemaker, group, **({"ModelApprovalStatus": status} if status else {}))
    container = {"ModelPackageName": arn}
    message = refusal(sagemaker.create_model, ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    shown = status or "PendingManualApproval"
    why = f"model package fraud/1 has ModelApprovalStatus {shown}: only an Approved one is deployed"
    assert message == f"ValidationException: {why}"
    assert not sagemaker.list_models()["Models"]


def test_an_approval_that_is_taken_back_stops_the_next_deployment(
    sagemaker: Any, wire: Served, group: str
) -> None:
    arn = register(sagemaker, group)
    sagemaker.update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="passed review"
    )
    deploy(sagemaker, arn, "m")
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected")
    message = refusal(sagemaker.create_endpoint, EndpointName="again", EndpointConfigName="m")
    assert "has ModelApprovalStatus Rejected" in message
    shown = sagemaker.describe_model_package(ModelPackageName=arn)
    assert (shown["ModelApprovalStatus"], shown["ApprovalDescription"]) == ("Rejected", "passed review")


def test_a_model_of_a_package_has_its_containers(sagemaker: Any, wire: Served, group: str) -> None:
    arn = register(sagemaker, group, ModelApprovalStatus="Approved")
    deploy(sagemaker, arn, "m", Environment={"B": "2"})
    shown = sagemaker.describe_model(ModelName="m")["PrimaryContainer"]
    assert shown["ModelPackageName"] == arn
    assert shown["Environment"] == {"A": "1", "B": "2"}
    assert "Image" not in shown


def test_an_additional_specification_is_chosen_by_name(sagemaker: Any, group: str) -> None:
    other = {"Name": "small", "Containers": [{**CONTAINER, "Environment": {"SIZE": "small"}}]}
    arn = register(sagemaker, group, ModelApprovalStatus="Approved", AdditionalInferenceSpecifications=[other])
    deploy(sagemaker, arn, "m", InferenceSpecificationName="small")
    assert sagemaker.describe_model(ModelName="m")["PrimaryContainer"]["Environment"] == {"SIZE": "small"}
    container = {"ModelPackageName": arn, "InferenceSpecificationName": "large"}
    message = refusal(sagemaker.create_model, ModelName="n", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    assert "model package fraud/1 has no InferenceSpecification 'large'" in message


def test_a_package_of_no_group_needs_no_approval(sagemaker: Any) -> None:
    arn = sagemaker.create_model_package(ModelPackageName="alone", InferenceSpecification=SPECIFICATION)[
        "ModelPackageArn"
    ]
    deploy(sagemaker, "alone", "m")
    assert "is not in a group" in refusal(
        sagemaker.update_model_package, ModelPackageArn=arn, ModelApprovalStatus="Approved"
    )
    assert [one["ModelPackageArn"] for one in sagemaker.list_model_packages()["ModelPackageSummaryList"]] == [arn]


def test_a_group_with_versions_stays(sagemaker: Any, group: str) -> None:
    arn = register(sagemaker, group)
    assert "still has model packages" in refusal(sagemaker.delete_model_package_group, ModelPackageGroupName=group)
    sagemaker.delete_model_package(ModelPackageName=arn)
    sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    assert not sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]


def test_tags_of_groups_and_versions(sagemaker: Any, group: str) -> None:
    arn = register(sagemaker, group)
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "b"}])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    shown = sagemaker.describe_model_package_group(ModelPackageGroupName=group)
    tags = sagemaker.list_tags(ResourceArn=shown["ModelPackageGroupArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "pay"}]


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({}, "ValidationException: Missing ARN. Give ModelPackageName or ModelPackageGroupName."),
        (
            {"ModelPackageName": "a", "ModelPackageGroupName": "b"},
            "Both ModelPackageName and ModelPackageGroupName are provided in the input. Cannot determine which one",
        ),
        ({"ModelPackageName": "a", "ModelApprovalStatus": "Approved"}, "leave it out"),
        (
            {
                "ModelPackageName": "a",
                "SourceAlgorithmSpecification": {"SourceAlgorithms": [{"AlgorithmName": "a"}]},
            },
            "not supported yet",
        ),
    ],
)
def test_bad_packages_are_refused(sagemaker: Any, members: dict[str, Any], said: str) -> None:
    given = {"InferenceSpecification": SPECIFICATION, **members}
    assert said in refusal(sagemaker.create_model_package, **given)


@pytest.mark.parametrize(
    ("members", "expected"), [({}, "bca"), ({"SortBy": "Name"}, "abc"), ({"SortOrder": "Descending"}, "acb")]
)
def test_packages_and_groups_are_listed_from_the_first_on(
    sagemaker: Any, wire: Served, members: dict[str, Any], expected: str
) -> None:
    for name in "bca":
        wire.clock.advance(1)
        sagemaker.create_model_package_group(ModelPackageGroupName=name)
        sagemaker.create_model_package(ModelPackageName=name)
    groups = sagemaker.list_model_package_groups(**members)["ModelPackageGroupSummaryList"]
    packages = sagemaker.list_model_packages(**members)["ModelPackageSummaryList"]
    assert "".join(one["ModelPackageGroupName"] for one in groups) == expected
    assert "".join(one["ModelPackageName"] for one in packages) == expected


def test_a_version_may_get_its_containers_later(sagemaker: Any, group: str) -> None:
    made = sagemaker.create_model_package(ModelPackageGroupName=group, ModelApprovalStatus="Approved")
    arn = made["ModelPackageArn"]
    shown = sagemaker.describe_model_package(ModelPackageName=arn)
    assert "InferenceSpecification" not in shown
    assert shown["CertifyForMarketplace"] is False
    container = {"ModelPackageName": arn}
    message = refusal(sagemaker.create_model, ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    assert message == (
        "ValidationException: model package fraud/1 has no InferenceSpecification and therefore no containers: "
        "add one with UpdateModelPackage"
    )
    sagemaker.update_model_package(ModelPackageArn=arn, InferenceSpecification=SPECIFICATION)
    deploy(sagemaker, arn, "m")
    shown = sagemaker.describe_model(ModelName="m")["PrimaryContainer"]
    assert shown["ModelPackageName"] == arn


def test_a_container_names_a_package_or_an_image(sagemaker: Any) -> None:
    sagemaker.create_model_package(ModelPackageName="alone", InferenceSpecification=SPECIFICATION)
    container = {"ModelPackageName": "alone", "Image": "tidegate/xgboost"}
    message = refusal(sagemaker.create_model, ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    assert "ModelPackageName and Image exclude each other" in message


def test_clients_recognise_a_group_or_package_that_is_there_or_is_not(sagemaker: Any, group: str) -> None:
    """SageMaker's SDK goes on at "already exists"; pipelines make the group where it "does not exist"."""
    arn = "arn:aws:sagemaker:us-east-1:123456789012:model-package"
    sagemaker.create_model_package(ModelPackageName="alone", InferenceSpecification=SPECIFICATION)
    again = refusal(sagemaker.create_model_package_group, ModelPackageGroupName=group)
    assert again == f"ValidationException: Model Package Group already exists: {arn}-group/fraud"
    again = refusal(sagemaker.create_model_package, ModelPackageName="alone", InferenceSpecification=SPECIFICATION)
    assert again == f"ValidationException: Model Package already exists: {arn}/alone"
    for named in ("none", f"{arn}-group/none"):
        members = {"ModelPackageGroupName": named}
        missing = refusal(sagemaker.create_model_package, InferenceSpecification=SPECIFICATION, **members)
        assert missing == "ValidationException: Model Package Group does not exist."
        for call in (sagemaker.describe_model_package_group, sagemaker.delete_model_package_group):
            assert (
                refusal(call, **members)
                == f"ValidationException: ModelPackageGroup {arn}-group/none does not exist."
            )
    for call in (sagemaker.describe_model_package, sagemaker.delete_model_package):
        missing = refusal(call, ModelPackageName=f"{arn}/fraud/12")
        assert missing == f"ValidationException: ModelPackage {arn}/fraud/12 does not exist."
