"""One reading of a request target: what HAProxy routes, what a verifier accepts and what a model gets agree."""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import get_current_datetime
from botocore.credentials import Credentials
from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from tests.proxy_harness import Client, ProxyHarness, Reply, each_haproxy, stand
from tests.request_targets import AMBIGUOUS, CANONICAL, batches
from tidegate.auth.request_target import is_canonical
from tidegate.auth.sigv4 import RequestParts, verify
from tidegate.domain.errors import AuthError, Invalid
from tidegate.domain.fleet import RoutingStrategy
from tidegate.domain.traffic import build_route_table

pytestmark = [pytest.mark.slow, each_haproxy]
ENDPOINTS = ("fraud", "other")
PREDICTION = re.compile(r"/endpoints/(fraud|other)/(invocations|invocations-response-stream|v1)(/.*)?")
KEYS = {"AKID": "secret"}


def scene(program: str, play: Callable[[ProxyHarness], Any], **changed: object) -> None:
    """Two endpoints, whose instances answer with the head of the request, and a controller that answers likewise."""

    async def whole() -> None:
        async with stand(program, {"r": 4, "l": 0, "q": 1}, **changed) as running:
            await running.worker("controller.sock")
            for fence, endpoint in enumerate(ENDPOINTS, 1):
                fleet = await running.fleet(fence, f"{endpoint}-1", endpoint=endpoint)
                await running.proxy.set_routes(
                    build_route_table(endpoint, fence, [(fence, 10_000, {fleet.variant: 1.0})])
                )
            await play(running)

    asyncio.run(whole())


async def sent(running: ProxyHarness, target: str, method: str = "POST", headers: str = "") -> Reply:
    client = Client(running.port)
    try:
        head = (
            f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n{headers}Content-Length: 4\r\n\r\n"
        )
        return await client.send(head.encode("latin-1") + b"head")
    finally:
        await client.close()


def expected(target: str) -> str:
    """Who answers: an instance of the endpoint that the path names, the controller, or nobody."""
    path, _, query = target.partition("?")
    if not is_canonical(path, query):
        return ""
    found = PREDICTION.fullmatch(path)
    if found is None or (found[2] == "invocations" and found[3] is not None):
        return "controller.sock"
    return f"{found[1]}-1"


def check(target: str, reply: Reply) -> None:
    who = reply.header("x-Amzn-Invoked-Production-Variant") or ""
    assert who == expected(target), target
    if not who:
        assert reply.status == 400, target
        return
    received = reply.body.decode("latin-1").split(" ")[1]
    assert (reply.status, received) == (200, target)


@pytest.mark.parametrize("signed", [True, False])
def test_an_ambiguous_target_is_refused_by_the_proxy(program: str, signed: bool) -> None:
    async def play(running: ProxyHarness) -> None:
        for target in AMBIGUOUS:
            reply = await sent(running, target, headers="Authorization: AWS4-HMAC-SHA256 x\r\n")
            assert (reply.status, reply.header("x-Amzn-Invoked-Production-Variant")) == (400, None), target
        reply = await sent(running, AMBIGUOUS[0])
        document = json.loads(reply.body)
        assert reply.header("x-amzn-ErrorType") == document["__type"] == "ValidationError"
        assert "canonical form" in document["message"] == document["Message"] == document["error"]["message"]
        for target in CANONICAL:
            check(target, await sent(running, target, headers="Authorization: AWS4-HMAC-SHA256 x\r\n"))
        for method in ("GET", "PUT", "DELETE", "OPTIONS", "CONNECT"):
            for target in ("http://127.0.0.1/endpoints/fraud/invocations", "/a/../b"):
                assert (await sent(running, target, method)).status == 400
        assert sum(worker.served for name, worker in running.workers.items() if name == "other-1") == 0

    scene(program, play, **({"access_keys": KEYS} if signed else {}))


def test_a_long_path_ends_no_proxy(program: str) -> None:
    """A pattern with a repeated group would recurse in PCRE once for each character."""

    async def play(running: ProxyHarness) -> None:
        for piece in ("/a", "a.", "..", "%20", "%2", "."):
            target = "/endpoints/fraud/v1/" + piece * (30_000 // len(piece))
            assert (await sent(running, target)).status in (200, 400)
            target = f"/endpoints/fraud/invocations?{piece * (30_000 // len(piece))}"
            assert (await sent(running, target)).status in (200, 400)
        master = running.master
        assert (await sent(running, "/endpoints/fraud/invocations")).status == 200
        assert running.master == master

    scene(program, play)


def test_no_other_version_of_http_has_another_reading(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        client = Client(running.port)
        reply = await client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        await client.close()
        assert reply.status in (0, 400)

    scene(program, play)


def test_the_dispatcher_s_and_the_workers_sockets_refuse_ambiguous_targets_too(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await running.fleet(1, "queued-1", routing=RoutingStrategy.QUEUED, endpoint="later")
        await running.proxy.set_routes(build_route_table("later", 1, [(1, 10_000, {"blue": 1.0})]))
        good = "/endpoints/later/invocations"
        for socket in (running.proxy.queued, running.proxy.copies):
            client = Client(socket)
            headers = {"X-Tidegate-Fleet": "later/1/blue"}
            reply = await client.post(b"x", good, headers)
            assert (reply.status, reply.body) == (200, b"queued-1")
            for target in (*AMBIGUOUS, f"http://queue{good}", f"{good}?a=%zz"):
                head = f"POST {target} HTTP/1.1\r\nHost: queue\r\nX-Tidegate-Fleet: later/1/blue\r\n"
                reply = await client.send(f"{head}Content-Length: 0\r\n\r\n".encode("latin-1"))
                await client.close()
                assert reply.status == 400, target
        assert running.workers["queued-1"].served == 2

    scene(program, play)


def test_what_is_routed_is_what_is_verified_and_what_the_model_gets(program: str) -> None:
    """Of any target: with the signature that a client would make for it, proxy and verifier agree on the endpoint."""

    @settings(
        max_examples=4,
        deadline=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    @given(batches)
    def routed(batch: list[str]) -> None:
        async def play(running: ProxyHarness) -> None:
            for target in batch:
                reply = await sent(running, target, headers="Authorization: AWS4-HMAC-SHA256 x\r\n")
                if reply.status == 400 and b" HTTP/1.1" not in reply.body and not target.isascii():
                    continue  # HAProxy's own parser was faster
                check(target, reply)
                agree(target, reply)

        scene(program, play, access_keys=KEYS)

    routed()


def agree(target: str, reply: Reply) -> None:
    """The verifier takes botocore's signature if and only if the target was routed."""
    request = AWSRequest("POST", f"http://here{target}", data=b"head")
    SigV4Auth(Credentials("AKID", "secret"), "sagemaker", "us-east-1").add_auth(request)
    path, _, query = target.partition("?")
    parts = RequestParts("POST", path, query, [*request.headers.items(), ("Host", "here")], b"head")
    try:
        verify(parts, KEYS, now=get_current_datetime(), skew=300, services={"sagemaker"})
        accepted = True
    except (AuthError, Invalid):
        accepted = False
    assert accepted == (reply.status == 200), target
