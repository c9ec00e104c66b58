"""Which requests a server without access keys takes: none that a web page of another site makes a browser send. Pure.

Nothing proves who sends a request to such a server, so the browser on the same machine is the way in: a page of
another site can send requests to 127.0.0.1, and a name that its owner lets point to 127.0.0.1 (DNS rebinding) makes
that page appear to be of this site. Both show in headers that a page cannot set: ``Host`` names the server as the
page knows it, ``Origin`` and ``Sec-Fetch-Site`` say where the page is from.

The controller and HAProxy apply this definition, each for itself.
"""

import re
from collections.abc import Collection, Sequence

from tidegate.domain.errors import StartupError

# No group is repeated, for the reason given in ``request_target``.
_LOOPBACK = r"([a-z0-9.-]*\.)?localhost|127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|\[::1\]"
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?")

OWN_SITES = ("none", "same-origin")
"""What ``Sec-Fetch-Site`` may say: ``none`` is a person who typed the address."""
FOREIGN_HOST = (
    "The Host header does not name this server: use 127.0.0.1 or localhost, or list the name in"
    " TIDEGATE_ALLOWED_HOSTS."
)
FOREIGN_PAGE = "A web page of another site may not send requests to this server, which has no access keys."


def own_host_pattern(configured: str, allowed: Collection[str]) -> str:
    """The pattern of the values of ``Host`` (any case) that mean this server: loopback names and addresses, the
    address it listens on and the ``allowed`` names, with any port. Raises StartupError for a name that is none."""
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
    """Why a request with these values of ``Host``, ``Origin`` and ``Sec-Fetch-Site`` is turned away; None: it is not.

    ``own`` is compiled from ``own_host_pattern``. Either scheme is our own, since TLS may end in front of the server. No
    browser and no honest client gives one of these headers twice."""
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
