"""Images of a registry: digests of tags, pulls, and what goes wrong with them."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.features.containers.container_images import Images, run_images
from tests.features.containers.image_registry import ImageRegistry, run_registry
from tests.small_disk import small_disk
from tidegate.domain.errors import ArtifactError, Invalid, Transient
from tidegate.domain.image_name import ImageName
from tidegate.features.containers.pinning import pin_image
from tidegate.features.containers.worker import images as worker_images
from tidegate.features.containers.worker.engine_command import ContainerEngine, find_engine
from tidegate.features.containers.worker.images import require_image
from tidegate.settings import Settings


@pytest.fixture(scope="module")
def registry() -> Iterator[ImageRegistry]:
    with run_registry() as running:
        yield running


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, registry: ImageRegistry) -> Iterator[Images]:
    with run_images(tmp_path_factory.mktemp("images"), python=False) as made:
        made.trust(registry.host)
        yield made


@pytest.fixture(autouse=True)
def engine(images: Images, registry: ImageRegistry, monkeypatch: pytest.MonkeyPatch) -> ContainerEngine:
    registry.failing = False
    for name, value in images.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(worker_images, "_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(worker_images, "_found", {})
    return find_engine()


def push(images: Images, registry: ImageRegistry, name: str, content: str) -> str:
    """Push an image and forget it here. Returns the digest that it has in the registry."""
    address = f"{registry.host}/{name}"
    images.build_file(address, "FROM scratch", f"LABEL content={content}")
    images.podman("push", "--quiet", address)
    images.podman("rmi", "--force", address)
    repository, _, tag = name.partition(":")
    kind, body = registry.manifests[repository, tag]
    return registry.put_manifest(repository, tag, kind, body)


def pinned(name: str, *allowed: str) -> str:
    return asyncio.run(pin_image(name, Settings(containers=allowed or ("*",))))


def require(engine: ContainerEngine, name: str) -> str:
    return asyncio.run(require_image(engine, ImageName.parse(name), "r-1"))


def test_a_tag_is_pinned_to_the_registrys_digest_and_nothing_is_pulled(
    images: Images, registry: ImageRegistry
) -> None:
    digest = push(images, registry, "team/fraud:1", "one")
    assert pinned(f"{registry.host}/team/fraud:1") == f"{registry.host}/team/fraud:1@{digest}"
    again = push(images, registry, "team/fraud:1", "two")
    assert again != digest
    assert pinned(f"{registry.host}/team/fraud:1") == f"{registry.host}/team/fraud:1@{again}"
    assert images.podman("images", "--quiet", f"{registry.host}/team/fraud") == ""


def test_a_registry_that_is_down_pins_what_is_here(
    images: Images, registry: ImageRegistry, engine: ContainerEngine
) -> None:
    name = f"{registry.host}/team/known:1"
    digest = push(images, registry, "team/known:1", "known")
    with pytest.raises(Transient, match="cannot be pulled"):
        registry.failing = True
        pinned(name)
    registry.failing = False
    require(engine, name)
    registry.failing = True
    assert pinned(name) == f"{name}@{digest}"


def test_an_image_that_is_here_by_digest_is_not_pulled(
    images: Images, registry: ImageRegistry, engine: ContainerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = push(images, registry, "team/present:1", "present")
    name = f"{registry.host}/team/present:1@{digest}"
    first = require(engine, name)
    monkeypatch.setattr(worker_images, "_found", {})  # as in another instance
    registry.failing = True
    before = len(registry.requests)
    assert require(engine, name) == first
    assert len(registry.requests) == before


def test_a_pull_is_tried_again(
    images: Images, registry: ImageRegistry, engine: ContainerEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    push(images, registry, "team/late:1", "late")
    registry.failing = True
    name = f"{registry.host}/team/late:1"
    told: list[str] = []
    with pytest.raises(Transient, match=r"the image .*/team/late:1 cannot be pulled: .*503"):
        asyncio.run(require_image(engine, ImageName.parse(name), "r-1", told.append))
    assert capsys.readouterr().out.count("trying again") == 2
    assert sum("trying again" in one for one in told) == 2
    registry.failing = False
    told.clear()
    asyncio.run(require_image(engine, ImageName.parse(name), "r-1", told.append))
    assert any(one.startswith(f"pulling the image {name}: Copying config") for one in told), told


def test_an_image_that_is_not_there_is_not_tried_again(registry: ImageRegistry, engine: ContainerEngine) -> None:
    with pytest.raises(ArtifactError, match=r"there is no image .*/team/absent:1 .*manifest unknown"):
        require(engine, f"{registry.host}/team/absent:1")
    with pytest.raises(ArtifactError, match="there is no image"):
        pinned(f"{registry.host}/team/absent:1")


def test_a_digest_with_a_false_tag_is_refused_where_the_tag_allows_it(
    images: Images, registry: ImageRegistry
) -> None:
    old = push(images, registry, "team/tagged:1", "old")
    new = push(images, registry, "team/tagged:1", "new")
    name, allowed = f"{registry.host}/team/tagged:1", f"{registry.host}/team/tagged:1"
    assert pinned(f"{name}@{new}", allowed) == f"{name}@{new}"
    with pytest.raises(Invalid, match="is another image by now, and TIDEGATE_CONTAINERS allows this tag"):
        pinned(f"{name}@{old}", allowed)
    assert pinned(f"{name}@{old}", f"{registry.host}/team/*") == f"{name}@{old}"


def test_a_disk_that_fills_during_a_pull(
    images: Images, registry: ImageRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "ballast").write_bytes(os.urandom(24 << 20))
    (context / "Containerfile").write_text("FROM scratch\nCOPY ballast /ballast\n")
    address = f"{registry.host}/team/large:1"
    images.podman("build", "--quiet", "--tag", address, str(context))
    images.podman("push", "--quiet", address)
    with small_disk(tmp_path / "disk", "16m") as disk, run_images(disk.folder / "images", python=False) as small:
        small.trust(registry.host)
        for name, value in small.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ArtifactError, match=r"the disk is full: the image .* does not fit on this machine"):
            require(find_engine(), address)


def test_without_an_engine_the_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no container engine: install the package podman"):
        find_engine(str(tmp_path))
