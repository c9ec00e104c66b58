"""Queues scans by boto3, waits for what was read of them, and prints it beside what they say.

``python client.py ENDPOINT [COUNT]``; the server is at TIDEGATE_URL and keeps its answers on this machine.
"""

import json
import os
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import boto3

SECONDS = 300
"""To wait for each answer: the first instance is started for the first scan."""


def main(endpoint: str, count: int) -> None:
    runtime = boto3.client(
        "sagemaker-runtime",
        endpoint_url=os.environ.get("TIDEGATE_URL", "http://127.0.0.1:8471"),
        region_name="us-east-1",
        aws_access_key_id=os.environ.get("AWS_ACCESS_KEY_ID", "any"),
        aws_secret_access_key=os.environ.get("AWS_SECRET_ACCESS_KEY", "any"),
    )
    folder = Path(__file__).resolve().parent
    for one in map(json.loads, (folder / "requests.jsonl").read_text().splitlines()[:count]):
        queued = runtime.invoke_endpoint_async(
            EndpointName=endpoint,
            ContentType=one["content_type"],
            InputLocation=(folder / one["file"]).as_uri(),
        )
        print(one["file"])
        print(f"  read:     {wait(queued['OutputLocation'], queued.get('FailureLocation'))}")
        print(f"  in truth: {one['expected']}")


def wait(output: str, failure: str | None) -> str:
    """The answer; the reason if there is none."""
    places = [Path(unquote(urlsplit(one).path)) for one in (output, failure) if one]
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for place in places:
            if place.exists():
                return place.read_text()
        time.sleep(0.2)
    raise SystemExit(f"no answer within {SECONDS} seconds: {output}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3)
