"""Routes beside the platform's own API: the planner, computations for pages, and the console."""

from collections.abc import Mapping

from starlette.routing import Route

from tidegate.advisor.planner import api as planner_api
from tidegate.console import compute_api, learn_pages, operate_pages, pages
from tidegate.gateway.dependencies import Gateway


def further_routes(gateway: Gateway, environment: Mapping[str, str]) -> list[Route]:
    """``environment``: of the processes that compute for a page."""
    desk = compute_api.ComputePool(environment)
    return [
        *planner_api.routes(gateway),
        *compute_api.routes(gateway, desk),
        *operate_pages.routes(gateway),
        *pages.routes(gateway, desk),
        *learn_pages.routes(gateway, desk),
    ]
