"""The page of an endpoint's captures."""

from contextlib import nullcontext

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console.insight_pages import EndpointPart, render_part
from tidegate.console.page_context import PageContext
from tidegate.domain.access import Access, Caller
from tidegate.features.capture import page as captures_page
from tidegate.gateway.guarded_routes import GuardedRoute, describe_request
from tidegate.gateway.paths import CONSOLE
from tidegate.gateway.request_parsing import parse_endpoint_name


def page_routes(context: PageContext) -> list[GuardedRoute]:
    gateway, samples = context.gateway, captures_page.SampleReader(context.gateway)

    async def show(request: Request) -> Response:
        name = parse_endpoint_name(request)
        caller: Caller = request.state.caller
        may_see = caller.may(Access.SEE)
        seen = gateway.trail.allowing(describe_request(gateway, request, Access.SEE)) if may_see else nullcontext()
        async with seen:
            page = await captures_page.captures_page(gateway, samples, name, may_see)
        line, document = ("tidegate show capture {} --samples 10", "capture/samples")
        if not page["may_see"]:
            line, document = ("tidegate show capture {}", "capture")
        part = EndpointPart("captures", "Captures", line, document)
        return await render_part(gateway, part, page, request, live=False)

    there = GuardedRoute(gateway, f"{CONSOLE}/endpoints/{{name}}/captures", show, Access.READ)
    return [there, *captures_page.sample_routes(gateway, samples)]
