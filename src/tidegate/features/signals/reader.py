"""Reads signals. A host's name is resolved and its addresses are checked for each reading, and the connection leads
to an address that was checked. Redirects are not followed, and answers are limited in size and time."""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import quote, urlsplit

from tidegate.domain.alarm import Signal
from tidegate.domain.errors import Transient
from tidegate.features.signals.answers import parse_prometheus, parse_value
from tidegate.host.service_addresses import ServiceAddress, parse_service_address, resolve
from tidegate.http1.client import HttpClient, Tls
from tidegate.http1.messages import ConnectionBroken, HttpReply, Unreachable
from tidegate.serving.runtimes.upstream_headers import UpstreamHeaders
from tidegate.settings import Settings
from tidegate.targets.start_spec import secrets_folder, service_hosts

TIMEOUT = 5.0
"""Seconds of one reading."""
LARGEST = 1 << 20
"""Bytes of an answer."""


@dataclass(frozen=True)
class SignalAccess:
    """``allowed``: hosts, as in ``host.service_addresses.refusal``. ``secrets``: their folder; empty: none."""

    allowed: Sequence[str] | None
    secrets: str


@dataclass(frozen=True)
class _Target:
    base: ServiceAddress
    path: str


def find_access(settings: Settings) -> SignalAccess:
    return SignalAccess(service_hosts(settings), secrets_folder(settings))


def parse_target(signal: Signal) -> _Target:
    base, parts = parse_service_address(signal.url), urlsplit(signal.url)
    if signal.query:
        return _Target(base, f"{base.path}/api/v1/query?timeout={TIMEOUT:g}s&query={quote(signal.query, safe='')}")
    return _Target(base, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


async def read_signal(signal: Signal, access: SignalAccess, now: float) -> float:
    """Return the present value. ``now``: epoch seconds. Raises Transient, or Invalid for what must not be read."""
    headers = UpstreamHeaders(signal.headers, access.secrets)
    try:
        async with asyncio.timeout(TIMEOUT):
            reply = await _ask(parse_target(signal), access, headers)
        if signal.query:
            return parse_prometheus(reply.status, bytes(reply.body), now)
        return parse_value(reply.status, bytes(reply.body), signal.value)
    except TimeoutError:
        raise Transient(f"no answer within {TIMEOUT:g} s") from None
    except (ConnectionBroken, ValueError) as error:
        raise Transient(headers.hide(str(error))) from None
    except Transient as error:
        raise Transient(headers.hide(error.message)) from None


async def _ask(target: _Target, access: SignalAccess, headers: UpstreamHeaders) -> HttpReply:
    """Ask the addresses in order, until one can be connected to. Raises Transient, Invalid, ConnectionBroken or
    ValueError."""
    base = target.base
    tls = Tls(_make_context(), base.host) if base.secure else None
    failed = "it has no address"
    for address in await resolve(base, access.allowed):
        client = HttpClient((address, base.port), LARGEST, tls=tls)
        try:
            return await client.request("GET", target.path, headers, host=base.authority.encode())
        except Unreachable as error:
            failed = error.reason
        finally:
            client.close()
    raise Transient(failed)


@cache
def _make_context() -> ssl.SSLContext:
    return ssl.create_default_context()
