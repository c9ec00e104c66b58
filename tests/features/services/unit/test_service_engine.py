"""The engine of a service: where requests go, what is retried, and what is said where nothing can answer."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.features.services.http_services import OK, Asked, RunningService, answer_well, response, service
from tidegate.domain.errors import Invalid, StartTimeout
from tidegate.domain.fleet import FleetId
from tidegate.domain.registry import SecretReference, Upstream
from tidegate.features.services.worker import replicas
from tidegate.features.services.worker import replicas as engines
from tidegate.features.services.worker.replicas import ServiceEngine, open_service
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.invocation import PATH, Answer, Call, ModelFailed, Outcome, Stream, TimedOut
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "CHECK_EVERY", 0.02)
    monkeypatch.setattr(replicas, "RESOLVE_EVERY", 0.0)
    monkeypatch.setattr(engines, "PATIENCE", 0.5)


async def open_engine(url: str, *, upstream: dict[str, Any] | None = None, **given: Any) -> ServiceEngine:
    reached = Upstream(url=url, **(upstream or {}))
    container = ContainerSpec(runtime=RuntimeChoice(RuntimeKind.SERVICE, upstream=reached), model_dir="")
    spec = ReplicaSpec(
        replica="r",
        fleet=FleetId("e", 1, "AllTraffic"),
        config_name="c",
        containers=(container,),
        socket="/nowhere",
        **given,
    )
    return await open_service(spec, container, lambda *_: None, asyncio.get_running_loop().time() + 60)


async def ask(
    engine: ServiceEngine,
    body: bytes = b"[[1]]",
    parts: bool = False,
    headers: Mapping[bytes, bytes] = {},
) -> Outcome:
    done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    engine.submit(Call(body, {b"content-type": b"application/json", **headers}, parts), done.set_result)
    return await done


async def failed(engine: ServiceEngine) -> ModelFailed:
    outcome = await ask(engine)
    assert isinstance(outcome, ModelFailed), outcome
    return outcome


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def test_calls_go_to_the_paths_with_headers_and_kept_connections(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("Bearer abc123\n")
    async with service() as there:
        there.health = "/healthz"
        engine = await open_engine(
            f"{there.url}/v2/",
            upstream={
                "health": "/healthz",
                "predict": "/predict",
                "headers": {"Authorization": SecretReference("token"), "X-Team": "risk"},
            },
            secrets=str(tmp_path),
        )
        for _ in range(3):
            sent = {b"x-amzn-sagemaker-custom-attributes": b"a=b", b"x-secret": b"no"}
            assert await ask(engine, headers=sent) == Answer(b"[1]", "application/json")
        await ask(engine, b"", headers={PATH: b"/v1/models"})
        await engine.close()
    first = there.asked[0]
    assert (first.method, first.path, first.body) == ("POST", "/v2/predict", b"[[1]]")
    assert first.headers["host"] == f"127.0.0.1:{there.port}"
    assert first.headers["authorization"] == "Bearer abc123" and first.headers["x-team"] == "risk"
    assert first.headers["x-amzn-sagemaker-custom-attributes"] == "a=b" and "x-secret" not in first.headers
    assert (there.asked[3].method, there.asked[3].path) == ("GET", "/v2/v1/models")
    assert there.checks[0].path == "/v2/healthz" and there.checks[0].headers["authorization"] == "Bearer abc123"
    assert there.connections <= 2, "connections are kept"


async def test_the_replica_with_the_fewest_requests_gets_the_next_one() -> None:
    free = asyncio.Event()

    async def wait(asked: Asked) -> bytes:
        if asked.method == "POST":
            await free.wait()
        return OK

    async with service(wait) as slow, service() as quick:
        engine = await open_engine(f"{slow.url},{quick.url}")
        waiting = [asyncio.create_task(ask(engine)) for _ in range(2)]
        await until(lambda: slow.asked)
        for _ in range(5):
            await ask(engine)
        assert len(slow.asked) == 1 and len(quick.asked) == 6
        free.set()
        await asyncio.gather(*waiting)
        await engine.close()


async def test_a_replica_that_is_gone_gets_nothing_and_no_request_fails_by_it() -> None:
    async with service() as one, service() as other:
        engine = await open_engine(f"{one.url},{other.url}")
        await one.stop()
        for _ in range(20):
            assert isinstance(await ask(engine), Answer)
        assert engine.healthy
        await one.start()
        await until(lambda: all(each.healthy for each in engine._replicas._replicas))
        await asyncio.gather(*(ask(engine) for _ in range(2)))
        assert one.asked
        await engine.close()


async def test_a_service_that_restarts_between_requests_fails_none() -> None:
    async with service() as there:
        engine = await open_engine(there.url)
        for _ in range(5):
            assert isinstance(await ask(engine), Answer)
            await there.stop()
            await there.start()
            await until(lambda: engine.healthy)
        await engine.close()


async def test_a_request_that_may_have_been_processed_is_sent_once() -> None:
    async def break_off(asked: Asked) -> bytes | None:
        return OK if asked.method == "GET" else None

    async with service(break_off) as one, service(break_off) as other:
        engine = await open_engine(f"{one.url},{other.url}")
        for each in one, other:
            await each.break_connections()
        found = await failed(engine)
        assert "The service gave no answer: the connection was closed before an answer" in found.message
        assert len(one.asked) + len(other.asked) <= 2
        await engine.close()


async def test_without_a_healthy_replica_calls_fail_at_once_and_say_why() -> None:
    async with service() as there:
        engine = await open_engine(there.url)
        await there.stop()
        found = await failed(engine)
        assert found.status == 0 and not engine.healthy
        expected = f"The service gave no answer: no replica is healthy ({there.url}: connection refused)."
        assert found.message == expected
        await there.start()
        await until(lambda: engine.healthy)
        assert isinstance(await ask(engine), Answer)
        await engine.close()


async def test_a_replica_with_bad_checks_gets_no_requests_until_it_has_a_good_one() -> None:
    status = [200]

    async def respond(asked: Asked) -> bytes:
        return response(b"[1]", status[0] if asked.method == "GET" else 200)

    async with service(respond) as there:
        engine = await open_engine(there.url)
        status[0] = 503
        await until(lambda: not engine.healthy)
        assert "GET /ping was answered with 503" in (await failed(engine)).message
        assert there.asked == []
        status[0] = 204
        await until(lambda: engine.healthy)
        await engine.close()


async def test_a_busy_replica_that_answers_no_checks_is_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "CHECK_TIMEOUT", 0.02)
    free, begun = asyncio.Event(), asyncio.Event()

    async def one_at_a_time(asked: Asked) -> bytes:
        if asked.method == "POST":
            begun.set()
        if begun.is_set():
            await free.wait()
        return OK

    async with service(one_at_a_time) as there:
        engine = await open_engine(there.url)
        engine._replicas._replicas[0].answered = asyncio.get_running_loop().time()
        waiting = asyncio.create_task(ask(engine))
        await begun.wait()
        seen = len(there.checks)
        await until(lambda: len(there.checks) > seen + 3)
        assert engine.healthy
        free.set()
        assert isinstance(await waiting, Answer)
        await engine.close()


async def test_a_healthy_service_that_fails_predictions_is_passed_on_as_it_is() -> None:
    async def lie(asked: Asked) -> bytes:
        return OK if asked.method == "GET" else response(b"no model", 500)

    async with service(lie) as there:
        engine = await open_engine(there.url)
        found = await failed(engine)
        assert (found.status, found.message) == (500, "no model") and engine.healthy
        await engine.close()


@pytest.mark.parametrize("status", [301, 307])
async def test_a_redirect_is_a_failure_that_says_so_and_is_never_followed(status: int) -> None:
    async with service() as elsewhere:

        async def redirect(asked: Asked) -> bytes:
            more = f"location: {elsewhere.url}/x?token=1\r\n"
            return OK if asked.method == "GET" else response(b"", status, more=more)

        async with service(redirect) as there:
            engine = await open_engine(there.url)
            found = await failed(engine)
            assert found.status == status
            assert found.message == (
                f"The service redirects to {elsewhere.url}/x, and redirects are not followed."
            )
            await engine.close()
    assert elsewhere.connections == 0


async def test_a_service_whose_health_redirects_does_not_start() -> None:
    async def redirect(asked: Asked) -> bytes:
        return response(b"", 302, more="location: /elsewhere\r\n")

    async with service(redirect) as there:
        with pytest.raises(StartTimeout, match=r"GET /ping was answered with 302, and redirects are not followed"):
            await open_engine(there.url)


async def test_a_slow_service_times_out() -> None:
    async def never(asked: Asked) -> bytes:
        if asked.method == "POST":
            await asyncio.Event().wait()
        return OK

    async with service(never) as there:
        engine = await open_engine(there.url, invocation_timeout=0.05)
        assert isinstance(await failed(engine), TimedOut)
        assert engine._replicas._replicas[0].in_flight == 0
        await engine.close()


async def test_an_answer_in_parts_is_passed_on_in_parts() -> None:
    async def parts(asked: Asked) -> bytes:
        if asked.method == "GET":
            return OK
        return b"HTTP/1.1 200 -\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"

    async with service(parts) as there:
        engine = await open_engine(there.url)
        outcome = await ask(engine, parts=True)
        assert isinstance(outcome, Stream)
        assert [part async for part in outcome.parts] == [b"ab", b"c"]
        assert engine._replicas._replicas[0].in_flight == 0
        await engine.close()


async def test_a_port_where_nobody_listens_is_named() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(StartTimeout, match=rf"the service {url} did not pass .*\(GET /ping\): .*refused"):
            await open_engine(url)


@pytest.mark.parametrize(
    ("url", "hosts", "message"),
    [
        ("http://169.254.169.254", None, "link-local or metadata address"),
        ("http://metadata.google.internal", None, "is a metadata service"),
        ("http://[fd00:ec2::254]", None, "link-local or metadata address"),
        ("http://127.0.0.1:1", (), "127.0.0.1 is not public; the server's owner may list it"),
        ("http://localhost:1", (), "localhost is .*, which is not public"),
        ("http://127.0.0.1:1", ("10.0.0.0/8",), "no host that this server may ask"),
        ("http://2852039166", None, "2852039166 is 169.254.169.254, which is a link-local or metadata address"),
    ],
)
async def test_an_address_that_must_not_be_asked_is_refused(
    url: str, hosts: Sequence[str] | None, message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        await open_engine(url, service_hosts=hosts)


async def test_a_listed_host_is_asked() -> None:
    async with service() as there:
        engine = await open_engine(there.url, service_hosts=("127.0.0.0/8",))
        await engine.close()
        engine = await open_engine(f"http://localhost:{there.port}", service_hosts=("localhost",))
        assert isinstance(await ask(engine), Answer)
        assert there.asked[-1].headers["host"] == f"localhost:{there.port}"
        await engine.close()


class Names:
    """DNS as a test wants it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: list[str] | OSError = []
        loop = asyncio.get_running_loop()

        async def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
            if isinstance(self.addresses, OSError):
                raise self.addresses
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in self.addresses]

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)


async def both(one: RunningService, other: RunningService) -> None:
    """Let two services have one port, at two addresses of loopback."""
    await one.start(host="127.0.0.2")
    other.port = one.port
    await other.start(host="127.0.0.3")


async def test_the_addresses_of_a_name_are_replicas_and_follow_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch)
    one, other = RunningService(answer_well), RunningService(answer_well)
    await both(one, other)
    names.addresses = ["127.0.0.2", "127.0.0.3"]
    engine = await open_engine(f"http://fraud.internal:{one.port}")
    for _ in range(4):
        await ask(engine)
    assert len(one.asked) == len(other.asked) == 2
    assert one.asked[0].headers["host"] == f"fraud.internal:{one.port}"
    names.addresses = ["127.0.0.3"]
    await until(lambda: len(engine._replicas._replicas) == 1)
    names.addresses = OSError(-3, "Temporary failure in name resolution")
    for _ in range(4):
        assert isinstance(await ask(engine), Answer)
    assert len(one.asked) == 2 and len(other.asked) == 6
    await engine.close()
    await one.stop()
    await other.stop()


async def test_a_name_that_comes_to_mean_a_metadata_address_is_asked_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding."""
    names = Names(monkeypatch)
    async with service() as there:
        names.addresses = ["127.0.0.1"]
        engine = await open_engine(f"http://fraud.internal:{there.port}")
        names.addresses = ["127.0.0.1", "169.254.169.254"]
        await until(lambda: not engine.healthy)
        assert (
            "fraud.internal is 169.254.169.254, which is a link-local or metadata"
            in (await failed(engine)).message
        )
        await engine.close()


async def test_a_name_that_is_not_known_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch)
    names.addresses = socket.gaierror(-2, "Name or service not known")
    with pytest.raises(StartTimeout, match=r"fraud.internal cannot be resolved: Name or service not known"):
        await open_engine("http://fraud.internal")


async def test_a_secret_is_read_again_and_never_shown(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("Bearer first-one")

    async def repeat(asked: Asked) -> bytes:
        return OK if asked.method == "GET" else response(asked.headers["authorization"].encode(), 401)

    async with service(repeat) as there:
        upstream = {"headers": {"Authorization": SecretReference("token")}}
        engine = await open_engine(there.url, upstream=upstream, secrets=str(tmp_path))
        assert (await failed(engine)).message == "[secret token]"
        other = tmp_path / "other"
        other.write_text("Bearer second-one\n")
        other.rename(secret)
        await until(lambda: there.checks[-1].headers["authorization"] == "Bearer second-one")
        assert (await failed(engine)).message == "[secret token]"
        secret.unlink()
        await until(lambda: not engine.healthy)
        expected = (
            "secret token: its file in the folder TIDEGATE_SECRETS cannot be read: No such file or directory"
        )
        assert expected in (await failed(engine)).message
        secret.write_text("third")
        await until(lambda: engine.healthy)
        await engine.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"", "must be one line"),
        (b"a\nb", "must be one line"),
        (b"s\xc3\xa4cret", "must be one line"),
        (b"x" * 20_000, "must be one line"),
    ],
)
async def test_a_secret_that_no_header_can_be_is_refused_without_showing_it(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    upstream = {"headers": {"X-Key": SecretReference("token")}}
    with pytest.raises(Invalid, match=message) as refused:
        await open_engine("http://127.0.0.1:1", upstream=upstream, secrets=str(tmp_path))
    assert not content or content[:3].decode("latin-1") not in refused.value.message.split(":")[-1][:3]


async def test_a_connection_whose_other_end_is_gone_breaks() -> None:
    """Half open: the kernel is told to give up on it, long before a prediction's own limit."""
    async with service() as there:
        engine = await open_engine(there.url)
        connection = engine._replicas._replicas[0].client._idle[0]
        assert connection._transport is not None
        own = connection._transport.get_extra_info("socket")
        assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == replicas.LOST_AFTER
        await engine.close()
