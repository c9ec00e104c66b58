"""Data capture of an endpoint: what is captured, and how much of it was written and dropped."""

from dataclasses import asdict, dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.domain.capture import Capture
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import NotFound
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.live import read_series
from tidegate.gateway.request_parsing import parse_endpoint_name, parse_number
from tidegate.ports.metrics import Metrics
from tidegate.rollout import desired_state
from tidegate.service import endpoints

HOUR = 3_600
MAX_SECONDS = 15 * 86_400
_NAMES = ("CapturedRequests", "CaptureDropped", "CaptureBacklog")


@dataclass(frozen=True)
class CapturedFleet:
    """``captured`` and ``dropped`` are requests; ``backlog`` is the most bytes that waited for delivery in one of its
    replicas. ``redacted``: personal data is removed."""

    config: str
    variant: str
    destination: str
    percent: int
    sides: tuple[str, ...]
    redacted: bool
    captured: float
    dropped: float
    backlog: float


async def describe_captures(gateway: Gateway, request: Request) -> Response:
    """Count the captured requests of the last ``seconds``, an hour by default."""
    seconds = parse_number(request, "seconds", HOUR, 1, MAX_SECONDS)
    context, name, now = gateway.context, parse_endpoint_name(request), gateway.context.clock.now()
    endpoint = (await context.store.read(lambda tx: endpoints.get_endpoint(tx, name))).body
    found = await read_captures(context.metrics, endpoint, seconds, now)
    return JSONResponse({"seconds": seconds, "captures": [asdict(one) for one in found]})


async def read_captures(metrics: Metrics, endpoint: Endpoint, seconds: int, now: datetime) -> list[CapturedFleet]:
    """Each running fleet with data capture. Raises NotFound if there is none."""
    start = int(now.timestamp()) - seconds
    found = []
    for id, spec in sorted(desired_state.fleets(endpoint).items()):
        capture = spec.variant.capture
        if capture is None or not capture.enabled:
            continue
        named = {"EndpointName": endpoint.name, "VariantName": id.variant, "EndpointConfigName": spec.config_name}
        fleet = tuple(sorted(named.items()))
        (values,) = await read_series(metrics, [fleet], _NAMES, start, seconds)
        found.append(
            CapturedFleet(
                config=spec.config_name,
                variant=id.variant,
                destination=capture.destination,
                percent=capture.percent,
                sides=_sides(capture),
                redacted=capture.redaction is not None,
                captured=values.total("CapturedRequests"),
                dropped=values.total("CaptureDropped"),
                backlog=values.spread("CaptureBacklog").high,
            )
        )
    if not found:
        raise NotFound(f"endpoint {endpoint.name} has no data capture; give its spec a 'capture'")
    return found


def _sides(capture: Capture) -> tuple[str, ...]:
    return tuple(side for side, chosen in (("input", capture.inputs), ("output", capture.outputs)) if chosen)
