"""Run by the Python of the SageMaker SDK v2: ``sdk_models.py URL BUCKET FOLDER FLOW...``.

Each flow is a user's own lines, on a session whose clients go to URL. They run beside one another, as the SDK looks
whether an endpoint is ready only every 30 seconds; so models have names of their own. What came of each is printed as
one line of JSON, an error as the text of its traceback.
"""

import io
import json
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import boto3
import numpy
import sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.model_monitor import DataCaptureConfig
from sagemaker.serializers import CSVSerializer, RecordSerializer
from sagemaker.session_settings import SessionSettings
from sagemaker.sklearn import SKLearnModel
from sagemaker.xgboost import XGBoostModel

ROLE = "arn:aws:iam::000000000000:role/any"
SPARSE = "1:0.5 3:-1\n2:2\n1:1.5 2:0 3:3"
DENSE = [[0.5, 1.0, -1.0], [1.5, 0.0, 3.0]]
PLACE = {"initial_instance_count": 1, "instance_type": "ml.m5.large"}


def session(url: str, bucket: str) -> sagemaker.Session:
    boto_session = boto3.Session(region_name="us-east-1")
    return sagemaker.Session(
        boto_session=boto_session,
        sagemaker_client=boto_session.client("sagemaker", endpoint_url=url),
        sagemaker_runtime_client=boto_session.client("sagemaker-runtime", endpoint_url=url),
        default_bucket=bucket,
        settings=SessionSettings(encrypt_repacked_artifacts=False),  # the S3 of the tests has no KMS
    )


def xgboost_plain(given: sagemaker.Session, bucket: str, folder: str) -> object:
    model = XGBoostModel(
        model_data=f"s3://{bucket}/xgboost/model.tar.gz",
        role=ROLE,
        framework_version="1.7-1",
        sagemaker_session=given,
    )
    predictor = model.deploy(**PLACE)
    sparse = predictor.predict(SPARSE)
    predictor.serializer = RecordSerializer()
    records = predictor.predict(numpy.array(DENSE))
    predictor.serializer, predictor.deserializer = CSVSerializer(), JSONDeserializer()
    scores = predictor.predict(DENSE)
    predictor.delete_endpoint()
    return {"sparse": sparse, "records": records, "scores": scores}


def xgboost_selected(given: sagemaker.Session, bucket: str, folder: str) -> object:
    model = XGBoostModel(
        model_data=f"s3://{bucket}/xgboost/model.tar.gz",
        role=ROLE,
        framework_version="1.7-1",
        env={"SAGEMAKER_INFERENCE_OUTPUT": "predicted_label,probability"},
        name="selected",
        sagemaker_session=given,
    )
    predictor = model.deploy(**PLACE, serializer=CSVSerializer(), deserializer=JSONDeserializer())
    found = predictor.predict(DENSE)
    predictor.delete_endpoint()
    return found


def xgboost_script(given: sagemaker.Session, bucket: str, folder: str) -> object:
    model = XGBoostModel(
        model_data=f"s3://{bucket}/xgboost/model.tar.gz",
        role=ROLE,
        entry_point="serve.py",
        source_dir=folder,
        framework_version="1.7-1",
        name="scripted",
        sagemaker_session=given,
    )
    predictor = model.deploy(**PLACE)
    found = predictor.predict(SPARSE)
    predictor.delete_endpoint()
    return found


def sklearn_script(given: sagemaker.Session, bucket: str, folder: str) -> object:
    model = SKLearnModel(
        model_data=f"s3://{bucket}/sklearn/model.tar.gz",
        role=ROLE,
        entry_point=f"{folder}/inference.py",
        framework_version="1.2-1",
        sagemaker_session=given,
    )
    predictor = model.deploy(**PLACE)
    arrays = predictor.predict(numpy.array(DENSE)).tolist()
    predictor.serializer, predictor.deserializer = CSVSerializer(), JSONDeserializer()
    text = predictor.predict(DENSE)
    predictor.delete_endpoint()
    return {"arrays": arrays, "text": text}


def sklearn_network_isolated(given: sagemaker.Session, bucket: str, folder: str) -> object:
    """The SDK packs the script into the model data."""
    model = SKLearnModel(
        model_data=f"s3://{bucket}/sklearn/model.tar.gz",
        role=ROLE,
        entry_point="inference.py",
        source_dir=folder,
        framework_version="1.2-1",
        enable_network_isolation=True,
        name="isolated",
        sagemaker_session=given,
    )
    predictor = model.deploy(**PLACE)
    arrays = predictor.predict(numpy.array(DENSE)).tolist()
    predictor.delete_endpoint()
    return {"arrays": arrays}


def transform(given: sagemaker.Session, bucket: str, folder: str) -> object:
    """A batch job over libsvm, line by line."""
    given.boto_session.client("s3").put_object(Bucket=bucket, Key="in/rows.libsvm", Body=SPARSE.encode())
    model = XGBoostModel(
        model_data=f"s3://{bucket}/xgboost/model.tar.gz",
        role=ROLE,
        framework_version="1.7-1",
        name="transformed",
        sagemaker_session=given,
    )
    transformer = model.transformer(
        instance_count=1, instance_type="ml.m5.large", assemble_with="Line", output_path=f"s3://{bucket}/out"
    )
    transformer.transform(
        f"s3://{bucket}/in/", content_type="text/libsvm", split_type="Line", wait=True, logs=False
    )
    into = io.BytesIO()
    given.boto_session.client("s3").download_fileobj(bucket, "out/rows.libsvm.out", into)
    return into.getvalue().decode().splitlines()


def xgboost_captured(given: sagemaker.Session, bucket: str, folder: str) -> object:
    """The SDK's own configuration of data capture, and its upload of ground truth's format."""
    model = XGBoostModel(
        model_data=f"s3://{bucket}/xgboost/model.tar.gz",
        role=ROLE,
        framework_version="1.7-1",
        name="captured",
        sagemaker_session=given,
    )
    capture = DataCaptureConfig(True, 100, f"s3://{bucket}/captured", sagemaker_session=given)
    predictor = model.deploy(**PLACE, data_capture_config=capture)
    predictor.serializer, predictor.deserializer = CSVSerializer(), JSONDeserializer()
    scores = predictor.predict(DENSE, inference_id="both")
    status = given.sagemaker_client.describe_endpoint(EndpointName=predictor.endpoint_name)["DataCaptureConfig"]
    predictor.delete_endpoint()
    client = given.boto_session.client("s3")
    waited = time.monotonic() + 60
    while not (found := client.list_objects_v2(Bucket=bucket, Prefix="captured/").get("Contents", [])):
        assert time.monotonic() < waited
        time.sleep(0.2)
    into = io.BytesIO()
    client.download_fileobj(bucket, found[0]["Key"], into)
    lines = [json.loads(line) for line in into.getvalue().decode().splitlines()]
    return {"scores": scores, "status": status["CaptureStatus"], "key": found[0]["Key"], "lines": lines}


FLOWS = [
    xgboost_captured,
    xgboost_plain,
    xgboost_selected,
    xgboost_script,
    sklearn_script,
    sklearn_network_isolated,
    transform,
]


def attempt(flow: str, url: str, bucket: str, folder: str) -> dict[str, object]:
    [run] = [each for each in FLOWS if each.__name__ == flow]
    try:
        return {"found": run(session(url, bucket), bucket, folder)}
    except Exception:
        return {"trouble": traceback.format_exc()}


def main(url: str, bucket: str, folder: str, *flows: str) -> None:
    with ThreadPoolExecutor(len(flows)) as threads:
        ran = {flow: threads.submit(attempt, flow, url, bucket, folder) for flow in flows}
    print("found", json.dumps({flow: each.result() for flow, each in ran.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
