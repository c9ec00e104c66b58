"""A registry that goes down in a rollout, and a disk that fills during a pull: the version that serves goes on."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.features.containers.container_images import Images, run_images
from tests.features.containers.container_scene import call, deploy, load, tidegate
from tests.features.containers.image_registry import ImageRegistry, run_registry
from tests.scene import Scene
from tests.small_disk import small_disk
from tidegate.cli.client import ApiClient
from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
LARGE = 64 << 20


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageRegistry]:
    """A registry with versions of the application, the third of which is larger than the disk."""
    with run_registry() as running, run_images(tmp_path_factory.mktemp("builder")) as builder:
        builder.trust(running.host)
        context = builder.folder / "layer"
        context.mkdir()
        for version in (1, 2, 3, 4):
            address = f"{running.host}/fraud:{version}"
            (context / "ballast").write_bytes(os.urandom(LARGE if version == 3 else 1))
            lines = ("FROM localhost/python:test", f"ENV PREDICTION={version}", "COPY ballast /ballast", "")
            (context / "Containerfile").write_text("\n".join(lines))
            builder.podman("build", "--quiet", "--tag", address, str(context))
            builder.podman("push", "--quiet", address)
        yield running


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, registry: ImageRegistry) -> Iterator[Images]:
    """A store on a small disk, without an image."""
    with (
        small_disk(tmp_path_factory.mktemp("small") / "disk", "96m") as disk,
        run_images(disk.folder / "images", python=False) as made,
    ):
        made.trust(registry.host)
        yield made


@pytest.fixture(scope="module")
def scene(images: Images, registry: ImageRegistry) -> Iterator[Scene]:
    settings = {"TIDEGATE_CONTAINERS": f"{registry.host}/*", "TIDEGATE_DRAIN_TIMEOUT": "5"}
    with Platform(environment={**images.environment, **settings}) as platform:
        yield Scene(platform)


@pytest.fixture(scope="module", autouse=True)
def first(scene: Scene, registry: ImageRegistry, tmp_path_factory: pytest.TempPathFactory) -> None:
    deploy(scene, tmp_path_factory.mktemp("first"), "fraud", f"{registry.host}/fraud:1", "instances: 2")


@pytest.fixture(autouse=True)
def up(registry: ImageRegistry) -> Iterator[None]:
    """The registry is up after each test."""
    yield
    registry.failing = registry.layers_failing = False
    registry.open.set()


def test_status_shows_how_far_a_pull_is(scene: Scene, registry: ImageRegistry, tmp_path: Path) -> None:
    registry.open.clear()
    deploy(scene, tmp_path, "waits", f"{registry.host}/fraud:4", wait=False)
    said = f"pulling the image {registry.host}/fraud@sha256:"
    wait_until(lambda: said in tidegate(scene, "status", "waits"), "the progress of the pull", 60)
    with ApiClient({"TIDEGATE_URL": scene.platform.url}) as server:
        [fleet] = server.endpoint("waits")["fleets"]
    assert said in fleet["problem"]
    registry.open.set()
    scene.settled("waits")
    assert "pulling" not in tidegate(scene, "status", "waits")
    scene.sagemaker.delete_endpoint(EndpointName="waits")


def test_a_registry_that_goes_down_in_a_rollout_harms_nothing(
    scene: Scene, images: Images, registry: ImageRegistry, tmp_path: Path
) -> None:
    image = f"{registry.host}/fraud:2"
    registry.layers_failing = True
    with load(scene, "fraud") as running:
        reason = deploy(scene, tmp_path, "fraud", image, "instances: 2", code=1)
        assert f"the image {registry.host}/fraud@sha256:" in reason and "cannot be pulled" in reason
        registry.failing = True
        before = set(images.names())
        images.podman("kill", min(before))
        wait_until(lambda: len(set(images.names()) - before) == 1, "another container of the first version", 60)
        report = running.stop()
    assert len(report.by_config) == 1
    assert report.failed <= 1, [one.message for one in report.failures]
    registry.failing = registry.layers_failing = False
    deploy(scene, tmp_path, "fraud", image, "instances: 2")
    assert call(scene, "fraud") == [2.0]


def test_a_disk_that_fills_during_a_pull_harms_nothing(
    scene: Scene, registry: ImageRegistry, tmp_path: Path
) -> None:
    serving = call(scene, "fraud")
    with load(scene, "fraud") as running:
        reason = deploy(scene, tmp_path, "fraud", f"{registry.host}/fraud:3", "instances: 2", code=1)
        report = running.stop()
    assert "the disk is full" in reason and "podman image prune" in reason
    assert report.failed == 0, report.failures[:3]
    assert call(scene, "fraud") == serving
