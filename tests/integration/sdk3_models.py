"""Run by the Python of the SageMaker SDK v3: ``sdk3_models.py FLOW BUCKET FOLDER``.

A user's own lines with ModelBuilder; the clients find their servers by AWS's environment variables. What came of them
is printed as one line of JSON.
"""

import json
import sys

import boto3
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.inference_config import AsyncInferenceConfig, ServerlessInferenceConfig
from sagemaker.core.resources import Endpoint, EndpointConfig, Model
from sagemaker.core.session_settings import SessionSettings
from sagemaker.core.shapes import ProductionVariant
from sagemaker.core.training.configs import SourceCode
from sagemaker.serve import ModelBuilder

ROLE = "arn:aws:iam::000000000000:role/any"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
ROWS = b"0.5,1.0,-1.0\n1.5,0.0,3.0\n"
PLACE = {"initial_instance_count": 1, "instance_type": "ml.m5.large"}


def session(bucket: str) -> Session:
    settings = SessionSettings(encrypt_repacked_artifacts=False)  # the S3 of the tests has no KMS
    return Session(boto3.Session(region_name="us-east-1"), default_bucket=bucket, settings=settings)


def builder(given: Session, bucket: str, **more: object) -> ModelBuilder:
    return ModelBuilder(
        image_uri=IMAGE,
        s3_model_data_url=f"s3://{bucket}/xgboost/model.tar.gz",
        role_arn=ROLE,
        sagemaker_session=given,
        instance_type="ml.m5.large",
        **more,
    )


def ask(endpoint: Endpoint) -> str:
    answer = endpoint.invoke(body=ROWS, content_type="text/csv", accept="text/csv")
    data: bytes = answer.body.read()
    return data.decode()


def remove(endpoint: Endpoint) -> list[int]:
    """What is left of endpoints, configs and models."""
    endpoint.delete()
    endpoint.wait_for_delete(poll=1, timeout=100)
    for each in (*EndpointConfig.get_all(), *Model.get_all()):
        each.delete()
    return [len(list(kind.get_all())) for kind in (Endpoint, EndpointConfig, Model)]


def built(given: Session, bucket: str, folder: str) -> object:
    """A model by its image and data: built, deployed, asked, updated, deleted."""
    first = builder(given, bucket)
    model = first.build(model_name="first")
    endpoint = first.deploy(endpoint_name="by-builder", **PLACE)
    before = ask(endpoint)
    second = builder(given, bucket)
    second.build(model_name="second")
    # By its resource: deploy(update_endpoint=True) of sagemaker-serve 1.27 fails inside the SDK, before any call.
    variant = ProductionVariant(variant_name="AllTraffic", model_name="second", **PLACE)
    EndpointConfig.create(endpoint_config_name="second", production_variants=[variant])
    endpoint.endpoint_config_name = "second"
    endpoint.update()
    endpoint.wait_for_status("InService", poll=1, timeout=200)
    endpoint.refresh()
    found = {
        "model": model.model_name,
        "config": endpoint.endpoint_config_name,
        "before": before,
        "after": ask(endpoint),
    }
    return {**found, "left": remove(endpoint)}


def serverless(given: Session, bucket: str, folder: str) -> object:
    made = builder(given, bucket)
    made.build(model_name="on-demand")
    config = ServerlessInferenceConfig(memory_size_in_mb=2048, max_concurrency=2)
    endpoint = made.deploy(endpoint_name="on-demand", inference_config=config)
    return {"answer": ask(endpoint), "left": remove(endpoint)}


def asynchronous(given: Session, bucket: str, folder: str) -> object:
    made = builder(given, bucket)
    made.build(model_name="queued")
    config = AsyncInferenceConfig(output_path=f"s3://{bucket}/out", failure_path=f"s3://{bucket}/failed")
    endpoint = made.deploy(endpoint_name="queued", inference_config=config, **PLACE)
    s3 = boto3.client("s3")
    s3.put_object(Bucket=bucket, Key="in/rows.csv", Body=ROWS)
    taken = endpoint.invoke_async(
        input_location=f"s3://{bucket}/in/rows.csv", content_type="text/csv", accept="text/csv"
    )
    key = taken.output_location.removeprefix(f"s3://{bucket}/")
    s3.get_waiter("object_exists").wait(Bucket=bucket, Key=key, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    answer = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    return {"answer": answer, "left": remove(endpoint)}


def scripted(given: Session, bucket: str, folder: str) -> object:
    """The user's own script is packed into the model's archive."""
    code = SourceCode(source_dir=folder, entry_script="serve.py")
    made = builder(given, bucket, source_code=code)
    made.build(model_name="scripted")
    endpoint = made.deploy(endpoint_name="scripted", **PLACE)
    return {"answer": ask(endpoint), "left": remove(endpoint)}


if __name__ == "__main__":
    flow, bucket, folder = sys.argv[1:]
    print("found", json.dumps(globals()[flow](session(bucket), bucket, folder)), flush=True)
