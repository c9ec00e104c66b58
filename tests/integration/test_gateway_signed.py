"""Real clients against a real server: who is let in, and how botocore sees a refusal."""

import contextlib
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import uvicorn
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.gateway_harness import KEY, SECRET, SIGNED, GatewayHarness, ShiftedClock
from tidegate.gateway.middleware import MAX_BODY
from tidegate.host.platform import wait_until


@dataclass
class Served:
    """A gateway behind uvicorn, on a unix socket as the proxy reaches it and on a port for clients."""

    house: GatewayHarness
    url: str
    socket: Path

    def client(self, service: str, key: str = KEY, secret: str = SECRET, **options: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="eu-west-3",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=Config(retries={"total_max_attempts": 1, "mode": "standard"}, **options),
        )


@contextlib.contextmanager
def serve(house: GatewayHarness) -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="tg-") as folder, contextlib.ExitStack() as stack:
        path = Path(folder) / "api.sock"
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(str(path))
        port = stack.enter_context(socket.socket())
        port.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(house.app, lifespan="off", ws="none", log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [unix, port]})
        thread.start()
        try:
            wait_until(lambda: server.started, "the gateway is up", 20, 0.01)
            yield Served(house, f"http://127.0.0.1:{port.getsockname()[1]}", path)
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture(scope="module")
def signed() -> Iterator[Served]:
    with serve(GatewayHarness(SIGNED)) as served:
        yield served


def refusal(call: Callable[[], object]) -> tuple[str, int, str]:
    """Code, HTTP status and message of the error that a client raises."""
    with pytest.raises(ClientError) as caught:
        call()
    error, metadata = caught.value.response["Error"], caught.value.response["ResponseMetadata"]
    return error["Code"], metadata["HTTPStatusCode"], error["Message"]


def describe(client: Any) -> object:
    return client.describe_alarms()


def whoami(client: Any) -> object:
    return client.get_caller_identity()


def invoke(client: Any) -> object:
    return client.invoke_endpoint(EndpointName="nobody", Body=b"1,2,3", ContentType="text/csv")


DOORS = [("cloudwatch", describe), ("sts", whoami), ("sagemaker-runtime", invoke)]
JSON = ("UnrecognizedClientException", "InvalidSignatureException", "MissingAuthenticationTokenException")
QUERY = ("InvalidClientTokenId", "SignatureDoesNotMatch", "MissingAuthenticationToken")
REFUSED = {"cloudwatch": (*JSON, 400), "sts": (*QUERY, 403), "sagemaker-runtime": (*JSON, 403)}
"""Service -> error names for an unknown key, a wrong secret and no signature, and the status of all three."""


def test_a_client_with_the_right_key_is_let_in(signed: Served) -> None:
    assert describe(signed.client("cloudwatch"))


@pytest.mark.parametrize(("service", "call"), DOORS)
def test_a_signed_request_passes_to_its_service(
    signed: Served, service: str, call: Callable[[Any], object]
) -> None:
    """Whatever the service says then, it is not about the signature."""
    try:
        call(signed.client(service))
    except ClientError as error:
        assert error.response["Error"]["Code"] not in REFUSED[service]


@pytest.mark.parametrize(("service", "call"), DOORS)
def test_an_unknown_key(signed: Served, service: str, call: Callable[[Any], object]) -> None:
    unknown, _, _, status = REFUSED[service]
    found = refusal(lambda: call(signed.client(service, key="AKIDSOMEBODY")))
    assert found == (unknown, status, "The security token included in the request is invalid.")


@pytest.mark.parametrize(("service", "call"), DOORS)
def test_a_wrong_secret(signed: Served, service: str, call: Callable[[Any], object]) -> None:
    _, wrong, _, status = REFUSED[service]
    code, found, message = refusal(lambda: call(signed.client(service, secret="another-secret")))
    assert (code, found) == (wrong, status)
    assert message.startswith("The request signature we calculated does not match the signature you provided.")


@pytest.mark.parametrize(("service", "call"), DOORS)
def test_no_signature(signed: Served, service: str, call: Callable[[Any], object]) -> None:
    _, _, missing, status = REFUSED[service]
    found = refusal(lambda: call(signed.client(service, signature_version=UNSIGNED)))
    assert found == (missing, status, "Missing Authentication Token")


@pytest.mark.parametrize(("service", "call"), DOORS)
def test_a_body_that_was_changed_on_the_way(signed: Served, service: str, call: Callable[[Any], object]) -> None:
    _, wrong, _, status = REFUSED[service]
    client = signed.client(service)

    def alter(request: Any, **_: object) -> None:
        body = request.body if isinstance(request.body, bytes) else request.body.encode()
        request.body = body + b" "
        request.headers["Content-Length"] = str(len(request.body))

    client.meta.events.register("before-send", alter)
    code, found, _ = refusal(lambda: call(client))
    assert (code, found) == (wrong, status)


@pytest.mark.parametrize(
    ("minutes", "beginning"), [(6, "Signature expired: "), (-6, "Signature not yet current: ")]
)
def test_a_signature_of_another_time(minutes: int, beginning: str) -> None:
    with serve(GatewayHarness(SIGNED, clock=ShiftedClock(timedelta(minutes=minutes)))) as served:
        for service, call in DOORS:
            _, wrong, _, status = REFUSED[service]
            client = served.client(service)
            code, found, message = refusal(lambda: call(client))  # noqa: B023 (called right here)
            assert (code, found) == (wrong, status)
            assert message.startswith(beginning)


def test_a_signature_for_another_service(signed: Served) -> None:
    client = signed.client("cloudwatch")
    client.meta.events.register("choose-signer", lambda **_: "v4")
    client.meta.events.register(
        "before-sign", lambda request, **_: request.context.update(signing={"signing_name": "sts"})
    )
    code, _, message = refusal(lambda: describe(client))
    assert (code, message) == (
        "InvalidSignatureException",
        "Credential should be scoped to correct service: 'monitoring'.",
    )


def test_our_own_doors_on_the_socket(signed: Served) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(signed.socket)), base_url="http://tidegate") as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/tidegate/v1/version").json()["error"]["code"] == "MissingAuthenticationToken"


def test_a_body_over_the_limit_gets_its_answer_on_the_wire(signed: Served) -> None:
    answer = httpx.post(f"{signed.url}/", content=b"x" * (MAX_BODY + 1))
    assert (answer.status_code, answer.json()["__type"]) == (413, "RequestEntityTooLargeException")
