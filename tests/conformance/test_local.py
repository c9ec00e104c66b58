"""Every scenario on the local target."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.local_lab import LocalLab
from tests.conformance.run import run_scenario
from tests.conformance.scenarios import SCENARIOS
from tidegate.host.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
IMAGE = "test/stand-in"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalLab]:
    program = Path(__file__).parents[1] / "integration" / "stand_in_model.py"
    table = tmp_path_factory.mktemp("images") / "images.yaml"
    table.write_text(f"images:\n  {IMAGE}:\n    command: [{sys.executable}, {program}]\n")
    with Platform(environment={"TIDEGATE_IMAGES": str(table), "TIDEGATE_DRAIN_TIMEOUT": "5"}) as platform:
        yield LocalLab(platform, IMAGE)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_conforms(lab: LocalLab, scenario: str) -> None:
    run_scenario(lab, scenario)
