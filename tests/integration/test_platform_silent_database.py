"""A platform whose PostgreSQL goes silent: connections stay open and lead nowhere. Predictions go on, the API says so
promptly, work goes on when it can, and SIGTERM ends the controller whatever the database does."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.scene import Scene
from tests.tcp_relay import Relay, relayed
from tidegate.features.asynchronous.dispatcher_supervisor import find_running
from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
ROW = [[0.1, 0.2, 0.3, 0.4]]


@pytest.fixture
def relay(postgres_folder: Path) -> Iterator[Relay]:
    with relayed(postgres_folder) as relay:
        yield relay


def queued(scene: Scene, name: str, model: str, out: Path) -> None:
    variant = {"VariantName": "AllTraffic", "InitialInstanceCount": 1, "InstanceType": "ml.c5.large"}
    scene.sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[{**variant, "ModelName": model}],
        AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": out.as_uri()}},
    )
    scene.create(name, name)


def test_a_silent_database_stops_neither_predictions_nor_the_controllers_end(
    relay: Relay, empty_postgres_url: str, models: tuple[str, str], tmp_path: Path
) -> None:
    environment = {
        "TIDEGATE_DATABASE_URL": relay.url(empty_postgres_url),
        "TIDEGATE_DATABASE_TIMEOUT": "3",
        "TIDEGATE_DRAIN_TIMEOUT": "5",
        "TIDEGATE_OUTPUT_ROOTS": str(tmp_path),
    }
    with Platform(environment=environment) as platform:
        scene = Scene(platform)
        scene.create("plain", scene.config(models[0]))
        queued(scene, "queued", scene.model(models[0]), tmp_path)
        wait_until(lambda: find_running(platform.state / "dispatch"), "the dispatcher")

        relay.silence()
        status = 0
        while status != 503:  # those that came before it was noticed may have been answered still
            answer = httpx.get(f"{platform.url}/tidegate/v1/endpoints", timeout=30)
            status = answer.status_code
        assert "did not answer" in answer.text or "cannot be used" in answer.text
        scene.invoke("plain", ROW)

        relay.resume()
        wait_until(lambda: httpx.get(f"{platform.url}/healthz", timeout=30).status_code == 200, "healthy again")
        source = tmp_path / "in.csv"
        source.write_text("0.1,0.2,0.3,0.4\n")
        accepted = scene.runtime.invoke_endpoint_async(
            EndpointName="queued", InputLocation=source.as_uri(), ContentType="text/csv"
        )
        output = Path(accepted["OutputLocation"].removeprefix("file://"))
        wait_until(output.exists, "the answer of an asynchronous request", 120)

        relay.silence()
        assert platform.stop() == [], "ended by SIGTERM alone"
