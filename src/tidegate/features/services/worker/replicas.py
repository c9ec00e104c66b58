"""The replicas of a service: found by its addresses and through DNS, checked each second, and chosen for requests.

A name is resolved and its addresses are checked each time; connections lead to the addresses that were checked, so
that a name which changes its meaning (DNS rebinding) leads nowhere else.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from tidegate.domain.errors import Invalid, StartTimeout, Transient
from tidegate.host.service_addresses import ServiceAddress, parse_addresses, resolve
from tidegate.http1.client import HttpClient, Tls
from tidegate.http1.messages import ConnectionBroken, HttpReply, LongBody, StreamedReply, Streaming, Unreachable
from tidegate.serving.contract.beside import health_path, is_beside
from tidegate.serving.contract.invocation import Call, Done
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.serving.runtimes.dialects import make_dialect
from tidegate.serving.runtimes.upstream_calls import UpstreamCalls
from tidegate.serving.runtimes.upstream_headers import UpstreamHeaders

CONNECT_TIMEOUT = 5.0
CHECK_TIMEOUT = 2.0
"""Seconds for the answer to a health check."""
CHECK_EVERY = 1.0
BAD_CHECKS = 2
"""In a row, after which a replica gets no requests. One that cannot be connected to gets none at once."""
RESOLVE_EVERY = 5.0
LOST_AFTER = 15_000
"""Milliseconds without an acknowledgement of what was sent after which a connection is broken: nobody is there."""
IDLE_PROBE = 10
"""Seconds after which the other end of an idle connection is probed, and between probes."""
_Reply = HttpReply | StreamedReply


class ServiceReplica:
    """One IP address of a service."""

    def __init__(self, base: ServiceAddress, ip: str, limit: int, context: ssl.SSLContext | None) -> None:
        tls = None if context is None else Tls(context, base.host)
        self.base, self.ip = base, ip
        self.client = HttpClient((ip, base.port), limit, _watch, connect_timeout=CONNECT_TIMEOUT, tls=tls)
        self.healthy = False
        self.reason = "it was not asked yet"
        """Why it is not healthy."""
        self.in_flight = 0
        self.answered = 0.0
        """When it last answered, in the event loop's time."""
        self.gone = False
        """DNS does not name it any more."""
        self._bad = 0

    def __str__(self) -> str:
        return self.base.url if self.base.host == self.ip else f"{self.base.url} ({self.ip})"

    async def check(self, path: str, headers: Iterable[tuple[bytes, bytes]], patience: float) -> None:
        """Ask for its health. ``patience``: seconds that it may take over a request, and over nothing else
        meanwhile."""
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                reply = await self.client.request(
                    "GET", self.base.path + path, headers, host=self.base.authority.encode()
                )
        except Unreachable as error:
            self.lose(error.reason)
        except TimeoutError:
            busy = self.in_flight and asyncio.get_running_loop().time() - self.answered < patience
            if not busy:
                self._worsen(f"GET {path} was not answered within {CHECK_TIMEOUT:g} s")
        except (ConnectionBroken, ValueError) as error:
            self._worsen(f"GET {path}: {error}")
        else:
            if 200 <= reply.status < 300:
                self.healthy, self._bad, self.reason = True, 0, ""
                return
            redirects = ", and redirects are not followed" if 300 <= reply.status < 400 else ""
            self._worsen(f"GET {path} was answered with {reply.status}{redirects}")

    def _worsen(self, reason: str) -> None:
        self._bad += 1
        if self._bad >= BAD_CHECKS or not self.healthy:
            self.lose(reason)

    def lose(self, reason: str) -> None:
        """Give it no requests until it answers a check."""
        self.healthy, self.reason = False, reason

    def end(self) -> None:
        """A request or a stream is over."""
        self.in_flight -= 1
        if self.gone:
            self.client.close()


class Replicas:
    """An ``UpstreamClient`` that sends each request to the replica with the fewest requests in flight."""

    def __init__(
        self,
        bases: Sequence[ServiceAddress],
        allowed: Sequence[str] | None,
        health: str,
        headers: UpstreamHeaders,
        limit: int,
        patience: float,
    ) -> None:
        """``allowed``: as in ``policy.refusal``. ``limit``: bytes of an answer that is held whole; ``patience``:
        seconds that a prediction may take."""
        self._bases, self._allowed, self._health, self._headers = bases, allowed, health, headers
        self._limit, self._patience = limit, patience
        self._context = ssl.create_default_context() if any(base.secure for base in bases) else None
        self._replicas: list[ServiceReplica] = []
        self._unresolved: dict[str, str] = {}
        """Why an address has no replicas, by its URL."""
        self.refused: dict[str, str] = {}
        """Why an address must not be asked, by its URL."""
        self._secret_trouble = ""
        self._resolve_at = 0.0
        self._turn = 0
        self._watching: asyncio.Task[None] | None = None

    @property
    def healthy(self) -> bool:
        return not self._secret_trouble and any(one.healthy for one in self._replicas)

    @property
    def trouble(self) -> str:
        """Why no replica is healthy, or why some are not; empty if all are."""
        if self._secret_trouble:
            return self._secret_trouble
        reasons = [*self.refused.values(), *(f"{url}: {why}" for url, why in self._unresolved.items())]
        reasons += [f"{one}: {one.reason}" for one in self._replicas if not one.healthy]
        return "; ".join(reasons) or ("" if self._replicas else "it has no replicas")

    async def look(self) -> None:
        """Find the replicas, read the secrets that changed, and check each replica."""
        loop = asyncio.get_running_loop()
        try:
            self._headers.look()
            self._secret_trouble = ""
        except Invalid as error:
            self._secret_trouble = error.message
            return
        if loop.time() >= self._resolve_at:
            self._resolve_at = loop.time() + RESOLVE_EVERY
            await asyncio.gather(*map(self._resolve, self._bases))
        checks = (one.check(self._health, self._headers, self._patience) for one in list(self._replicas))
        await asyncio.gather(*checks)

    def start(self) -> None:
        """Look each second from now on."""
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        for one in self._replicas:
            one.client.close()

    async def request(
        self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]] = (), body: bytes = b""
    ) -> HttpReply:
        """Send a request to a replica and return the whole response. Raises ConnectionBroken or ValueError."""

        async def ask(replica: ServiceReplica) -> HttpReply:
            base = replica.base
            return await replica.client.request(
                method, base.path + path, headers, body, host=base.authority.encode()
            )

        reply = await self._send(ask, lambda replica: None)
        assert isinstance(reply, HttpReply)
        return reply

    async def stream(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes | LongBody,
        streaming: Streaming,
    ) -> _Reply:
        """Like ``request``; a response that is streamed is returned with its head."""
        going: ServiceReplica | None = None
        ended = False

        def over() -> None:
            nonlocal ended
            ended = True
            if going is not None:
                going.end()
            streaming.over()

        async def ask(replica: ServiceReplica) -> _Reply:
            base, counted = replica.base, streaming._replace(over=over)
            return await replica.client.stream(
                method, base.path + path, headers, body, counted, host=base.authority.encode()
            )

        def keep(replica: ServiceReplica) -> None:
            nonlocal going
            if not ended:
                going = replica
                replica.in_flight += 1

        return await self._send(ask, keep)

    async def _send(
        self, ask: Callable[[ServiceReplica], Awaitable[_Reply]], streams: Callable[[ServiceReplica], None]
    ) -> _Reply:
        """Ask one replica after the other, as long as no connection can be made: the request cannot have been
        processed then. ``streams`` is told of a replica whose answer goes on."""
        tried: set[ServiceReplica] = set()
        while True:
            replica = self._choose(tried)
            tried.add(replica)
            replica.in_flight += 1
            try:
                reply = await ask(replica)
            except Unreachable as error:
                replica.lose(error.reason)
            else:
                replica.answered = asyncio.get_running_loop().time()
                if isinstance(reply, StreamedReply):
                    streams(replica)
                return reply
            finally:
                replica.end()

    def _choose(self, tried: set[ServiceReplica]) -> ServiceReplica:
        able = [one for one in self._replicas if one.healthy and one not in tried]
        if self._secret_trouble or not able:
            raise ConnectionBroken(f"no replica is healthy ({self.trouble})")
        self._turn += 1
        first = self._turn % len(able)  # equals take turns
        return min((*able[first:], *able[:first]), key=lambda one: one.in_flight)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY)
            try:
                await self.look()
            except Exception as error:  # the next look may succeed, and nobody else takes them
                print(
                    f"tidegate services: a look at the service failed: {type(error).__name__}: {error}", flush=True
                )

    async def _resolve(self, base: ServiceAddress) -> None:
        """Find the replicas of an address. Where DNS does not answer, those that are known stay."""
        try:
            addresses = await resolve(base, self._allowed)
        except Transient as error:
            if not any(one.base == base for one in self._replicas):
                self._unresolved[base.url] = error.message
            return
        except Invalid as error:
            self.refused[base.url], addresses = error.message, []
        else:
            self.refused.pop(base.url, None)
        self._unresolved.pop(base.url, None)
        self._replace(base, addresses)

    def _replace(self, base: ServiceAddress, addresses: Sequence[str]) -> None:
        known = {one.ip for one in self._replicas if one.base == base}
        for one in [one for one in self._replicas if one.base == base and one.ip not in addresses]:
            self._replicas.remove(one)
            one.gone = True
            one.client.close()  # its idle connections: those in use end with their requests
        context = self._context if base.secure else None
        self._replicas += [ServiceReplica(base, ip, self._limit, context) for ip in addresses if ip not in known]


def _watch(transport: asyncio.BaseTransport) -> bool:
    """Let a connection break when its other end is gone. Whoever answers at a checked address is the service."""
    own = transport.get_extra_info("socket")
    if own is not None:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            ("TCP_KEEPIDLE", IDLE_PROBE),
            ("TCP_KEEPINTVL", IDLE_PROBE),
            ("TCP_USER_TIMEOUT", LOST_AFTER),
        ):
            if hasattr(socket, option):
                own.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return True


# --- the engine of a model that is an HTTP service: it forwards calls, and starts and stops nothing ---


PATIENCE = 30.0
"""Seconds for the first good health check: nothing is started that could take longer."""
ASK_EVERY = 0.2
"""Seconds between health checks until then."""


async def open_service(
    spec: ReplicaSpec, container: ContainerSpec, died: Callable[[ContainerSpec, int], None], until: float
) -> "ServiceEngine":
    """Open the engine of a service that runs. ``until``: in the event loop's time. Raises Invalid for an address that
    must not be asked, or a secret that is not there, and StartTimeout if no replica passes its health check."""
    engine = ServiceEngine(spec, container)
    try:
        await engine.start(until)
    except BaseException:
        await engine.close()
        raise
    return engine


class ServiceEngine:
    """Forwards calls to the replicas of a service."""

    def __init__(self, spec: ReplicaSpec, container: ContainerSpec) -> None:
        """Raises Invalid."""
        upstream = container.runtime.upstream
        assert upstream is not None
        headers = UpstreamHeaders(upstream.headers, spec.secrets)
        self._url, self._health = upstream.url, health_path(upstream)
        self._replicas = Replicas(
            parse_addresses(upstream.url),
            # A container beside the worker is reached on loopback, whatever services the server may ask.
            None if is_beside(container.runtime) else spec.service_hosts,
            self._health,
            headers,
            spec.max_body,
            spec.invocation_timeout,
        )
        self._dialect = make_dialect(upstream, headers)
        self._calls = UpstreamCalls(spec, container.name, self._dialect, what="service", hide=headers.hide)
        self._calls.client = self._replicas

    @property
    def healthy(self) -> bool:
        return self._replicas.healthy

    async def start(self, until: float) -> None:
        """Wait for a replica that passes its health check."""
        loop = asyncio.get_running_loop()
        began, end = loop.time(), min(until, loop.time() + PATIENCE)
        while True:
            await self._replicas.look()
            if self._replicas.refused:
                raise Invalid(f"the service {self._url} must not be asked: {self._replicas.trouble}")
            if self._replicas.healthy:
                break
            if loop.time() >= end:
                raise StartTimeout(
                    f"the service {self._url} did not pass its health check within {loop.time() - began:.0f} s"
                    f" (GET {self._health}): {self._replicas.trouble}"
                )
            await asyncio.sleep(ASK_EVERY)
        await self._dialect.prepare(self._replicas)
        print(f"tidegate services: the service {self._url} is healthy (GET {self._health})", flush=True)
        self._replicas.start()

    def submit(self, call: Call, done: Done) -> None:
        self._calls.submit(call, done)

    async def close(self) -> None:
        """Close the connections; the service goes on."""
        self._calls.cancel()
        await self._replicas.close()
