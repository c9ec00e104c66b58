"""The local target: workers of this machine behind its proxy."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.lab import BETTER, FAILING, GOOD, SLOW, UNSTARTABLE, Load, Traffic
from tidegate.host.platform import Platform
from tidegate.load import LoadGenerator

RATE = 50.0
ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {
    GOOD: {"GENERATION": "1"},
    BETTER: {"GENERATION": "2"},
    FAILING: {"FAIL_EVERY": "1"},
    SLOW: {"DELAY_MS": "1000"},
    UNSTARTABLE: {"CRASH": "1"},
}


@dataclass(frozen=True)
class HttpLoad:
    """Load through an HTTP front door that names the config in its answers."""

    generator: LoadGenerator

    def seen(self) -> Traffic:
        report = self.generator.snapshot()
        served = {config: tally.count - tally.failed for config, tally in report.by_config.items() if config}
        return Traffic(report.sent, report.failed, {name: count for name, count in served.items() if count})


@contextlib.contextmanager
def http_load(url: str, endpoint: str, rate: float = RATE, body: bytes = b"1,2,3") -> Iterator[Load]:
    """Requests to a front door with SageMaker's paths."""
    path, headers = f"/endpoints/{endpoint}/invocations", {"Content-Type": "text/csv"}
    with LoadGenerator(url, path, body, headers, rate, connections=32) as running:
        yield HttpLoad(running)
        running.stop()


@dataclass
class LocalLab:
    platform: Platform
    image: str
    target: str = "local"
    patience: float = 90.0
    differences: Mapping[str, str] = field(
        default_factory=lambda: {
            "API away in mid-rollout": "the local target has no API: it is part of the platform"
        }
    )

    def model(self, version: str) -> dict[str, Any]:
        return {"image": self.image, "environment": dict(ENVIRONMENTS[version])}

    def load(self, endpoint: str) -> contextlib.AbstractContextManager[Load]:
        return http_load(self.platform.url, endpoint)

    def away(self) -> contextlib.AbstractContextManager[None]:
        raise NotImplementedError(self.differences["API away in mid-rollout"])

    def left(self, endpoint: str) -> list[str]:
        return [path.name for path in (self.platform.state / "fleets" / endpoint).glob("*")]
