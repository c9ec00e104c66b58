"""The page of an endpoint's drift."""

from typing import Any

from tidegate.console.insight_pages import EndpointPart, live_routes
from tidegate.console.page_context import PageContext
from tidegate.domain.errors import NotFound
from tidegate.features.capture.captured import captured_addresses
from tidegate.features.drift import page as drift_page
from tidegate.features.drift.service import show_drift
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.ports.store import Tx
from tidegate.service import endpoints


def page_routes(context: PageContext) -> list[GuardedRoute]:
    async def read(name: str) -> dict[str, Any]:
        def work(tx: Tx) -> tuple[bool, dict[str, Any] | None]:
            captured = bool(captured_addresses(endpoints.get_endpoint(tx, name).body))
            try:
                return captured, show_drift(tx, name)
            except NotFound:
                return captured, None

        captured, told = await context.gateway.context.store.read(work)
        shown = None if told is None else drift_page.drift_page(told)
        return {"there": shown is not None, "captured": captured, "drift": shown}

    return live_routes(context, EndpointPart("drift", "Drift", "tidegate drift schedule show {}", "drift"), read)
