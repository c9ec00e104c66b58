"""What clients of AWS rely on, by boto3 against a whole platform."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.scene import XGBOOST, Scene, train
from tidegate.host.platform import Platform

pytestmark = pytest.mark.e2e
ROW = [[0.1, 0.2, 0.3, 0.4]]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """With the endpoint ``fraud``."""
    data = train(tmp_path_factory.mktemp("model"), 1, features=4, trees=5)
    with Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "5"}) as platform:
        made = Scene(platform)
        made.sagemaker.create_model(ModelName="fraud", PrimaryContainer={"Image": XGBOOST, "ModelDataUrl": data})
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": "fraud",
            "InitialInstanceCount": 1,
            "InstanceType": "local",
        }
        made.sagemaker.create_endpoint_config(EndpointConfigName="fraud", ProductionVariants=[variant])
        made.create("fraud", "fraud")
        yield made


def test_a_model_without_its_data_fails_at_the_call(scene: Scene, tmp_path: Path) -> None:
    url = (tmp_path / "absent.tar.gz").as_uri()
    with pytest.raises(ClientError) as refused:
        scene.sagemaker.create_model(ModelName="x", PrimaryContainer={"Image": XGBOOST, "ModelDataUrl": url})
    error = refused.value.response["Error"]
    assert (error["Code"], error["Message"]) == ("ValidationException", f"Could not find model data at {url}.")


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"InferenceComponentName": "part"}, "Inference Component Name header is not allowed for endpoints"),
        ({"EnableExplanations": "`true`"}, "does not support enable explanations header"),
    ],
)
def test_what_the_endpoint_has_not_is_refused(scene: Scene, members: dict[str, str], says: str) -> None:
    with pytest.raises(ClientError, match=f"ValidationError.*{says}"):
        scene.invoke("fraud", ROW, **members)
    assert scene.invoke("fraud", ROW)["Body"].read().endswith(b"\n")


def test_the_log_of_a_deployment_is_followed_as_the_sdk_does(scene: Scene) -> None:
    pages = scene.client("logs").get_paginator("filter_log_events")
    group = "/aws/sagemaker/Endpoints/fraud"
    found = [page["events"] for page in pages.paginate(logGroupName=group, logStreamNamePrefix="AllTraffic/")]
    events = [event for page in found for event in page]
    assert any("ready" in event["message"] for event in events)
    assert {event["logStreamName"].partition("/")[0] for event in events} == {"AllTraffic"}
