"""Admission keys of a spec: ``max_in_flight``, ``queue_time`` and ``quotas``."""

import math
import re
from typing import Annotated

from msgspec import Meta, Struct

from tidegate.domain.admission import DEFAULT_ADMISSION, MAX_FILL_TIME, Admission, Quotas, TokenBucket
from tidegate.spec.problem import KeyPath, SpecError
from tidegate.spec.units import duration

RATE_PATTERN = r"^[0-9]+(\.[0-9]+)? ?/ ?(s|m|h)$"
MAX_CLIENTS = 1_000
"""Clients with a rate of their own."""
MAX_CONCURRENT = 20_000
"""Concurrent requests: the proxy's limit over all endpoints."""
MAX_QUEUE_TIME = 60.0
_SECONDS = {"s": 1, "m": 60, "h": 3600}
HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_CLIENT = re.compile(r"[A-Za-z0-9._@+-]{1,64}")
_KEY = "key"

RateText = Annotated[
    str,
    Meta(
        description="Requests per second, minute or hour.",
        examples=["50/s", "600/m"],
        extra_json_schema={"pattern": RATE_PATTERN},
    ),
]


class QuotasSpec(Struct, forbid_unknown_fields=True):
    """Rate limit per client: a token bucket that holds ``burst`` requests and refills at ``rate``."""

    rate: Annotated[RateText, Meta(description="For each client that is not listed below.")]
    by: Annotated[
        str,
        Meta(
            description="How clients are identified: by their access key, or by the value of a header.",
            examples=["key", "header X-Client"],
        ),
    ] = _KEY
    burst: (
        Annotated[
            float,
            Meta(
                description="Requests that a client may send at once. Default: one second's worth of its rate, at "
                "least 1.",
                extra_json_schema={"minimum": 1},
            ),
        ]
        | None
    ) = None
    clients: Annotated[dict[str, RateText], Meta(description="Clients with a rate of their own.")] = {}


MaxInFlight = Annotated[
    int,
    Meta(
        description="Concurrent requests per instance; more wait in the proxy. Default: 1000.",
        extra_json_schema={"minimum": 1, "maximum": MAX_CONCURRENT},
    ),
]


def admission(
    max_in_flight: int | None, queue_time: str | int | None, quotas: QuotasSpec | None, path: KeyPath
) -> Admission:
    """Admission of the variant at ``path``. Raises SpecError."""
    most = DEFAULT_ADMISSION.max_in_flight if max_in_flight is None else max_in_flight
    if not 1 <= most <= MAX_CONCURRENT:
        raise SpecError((*path, "max_in_flight"), f"{most}: must be 1 to {MAX_CONCURRENT}")
    wait = DEFAULT_ADMISSION.queue_time if queue_time is None else duration(queue_time, (*path, "queue_time"))
    if not 0.001 <= wait <= MAX_QUEUE_TIME:
        raise SpecError((*path, "queue_time"), f"{queue_time!r}: must be 1ms to {MAX_QUEUE_TIME:g}s")
    return Admission(most, wait, None if quotas is None else _quotas(quotas))


def _quotas(given: QuotasSpec) -> Quotas:
    path: KeyPath = ("quotas",)
    if given.burst is not None and not 1 <= given.burst <= 1e6:
        raise SpecError((*path, "burst"), f"{given.burst:g}: must be 1 to 1000000")
    if len(given.clients) > MAX_CLIENTS:
        raise SpecError((*path, "clients"), f"{len(given.clients)} clients: the maximum is {MAX_CLIENTS}")
    default = _rate(given.rate, (*path, "rate"))
    clients: dict[str, TokenBucket] = {}
    for name, text in given.clients.items():
        here = (*path, "clients", name)
        if not _CLIENT.fullmatch(name):
            raise SpecError(here, "a client's name has 1 to 64 letters, digits and . _ @ + -")
        own = _rate(text, here)
        # As many seconds' worth of requests as for the other clients.
        burst = None if given.burst is None else max(1.0, given.burst * own / default)
        clients[name] = _bucket(own, burst, here)
    return Quotas(_bucket(default, given.burst, (*path, "rate")), _header(given.by, (*path, "by")), clients)


def _header(by: str, path: KeyPath) -> str:
    if by == _KEY:
        return ""
    kind, _, name = by.partition(" ")
    if kind != "header" or not HEADER.fullmatch(name.strip()):
        raise SpecError(path, f"{by!r}: expected key, or header and its name such as header X-Client")
    return name.strip()


def _rate(text: str, path: KeyPath) -> float:
    """Requests per second."""
    if not re.fullmatch(RATE_PATTERN, text.strip()):
        raise SpecError(path, f"{text!r}: expected a rate such as 50/s or 600/m")
    number, _, unit = text.replace(" ", "").partition("/")
    rate = float(number) / _SECONDS[unit]
    if not 0 < rate <= 100_000:
        raise SpecError(path, f"{text!r}: must be above 0 and at most 100000/s")
    return rate


def default_burst(rate: float) -> float:
    """A second's worth of requests, at least one."""
    return max(1.0, math.ceil(rate))


def _bucket(rate: float, burst: float | None, path: KeyPath) -> TokenBucket:
    found = TokenBucket(rate, default_burst(rate) if burst is None else burst)
    if found.fill_time > MAX_FILL_TIME:
        took = f"a bucket of {found.burst:g} would take {found.fill_time:g} s to fill"
        raise SpecError(path, f"{took}; the maximum is {MAX_FILL_TIME:g} s")
    return found
