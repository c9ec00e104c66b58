"""One request to a service outside the platform. Its host's name is resolved and its addresses are checked for each
request, the connection leads to an address that was checked, and redirects are not followed."""

import ssl
from collections.abc import Iterable, Sequence
from functools import cache

from tidegate.domain.errors import Transient
from tidegate.host.service_addresses import ServiceAddress, resolve
from tidegate.http1.client import HttpClient, Tls
from tidegate.http1.messages import HttpReply, Unreachable


async def ask_service(
    base: ServiceAddress,
    method: str,
    path: str,
    headers: Iterable[tuple[bytes, bytes]],
    allowed: Sequence[str] | None,
    largest: int,
    body: bytes = b"",
) -> HttpReply:
    """Ask the addresses in order, until one can be connected to. ``allowed``: as in ``service_addresses.refusal``;
    ``largest``: bytes of an answer. Limits no time. Raises Transient, Invalid, ConnectionBroken or ValueError."""
    tls = Tls(_make_context(), base.host) if base.secure else None
    failed = "it has no address"
    for address in await resolve(base, allowed):
        client = HttpClient((address, base.port), largest, tls=tls)
        try:
            return await client.request(method, path, headers, body, host=base.authority.encode())
        except Unreachable as error:
            failed = error.reason
        finally:
            client.close()
    raise Transient(failed)


@cache
def _make_context() -> ssl.SSLContext:
    return ssl.create_default_context()
