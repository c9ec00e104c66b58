"""With access keys every door asks for a signature; without any, nobody is let in from beyond loopback."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.scene import Scene
from tidegate.cli.client import ApiClient
from tidegate.host.platform import Platform, free_port, wait_until

pytestmark = pytest.mark.e2e
KEY, SECRET = "AKIDEXAMPLE", "a-long-enough-secret"
ROW = [[0.1, 0.2, 0.3, 0.4]]


@pytest.fixture(scope="module")
def signed(models: tuple[str, str]) -> Iterator[Scene]:
    folder = str(Path(models[0].removeprefix("file://")).parent)
    with Platform(
        environment={"TIDEGATE_ACCESS_KEYS": f"{KEY}:{SECRET}", "TIDEGATE_FILE_ROOTS": folder}
    ) as platform:
        scene = Scene(platform, keys=(KEY, SECRET))
        scene.create("signed", scene.config(models[0]))
        yield scene


def test_a_signed_request_is_served(signed: Scene) -> None:
    assert signed.invoke("signed", ROW)["InvokedProductionVariant"] == "AllTraffic"


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ((KEY, "another-secret-altogether"), "InvalidSignatureException"),
        (("AKIDNOBODY", SECRET), "UnrecognizedClient"),
    ],
    ids=["wrong secret", "unknown key"],
)
def test_a_badly_signed_request_is_refused_at_every_door(signed: Scene, keys: tuple[str, str], code: str) -> None:
    other = Scene(signed.platform, keys=keys)
    with pytest.raises(ClientError) as control:
        other.sagemaker.list_endpoints()
    assert control.value.response["Error"]["Code"].startswith(code)
    with pytest.raises(ClientError) as data:
        other.invoke("signed", ROW)
    assert data.value.response["Error"]["Code"].startswith(code)


def test_an_unsigned_request_is_refused_at_every_door(signed: Scene) -> None:
    url = signed.platform.url
    for answer in (
        httpx.post(f"{url}/endpoints/signed/invocations", content=b"1,2,3,4"),
        httpx.post(url, headers={"X-Amz-Target": "SageMaker.ListEndpoints"}, content=b"{}"),
        httpx.get(f"{url}/tidegate/v1/endpoints"),
    ):
        assert answer.status_code in (400, 403)
        assert "Missing" in answer.text
    assert httpx.get(f"{url}/healthz").status_code == 200


def test_one_who_signs_with_anothers_name_spends_nothing_of_its_quota(
    signed: Scene, models: tuple[str, str]
) -> None:
    spec = {
        "endpoint": "held",
        "model": {"image": "tidegate/xgboost", "data": models[0]},
        "quotas": {"rate": "1/m", "burst": 3},
    }
    environment = {"TIDEGATE_URL": signed.platform.url, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    with ApiClient(environment) as server:
        server.deploy(spec, "test", override=False, supersede=False)
    signed.settled("held")
    forger = Scene(signed.platform, keys=(KEY, "another-secret-altogether"))
    for _ in range(6):
        with pytest.raises(ClientError, match="InvalidSignatureException"):
            forger.invoke("held", ROW)
    for _ in range(3):
        signed.invoke("held", ROW)
    with pytest.raises(ClientError, match="ThrottlingException"):
        signed.invoke("held", ROW)


def test_a_signature_for_one_endpoint_is_not_good_for_another(signed: Scene, models: tuple[str, str]) -> None:
    """Signed as botocore signs each path, which drops dot segments; sent as it stands."""
    signed.create("other", signed.config(models[1]))
    body = b"0.1,0.2,0.3,0.4"
    host = f"127.0.0.1:{signed.platform.port}"
    for path, status in (
        ("/endpoints/signed/invocations", b"200"),
        ("/endpoints/other/v1/../../signed/invocations", b"400"),
        ("/endpoints/other/v1/x/../../../signed/invocations", b"400"),
        ("/endpoints/other/invocations-response-stream/../../signed/invocations", b"400"),
        ("/endpoints/other/v1/%2e%2e/%2e%2e/signed/invocations", b"400"),
        ("/endpoints/other//../signed/invocations", b"400"),
        ("/endpoints/other/v1/../../signed/async-invocations", b"400"),
        (f"http://{host}/endpoints/signed/invocations", b"400"),
    ):
        url = f"http://{host}{path}" if path.startswith("/") else path
        request = AWSRequest("POST", url, {"content-type": "text/csv", "host": host}, body)
        SigV4Auth(Credentials(KEY, SECRET), "sagemaker", "us-east-1").add_auth(request)
        lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        head = f"POST {path} HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", signed.platform.port), 30) as connection:
            connection.sendall(head.encode() + body)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.split(b" ")[1] == status, (path, answer)


def test_model_data_outside_the_listed_folders_is_refused(signed: Scene, tmp_path: Path) -> None:
    (tmp_path / "model.ubj").write_bytes(b"x")
    with pytest.raises(ClientError, match=f"Could not access model data at .*{tmp_path}"):
        signed.config((tmp_path / "model.ubj").as_uri())


def test_listening_beyond_loopback_without_keys_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tidegate.cli", "up", "--host", "0.0.0.0"]
    arguments = ["--port", str(free_port()), "--state", str(tmp_path / "s")]
    refused = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert "TIDEGATE_ACCESS_KEYS" in refused.stderr


def test_copies_for_a_shadow_carry_the_signature_that_they_need(signed: Scene, models: tuple[str, str]) -> None:
    signed.create("shaded", signed.config(models[0], shadow={"ModelName": signed.model(models[1])}))
    kept = Path(signed.platform.state, "shadow", "shaded")
    signed.invoke("shaded", ROW)
    found = wait_until(lambda: list(kept.glob("*/*/*.jsonl")), "a pair")
    lines = wait_until(lambda: found[0].read_text().splitlines(), "it is written")
    assert [json.loads(line)["shadow"]["status"] for line in lines] == [200]
