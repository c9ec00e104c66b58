"""The page of the batch jobs, live."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console.identity import identify_reader
from tidegate.console.live_stream import Snapshot
from tidegate.console.operate_pages import open_stream, render
from tidegate.console.page_context import PageContext
from tidegate.console.rendering import TEMPLATES
from tidegate.domain.access import Access
from tidegate.features.batch import job_rows
from tidegate.features.batch import service as transforms
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE
from tidegate.ports.store import Filter

SHOWN_JOBS = 200


def page_routes(context: PageContext) -> list[GuardedRoute]:
    """GET only: the page makes changes through the native API."""
    gateway, streams = context.gateway, context.streams

    async def show_jobs(request: Request) -> Response:
        return render("jobs", request, url=gateway.settings.url, rows=await _read_jobs(gateway))

    async def stream_jobs(request: Request) -> Response:
        may = identify_reader(request).may_operate
        view = "/jobs/commands" if may else "/jobs"
        return open_stream(gateway, streams, request, view, lambda: _snapshot_jobs(gateway, may))

    pages = {f"{CONSOLE}/jobs": show_jobs, f"{CONSOLE}/jobs/live": stream_jobs}
    return [GuardedRoute(gateway, path, handler, Access.READ) for path, handler in pages.items()]


async def _read_jobs(gateway: Gateway) -> list[dict[str, Any]]:
    """Rows of the latest batch jobs, newest first."""
    now = gateway.context.clock.now()
    found = await gateway.context.store.read(lambda tx: transforms.find(tx, Filter(), SHOWN_JOBS).items)
    return [
        job_rows.job_row(transforms.view(saved.body, gateway.progress(saved.name), now), now) for saved in found
    ]


async def _snapshot_jobs(gateway: Gateway, may_operate: bool) -> Snapshot:
    listed: Any = TEMPLATES.get_template("job_list.html").module
    rows = await _read_jobs(gateway)
    return Snapshot({"jobs": str(listed.jobs(rows, gateway.settings.url, may_operate))})
