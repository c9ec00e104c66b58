"""One endpoint reports the largest numbers that there are; the guard of another goes on as ever."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.chaos.test_gaps import baking
from tests.fixtures import STAND_IN, images
from tests.scene import Scene
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(600)]
HUGE = b'{"predictions":[1.7e308]}'


def test_infinite_differences_of_a_shadow_switch_off_no_guard(tmp_path: Path) -> None:
    """Two replicas answer 1.7e308 where the shadow answers a few: each second the differences add up to infinity."""
    environment = {"TIDEGATE_IMAGES": str(images(tmp_path)), "TIDEGATE_DRAIN_TIMEOUT": "5"}
    with Platform(environment=environment) as platform:
        scene = Scene(platform)
        shadow = {"ModelName": scene.model(None, image=STAND_IN), "InitialVariantWeight": 1.0}
        loud = scene.config(None, image=STAND_IN, instances=2, environment={"ECHO": "1"}, shadow=shadow)
        scene.create("loud", loud)
        headers = {"Content-Type": "application/json"}
        with LoadGenerator(platform.url, "/endpoints/loud/invocations", HUGE, headers, 40, connections=4) as noise:
            wait_until(lambda: differences(platform) > 1e100, "the differences are huge", 60, every=0.5)
            with baking(platform, tmp_path) as story:
                story.break_it()
                story.ends_well()
            noise.stop()
        assert "could not be written" not in platform.log.read_text()


def differences(platform: Platform) -> float:
    """The largest difference of the last minutes, as the API for metrics says it."""
    scene = Scene(platform)
    named = {"EndpointName": "loud", "VariantName": "AllTraffic"}
    metric = {
        "Namespace": "AWS/SageMaker",
        "MetricName": "MirrorDifference",
        "Dimensions": [{"Name": name, "Value": value} for name, value in named.items()],
    }
    query = {"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Maximum"}}
    end = datetime.now(UTC) + timedelta(minutes=1)
    found = scene.cloudwatch.get_metric_data(
        MetricDataQueries=[query], StartTime=end - timedelta(minutes=10), EndTime=end
    )
    return max(found["MetricDataResults"][0]["Values"], default=0.0)
