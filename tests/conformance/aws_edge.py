"""One address for all services of AWS: an emulator, and in front of it what the emulator lacks."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.conformance.front_door import Forwarder, Reply, Request
from tests.fake_aws.clock import FakeClock
from tests.fake_aws.cloudwatch import FakeCloudWatch
from tests.fake_aws.http import answer_call

_SCOPE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/aws4_request")
METRICS_KEPT = 120.0
"""Seconds."""


class WallClock(FakeClock):
    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass
class Metrics:
    """A simulator of CloudWatch: it has what the front doors of these tests count."""

    store: FakeCloudWatch = field(default_factory=lambda: FakeCloudWatch(WallClock(datetime.now(UTC)), ""))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, namespace: str, name: str, dimensions: Mapping[str, str], value: float) -> None:
        with self._lock:
            self.store.put(namespace, name, dimensions, value, datetime.now(UTC))

    def answer(self, request: Request) -> Reply:
        target = request.headers.get("x-amz-target", "") or request.path
        operation = target.rpartition("/")[2].rpartition(".")[2] or target.rpartition("/")[2]
        assert operation == "GetMetricData", f"the simulator of CloudWatch has no {operation}"
        with self._lock:
            status, headers, body = answer_call(
                self.store.get_metric_data,
                "cloudwatch",
                operation,
                request.path,
                dict(request.headers),
                request.body,
            )
        return Reply(status, headers, body)


@dataclass
class AwsEdge:
    """``emulator``: HOST:PORT. ``own``: service in signatures -> who answers its requests, or says None: the emulator
    does."""

    emulator: str
    forward: Forwarder
    own: Mapping[str, Callable[[Request], Reply | None]] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=Metrics)
    away: bool = False

    def answer(self, request: Request) -> Reply | None:
        if self.away:
            return None
        service = service_of(request)
        if service == "monitoring":
            return self.metrics.answer(request)
        handler = self.own.get(service)
        reply = handler(request) if handler is not None else None
        return reply if reply is not None else self.forward.send(self.emulator, request)

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        self.away = True
        try:
            yield
        finally:
            self.away = False


def service_of(request: Request) -> str:
    found = _SCOPE.search(request.headers.get("authorization", ""))
    return found[1] if found else ""
