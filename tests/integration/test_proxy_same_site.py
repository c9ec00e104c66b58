"""Without access keys, HAProxy answers a web page of another site in the model's place."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st

from tests.proxy_harness import PATH, Client, ProxyHarness, Reply, each_haproxy, stand
from tests.unit.auth.test_same_site import FOREIGN, OURS
from tidegate.auth.same_site import compile_pattern, own_host_pattern, refusal_reason

pytestmark = each_haproxy
CHAT = "/endpoints/fraud/v1/chat/completions"
REQUESTS = (
    ("POST", PATH),
    ("POST", f"{PATH}-response-stream"),
    ("POST", CHAT),
    ("GET", "/endpoints/fraud/v1/models"),
)
ALLOWED = ("models.internal", "fd00::1")


def scene(program: str, play: Callable[[ProxyHarness], Any], **changed: object) -> None:
    async def whole() -> None:
        async with stand(program, None, **changed) as running:
            await running.fleet(1, "a")
            await running.share(1, {1: 10_000})
            await play(running)

    asyncio.run(whole())


async def sent(
    running: ProxyHarness, headers: list[tuple[str, str]], method: str = "POST", path: str = PATH
) -> Reply:
    client = Client(running.port)
    try:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        return await client.send(
            f"{method} {path} HTTP/1.1\r\n{lines}Content-Length: 1\r\n\r\nx".encode("latin-1")
        )
    finally:
        await client.close()


def test_a_page_of_another_site_invokes_no_model(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        here = f"127.0.0.1:{running.port}"
        upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
        upgrade += [("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
        pages: tuple[list[tuple[str, str]], ...] = (
            [("Host", "evil.example")],
            [("Host", f"evil.example:{running.port}"), ("Origin", f"http://evil.example:{running.port}")],
            [("Host", "evil.example"), ("Sec-Fetch-Site", "same-origin")],
            [("Host", here), ("Origin", "https://evil.example")],
            [("Host", here), ("Origin", "https://evil.example"), ("Content-Type", "text/plain")],
            [("Host", here), ("Origin", "null")],
            [("Host", here), ("Origin", here)],
            [("Host", here), ("Origin", "http://127.0.0.1:3000")],
            [("Host", here), ("Origin", f"http://localhost:{running.port}")],
            [("Host", here), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")],
            [("Host", here), ("Sec-Fetch-Site", "same-site")],
            [("Host", here), ("Origin", "https://evil.example"), *upgrade],
            [("Host", here), ("X-Forwarded-For", "203.0.113.9")],
            [("Host", here), ("x-forwarded-proto", "")],
            [("Host", here), ("Forwarded", "for=203.0.113.9")],
            [("Host", here), ("X-Real-IP", "203.0.113.9")],
            [("Host", here), ("Via", "1.1 proxy")],
            [],
        )
        for page in pages:
            for method, path in REQUESTS:
                reply = await sent(running, page, method, path)
                if not page and reply.status == 400:
                    continue  # HAProxy's own parser asks for a Host
                assert reply.status == 403, (method, path, page)
                assert reply.header("x-amzn-ErrorType") == "AccessDeniedException"
                document = json.loads(reply.body)
                told = document["error"] if "/v1/" in path else document
                assert told["message"] and "access-control-allow-origin" not in reply.head.lower()
        assert running.workers["a"].served == 0
        for page in (
            [("Host", here)],
            [("Host", here), ("Origin", f"http://{here}"), ("Sec-Fetch-Site", "same-origin")],
        ):
            for method, path in REQUESTS[:3]:
                assert (await sent(running, page, method, path)).status == 200
        assert (await sent(running, [("Host", "models.internal")])).status == 200

    scene(program, play, allowed_hosts=("models.internal",))


def test_with_access_keys_the_signature_is_the_guard(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        page = [("Host", "models.example"), ("Origin", "https://console.example"), ("Authorization", "AWS4 x")]
        assert (await sent(running, page)).status == 200

    scene(program, play, access_keys={"AKID": "a-secret"})


hosts = st.sampled_from((*OURS, *FOREIGN)).map(lambda host: host.strip())
origins = st.one_of(
    st.sampled_from(["null", "https://evil.example", "http://127.0.0.1", "ftp://localhost", "http://"]),
    st.tuples(st.sampled_from(["http://", "https://", "HTTP://", "", "x://"]), hosts).map("".join),
)
sites = st.sampled_from(["none", "same-origin", "cross-site", "same-site", "x", "None"])


@st.composite
def pages(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Headers of a request, mostly with an origin that fits the host."""
    host = draw(hosts)
    found = [("Host", host)]
    found += [("Origin", origin) for origin in draw(st.lists(origins | st.just(f"http://{host}"), max_size=2))]
    found += [("Sec-Fetch-Site", site) for site in draw(st.lists(sites, max_size=2))]
    return draw(st.permutations(found))


def test_the_proxy_decides_as_the_controller_does(program: str) -> None:
    own = compile_pattern(own_host_pattern("127.0.0.1", ALLOWED))

    @settings(
        max_examples=2,
        deadline=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(pages(), min_size=150, max_size=150))
    def decided(batch: list[list[tuple[str, str]]]) -> None:
        async def play(running: ProxyHarness) -> None:
            for page in batch:
                reply = await sent(running, page)
                if reply.status == 400:
                    continue  # HAProxy's own parser was stricter
                given = (
                    [value for name, value in page if name == header]
                    for header in ("Host", "Origin", "Sec-Fetch-Site")
                )
                assert (reply.status == 200) == (refusal_reason(own, *given) is None), page

        scene(program, play, allowed_hosts=ALLOWED)

    decided()
