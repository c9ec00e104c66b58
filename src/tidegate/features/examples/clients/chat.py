"""Asks questions by boto3 and prints the answers as they are generated.

``python client.py ENDPOINT [COUNT]``; the server is at TIDEGATE_URL.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import boto3


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
        asked = json.loads(one["body"])
        print(asked["messages"][-1]["content"])
        answer = runtime.invoke_endpoint_with_response_stream(
            EndpointName=endpoint,
            ContentType="application/json",
            Body=json.dumps({**asked, "stream": True}).encode(),
        )
        for text in events(part["PayloadPart"]["Bytes"] for part in answer["Body"] if "PayloadPart" in part):
            print(text, end="", flush=True)
        print(f"\n  in truth: {one['expected']}\n")


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
