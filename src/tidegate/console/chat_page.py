"""The page to chat with an endpoint whose model generates text."""

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console.operate_pages import render
from tidegate.domain.access import Access
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE
from tidegate.gateway.request_parsing import parse_endpoint_name
from tidegate.service import endpoints


def routes(gateway: Gateway) -> list[GuardedRoute]:
    async def show(request: Request) -> Response:
        name = parse_endpoint_name(request)
        await gateway.context.store.read(lambda tx: endpoints.get_endpoint(tx, name))
        return render("chat", request, endpoint=name)

    return [GuardedRoute(gateway, f"{CONSOLE}/endpoints/{{name}}/chat", show, Access.READ)]
