"""The page of an endpoint's shadow variants."""

from functools import partial

from tidegate.console.insight_pages import EndpointPart, live_routes
from tidegate.console.page_context import PageContext
from tidegate.features.shadow.page import shadow_page
from tidegate.gateway.guarded_routes import GuardedRoute


def page_routes(context: PageContext) -> list[GuardedRoute]:
    read = partial(shadow_page, context.gateway)
    return live_routes(context, EndpointPart("shadow", "Shadow", "tidegate shadow {}", "shadow"), read)
