"""Inputs of HAProxy's configuration besides fleets and routes: options, and rules that features add."""

import os
import resource
from dataclasses import dataclass, field, replace
from pathlib import Path

from tidegate.auth import same_site
from tidegate.host.features import features
from tidegate.proxy import rate_limits
from tidegate.proxy.state import ProxyState
from tidegate.settings import Settings

# --- rules that features add to the public frontend of HAProxy's configuration ---


HOOK = "proxy_rules"
"""Extension point: a function of ``Options`` that returns ``FurtherRules``."""


@dataclass(frozen=True)
class FurtherRules:
    """Lines of the configuration. ``rules`` come after those by which most requests leave, so that these do not pay
    for them; what they find in the map of routes they leave in ``txn.routes``."""

    binds: str = ""
    rules: str = ""
    backends: str = ""
    prefixes: tuple[str, ...] = ()
    """Beginnings of the paths of predictions, beside ``/endpoints/``."""


NO_RULES = FurtherRules()


def find_rules(options: "Options") -> FurtherRules:
    """Join the rules of all features that have some."""
    found = [make(options) for _, make in features().hooks(HOOK)]
    return FurtherRules(
        "".join(one.binds for one in found),
        "".join(one.rules for one in found),
        "".join(one.backends for one in found),
        tuple(prefix for one in found for prefix in one.prefixes),
    )


MAX_CONNECTIONS = 20_000


@dataclass(frozen=True)
class Options:
    """Everything besides the state that determines the configuration. ``timeout`` is seconds, ``max_body`` bytes."""

    host: str
    port: int
    controller: str
    admin: str
    """Sockets of the controller and of HAProxy's commands."""
    max_body: int
    timeout: int
    region: str
    account: str
    signed: bool
    max_connections: int
    threads: int
    copies: str = ""
    """Socket for copies of requests; the default is for options that an older version wrote."""
    copies_port: int = 0
    """TCP port for them besides the socket; 0: none."""
    queued: str = ""
    """Socket for queued requests of asynchronous endpoints."""
    wakes: str = ""
    """Socket to notify about requests that wait for an instance."""
    queue: int = 10
    """Seconds that a request waits while a serverless endpoint is at its concurrency limit."""
    queues: dict[str, float] = field(default_factory=dict)
    headers: tuple[str, ...] = (rate_limits.DEFAULT_HEADER,)
    """Parts of the state that take effect only after a reload; see ``ProxyState``."""
    peer: str = "tidegate"
    """This HAProxy's peer name."""
    peers: str = ""
    """Socket on which a process receives the sessions of its predecessor."""
    successor: str = ""
    """Socket on which the newest process takes what clients of older ones ask; the default is for options that an
    older version wrote."""
    grpc_port: int = 0
    """TCP port of gRPC; 0: none."""
    further: FurtherRules = NO_RULES
    """What features add."""
    own_hosts: str = same_site.own_host_pattern("127.0.0.1", ())
    """Pattern of ``Host`` for unsigned requests (``auth.same_site``)."""


@dataclass(frozen=True)
class ProxySockets:
    """All are beside the controller's."""

    controller: Path
    admin: Path
    master: Path
    copies: Path
    """Workers send copies of requests for shadow fleets here."""
    queued: Path
    """The dispatcher sends queued requests for asynchronous endpoints here."""
    wakes: Path
    """Notified about requests that wait for an instance; see ``cold_start_hold``."""
    peers: Path
    """A process hands its sessions to its successor here. Each process recreates it."""
    successor: Path
    """Processes from before a reload hand requests to the newest one here; see ``succession``."""
    copies_port: int = 0

    @classmethod
    def beside(cls, controller: Path) -> "ProxySockets":
        return cls(
            controller,
            admin=controller.with_name("haproxy.sock"),
            master=controller.with_name("master.sock"),
            copies=controller.with_name("copies.sock"),
            queued=controller.with_name("queued.sock"),
            wakes=controller.with_name("wake.sock"),
            peers=controller.with_name("peers.sock"),
            successor=controller.with_name("successor.sock"),
        )


def most_connections(files: int) -> int:
    """Return how many clients may be connected at once if HAProxy may open ``files`` files. Each client takes two
    files. A fifth of the files is reserved for the checks of replicas, one each. HAProxy refuses a configuration for
    which it might not have enough files, so a reload would fail."""
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, (files - files // 5 - 200) // 2)


def make_options(settings: Settings, sockets: ProxySockets, state: ProxyState, peer: str) -> Options:
    """``peer``: HAProxy's peer name; also on its command line if it was given one."""
    options = Options(
        host=settings.host,
        port=settings.port,
        controller=str(sockets.controller),
        admin=str(sockets.admin),
        max_body=settings.max_body,
        timeout=settings.invocation_timeout,
        region=settings.region,
        account=settings.account,
        signed=bool(settings.access_keys),
        max_connections=most_connections(resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        # One HAProxy thread keeps several workers busy, and workers need the other CPUs.
        threads=max(1, len(os.sched_getaffinity(0)) // 4),
        copies=str(sockets.copies),
        copies_port=sockets.copies_port,
        queued=str(sockets.queued),
        wakes=str(sockets.wakes),
        queue=settings.queue_timeout,
        queues=dict(sorted(state.queues.items())),
        headers=state.headers,
        peer=peer,
        peers=str(sockets.peers),
        successor=str(sockets.successor),
        own_hosts=same_site.own_host_pattern(settings.host, settings.allowed_hosts),
        grpc_port=settings.grpc_port,
    )
    return replace(options, further=find_rules(options))
