"""The engine of a model that is an HTTP service: it forwards calls, and starts and stops nothing."""

import asyncio
from collections.abc import Callable

from tidegate.domain.errors import Invalid, StartTimeout
from tidegate.features.services.worker.replicas import Replicas
from tidegate.host.service_addresses import parse_addresses
from tidegate.serving.contract.beside import health_path, is_beside
from tidegate.serving.contract.invocation import Call, Done
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.serving.runtimes.dialects import make_dialect
from tidegate.serving.runtimes.upstream_calls import UpstreamCalls
from tidegate.serving.runtimes.upstream_headers import UpstreamHeaders

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
