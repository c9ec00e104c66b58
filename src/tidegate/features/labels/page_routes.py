"""The page of an endpoint's labels."""

from typing import Any

from tidegate.console.insight_pages import EndpointPart, live_routes
from tidegate.console.page_context import PageContext
from tidegate.domain.errors import NotFound
from tidegate.features.capture.captured import captured_addresses
from tidegate.features.labels import api as labels_api
from tidegate.features.labels import page as labels_page
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.ports.store import Tx
from tidegate.service import endpoints


def page_routes(context: PageContext) -> list[GuardedRoute]:
    async def read(name: str) -> dict[str, Any]:
        def work(tx: Tx) -> bool:
            return bool(captured_addresses(endpoints.get_endpoint(tx, name).body))

        captured = await context.gateway.context.store.read(work)
        try:
            told = await labels_api.read_labels(context.gateway, name)
        except NotFound:
            told = None
        shown = None if told is None else labels_page.labels_page(told)
        return {"there": shown is not None, "captured": captured, "labels": shown}

    return live_routes(context, EndpointPart("labels", "Labels", "tidegate labels measure {}", "labels"), read)
