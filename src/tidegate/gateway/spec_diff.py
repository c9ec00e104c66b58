"""``diff`` in the native API: what deploying a spec would change."""

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate import spec
from tidegate.domain.desired import DesiredDeployment
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.deployments import pin_references
from tidegate.gateway.request_parsing import parse_json_object
from tidegate.ports.store import Tx
from tidegate.service.deployed import read_deployed
from tidegate.spec.changes import changes
from tidegate.spec.render import render


async def compare(gateway: Gateway, request: Request) -> Response:
    """``{"spec": {...}}`` with what the endpoint has. Changes nothing."""
    context, given = gateway.context, parse_json_object(request, ("spec",)).get("spec")
    spec.parse(given, context.clock.now())  # before what it refers to is looked for
    desired = spec.parse(await pin_references(context, given), context.clock.now())
    return JSONResponse(await context.store.read(lambda tx: compare_deployed(tx, desired)))


def compare_deployed(tx: Tx, desired: DesiredDeployment) -> dict[str, Any]:
    deployed = read_deployed(tx, desired)
    before = {} if deployed is None else render(deployed.endpoint)
    found = changes(before, render(desired))
    serving = None if deployed is None else deployed.endpoint.config.name
    return {
        "endpoint": desired.endpoint,
        "exists": deployed is not None,
        "serving": serving,
        "config": desired.config.name,
        "changes": [asdict(one) for one in found if one.what != "endpoint"],
        "kept": [] if deployed is None else list(deployed.kept),
    }
