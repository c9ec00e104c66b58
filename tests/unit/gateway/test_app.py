"""Which door opens, and how each says no."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.gateway_harness import KEY, OPEN, SECRET, SIGNED, GatewayHarness
from tests.small_disk import small_disk
from tidegate.gateway.health import WriteProbe
from tidegate.gateway.middleware import MAX_BODY
from tidegate.store import open_store

Ask = Callable[..., httpx.Response]
ALARMS = {"X-Amz-Target": "GraniteServiceVersion20100801.DescribeAlarms"}


def ask(house: GatewayHarness, method: str, path: str, **options: object) -> httpx.Response:
    async def send() -> httpx.Response:
        async with house.client() as client:
            return await client.request(method, path, **options)  # type: ignore[arg-type]

    return asyncio.run(send())


def test_healthy_when_store_and_proxy_are() -> None:
    answer = ask(GatewayHarness(), "GET", "/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_unhealthy_without_the_proxy() -> None:
    answer = ask(GatewayHarness(proxy=False), "GET", "/healthz")
    assert (answer.status_code, answer.json()["reason"]) == (503, "the proxy is not up")


def test_unhealthy_without_the_store() -> None:
    store = open_store("sqlite://")
    asyncio.run(store.close())
    answer = ask(GatewayHarness(store=store), "GET", "/healthz")
    assert answer.status_code == 503
    assert answer.json()["reason"].startswith("the store does not answer")


def test_unhealthy_while_nothing_can_be_saved(tmp_path: Path) -> None:
    house = GatewayHarness()
    assert ask(GatewayHarness(unwritable=WriteProbe(tmp_path)), "GET", "/healthz").json() == {"status": "ok"}
    answer = ask(GatewayHarness(unwritable=WriteProbe(tmp_path / "gone")), "GET", "/healthz")
    assert answer.status_code == 503
    reason = f"the state folder {tmp_path / 'gone'} cannot be written: No such file or directory"
    assert answer.json() == {"status": "degraded", "reason": reason}
    house.trouble = "proxy.json cannot be written"
    answer = ask(house, "GET", "/healthz")
    assert (answer.status_code, answer.json()["reason"]) == (503, "proxy.json cannot be written")
    assert ask(house, "GET", "/tidegate/v1/version").status_code == 200


def test_unhealthy_on_a_full_disk_and_well_again_when_there_is_space(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        probe = WriteProbe(disk.folder, every=0)
        disk.fill()
        answer = ask(GatewayHarness(unwritable=probe), "GET", "/healthz")
        assert (answer.status_code, "No space left on device" in answer.text) == (503, True)
        disk.free()
        assert ask(GatewayHarness(unwritable=WriteProbe(disk.folder)), "GET", "/healthz").status_code == 200
        assert list(disk.folder.iterdir()) == []


async def test_disk_probe_is_rate_limited_and_never_blocks_health() -> None:
    tried, over = [], threading.Event()

    def write(folder: Path) -> None:
        tried.append(folder)
        over.wait(300)

    probe = WriteProbe(Path("/nowhere"), write, timeout=0.01)
    for _ in range(5):
        assert str(await probe()).endswith("the disk does not respond")
    assert len(tried) == 1
    over.set()
    async with asyncio.timeout(300):
        while await probe() is not None:
            await asyncio.sleep(0)
    for _ in range(5):
        assert await probe() is None
    assert len(tried) == 1


def test_metrics_are_prometheus_text() -> None:
    answer = ask(GatewayHarness(), "GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text == "tidegate_invocations_total 1\n"


def test_metrics_need_a_signature_like_all_else_unless_they_are_open() -> None:
    assert ask(GatewayHarness(SIGNED), "GET", "/metrics").status_code == 403
    assert ask(GatewayHarness(replace(SIGNED, open_metrics=True)), "GET", "/metrics").status_code == 200


def test_health_needs_no_signature() -> None:
    assert ask(GatewayHarness(SIGNED), "GET", "/healthz").status_code == 200


@pytest.mark.parametrize(("secret", "status"), [(SECRET, 404), ("another-secret", 401)])
def test_openai_clients_may_show_a_key_instead_of_signing(secret: str, status: int) -> None:
    shown = {"Authorization": f"Bearer {KEY}:{secret}"}
    answer = ask(GatewayHarness(SIGNED), "GET", "/endpoints/nobody/v1/models", headers=shown)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert ask(GatewayHarness(SIGNED), "POST", "/endpoints/nobody/invocations", headers=shown).status_code == 403


def test_paths_outside_the_native_api_use_aws_protocols() -> None:
    answer = ask(GatewayHarness(), "POST", "/", headers=ALARMS, content=b"{}")
    assert (answer.status_code, answer.json()["MetricAlarms"]) == (200, [])


def test_unknown_native_path_lists_existing_routes() -> None:
    answer = ask(GatewayHarness(), "GET", "/tidegate/v1/nothing")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "NotFound"
    assert "GET /tidegate/v1/version" in answer.json()["error"]["message"]


def test_wrong_method_lists_allowed_methods() -> None:
    answer = ask(GatewayHarness(), "PATCH", "/tidegate/v1/down")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["error"]["message"] == "PATCH is not allowed on /tidegate/v1/down: use POST"


def test_an_unknown_path_of_aws_is_an_error_of_aws() -> None:
    answer = ask(GatewayHarness(), "GET", "/nothing")
    assert (answer.status_code, answer.json()["__type"]) == (400, "UnknownOperationException")


@pytest.mark.parametrize("path", ["/", "/tidegate/v1/version", "/healthz"])
def test_every_answer_has_a_request_id(path: str) -> None:
    assert ask(GatewayHarness(), "GET", path).headers["x-amzn-requestid"].startswith("request-")


# --- sizes ---------------------------------------------------------------------------------------------------


def code(answer: httpx.Response) -> str:
    body = answer.json()
    return str(body["__type"] if "__type" in body else body["error"]["code"])


@pytest.mark.parametrize(
    ("path", "name"), [("/", "RequestEntityTooLargeException"), ("/tidegate/v1/down", "TooLarge")]
)
def test_a_body_over_the_limit_is_refused(path: str, name: str) -> None:
    house = GatewayHarness()
    answer = ask(house, "POST", path, content=b"x" * (MAX_BODY + 1))
    assert (answer.status_code, code(answer), house.downs) == (413, name, 0)


def test_chunked_body_over_the_limit_is_refused() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY // 2**20 + 1):
            yield b"x" * 2**20

    answer = ask(GatewayHarness(), "POST", "/tidegate/v1/down", content=chunks())
    assert (answer.status_code, code(answer)) == (413, "TooLarge")


def test_a_body_at_the_limit_is_read() -> None:
    body = b'{"a": "' + b"x" * (MAX_BODY - 9) + b'"}'
    answer = ask(GatewayHarness(), "POST", "/", headers=ALARMS, content=body)
    assert "Unknown member 'a'" in answer.json()["message"]


# --- web pages of others -------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[::1", "", "10.0.0.1:8471", "0x7f.1"])
@pytest.mark.parametrize("path", ["/tidegate/v1/down", "/", "/metrics", "/healthz", "/console"])
def test_foreign_host_name_is_refused_without_keys(host: str, path: str) -> None:
    house = GatewayHarness()
    answer = ask(house, "POST", path, headers={"Host": host})
    assert answer.status_code == (400 if path == "/" else 403)
    assert "does not name this server" in answer.text
    assert house.downs == 0


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8471", "localhost", "[::1]:8471", "127.0.0.2", "tidegate.localhost:1"]
)
def test_loopback_host_names_are_accepted(host: str) -> None:
    assert ask(GatewayHarness(), "GET", "/tidegate/v1/version", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_request_of_another_origins_page_is_refused(headers: dict[str, str]) -> None:
    house = GatewayHarness()
    answer = ask(house, "POST", "/tidegate/v1/down", headers=headers)
    assert (answer.status_code, code(answer), house.downs) == (403, "AccessDenied", 0)
    assert code(ask(house, "POST", "/", headers={**headers, **ALARMS}, content=b"{}")) == "AccessDeniedException"


def test_request_of_own_page_is_accepted() -> None:
    headers = {"Origin": "http://127.0.0.1:8471", "Sec-Fetch-Site": "same-origin"}
    assert ask(GatewayHarness(), "GET", "/tidegate/v1/version", headers=headers).status_code == 200


def test_with_keys_only_the_signature_counts() -> None:
    headers = {"Host": "tidegate.example", "Origin": "https://evil.example"}
    assert (
        code(ask(GatewayHarness(SIGNED), "GET", "/tidegate/v1/version", headers=headers))
        == "MissingAuthenticationToken"
    )


# --- what nobody thought of ----------------------------------------------------------------------------------


def test_an_unexpected_failure_is_hidden_but_can_be_found(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(GatewayHarness):
        async def _page(self) -> str:
            raise RuntimeError("the secret of the house")

    answer = ask(Broken(), "GET", "/metrics")
    request_id = answer.headers["x-amzn-requestid"]
    assert (answer.status_code, code(answer)) == (500, "InternalFailure")
    assert "secret" not in answer.text and request_id in answer.text
    assert request_id in caplog.text and "the secret of the house" in caplog.text


async def test_a_client_that_leaves_in_the_middle_gets_no_answer() -> None:
    sent: list[object] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/tidegate/v1/down",
        "raw_path": b"/tidegate/v1/down",
        "query_string": b"",
        "headers": [],
    }
    house = GatewayHarness(OPEN)
    await house.app(scope, receive, send)
    assert (sent, house.downs) == ([], 0)


def test_native_routes_are_the_documented_ones() -> None:
    message = ask(GatewayHarness(), "GET", "/tidegate/v1/").json()["error"]["message"]
    assert json.dumps(message).count("/tidegate/v1/endpoints") >= 3
