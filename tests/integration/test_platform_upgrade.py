"""A state folder that an earlier release wrote opens in this one, serves what it served, and can be updated."""

import tarfile
from pathlib import Path

import pytest

from tests.scene import Scene, train
from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
STATES = sorted((Path(__file__).parents[1] / "states").glob("*.tar.gz"))
ROW = [0.9, 0.8, 0.1]
ANSWER = 0.999345
"""Of the model in the folder, when it was served by its own release."""


def test_there_is_a_state_of_an_earlier_release() -> None:
    assert STATES


@pytest.mark.parametrize("archive", STATES, ids=lambda path: path.name)
def test_a_state_of_an_earlier_release_goes_on(archive: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with tarfile.open(archive) as packed:
        packed.extractall(state, filter="data")
    with Platform(state=state) as platform:
        scene = Scene(platform)
        wait_until(
            lambda: scene.describe("fraud")["ProductionVariants"][0]["CurrentInstanceCount"] == 1, "it is ready"
        )
        assert abs(float(scene.invoke("fraud", [ROW])["Body"].read()) - ANSWER) < 1e-5
        described = scene.describe("fraud")
        assert described["ProductionVariants"][0]["DesiredInstanceCount"] == 1
        alarms = scene.cloudwatch.describe_alarms()["MetricAlarms"]
        assert [alarm["MetricName"] for alarm in alarms if alarm["AlarmName"].endswith("errors")] != []
        scene.update("fraud", scene.config(train(state / "models", 1)), None)
        settled = scene.settled("fraud")
        assert settled["EndpointConfigName"] != described["EndpointConfigName"]
        assert "FailureReason" not in settled
