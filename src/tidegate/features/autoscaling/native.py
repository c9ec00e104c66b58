"""Autoscaling of an endpoint, for people."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.features.autoscaling.views import ScalingDocument, scaling_view
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.request_parsing import parse_endpoint_name, parse_number
from tidegate.ports.store import Tx
from tidegate.service import endpoints

MAX_ACTIVITIES = 1_000


async def describe_scaling(gateway: Gateway, request: Request) -> Response:
    """Show scalable targets, policies and recent activities; ``?all=1`` includes activities that changed nothing."""
    limit, name = parse_number(request, "limit", 20, 0, MAX_ACTIVITIES), parse_endpoint_name(request)
    everything = parse_number(request, "all", 0, 0, 1) == 1
    seen = gateway.context.observed(name)

    def work(tx: Tx) -> ScalingDocument:
        return scaling_view(tx, endpoints.get_endpoint(tx, name).body, seen, limit, everything)

    return JSONResponse(await gateway.context.store.read(work))
