"""The target at Lambda. Its control plane is ministack; weighted routing and the environments of versions are a
simulator's, which runs the packages that were uploaded under AWS's own runtime client."""

import base64
import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import yaml

from tests.conformance.aws_credentials import ENVIRONMENT, REGION, sign
from tests.conformance.aws_edge import AwsEdge
from tests.conformance.front_door import Forwarder, Reply, Request, front_door
from tests.conformance.function_environments import Functions, Version, choose
from tests.conformance.lab import Load
from tests.conformance.local_lab import http_load
from tests.conformance.model_package import IMAGE, environment, write_package
from tests.integration.ministack import ministack
from tests.lambda_runtime import Ended
from tests.unit.serving.aws_lambda.lambda_events import http_api
from tidegate.host.platform import Platform

API = "/2015-03-31/functions"
PREFIX = "tidegate-"
RATE = 10.0
"""Requests a second: each that is answered slowly takes an environment, which is a process here."""
ALIAS_AGE = 0.05
"""Seconds for which an alias may be an old one."""
PLACE = (
    "ministack's control plane, with a simulator of ours for routing by weight, for the environments (processes under"
    " AWS's runtime client) and for CloudWatch"
)
REMARKS = {
    "scale in mid-rollout": "Lambda scales by itself: the number of instances is the platform's record alone",
    "rollback by failed start": "Lambda starts a version with its first request, which is the target's own ping",
}


@dataclass
class LambdaService:
    """Lambda as clients see it: ministack, and the simulator where it invokes."""

    ministack: str
    functions: Functions
    forward: Forwarder
    edge: AwsEdge | None = None
    _aliases: dict[tuple[str, str], tuple[float, Mapping[str, Any] | None]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: Request) -> Reply | None:
        """Of the API. None: ministack's answer counts."""
        parts = urlsplit(request.path)
        if parts.path.endswith("/invocations"):
            function = parts.path.split("/")[3]
            return self._invoke(function, parse_qs(parts.query)["Qualifier"][0], request.body)
        if request.method in ("POST", "PUT") and (parts.path == API or parts.path.endswith("/code")):
            given = json.loads(request.body)
            if packed := given.get("Code", given).get("ZipFile"):
                package = base64.b64decode(packed)
                digest = base64.b64encode(hashlib.sha256(package).digest()).decode()
                self.functions.packages[digest] = package
        return None

    def _invoke(self, function: str, qualifier: str, payload: bytes) -> Reply:
        number = qualifier
        if not qualifier.isdecimal():
            number = choose(self.alias(function, qualifier) or {})[0]
        ended, _ = self.functions.invoke(function, number, json.loads(payload))
        headers = {"X-Amz-Executed-Version": number, "Content-Type": "application/json"}
        if ended.error:
            told = {"errorType": ended.error, "errorMessage": ended.message}
            return Reply(200, {**headers, "X-Amz-Function-Error": "Unhandled"}, json.dumps(told).encode())
        return Reply(200, headers, json.dumps(ended.value).encode())

    def front(self, request: Request) -> Reply:
        """Of a Function URL of each endpoint's alias."""
        function = PREFIX + request.path.split("/")[2]
        alias = self.alias(function, "live")
        if alias is None:
            return Reply(404)
        number, split = choose(alias)
        kept = {name: value for name, value in request.headers.items() if name in ("content-type", "accept")}
        began = time.monotonic()
        ended, written = self.functions.invoke(function, number, http_api(request.body, kept))
        self._count(function, number, split, ended, (time.monotonic() - began) * 1000, written)
        if not isinstance(ended.value, dict):
            return Reply(502, {}, f"{ended.error}: {ended.message}".encode())
        body = str(ended.value.get("body", ""))
        content = base64.b64decode(body) if ended.value.get("isBase64Encoded") else body.encode()
        return Reply(int(ended.value["statusCode"]), dict(ended.value.get("headers", {})), content)

    def alias(self, function: str, name: str) -> Mapping[str, Any] | None:
        with self._lock:
            at, known = self._aliases.get((function, name), (0.0, None))
            if time.monotonic() - at > ALIAS_AGE:
                known = self.read(f"{API}/{function}/aliases/{name}")
                self._aliases[function, name] = time.monotonic(), known
                if known is not None and name == "live":
                    weights = (known.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
                    self.functions.keep(function, {str(known["FunctionVersion"]), *weights})
        return known

    def describe(self, function: str, number: str) -> Version:
        found = self.read(f"{API}/{function}/configuration?Qualifier={number}") or {}
        return Version(number, found["CodeSha256"], found["Environment"]["Variables"])

    def read(self, path: str) -> dict[str, Any] | None:
        """None: there is no such thing."""
        headers = sign("GET", f"http://{self.ministack}{path}", b"", {}, "lambda")
        reply = self.forward.send(self.ministack, Request("GET", path, headers, b""))
        return dict(json.loads(reply.body)) if reply.status == 200 else None

    def _count(
        self,
        function: str,
        number: str,
        split: bool,
        ended: Ended,
        duration: float,
        written: list[Mapping[str, Any]],
    ) -> None:
        """As Lambda does: the executed version is named only while the alias routes to two."""
        assert self.edge is not None
        common = {"FunctionName": function, "Resource": f"{function}:live"}
        for dimensions in [common, *([{**common, "ExecutedVersion": number}] if split else [])]:
            self.edge.metrics.put("AWS/Lambda", "Invocations", dimensions, 1)
            self.edge.metrics.put("AWS/Lambda", "Errors", dimensions, bool(ended.error))
            self.edge.metrics.put("AWS/Lambda", "Duration", dimensions, duration)
        for line in written:
            for one in line["_aws"]["CloudWatchMetrics"]:
                for names in one["Dimensions"]:
                    own = {name: str(line[name]) for name in names}
                    for metric in one["Metrics"]:
                        self.edge.metrics.put(one["Namespace"], metric["Name"], own, float(line[metric["Name"]]))


@dataclass
class LambdaLab:
    platform: Platform
    service: LambdaService
    edge: AwsEdge
    door: str
    package: Path
    target: str = "lambda"
    patience: float = 120.0
    differences: Mapping[str, str] = field(default_factory=dict)

    def model(self, version: str) -> dict[str, Any]:
        return {"image": IMAGE, "data": self.package.as_uri(), "environment": dict(environment(version))}

    def load(self, endpoint: str) -> contextlib.AbstractContextManager[Load]:
        return http_load(self.door, endpoint, RATE)

    def away(self) -> contextlib.AbstractContextManager[None]:
        return self.edge.cut_off()

    def left(self, endpoint: str) -> list[str]:
        found = self.service.read(f"{API}/{quote(PREFIX + endpoint)}")
        return [PREFIX + endpoint] if found is not None else []


@contextlib.contextmanager
def lambda_lab(folder: Path) -> Iterator[LambdaLab]:
    with contextlib.ExitStack() as stack:
        emulator = urlsplit(stack.enter_context(ministack(folder))).netloc
        forward = stack.enter_context(Forwarder())
        functions = Functions(folder, lambda function, number: service.describe(function, number))
        service = LambdaService(emulator, functions, forward)
        stack.callback(service.functions.end)
        service.edge = edge = AwsEdge(emulator, forward, {"lambda": service.answer})
        url = stack.enter_context(front_door(edge.answer))
        settings = {
            "region": REGION,
            "role": "arn:aws:iam::000000000000:role/fraud",
            "endpoint_url": url,
            "metric_period": 1,
            "metric_delay": 2,
            "deadline": 5,
        }
        targets = folder / "targets.yaml"
        targets.write_text(yaml.safe_dump({"lambda": settings}))
        own = {
            "TIDEGATE_TARGETS": str(targets),
            "TIDEGATE_TRUST": "code",
            "TIDEGATE_REGION": REGION,
            **ENVIRONMENT,
        }
        platform = stack.enter_context(Platform(environment=own))
        door = stack.enter_context(front_door(service.front))
        yield LambdaLab(platform, service, edge, door, write_package(folder))
