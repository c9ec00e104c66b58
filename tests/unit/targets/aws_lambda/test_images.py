"""A function from a container image: the image is of one model, and no other version may run it."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.targets.aws_lambda.test_target import FUNCTION, OPTIONS, spec
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.targets.aws.ownership import owner_tags
from tidegate.targets.aws_lambda.description import configuration, creation
from tidegate.targets.aws_lambda.options import AwsLambdaOptions
from tidegate.targets.aws_lambda.versions import (
    DesiredCode,
    DesiredVersion,
    LambdaCall,
    ObservedFunction,
    VersionFailure,
    next_step,
    parse_configuration,
)

ADDRESS = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/fraud"


def wanted(tag: str, data: str, generation: int, **environment: str) -> DesiredVersion:
    given = {name: getattr(OPTIONS, name) for name in ("region", "role")}
    options = AwsLambdaOptions(**given, package="image", image_uri=f"{ADDRESS}:{tag}")
    fleet = spec(generation)
    model = Model(
        "model", (ContainerDefinition("tidegate/xgboost", data, environment),), fleet.variant.model.created_at
    )
    fleet = replace(fleet, variant=replace(fleet.variant, model=model))
    code = DesiredCode({"ImageUri": options.image_uri}, image=options.image_uri)
    tags = creation(options, owner_tags("id", "fraud"))
    return DesiredVersion(fleet.id, FUNCTION, f"v{generation}", 1, 1, code, configuration(options, fleet), tags)


def seen(one: DesiredVersion, image: str = "") -> ObservedFunction:
    """The function as ``one`` left it."""
    members: dict[str, Any] = {"State": "Active", "LastUpdateStatus": "Successful", **one.configuration}
    return ObservedFunction(parse_configuration(members), image or one.code.image)


@pytest.mark.parametrize("other", [{"data": "s3://models/v2.ubj"}, {"data": "s3://models/v1.ubj", "LIMIT": "2"}])
def test_another_model_is_not_served_by_the_image_of_the_one_before(other: dict[str, str]) -> None:
    first = wanted("1", "s3://models/v1.ubj", 1)
    step = next_step(wanted("1", generation=2, **other), seen(first))
    assert isinstance(step, VersionFailure) and "image_uri" in step.reason
    assert isinstance(next_step(wanted("1", "s3://models/v1.ubj", 2), seen(first)), LambdaCall), "the same model"


def test_an_image_of_its_own_is_taken_also_after_an_interruption() -> None:
    first, second = wanted("1", "s3://models/v1.ubj", 1), wanted("2", "s3://models/v2.ubj", 2)
    step = next_step(second, seen(first))
    assert isinstance(step, LambdaCall) and step.operation == "UpdateFunctionCode"
    step = next_step(second, seen(first, second.code.image))  # it ended before the configuration was set
    assert isinstance(step, LambdaCall) and step.operation == "UpdateFunctionConfiguration"
