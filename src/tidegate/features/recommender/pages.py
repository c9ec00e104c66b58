"""Routes of the recommender's pages: its jobs, and one job with its progress, live."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console.live_stream import Snapshot
from tidegate.console.operate_pages import open_stream
from tidegate.console.page_context import PageContext
from tidegate.console.rendering import TEMPLATES, load_catalogue, render_page
from tidegate.domain.access import Access
from tidegate.features.recommender import page as recommender_page
from tidegate.features.recommender import service as use
from tidegate.features.recommender.native import job_view
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE
from tidegate.ports.store import Filter, Tx
from tidegate.service.record_kinds import MODEL

RECOMMENDER = f"{CONSOLE}/recommender"
SHOWN_JOBS, SHOWN_MODELS = 50, 500


def page_routes(context: PageContext) -> list[GuardedRoute]:
    """GET only: jobs are started and stopped by the native API."""
    gateway, streams = context.gateway, context.streams

    async def show_jobs(request: Request) -> Response:
        jobs, models = await gateway.context.store.read(_find)
        now = gateway.context.clock.now()
        rows = [recommender_page.job_row(job, now) for job in jobs]
        chosen = request.query_params.get("model", "")[:200]
        shown = {"rows": rows, "models": models, "chosen": chosen}
        minutes = round(recommender_page.LASTING / 60)
        catalogue = await load_catalogue(gateway)
        return render_page("recommender", request, catalogue, minutes=minutes, **shown)

    async def show_job(request: Request) -> Response:
        page = await _read(gateway, request.path_params["name"])
        return render_page(
            "recommendation", request, await load_catalogue(gateway), page=page, url=gateway.settings.url
        )

    async def stream_job(request: Request) -> Response:
        name = request.path_params["name"]
        return open_stream(gateway, streams, request, name, lambda: _snapshot(gateway, name))

    pages = {
        RECOMMENDER: show_jobs,
        f"{RECOMMENDER}/{{name}}": show_job,
        f"{RECOMMENDER}/{{name}}/live": stream_job,
    }
    return [GuardedRoute(gateway, path, handler, Access.READ) for path, handler in pages.items()]


def _find(tx: Tx) -> tuple[list[dict[str, Any]], list[str]]:
    """Latest jobs, and names of models that can be measured, newest first."""
    jobs = [job_view(saved.body) for saved in use.find(tx, Filter(), SHOWN_JOBS).items]
    models = [
        saved.name
        for saved in tx.find(MODEL, Filter(), SHOWN_MODELS).items
        if recommender_page.is_measurable(saved.body)
    ]
    return jobs, models


async def _read(gateway: Gateway, name: str) -> dict[str, Any]:
    """Raises NotFound."""
    job = (await gateway.context.store.read(lambda tx: use.get(tx, name))).body
    return await asyncio.to_thread(recommender_page.job_page, job_view(job), gateway.context.clock.now())


async def _snapshot(gateway: Gateway, name: str) -> Snapshot:
    page = await _read(gateway, name)
    parts: Any = TEMPLATES.get_template("recommendation_parts.html").module
    return Snapshot({part: str(getattr(parts, part)(page)) for part in recommender_page.PARTS})
