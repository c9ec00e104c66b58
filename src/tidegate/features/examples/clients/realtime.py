"""Sends a few of the example's requests by boto3, and prints each answer beside what turned out to be true.

Answers to questions are printed while they are generated. ``python client.py ENDPOINT [COUNT]``; the server is at
TIDEGATE_URL.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

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
        asked = {"EndpointName": endpoint, "ContentType": one["content_type"], **named}
        if '"messages"' in one["body"]:
            chat(runtime, asked, json.loads(one["body"]))
        else:
            answer = runtime.invoke_endpoint(Body=one["body"].encode(), **asked)
            told = " ".join(answer["Body"].read().decode().split())
            print(f"{answer['InvokedProductionVariant']}: {told}")
        print(f"  in truth: {one['expected'] or 'not known'}")


def chat(runtime: Any, asked: dict[str, Any], body: dict[str, Any]) -> None:
    print(body["messages"][-1]["content"])
    streamed = json.dumps({**body, "stream": True}).encode()
    answer = runtime.invoke_endpoint_with_response_stream(Body=streamed, **asked)
    for text in events(part["PayloadPart"]["Bytes"] for part in answer["Body"] if "PayloadPart" in part):
        print(text, end="", flush=True)
    print()


def events(parts: Iterable[bytes]) -> Iterator[str]:
    """The texts in server-sent events, which may be cut anywhere."""
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            if line.startswith(b"data: {"):
                yield json.loads(line.removeprefix(b"data: "))["choices"][0].get("delta", {}).get("content") or ""


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3)
