"""Signed webhooks to receivers that users name. A receiver's name is resolved once, checked, and connected to by the
address that was checked, so that DNS rebinding has no effect. Redirects are not followed.

Anyone who may create endpoints names the receivers, and the server sends from inside its own network. Against
server-side request forgery (to a metadata service, a database, the controller itself), an address that is not public
is refused unless the server's owner has listed it.
"""

import hashlib
import hmac
import socket
import time
from collections.abc import Sequence

import httpx

from tidegate.domain.errors import ArtifactError, Transient
from tidegate.host.address_policy import refusal

SIGNATURE, TIMESTAMP, EVENT = "X-Tidegate-Signature", "X-Tidegate-Timestamp", "X-Tidegate-Event-Id"
TIMEOUT = 10.0
"""Seconds to wait for a receiver."""


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """``sha256=`` and the hex HMAC-SHA256 of the timestamp, a dot and the body."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class Webhooks:
    """``allowed``: receivers that need not be public (``address_policy.refusal``)."""

    def __init__(self, secret: str, allowed: Sequence[str]) -> None:
        self._secret = secret
        self._allowed = tuple(allowed)

    def post(self, address: str, body: bytes, event: str) -> None:
        """Blocks. Raises Transient, or ArtifactError for what is permanent."""
        if not self._secret:
            raise ArtifactError(f"{address}: this server has no TIDEGATE_WEBHOOK_SECRET to sign webhooks with")
        try:
            url = httpx.URL(address)
        except httpx.InvalidURL as error:
            raise ArtifactError(f"{address} is not a webhook address: {error}") from None
        addresses = _resolve(url)
        if why := refusal(url.host, addresses, self._allowed):
            raise ArtifactError(f"{address}: {why}")
        timestamp = str(int(time.time()))
        headers = {
            "Host": url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            TIMESTAMP: timestamp,
            EVENT: event,
            SIGNATURE: signature(self._secret, timestamp, body),
        }
        answer = _send(url, addresses, body, headers)
        if not answer.is_success:
            raise Transient(f"{address}: answered {answer.status_code}")


def _resolve(url: httpx.URL) -> list[str]:
    """The IP addresses of the URL's host, in the order to try them."""
    try:
        found = socket.getaddrinfo(url.host, url.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Transient(f"{url}: {error}") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _send(url: httpx.URL, addresses: Sequence[str], body: bytes, headers: dict[str, str]) -> httpx.Response:
    """Tries the addresses in order. The certificate must be that of the name."""
    named = {"sni_hostname": url.host}
    failed: Exception | None = None
    with httpx.Client(timeout=TIMEOUT, trust_env=False, follow_redirects=False) as http:
        for resolved in addresses:
            there = url.copy_with(host=resolved)
            try:
                return http.post(there, content=body, headers=headers, extensions=named)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failed = error
            except httpx.HTTPError as error:
                raise Transient(f"{url}: {error}") from None
    raise Transient(f"{url}: {failed}")
