"""Run by the Python of the SageMaker SDK v2: ``sdk_async.py URL BUCKET ENDPOINT``.

A user's own lines: an AsyncPredictor on a session whose clients go to URL, asked for good and for bad answers, both
waited for and looked at later; then the endpoint is deleted.
"""

import os
import sys

import boto3
import sagemaker
from sagemaker.async_inference import WaiterConfig
from sagemaker.deserializers import CSVDeserializer
from sagemaker.exceptions import AsyncInferenceModelError
from sagemaker.predictor import Predictor
from sagemaker.predictor_async import AsyncPredictor
from sagemaker.serializers import CSVSerializer

SOON = WaiterConfig(max_attempts=120, delay=1)


def main(url: str, bucket: str, endpoint: str) -> None:
    boto_session = boto3.Session(region_name="us-east-1")
    session = sagemaker.Session(
        boto_session=boto_session,
        sagemaker_client=boto_session.client("sagemaker", endpoint_url=url),
        sagemaker_runtime_client=boto_session.client("sagemaker-runtime", endpoint_url=url),
        default_bucket=bucket,
    )
    one = Predictor(endpoint, session, CSVSerializer(), CSVDeserializer())
    predictor = AsyncPredictor(one, name="by-sdk")
    given = {"ContentType": "text/csv", "Accept": "text/csv"}
    rows = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]]
    print("waited", predictor.predict(data=rows, initial_args=given, waiter_config=SOON))
    later = predictor.predict_async(data=rows, initial_args=given, inference_id="mine")
    print("path", later.output_path)
    print("later", later.get_result(SOON))
    try:
        predictor.predict(data="no,row,of,numbers", initial_args=given, waiter_config=SOON)
    except AsyncInferenceModelError as error:
        print("refused", error)
    predictor.delete_endpoint()


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # the SDK's threads look for the file that did not come for two minutes more
