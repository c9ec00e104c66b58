"""Refuse cross-site and forwarded requests on a server without access keys. Pure.

Such a server authenticates nobody, so a browser on the same machine can be abused: a page of another site can send
requests to 127.0.0.1, and a name that resolves to 127.0.0.1 (DNS rebinding) makes that page look same-origin. Both
are visible in headers that a page cannot set: ``Host`` is the server's name in the page's URL, and ``Origin`` and
``Sec-Fetch-Site`` say where the page is from.

A reverse proxy on the machine would make everybody on the network such a local user, so requests with headers of a
proxy are refused. A proxy that adds none and sends ``Host: 127.0.0.1`` looks like a program on this machine.

The controller and HAProxy each apply this definition.
"""

import re
from collections.abc import Collection, Iterable, Sequence

from tidegate.domain.errors import StartupError

# No group is repeated, for the reason given in ``request_target``.
_LOOPBACK = r"([a-z0-9.-]*\.)?localhost|127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|\[::1\]"
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?")

OWN_SITES = ("none", "same-origin")
"""Accepted values of ``Sec-Fetch-Site``; ``none`` is an address that the user typed."""
FOREIGN_HOST = (
    "The Host header does not name this server: use 127.0.0.1 or localhost, or list the name in"
    " TIDEGATE_ALLOWED_HOSTS."
)
FOREIGN_PAGE = "A web page of another site may not send requests to this server, which has no access keys."

FORWARDED_PART, FORWARDED_NAMES = "forwarded", ("x-real-ip", "via")
"""What a header's name contains, or is, that reverse proxies add: ``X-Forwarded-For``, ``Forwarded``, ..."""
FORWARDED = (
    "This server asks nobody who they are, and a proxy forwarded this request: set TIDEGATE_ACCESS_KEYS or add a user"
    " (tidegate access user add), and start the server again."
)


def is_forwarded(names: Iterable[str]) -> bool:
    """Whether one of these names of headers, in lower case, is of those that reverse proxies add."""
    return any(FORWARDED_PART in name or name in FORWARDED_NAMES for name in names)


def is_loopback_name(name: str) -> bool:
    """Whether a host name or an address always means the machine that it is used on."""
    return re.fullmatch(rf"{_LOOPBACK}|::1", name, re.IGNORECASE | re.ASCII) is not None


def own_host_pattern(configured: str, allowed: Collection[str]) -> str:
    """Pattern of values of ``Host`` (any case) that mean this server: loopback names and addresses, the address it
    listens on and the ``allowed`` names, with any port. Raises StartupError for an invalid name."""
    names = []
    for name in (configured, *allowed):
        if not _NAME.fullmatch(name):
            raise StartupError(
                f"TIDEGATE_ALLOWED_HOSTS: {name!r} is neither a host name nor an address; give names without a port"
            )
        names.append(f"[{name.strip('[]')}]" if ":" in name else name)
    escaped = (re.sub(r"[][.]", r"\\\g<0>", name.lower()) for name in dict.fromkeys(names))
    return rf"^({_LOOPBACK}|{'|'.join(escaped)})(:[0-9]{{1,5}})?$"


def refusal_reason(
    own: "re.Pattern[str]", hosts: Sequence[str], origins: Sequence[str], sites: Sequence[str]
) -> str | None:
    """Why a request with these values of ``Host``, ``Origin`` and ``Sec-Fetch-Site`` is refused; None: it is
    accepted.

    ``own`` is compiled from ``own_host_pattern``. Both schemes are accepted, since TLS may end in front of the
    server. No browser and no well-behaved client sends one of these headers twice."""
    host = hosts[0] if len(hosts) == 1 else ""
    if "\n" in host or not own.match(host):
        return FOREIGN_HOST
    if len(origins) > 1 or any(origin not in (f"http://{host}", f"https://{host}") for origin in origins):
        return FOREIGN_PAGE
    if len(sites) > 1 or any(site not in OWN_SITES for site in sites):
        return FOREIGN_PAGE
    return None


def compile_pattern(pattern: str) -> "re.Pattern[str]":
    return re.compile(pattern, re.IGNORECASE | re.ASCII)
