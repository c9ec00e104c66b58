"""Model data of the controller's machine: stored once for pods to read, and a fleet keeps what it began with."""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.targets.kubernetes.fleets import fleet_spec
from tests.unit.targets.kubernetes.target_harness import OPTIONS, Cluster, run
from tidegate.domain.errors import MissingArtifact, StartupError, TargetRefused, Transient
from tidegate.domain.fleet import FleetSpec
from tidegate.storage.s3 import ListedObject
from tidegate.targets.kubernetes.model_store import ModelStore
from tidegate.targets.kubernetes.options import KubernetesOptions, Volume, read_options

WITH_STORE = replace(OPTIONS, model_store="s3://models/of/tidegate", volumes=(Volume("v", "/shared"),))


@dataclass
class Bucket:
    """``during``: what happens while something is uploaded."""

    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: int = 0
    during: Any = lambda: None

    def head(self, key: str) -> ListedObject:
        if key not in self.objects:
            raise MissingArtifact("there is no such object")
        return ListedObject(key, len(self.objects[key]), "e")

    def upload(self, body: Path, key: str) -> None:
        self.uploads += 1
        self.during()
        self.objects[key] = body.read_bytes()


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


def store_with(bucket: Bucket, roots: tuple[str, ...] | None = None) -> ModelStore:
    made = ModelStore(WITH_STORE, roots, "", "us-east-1")
    made.__dict__["_bucket"] = bucket
    return made


def local(path: Path, generation: int = 1) -> FleetSpec:
    return fleet_spec(data=path.as_uri(), generation=generation)


def address(fleet: FleetSpec) -> str:
    return str(fleet.variant.model.containers[0].data_url)


def place(store: ModelStore, fleet: FleetSpec, before: FleetSpec | None = None) -> FleetSpec:
    return asyncio.run(store.place(fleet, before))


def test_a_file_is_stored_once_under_its_digest(bucket: Bucket, tmp_path: Path) -> None:
    path = tmp_path / "model 1.tar.gz"
    path.write_bytes(b"weights")
    first = place(store_with(bucket), local(path))
    assert address(first).startswith("s3://models/of/tidegate/") and address(first).endswith("/model 1.tar.gz")
    assert bucket.objects == {address(first).removeprefix("s3://models/"): b"weights"}
    assert address(place(store_with(bucket), local(path, 2))) == address(first) and bucket.uploads == 1
    path.write_bytes(b"others")
    assert address(place(store_with(bucket), local(path, 3))) != address(first)
    assert address(place(store_with(bucket), local(path), before=first)) == address(first), "it keeps its data"


@pytest.mark.parametrize("url", ["s3://data/m.json", "file:///shared/m.json"])
def test_what_pods_can_read_stays_where_it_is(bucket: Bucket, url: str) -> None:
    fleet = fleet_spec(data=url)
    assert place(store_with(bucket), fleet) == fleet and not bucket.uploads


def test_what_cannot_be_uploaded_is_refused_and_trouble_that_passes_is_repeated(
    bucket: Bucket, tmp_path: Path
) -> None:
    path = tmp_path / "model.json"
    with pytest.raises(TargetRefused, match="there is no such file"):
        place(store_with(bucket), local(path))
    with pytest.raises(TargetRefused, match=r"pack it as \.tar\.gz"):
        place(store_with(bucket), fleet_spec(data=f"{tmp_path.as_uri()}/"))
    path.write_text("{}")
    with pytest.raises(TargetRefused, match="outside the folders"):
        place(store_with(bucket, ("/elsewhere",)), local(path))
    bucket.during = lambda: path.write_text("{} ")
    with pytest.raises(Transient, match="changed during the upload"):
        place(store_with(bucket), local(path))


def test_a_fleet_keeps_its_data_also_with_another_controller(bucket: Bucket, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text("first")

    async def scenario() -> None:
        cluster = Cluster(options=WITH_STORE)
        cluster.target.model_store.in_thread = direct
        cluster.target.model_store.__dict__["_bucket"] = bucket
        await cluster.begin()
        await cluster.target.ensure_fleet(local(path), 1)
        deployed = {key: one for key, one in cluster.server.objects.items() if key[0] == "deployments"}
        path.write_text("second")
        await cluster.target.ensure_fleet(local(path), 1)
        cluster.restart(controller=2)
        cluster.target.model_store.in_thread = direct
        cluster.target.model_store.__dict__["_bucket"] = bucket
        await cluster.target.ensure_fleet(local(path), 1)
        after = {key: one for key, one in cluster.server.objects.items() if key[0] == "deployments"}
        assert {key: one["spec"] for key, one in after.items()} == {
            key: one["spec"] for key, one in deployed.items()
        }
        assert bucket.uploads == 1

    run(scenario())


async def direct(work: Any, *given: Any) -> Any:
    return work(*given)


def test_without_the_option_files_of_the_controller_are_refused() -> None:
    async def scenario() -> None:
        with pytest.raises(TargetRefused, match="model_store"):
            await Cluster().target.ensure_fleet(fleet_spec(data="file:///home/me/model.json"), 1)

    run(scenario())
    with pytest.raises(StartupError, match="model_store 'bucket/prefix' is not"):
        read_options({"image": "i", "model_store": "bucket/prefix"})
    assert isinstance(read_options({"image": "i", "model_store": "s3://b"}), KubernetesOptions)
