"""Reads signals. A host's name is resolved and its addresses are checked for each reading, and the connection leads
to an address that was checked. Redirects are not followed, and answers are limited in size and time."""

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from tidegate.domain.alarm import Signal
from tidegate.domain.errors import Transient
from tidegate.domain.prediction_path import parse_path
from tidegate.host.service_addresses import ServiceAddress, parse_service_address
from tidegate.http1.messages import ConnectionBroken
from tidegate.serving.runtimes.service_requests import ask_service
from tidegate.serving.runtimes.upstream_headers import UpstreamHeaders
from tidegate.settings import Settings
from tidegate.targets.start_spec import secrets_folder, service_hosts

# The number in an answer. Pure. Whatever is not one finite number of now is no number: several series, none, NaN,
# an infinity, an old time. Each raises Transient with the reason, in words that stay the same while the reason
# does.


STALE = 60.0
"""Seconds by which the time of an answer may differ from this machine's."""
LAST = 200
"""Characters of a server's own error."""


def parse_prometheus(status: int, body: bytes, now: float) -> float:
    """Read the answer of ``/api/v1/query`` (Prometheus's HTTP API). ``now``: epoch seconds. Raises Transient."""
    document = _parse_json(status, body)
    if isinstance(document, dict) and document.get("status") == "error":
        kind, why = document.get("errorType"), " ".join(str(document.get("error")).split())
        raise Transient(f"Prometheus refused the query ({kind}): {why[:LAST]}")
    _require_ok(status)
    try:
        data = document["data"]
        kind, result = data["resultType"], data["result"]
        if kind == "scalar":
            at, text = result
        elif kind != "vector":
            raise Transient(f"the query gives a {kind}, and an alarm needs one number: aggregate over time, too")
        elif not result:
            raise Transient("the query gives no series")
        elif len(result) > 1:
            raise Transient(
                "the query gives several series, and an alarm needs one: aggregate them, as sum() does"
            )
        else:
            at, text = result[0]["value"]
        age, value = now - float(at), float(text)
    except (KeyError, IndexError, TypeError, ValueError):
        raise Transient("the answer is not one of Prometheus's query API") from None
    if not abs(age) <= STALE:
        raise Transient(
            f"the answer is of more than {STALE:g} s {'ago' if age > 0 else 'ahead'}: look at the clocks"
        )
    return _require_finite(value)


def parse_value(status: int, body: bytes, path: str) -> float:
    """Read the number at a path of a JSON document. Raises Transient."""
    document = _parse_json(status, body)
    _require_ok(status)
    found = parse_path(path).find(document)
    if not found:
        raise Transient(f"the document has nothing at {path}")
    value = found[0]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Transient(f"what is at {path} is not a number")
    try:
        return _require_finite(float(value))
    except OverflowError:
        return _require_finite(math.inf)


def _parse_json(status: int, body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        _require_ok(status)
        raise Transient("the answer is not JSON") from None


def _require_ok(status: int) -> None:
    if not 200 <= status < 300:
        redirects = ", and redirects are not followed" if 300 <= status < 400 else ""
        raise Transient(f"it was answered with {status}{redirects}")


def _require_finite(value: float) -> float:
    if not math.isfinite(value):
        raise Transient(f"the value is {'not a number' if math.isnan(value) else 'infinite'}")
    return value


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
            target = parse_target(signal)
            reply = await ask_service(target.base, "GET", target.path, headers, access.allowed, LARGEST)
        if signal.query:
            return parse_prometheus(reply.status, bytes(reply.body), now)
        return parse_value(reply.status, bytes(reply.body), signal.value)
    except TimeoutError:
        raise Transient(f"no answer within {TIMEOUT:g} s") from None
    except (ConnectionBroken, ValueError) as error:
        raise Transient(headers.hide(str(error))) from None
    except Transient as error:
        raise Transient(headers.hide(error.message)) from None
