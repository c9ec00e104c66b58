"""What replicas say of their models: of the right endpoint, no more than asked for, and not from all of them."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tidegate.domain.fleet import FleetId, FleetSpec, VariantSpec
from tidegate.domain.registry import MULTI_MODEL, ContainerDefinition, Model
from tidegate.targets.collection.sources import ServingReplica
from tidegate.targets.collection.worker_evidence import list_models

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MANY = Model("m", (ContainerDefinition("tidegate/xgboost", "file:///m/", mode=MULTI_MODEL),), NOW)
ONE = Model("m", (ContainerDefinition("tidegate/xgboost", "file:///m.ubj"),), NOW)
SPEC = FleetSpec(FleetId("clients", 1, "main"), "v1", VariantSpec("main", MANY, 1), 1)
SIGNATURE = {"form": "table", "inputs": [{"name": "input", "dtype": "float32", "shape": [-1, 4]}]}
PAGE = b'{"memory": 9, "models": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}'
HEAD = {"variant": "main", "config": "v1"}


async def answering(path: Path, page: bytes) -> asyncio.Server:
    """A replica that answers every question with this."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(page), page))
        writer.close()

    return await asyncio.start_unix_server(serve, str(path))


async def test_each_replica_of_the_endpoint_is_asked() -> None:
    async def scene(folder: Path) -> None:
        servers = [await answering(folder / "good", PAGE), await answering(folder / "odd", b"<html>")]
        servers.append(await answering(folder / "one", json.dumps({"signature": SIGNATURE}).encode()))
        other = replace(SPEC, id=FleetId("others", 1, "main"))
        single = replace(SPEC, variant=VariantSpec("main", ONE, 1))
        serving = [
            ServingReplica(SPEC, "r-1", 1, folder / "good"),
            ServingReplica(SPEC, "r-2", 2, folder / "gone"),
            ServingReplica(SPEC, "r-3", 3, folder / "odd"),
            ServingReplica(other, "r-4", 4, folder / "good"),
            ServingReplica(single, "r-5", 5, folder / "one"),
            ServingReplica(single, "r-6", 6, folder / "gone"),
            ServingReplica(single, "r-7", 7, folder / "odd"),
        ]
        assert await list_models(serving, "clients", 2) == [
            {"replica": "r-1", **HEAD, "memory": 9, "models": [{"name": "a"}, {"name": "b"}]},
            {"replica": "r-2", **HEAD},
            {"replica": "r-3", **HEAD},
            {"replica": "r-5", **HEAD, "signature": SIGNATURE},
        ]
        for server in servers:
            server.close()
            await server.wait_closed()

    with TemporaryDirectory() as folder:
        await scene(Path(folder))
