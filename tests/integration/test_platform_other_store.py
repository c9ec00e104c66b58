"""A state folder whose database was exchanged: what the old one started is not taken for the new one's."""

import signal
from pathlib import Path

import pytest

from tests.scene import Scene
from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
ROW = [[0.1, 0.2, 0.3, 0.4]]


def answer(scene: Scene) -> str:
    text: str = scene.invoke("e", ROW)["Body"].read().decode()
    return text


def replace_controller(platform: Platform, environment: dict[str, str]) -> Scene:
    """Proxy and workers serve on meanwhile."""
    controller = platform._controller
    assert controller is not None
    controller.send_signal(signal.SIGHUP)
    controller.wait(60)
    platform.environment = environment
    platform.start()
    return Scene(platform)


def test_a_new_endpoint_of_an_old_name_answers_by_its_own_model(
    empty_postgres_url: str, models: tuple[str, str], tmp_path: Path
) -> None:
    plain = {"TIDEGATE_DRAIN_TIMEOUT": "5"}
    with Platform(environment=plain) as platform:
        scene = Scene(platform)
        scene.create("other", scene.config(models[1]))
        scene.create("e", scene.config(models[0]))
        old = answer(scene)
        moved = replace_controller(platform, {**plain, "TIDEGATE_DATABASE_URL": empty_postgres_url})
        moved.create("e", moved.config(models[1]))
        answers = {answer(moved) for _ in range(20)}
        assert old not in answers
        assert len(answers) == 1
        wait_until(lambda: moved.describe("e")["EndpointStatus"] == "InService", "it stays")
