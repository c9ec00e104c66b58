"""What HAProxy's configuration is made from, besides the fleets and their routes."""

import os
import resource
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.auth import same_site
from tidegate.proxy import rate_limits
from tidegate.proxy.state import ProxyState
from tidegate.settings import Settings

MAX_CONNECTIONS = 20_000


@dataclass(frozen=True)
class Options:
    """All that the text depends on besides the state. ``timeout`` is seconds, ``max_body`` bytes."""

    host: str
    port: int
    controller: str
    admin: str
    """Sockets: the controller's, and HAProxy's own for commands."""
    max_body: int
    timeout: int
    region: str
    account: str
    signed: bool
    max_connections: int
    threads: int
    copies: str = ""
    """The socket for copies of requests; the default is for options that an older program wrote."""
    queued: str = ""
    """The socket for requests from the queue of an asynchronous endpoint."""
    wakes: str = ""
    """The socket that is told of requests which wait for an instance to come."""
    queue: int = 10
    """Seconds that a request waits while a serverless endpoint has all the requests that it may have."""
    queues: dict[str, float] = field(default_factory=dict)
    headers: tuple[str, ...] = (rate_limits.DEFAULT_HEADER,)
    """What of the state is in force after a reload only; see there."""
    peer: str = "tidegate"
    """The name that this HAProxy has for itself."""
    peers: str = ""
    """The socket by which a process hears of sessions from the one before it."""
    own_hosts: str = same_site.own_hosts("127.0.0.1", ())
    """The pattern of ``Host`` for requests without signature (``auth.same_site``)."""


@dataclass(frozen=True)
class ProxySockets:
    controller: Path
    admin: Path
    copies: Path
    queued: Path
    wakes: Path
    peers: Path


def make_options(settings: Settings, sockets: ProxySockets, state: ProxyState, peer: str) -> Options:
    """``peer``: HAProxy's name for itself, which is in its command line, too, where that has one."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = MAX_CONNECTIONS if files == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, (files - 200) // 2)
    return Options(
        host=settings.host,
        port=settings.port,
        controller=str(sockets.controller),
        admin=str(sockets.admin),
        max_body=settings.max_body,
        timeout=settings.invocation_timeout,
        region=settings.region,
        account=settings.account,
        signed=bool(settings.access_keys),
        max_connections=most,
        # One of HAProxy's threads keeps several workers busy, and those need the other CPUs.
        threads=max(1, len(os.sched_getaffinity(0)) // 4),
        copies=str(sockets.copies),
        queued=str(sockets.queued),
        wakes=str(sockets.wakes),
        queue=settings.queue_timeout,
        queues=dict(sorted(state.queues.items())),
        headers=state.headers,
        peer=peer,
        peers=str(sockets.peers),
        own_hosts=same_site.own_hosts(settings.host, settings.allowed_hosts),
    )
