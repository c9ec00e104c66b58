"""Computations of rehearsals, simulations and promises, by the native API."""

from tidegate.console.page_context import PageContext
from tidegate.features.rehearse import compute_api
from tidegate.gateway.guarded_routes import GuardedRoute


def compute_pool(context: PageContext) -> compute_api.ComputePool:
    """The processes that compute, of all pages together."""
    return context.share("compute", lambda: compute_api.ComputePool(context.environment))


def page_routes(context: PageContext) -> list[GuardedRoute]:
    return compute_api.routes(context.gateway, compute_pool(context))
