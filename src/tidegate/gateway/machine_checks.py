"""``target doctor`` in the native API: what models need of this server's machine and of its network."""

from collections.abc import Iterable
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate import spec
from tidegate.domain.registry import ContainerDefinition
from tidegate.domain.targets import LOCAL
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.request_parsing import parse_json_object
from tidegate.host.features import features
from tidegate.ports.store import Tx
from tidegate.rollout import desired_state
from tidegate.service.record_kinds import ENDPOINT

CHECK_MACHINE = "check_machine"
"""Extension point: a coroutine function of containers and the settings that returns findings."""


async def check_machine(gateway: Gateway, request: Request) -> Response:
    """``{"spec": {...}}``: check what its models need; null: what those of all endpoints of this machine need."""
    context, given = gateway.context, parse_json_object(request, ("spec",)).get("spec")
    if given is None:
        containers = await context.store.read(_find_deployed)
    else:
        desired = spec.parse(given, context.clock.now())
        containers = [container for model in desired.models for container in model.containers]
    checks = [check for _, check in features().hooks(CHECK_MACHINE)]
    findings = [found for check in checks for found in await check(containers, gateway.settings)]
    return JSONResponse({"findings": [asdict(one) for one in findings]})


def _find_deployed(tx: Tx) -> list[ContainerDefinition]:
    endpoints = (saved.body for saved in tx.find(ENDPOINT).items if saved.body.target == LOCAL)
    fleets: Iterable[desired_state.FleetSpecs] = map(desired_state.fleets, endpoints)
    return [one for found in fleets for fleet in found.values() for one in fleet.variant.model.containers]
