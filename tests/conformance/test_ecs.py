"""Scenarios on the target at ECS, at moto and a simulator of what it lacks."""

from collections.abc import Iterator

import pytest

from tests.conformance.ecs_lab import PLACE, EcsLab, ecs_lab
from tests.conformance.run import run_scenario, scenarios

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EcsLab]:
    with ecs_lab(tmp_path_factory.mktemp("ecs")) as made:
        yield made


@pytest.mark.parametrize("scenario", scenarios(["linear to success", "rollback by failed start"]))
def test_conforms(lab: EcsLab, scenario: str) -> None:
    run_scenario(lab, scenario, PLACE)
