"""What a client sees when no worker answers: errors that AWS's own client understands, from the proxy itself."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import pytest

from tests.proxy_harness import ENDPOINT, PATH, Client, ProxyHarness, each_haproxy, lost, stand
from tidegate.domain.fleet import FleetId

pytestmark = each_haproxy
KEYS = {"access_keys": {"AKID": "secret"}}


def runtime(port: int, signed: bool = True) -> Any:
    """A plain client; it asks once, so that a test sees what the proxy said."""
    config = botocore.config.Config(
        retries={"total_max_attempts": 1},
        signature_version="v4" if signed else botocore.UNSIGNED,
        read_timeout=20,
    )
    return boto3.client(
        "sagemaker-runtime",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="AKID",
        aws_secret_access_key="secret",
        config=config,
    )


async def refusal(client: Any, body: bytes = b"x", **more: str) -> botocore.exceptions.ClientError:
    def ask() -> botocore.exceptions.ClientError:
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            client.invoke_endpoint(EndpointName=ENDPOINT, Body=body, **more)
        return caught.value

    error = await asyncio.to_thread(ask)
    assert error.response["ResponseMetadata"]["RequestId"]
    return error


async def served(running: ProxyHarness) -> FleetId:
    fleet = await running.fleet(1, "a")
    await running.share(1, {1: 10_000})
    return fleet


async def scene(program: str, play: Callable[[ProxyHarness], Any], **settings: object) -> None:
    async with stand(program, None, **settings) as running:
        await play(running)


async def test_no_instance(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        fleet = await served(running)
        await running.fleet(1)
        client = runtime(running.port)
        error = await refusal(client)
        assert isinstance(error, client.exceptions.ServiceUnavailable)
        assert error.response["Error"]["Message"] == (
            f"No instance of endpoint {ENDPOINT} can take the request now; try again."
        )
        assert await lost(running.proxy) == {fleet: 1}

    await scene(program, play)


async def test_a_model_that_takes_too_long(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        fleet = await served(running)
        client = runtime(running.port)
        error = await refusal(client, b"hold")
        assert isinstance(error, client.exceptions.ModelError)
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 424
        assert error.response["OriginalStatusCode"] == 0
        assert error.response["OriginalMessage"].startswith(
            "Your invocation timed out while waiting for a response"
        )
        assert error.response["LogStreamArn"] == (
            f"arn:aws:logs:us-east-1:000000000000:log-group:/aws/sagemaker/Endpoints/{ENDPOINT}"
        )
        assert error.response["Error"]["Message"].startswith(
            'Received server error (0) from primary with message "Your invocation timed out'
        )
        assert running.workers["a"].served == 1, "a request that takes long is not sent again"
        assert await lost(running.proxy) == {fleet: 1}

    await scene(program, play, invocation_timeout=1)


async def test_an_instance_that_dies_with_the_request(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        fleet = await served(running)
        client = runtime(running.port)
        error = await refusal(client, b"die")
        assert isinstance(error, client.exceptions.ModelError)
        assert error.response["OriginalMessage"] == (
            "The container primary ended, or closed the connection, before it answered."
        )
        assert await lost(running.proxy) == {fleet: 1}

    await scene(program, play)


@pytest.mark.parametrize(
    ("body", "status", "kind", "code"),
    [
        (b"hold", 504, "server_error", "model_error"),
        (b"die", 502, "server_error", "model_error"),
        (b"x" * 1001, 413, "invalid_request_error", "ValidationError"),
    ],
)
async def test_openai_s_clients_are_told_in_their_own_way(
    program: str, body: bytes, status: int, kind: str, code: str
) -> None:
    """With a status by which they know whether to ask again."""

    async def play(running: ProxyHarness) -> None:
        await served(running)
        reply = await running.ask(body, path=f"/endpoints/{ENDPOINT}/v1/chat/completions")
        error = json.loads(reply.body)["error"]
        assert (reply.status, error["type"], error["code"]) == (status, kind, code)
        assert error["message"]

    await scene(program, play, invocation_timeout=1, max_body=1000)


async def test_an_unknown_variant(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await served(running)
        error = await refusal(runtime(running.port), TargetVariant="green")
        assert error.response["Error"] == {
            "Code": "ValidationError",
            "Message": f"Variant green of endpoint {ENDPOINT} of account 000000000000 not found.",
        }
        reply = await running.ask(headers={"X-Amzn-SageMaker-Target-Variant": 'gr"\\een\xe9'})
        assert json.loads(reply.body)["Message"].startswith('Variant gr"\\een')

    await scene(program, play)


async def test_a_body_over_the_limit(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await served(running)
        assert (await running.ask(b"x" * 1000)).status == 200
        assert (await running.ask(b"x" * 1001)).status == 413
        error = await refusal(runtime(running.port), b"x" * 2_000_000)
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 413
        assert error.response["Error"] == {
            "Code": "ValidationError",
            "Message": "The request's body is larger than the limit of 1000 bytes.",
        }
        assert running.workers["a"].served == 1

    await scene(program, play, max_body=1000)


async def test_no_signature_where_one_is_needed(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await served(running)
        error = await refusal(runtime(running.port, signed=False))
        assert error.response["Error"]["Code"] == "MissingAuthenticationTokenException"
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        assert running.workers["a"].served == 0
        # Whether a signature is good is for the worker to say.
        assert (await running.ask(headers={"Authorization": "AWS4-HMAC-SHA256 ..."})).status == 200
        assert (await running.ask(path=f"{PATH}?X-Amz-Signature=0")).status == 200

    await scene(program, play, **KEYS)


async def test_a_controller_that_is_away(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await served(running)
        for path in (
            "/",
            "/healthz",
            "/endpoints/other/invocations",
            f"{PATH}/",
            "/endpoints/fraud/async-invocations",
        ):
            reply = await running.ask(path=path)
            assert (reply.status, reply.header("x-amzn-ErrorType")) == (503, "ServiceUnavailable"), path
            body = json.loads(reply.body)
            assert body["__type"] == "ServiceUnavailable"
            assert body["message"] == body["Message"]
            assert body["message"].startswith("tidegate's controller is not running")
        assert (await running.ask()).status == 200

    await scene(program, play)


async def test_what_is_no_prediction_goes_to_the_controller(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await served(running)
        controller = await running.worker("controller.sock")
        for path in ("/", "/endpoints/other/invocations", f"{PATH}/blue", "/endpoints/fraud/async-invocations"):
            reply = await running.ask(path=path)
            assert (reply.status, reply.body) == (200, b"controller.sock"), path
        client = Client(running.port)
        reply = await client.send(f"PUT {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
        await client.close()
        assert reply.header("x-Amzn-Invoked-Production-Variant") == "controller.sock"
        assert (controller.served, running.workers["a"].served) == (4, 0)

    await scene(program, play, **KEYS)


async def test_a_request_that_is_no_http(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await served(running)
        for request in (b"POST / HTTP/1.1\r\nno colon\r\n\r\n", b"\x16\x03\x01\x02\x00\r\n\r\n"):
            client = Client(running.port)
            assert (await client.send(request)).status == 400
            await client.close()

    await scene(program, play)


async def test_a_worker_gets_the_proxy_s_stamp_and_not_the_client_s(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await served(running)
        given = {"X-Tidegate-Start": "1", "X-Tidegate-Anything": "2", "X-Other": "3"}
        head = (await running.ask(b"head", headers=given)).body.decode().lower()
        stamps = [line for line in head.split("\r\n") if line.startswith("x-tidegate-")]
        assert len(stamps) == 1
        name, _, value = stamps[0].partition(": ")
        assert (name, len(value)) == ("x-tidegate-start", 16)
        assert "x-other: 3" in head

    await scene(program, play)


async def test_a_body_that_comes_in_chunks(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await served(running)
        head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        client = Client(running.port)
        reply = await client.send(head + b"5\r\nhello\r\n0\r\n\r\n")
        assert (reply.status, reply.body) == (200, b"a")
        # What is there at once is counted; for the rest the worker has a limit of its own.
        assert (await client.send(head + b"6\r\nhello!\r\n0\r\n\r\n")).status == 413
        await client.close()

    await scene(program, play, max_body=5)
