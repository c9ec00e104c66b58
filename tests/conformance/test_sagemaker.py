"""Scenarios on the SageMaker target in engine mode, at a second tidegate's API."""

from collections.abc import Iterator

import pytest

from tests.conformance.run import run_scenario, scenarios
from tests.conformance.sagemaker_lab import PLACE, SagemakerLab, sagemaker_lab

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SagemakerLab]:
    with sagemaker_lab(tmp_path_factory.mktemp("sagemaker")) as made:
        yield made


@pytest.mark.parametrize("scenario", scenarios(["rollback by error alarm"]))
def test_conforms(lab: SagemakerLab, scenario: str) -> None:
    run_scenario(lab, scenario, PLACE)
