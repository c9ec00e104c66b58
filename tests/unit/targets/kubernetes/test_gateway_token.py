"""The gateways' token: deleted, made anew, changed; and what is said of gateways that cannot be reached."""

import asyncio
import base64
from pathlib import Path

import pytest

from tests.unit.targets.kubernetes.fleets import fleet_spec
from tests.unit.targets.kubernetes.target_harness import Cluster, run, table
from tidegate.domain.errors import Transient
from tidegate.http1.messages import HttpReply
from tidegate.proxy.agent_main import TokenFile
from tidegate.targets.kubernetes.agent_client import AgentClient

TOKEN = ("secrets", "tidegate-gateway-token")
GATEWAY = ("deployments", "tidegate-gateway")


def token_of(cluster: Cluster) -> str:
    return base64.b64decode(cluster.server.objects[TOKEN]["data"]["token"]).decode()


def digest_of(cluster: Cluster) -> str:
    template = cluster.server.objects[GATEWAY]["spec"]["template"]
    return str(template["metadata"]["annotations"]["tidegate.io/token"])


def test_leader_restores_a_deleted_token_as_it_was() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        before, digest = token_of(cluster), digest_of(cluster)
        del cluster.server.objects[TOKEN]
        await cluster.lifecycle.repair()
        assert (token_of(cluster), digest_of(cluster)) == (before, digest)

    run(scenario())


def test_next_leader_without_the_token_replaces_the_gateways_and_says_so_meanwhile() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.turn()
        cluster.start_gateways()
        await cluster.deploy(fleet_spec())
        digest = digest_of(cluster)
        del cluster.server.objects[TOKEN]
        cluster.restart(controller=2)
        await cluster.turn(3)
        assert digest_of(cluster) != digest, "Kubernetes replaces the pods one at a time"
        look = await cluster.target.observe("fraud")
        assert look.routes is None and "the token is not that of this gateway" in str(look.trouble)
        assert cluster.provider.trouble() == look.trouble
        await asyncio.sleep(20)
        with pytest.raises(Transient):
            await cluster.target.set_traffic(table("fraud", 2, {1: 10_000}))
        for pod in cluster.server.pods("gateway"):  # what Kubernetes does
            del cluster.server.objects["pods", pod["metadata"]["name"]]
            cluster.server.settle()
            cluster.start_gateways()
            await cluster.turn(3)
        look = await cluster.target.observe("fraud")
        assert look.routes == table("fraud", 2, {1: 10_000}) and look.trouble is None
        assert cluster.provider.trouble() is None

    run(scenario())


def test_token_that_somebody_made_anew_is_used_beside_the_former_one() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.turn()
        cluster.start_gateways()
        await cluster.deploy(fleet_spec())
        digest = digest_of(cluster)
        cluster.server.objects[TOKEN]["data"]["token"] = base64.b64encode(b"another").decode()
        await cluster.lifecycle.repair()
        await cluster.turn()
        look = await cluster.target.observe("fraud")
        assert look.routes == table("fraud", 1, {1: 10_000}) and look.trouble is None
        assert digest_of(cluster) != digest

    run(scenario())


def test_client_tries_the_former_token_where_the_gateway_has_no_other_yet() -> None:
    class Agent:
        async def request(
            self, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes
        ) -> HttpReply:
            if headers != [(b"authorization", b"Bearer old")]:
                return HttpReply(401, {}, b'{"message":"the token is not that of this gateway"}')
            return HttpReply(200, {}, b'{"boot":"b","synced":true,"controller":1,"digests":{}}')

    async def scenario() -> None:
        client = AgentClient("g", "127.0.0.1", "new", former=("older", "old"))
        client._http = Agent()  # type: ignore[assignment]
        assert (await client.state()).synced
        client.former = ()
        with pytest.raises(Transient, match="gateway g: the token is not that of this gateway"):
            await client.state()

    asyncio.run(scenario())


def test_agent_reads_its_token_anew_and_keeps_the_last_one_that_it_could_read(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    token = TokenFile(path)
    assert token() == "first"
    path.write_text("second")
    assert token() == "second"
    path.write_text("")
    assert token() == "second"
    path.unlink()
    assert token() == "second"


def test_gateways_that_somebody_deleted_are_made_again_within_seconds() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        del cluster.server.objects[GATEWAY]
        cluster.server._let_go()
        await asyncio.sleep(10)
        await cluster.turn()
        await cluster.turn()
        assert GATEWAY in cluster.server.objects

    run(scenario())
