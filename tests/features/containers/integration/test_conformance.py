"""The scenarios of every target with an image of the user's, run by the local target."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conformance.local_lab import LocalLab
from tests.conformance.own_images import COLUMN, PLACES, VERSIONS
from tests.conformance.run import run_scenario, scenarios
from tests.features.containers.container_images import Images, run_images
from tidegate.host.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
QUICK = ("deploy", "rolling to success", "rollback by failed start", "delete")
"""What is not tested with images elsewhere; ``make conformance`` runs all."""


@dataclass
class ImageLab(LocalLab):
    images: Images | None = None

    def model(self, version: str) -> dict[str, Any]:
        return {"container": f"{self.image}:{version}", **PLACES}

    def left(self, endpoint: str) -> list[str]:
        """Folders of its instances, and containers, since no other endpoint has any."""
        assert self.images is not None
        return [*super().left(endpoint), *self.images.names()]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalLab]:
    with run_images(tmp_path_factory.mktemp("images")) as images:
        for version, variables in VERSIONS.items():
            images.build(f"localhost/scenario:{version}", **variables)
        settings = {"TIDEGATE_CONTAINERS": "localhost/*", "TIDEGATE_DRAIN_TIMEOUT": "5"}
        with Platform(environment={**images.environment, **settings}) as platform:
            yield ImageLab(platform, "localhost/scenario", images=images)


@pytest.mark.parametrize("scenario", scenarios(QUICK))
def test_conforms(lab: LocalLab, scenario: str) -> None:
    run_scenario(lab, scenario, of=COLUMN)
