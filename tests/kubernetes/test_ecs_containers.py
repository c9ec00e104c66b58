"""Endpoints at ECS whose tasks are real containers. ``make conformance`` runs every scenario on them."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conformance.ecs_lab import EcsLab
from tests.conformance.lab import BETTER, endpoint
from tests.conformance.own_images import COLUMN, serve_in
from tests.conformance.run import run_scenario, scenarios
from tests.integration.ministack import PROGRAM
from tests.kubernetes import image as images
from tests.kubernetes.ecs_containers import IMAGE, PLACE, EcsMachine, container_lab
from tests.kubernetes.on_cluster import PYTHON

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not PROGRAM.exists(), reason="ministack is not installed: make .clients/ministack/.done"),
]


@pytest.fixture(scope="module")
def machine(image: Path) -> Iterator[EcsMachine]:
    with tempfile.TemporaryDirectory(prefix="tg-ecs-") as name:
        running = EcsMachine(Path(name), image)
        try:
            yield running
        finally:
            running.close()


@pytest.fixture(scope="module")
def lab(machine: EcsMachine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EcsLab]:
    with container_lab(machine, tmp_path_factory.mktemp("ecs")) as made:
        yield made


@pytest.fixture(scope="module")
def own_images(lab: EcsLab) -> EcsLab:
    """The same with tasks that have a container of an image of the user's beside tidegate's worker."""
    return replace(lab, make_model=serve_in(images.NAME, PYTHON))


@pytest.mark.parametrize("scenario", scenarios(["rolling to success", "rollback by failed start"]))
def test_conforms_with_an_image_of_the_users(own_images: EcsLab, scenario: str) -> None:
    run_scenario(own_images, scenario, PLACE, of=COLUMN)


def test_an_update_replaces_containers_and_a_deletion_leaves_none(lab: EcsLab, machine: EcsMachine) -> None:
    with endpoint(lab, "fraud", instances=2) as made:
        old = made.create()
        first = set(machine.containers())
        assert len(first) == 2 and all(one.endswith(IMAGE) for one in first)
        with lab.load("fraud") as load:
            made.until("answers", lambda _: load.seen().served.get(old, 0) >= 20)
            new = made.deploy(BETTER, {"strategy": "linear", "step": "50%", "wait": "4s"})
            made.share(50)
            answers = load.seen().served
            for one in (old, new):
                made.until(one, lambda _, one=one: load.seen().served.get(one, 0) > answers.get(one, 0))
            assert made.settled()["config"] == new
        assert load.seen().failed == 0
        second = set(machine.containers())
        assert len(second) == 2 and not second & first
    made.until("gone", lambda found: not found)
    assert (machine.containers(), lab.left("fraud")) == ([], [])


def test_a_container_that_was_killed_is_replaced(lab: EcsLab, machine: EcsMachine) -> None:
    with endpoint(lab, "killed", instances=1) as made:
        made.create()
        (before,) = machine.containers()
        machine.machine.do(*machine.podman, "kill", before.split()[0])
        made.until("another container", lambda _: before not in (now := machine.containers()) and len(now) == 1)
        with lab.load("killed") as load:
            made.until("answers", lambda _: sum(load.seen().served.values()) >= 20)


def test_what_a_container_wrote_is_shown_by_the_platform(lab: EcsLab) -> None:
    with endpoint(lab, "logs", instances=1) as made:
        made.create()
        made.until("its log", lambda _: "ready" in str(made.server.logs("logs", 10)))


@pytest.mark.parametrize("scenario", scenarios(["rollback by error alarm", "pause across a controller restart"]))
def test_conforms(lab: EcsLab, scenario: str) -> None:
    run_scenario(lab, scenario, PLACE)
