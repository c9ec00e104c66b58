"""The scenarios on a target that is not shipped: the author of another one needs a Provider and a Lab, no more."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.lab import Load
from tests.conformance.local_lab import ENVIRONMENTS, http_load
from tests.conformance.memory_cloud import MemoryCloud, memory_cloud
from tests.conformance.memory_target import NAME
from tests.conformance.run import run_scenario, scenarios
from tidegate.host.platform import Platform

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]


@dataclass
class MemoryLab:
    platform: Platform
    cloud: MemoryCloud
    door: str
    target: str = NAME
    patience: float = 90.0
    differences: Mapping[str, str] = field(default_factory=dict)

    def model(self, version: str) -> dict[str, Any]:
        return {"image": "test/any", "environment": dict(ENVIRONMENTS[version])}

    def load(self, endpoint: str) -> contextlib.AbstractContextManager[Load]:
        return http_load(self.door, endpoint)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        self.cloud.away = True
        try:
            yield
        finally:
            self.cloud.away = False

    def left(self, endpoint: str) -> list[str]:
        return [name for name in list(self.cloud.fleets) if name.startswith(f"{endpoint}/")]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryLab]:
    targets = tmp_path_factory.mktemp("memory") / "targets.yaml"
    with memory_cloud() as (cloud, api, door):
        targets.write_text(yaml.safe_dump({NAME: {"url": api}}))
        environment = {"TIDEGATE_TARGETS": str(targets), "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
        with Platform(environment=environment, program="tests.conformance.memory_target") as platform:
            yield MemoryLab(platform, cloud, door)


QUICK = [
    "deploy",
    "linear to success",
    "rollback by error alarm",
    "pause across a controller restart",
    "API away in mid-rollout",
    "delete",
]


@pytest.mark.parametrize("scenario", scenarios(QUICK))
def test_conforms(lab: MemoryLab, scenario: str) -> None:
    run_scenario(lab, scenario)
