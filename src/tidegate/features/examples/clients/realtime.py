"""Sends a few of the example's requests by boto3, and prints each answer beside what turned out to be true.

``python client.py ENDPOINT [COUNT]``; the server is at TIDEGATE_URL.
"""

import json
import os
import sys
from pathlib import Path

import boto3

TARGET = {
    "X-Amzn-SageMaker-Target-Model": "TargetModel",
    "X-Amzn-SageMaker-Target-Container-Hostname": "TargetContainerHostname",
}


def main(endpoint: str, count: int) -> None:
    runtime = boto3.client(
        "sagemaker-runtime",
        endpoint_url=os.environ.get("TIDEGATE_URL", "http://127.0.0.1:8471"),
        region_name="us-east-1",
        aws_access_key_id=os.environ.get("AWS_ACCESS_KEY_ID", "any"),
        aws_secret_access_key=os.environ.get("AWS_SECRET_ACCESS_KEY", "any"),
    )
    lines = Path(__file__).with_name("requests.jsonl").read_text().splitlines()
    for one in map(json.loads, lines[:count]):
        named = {TARGET[name]: value for name, value in one["headers"].items() if name in TARGET}
        answer = runtime.invoke_endpoint(
            EndpointName=endpoint, ContentType=one["content_type"], Body=one["body"].encode(), **named
        )
        told = " ".join(answer["Body"].read().decode().split())
        print(f"{answer['InvokedProductionVariant']}: {told}\n  in truth: {one['expected'] or 'not known'}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3)
