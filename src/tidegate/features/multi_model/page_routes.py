"""The page of the models of a multi-model endpoint."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console.insight_pages import EndpointPart, render_part
from tidegate.console.page_context import PageContext
from tidegate.domain.access import Access
from tidegate.features.multi_model.page import models_page
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE
from tidegate.gateway.request_parsing import parse_endpoint_name, parse_number
from tidegate.service import endpoints

MOST_MODELS = 10_000
"""Of each instance; one lists 1,000."""
MOST_PAGES = 100_000


def page_routes(context: PageContext) -> list[GuardedRoute]:
    gateway = context.gateway

    async def show(request: Request) -> Response:
        name, page = parse_endpoint_name(request), parse_number(request, "page", 1, 1, MOST_PAGES)
        await gateway.context.store.read(lambda tx: endpoints.get_endpoint(tx, name))
        replicas: Any = await gateway.models(name, MOST_MODELS)
        shown = models_page(replicas, request.query_params.get("find", "")[:200].strip(), page)
        part = EndpointPart("models", "Models", "tidegate show models {} --limit 1000", "models?limit=1000")
        return await render_part(gateway, part, {"there": bool(replicas), **shown}, request, live=False)

    return [GuardedRoute(gateway, f"{CONSOLE}/endpoints/{{name}}/models", show, Access.READ)]
