"""What works on a server whatever features are off: run by ``test_features.py`` in a process of its own, with
TIDEGATE_FEATURES or with packages that are gone. Prints what each question was answered as JSON."""

import asyncio
import json
import sys
from typing import Any

import httpx

from tests.gateway_harness import GatewayHarness
from tidegate.cli.commands import ENTRIES
from tidegate.compose.controller import find_protocol
from tidegate.console.late_routes import LateRoutes
from tidegate.gateway.app import build_app
from tidegate.host.features import features
from tidegate.service import prometheus

SPEC: dict[str, Any] = {
    "endpoint": "fraud",
    "model": {"image": "tidegate/xgboost", "data": "file:///models/fraud.tar.gz"},
    "instances": 2,
    "rollout": {"strategy": "canary", "size": "50%", "wait": "1m"},
}
MEMBERS = {
    "DataCaptureConfig": {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://captures/a",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    },
    "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://answers/a"}},
    "ShadowProductionVariants": [{"VariantName": "s", "ModelName": "m"}],
}
"""Of CreateEndpointConfig, each served by a feature."""
HTML = {"accept": "text/html"}


def with_section(key: str) -> dict[str, object]:
    """The spec with an empty section."""
    parent, _, last = key.rpartition(".")
    if parent == "alarms":
        return {**SPEC, parent: {"one": {last: "http://127.0.0.1:9", "above": 1}}}
    return {**SPEC, parent: {**SPEC["model"], last: {}}} if parent else {**SPEC, last: {}}


async def ask(asked: list[list[str]]) -> dict[str, object]:
    """``asked``: method and path of further requests."""
    house = GatewayHarness()
    app = build_app(house.gateway, LateRoutes(house.gateway, {}).routes)
    found: dict[str, object] = {}
    shown: dict[str, str] = {}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8471", headers=HTML
    ) as client:
        found["deploy"] = (await client.put("/tidegate/v1/deploy", json={"spec": SPEC})).status_code
        for path in (
            "/tidegate/v1/endpoints/fraud",
            "/console",
            "/console/endpoints/fraud",
            "/console/endpoints/fraud/card",
            "/console/endpoints.csv",
            "/metrics",
            "/healthz",
        ):
            answer = await client.get(path)
            found[path], shown[path] = answer.status_code, answer.text
        listed = await client.post("/", content=b"{}", headers={"x-amz-target": "SageMaker.ListEndpoints"})
        found["ListEndpoints"] = listed.status_code
        config = {"EndpointConfigName": "c", "ProductionVariants": [{"VariantName": "v", "ModelName": "m"}]}
        for member, value in MEMBERS.items():
            body = json.dumps({**config, member: value})
            target = {"x-amz-target": "SageMaker.CreateEndpointConfig"}
            found[member] = (await client.post("/", content=body, headers=target)).text
        for one in features().switched_off:
            for section in one.feature.sections:
                put = {"spec": with_section(section.key)}
                found[f"section {section.key}"] = (await client.put("/tidegate/v1/deploy", json=put)).text
        for method, path in asked:
            answer = await client.request(method, path, headers={"accept": "application/json"})
            found[f"{method} {path}"] = [answer.status_code, answer.text]
        found["delete"] = (await client.delete("/tidegate/v1/endpoints/fraud?force=1")).status_code
    await house.store.close()
    shown["metrics"] = " ".join(name for name, _, _ in prometheus.families())
    shown["protocol"] = type(find_protocol(house.gateway)).__name__
    found["shown"] = shown
    found["commands"] = sorted(entry.name for _, entry in ENTRIES)
    found["on"] = sorted(one.feature.name for one in features())
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ask(json.loads(sys.argv[1])))))
