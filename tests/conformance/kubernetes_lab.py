"""The Kubernetes target: pods behind gateways, in a real cluster or in one whose pods are processes."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.conformance.lab import Load
from tests.conformance.local_lab import ENVIRONMENTS, RATE, HttpLoad
from tidegate.host.platform import Platform
from tidegate.load import LoadGenerator

IMAGE = "test/stand-in"
PROGRAM = Path(__file__).parents[1] / "integration" / "stand_in_model.py"


def image_table(python: str, program: Path) -> str:
    """The server's table of images, for pods in which ``program`` can be read."""
    return yaml.safe_dump({"images": {IMAGE: {"command": [python, str(program)]}}})


def _stand_in_model(version: str) -> dict[str, Any]:
    return {"image": IMAGE, "environment": dict(ENVIRONMENTS[version])}


@dataclass
class KubernetesLab:
    platform: Platform
    gateway: Callable[[], str]
    """URL of the gateways."""
    cut_off: Callable[[], AbstractContextManager[None]]
    """The API server cannot be reached."""
    find: Callable[[str], list[str]]
    """Names of the objects of an endpoint."""
    patience: float
    target: str = "kubernetes"
    differences: Mapping[str, str] = field(default_factory=dict)
    make_model: Callable[[str], dict[str, Any]] = _stand_in_model

    def model(self, version: str) -> dict[str, Any]:
        return self.make_model(version)

    @contextlib.contextmanager
    def load(self, endpoint: str) -> Iterator[Load]:
        path, headers = f"/endpoints/{endpoint}/invocations", {"Content-Type": "text/csv"}
        with LoadGenerator(self.gateway(), path, b"1,2,3", headers, RATE, connections=32) as running:
            yield HttpLoad(running)
            running.stop()

    def away(self) -> AbstractContextManager[None]:
        return self.cut_off()

    def left(self, endpoint: str) -> list[str]:
        return self.find(endpoint)
