"""Images as people have them: each is deployed, rolled out to a good and to a bad version under load, and ends."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.features.containers.container_images import NGINX, Images, build_servers, run_images
from tests.features.containers.container_scene import call, deploy, load
from tests.scene import Scene
from tidegate.host.platform import Platform, wait_until

pytestmark = pytest.mark.e2e
GUARD = (
    "instances: 2",
    "startup_timeout: 60s",
    "memory: 192MiB",
    "rollout: {strategy: canary, size: 50%, wait: 3s}",
    "alarms: {errors: {metric: Invocation5XXErrors, statistic: Sum, above: 0, period: 1s, periods: 1}}",
)


class Kind(NamedTuple):
    """A kind of image. ``entrypoint``: of an image of ``build_servers``, where PYTHON is its Python; none: the tests'
    application. ``fault``: of each version; ``bad``: of the bad version."""

    name: str
    entrypoint: str = ""
    port: int = 8000
    fault: str = ""
    bad: str = "lies"


UVICORN = '["PYTHON", "-m", "uvicorn", "--app-dir", "/srv", "--host", "0.0.0.0", "fastapi_app:app"]'
KINDS = (
    Kind("flask", '["PYTHON", "/srv/flask_app.py"]', 5000),
    Kind("fastapi", UVICORN),
    Kind("node", '["/usr/bin/node", "/srv/node_app.cjs"]', 3000),
    Kind("byoc", '["PYTHON", "/srv/serve.py"]', 0),
    Kind("slow", fault="slow"),
    Kind("forks", fault="forks"),
    Kind("ignores-term", fault="ignores-term"),
    Kind("leaks", bad="leaks"),
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    with run_images(tmp_path_factory.mktemp("images")) as made:
        yield made


@pytest.fixture(scope="module")
def scene(images: Images) -> Iterator[Scene]:
    settings = {"TIDEGATE_CONTAINERS": "localhost/*", "TIDEGATE_DRAIN_TIMEOUT": "5"}
    with Platform(environment={**images.environment, **settings}) as platform:
        yield Scene(platform)


@pytest.fixture(scope="module")
def python(images: Images) -> str:
    return build_servers(images)


@pytest.fixture
def base(kind: Kind, request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The lines of a Containerfile that every version of a kind has."""
    if kind.name == "node" and shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    if kind.name == "byoc" and not NGINX.exists():
        pytest.skip("nginx could not be downloaded: make .clients/servers/.done")
    if not kind.entrypoint:
        return ("FROM localhost/python:test",)
    python = request.getfixturevalue("python")
    return ("FROM localhost/servers:test", f"ENTRYPOINT {kind.entrypoint.replace('PYTHON', python)}")


@pytest.mark.parametrize(
    "kind",
    [Kind("plain"), *(pytest.param(one, marks=pytest.mark.slow) for one in KINDS)],
    ids=lambda one: one.name,
)
def test_a_canary_to_a_good_and_to_a_bad_version(
    scene: Scene, images: Images, tmp_path: Path, kind: Kind, base: tuple[str, ...]
) -> None:
    faults = {1: kind.fault, 2: kind.fault, 3: f"{kind.fault},{kind.bad}"}
    for version, fault in faults.items():
        variables = f"ENV PREDICTION={version} FAULT={fault}"
        images.build_file(f"localhost/{kind.name}:{version}", *base, variables)

    def update(version: int, code: int = 0) -> None:
        image = f"localhost/{kind.name}:{version}"
        deploy(scene, tmp_path, kind.name, image, *GUARD, port=kind.port, code=code)

    before = set(images.names())
    update(1)
    with load(scene, kind.name) as running:
        update(2)
        report = running.stop()
    assert report.failed == 0, report.failures[:3]
    assert len(report.by_config) == 2
    good = scene.describe(kind.name)["EndpointConfigName"]
    with load(scene, kind.name) as running:
        update(3, code=1)
        report = running.stop()
    assert scene.describe(kind.name)["EndpointConfigName"] == good
    assert {one.config for one in report.failures} == {*report.by_config} - {good}, report.failures[:3]
    assert "2" in str(call(scene, kind.name)), "version 2 predicts that"
    scene.sagemaker.delete_endpoint(EndpointName=kind.name)
    wait_until(lambda: set(images.names()) <= before, "the end of its containers", 60)
