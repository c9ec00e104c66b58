"""The HTTP interface of a gateway's agent; ``ports/gateway_agent.py`` says what it understands."""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Conflict, TargetRefused, TidegateError
from tidegate.ports.gateway_agent import EndpointPlan
from tidegate.proxy.agent import GatewayAgent

Handler = Callable[[Request], Awaitable[Response]]
LONGEST_WAIT = 30.0
"""Seconds for which a question about the demand is held back."""
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]


@dataclass(frozen=True)
class _AgentHttp:
    """``token``: the one that the controller's requests carry, as it is now."""

    agent: GatewayAgent
    token: Callable[[], str]

    async def ready(self, request: Request) -> Response:
        return Response(status_code=200 if await self.agent.ready() else 503)

    async def state(self, request: Request) -> Response:
        return _json(self.agent.state())

    async def view(self, request: Request) -> Response:
        return _json(await self.agent.view(request.path_params["endpoint"]))

    async def plan(self, request: Request) -> Response:
        found = self.agent.plans.get(request.path_params["endpoint"])
        return Response(status_code=404) if found is None else _json(found)

    async def put(self, request: Request) -> Response:
        try:
            given = msgspec.json.decode(await request.body(), type=prepare_type(EndpointPlan))
        except msgspec.DecodeError as error:
            return _error(400, f"not a plan of an endpoint: {error}")
        endpoint = request.path_params["endpoint"]
        if given.table.endpoint != endpoint or any(one.fleet.endpoint != endpoint for one in given.fleets):
            return _error(400, f"the plan is not of endpoint {endpoint}")
        await self.agent.put(endpoint, given)
        return _json(self.agent.state())

    async def mark_synced(self, request: Request) -> Response:
        controller = request.query_params.get("controller", "")
        if not controller.isdecimal():
            return _error(400, "controller is not a number")
        self.agent.take_controller(int(controller))
        self.agent.synced = True
        return _json(self.agent.state())

    async def passed(self, request: Request) -> Response:
        return _json(await self.agent.passed())

    async def demand(self, request: Request) -> Response:
        try:
            wait = min(max(0.0, float(request.query_params.get("wait", "0"))), LONGEST_WAIT)
        except ValueError:
            return _error(400, "wait is not a number of seconds")
        return _json(await self.agent.demand(wait))

    def guarded(self, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            given = request.headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self.token()}".encode()):
                return _error(401, "the token is not that of this gateway")
            try:
                return await handler(request)
            except Conflict as error:
                return _error(409, str(error))
            except TargetRefused as error:
                return _error(422, str(error))
            except TidegateError as error:
                return _error(503, str(error))

        return answer


def build_app(agent: GatewayAgent, token: Callable[[], str]) -> Starlette:
    """Build the agent's API for the controller."""
    http = _AgentHttp(agent, token)
    return Starlette(
        routes=[
            Route("/ready", http.ready),
            Route("/v1/state", http.guarded(http.state)),
            Route("/v1/endpoints/{endpoint}", http.guarded(http.view), methods=["GET"]),
            Route("/v1/endpoints/{endpoint}", http.guarded(http.put), methods=["PUT"]),
            Route("/v1/endpoints/{endpoint}/plan", http.guarded(http.plan)),
            Route("/v1/synced", http.guarded(http.mark_synced), methods=["POST"]),
            Route("/v1/passed", http.guarded(http.passed)),
            Route("/v1/demand", http.guarded(http.demand)),
        ]
    )


def build_public_app(agent: GatewayAgent) -> Starlette:
    """Build the app for requests to the gateway that are no predictions: load balancers ask for its health."""

    async def ping(request: Request) -> Response:
        return Response(status_code=200 if await agent.ready() else 503)

    async def nothing(request: Request) -> Response:
        words = {"__type": "UnknownOperationException", "message": "this gateway serves predictions only"}
        return JSONResponse(words, status_code=404)

    return Starlette(routes=[Route("/ping", ping), Route("/{path:path}", nothing, methods=METHODS)])


def _json(body: object) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")


def _error(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status_code=status)
