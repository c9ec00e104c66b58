"""Scenarios on the target at Lambda, at ministack and a simulator of what it lacks."""

from collections.abc import Iterator

import pytest

from tests.conformance.function_environments import PYTHON
from tests.conformance.lambda_lab import PLACE, REMARKS, LambdaLab, lambda_lab
from tests.conformance.run import run_scenario, scenarios
from tests.integration.ministack import PROGRAM

pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not PROGRAM.exists(), reason="ministack is not installed: make .clients/ministack/.done"),
    pytest.mark.skipif(
        not PYTHON.exists(), reason="AWS's runtime client is not installed: make .clients/lambda/.done"
    ),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LambdaLab]:
    with lambda_lab(tmp_path_factory.mktemp("lambda")) as made:
        yield made


@pytest.mark.parametrize("scenario", scenarios(["canary to success", "rollback by failed start"]))
def test_conforms(lab: LambdaLab, scenario: str) -> None:
    run_scenario(lab, scenario, PLACE, REMARKS.get(scenario, ""))
