"""The page of the batch jobs, live."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console.figures import UNKNOWN, format_age, format_clock
from tidegate.console.identity import identify_reader
from tidegate.console.live_stream import Snapshot
from tidegate.console.operate_pages import open_stream, render
from tidegate.console.page_context import PageContext
from tidegate.console.rendering import TEMPLATES
from tidegate.domain.access import Access
from tidegate.domain.memory_sizes import format_bytes
from tidegate.features.batch import service as transforms
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE
from tidegate.ports.store import Filter

# --- batch transform jobs as rows of a list ---


TONES: Mapping[str, str] = {"Completed": "good", "Failed": "bad", "Stopped": "warn", "Stopping": "warn"}
RESUMABLE = ("Failed", "Stopped")
"""States from which a job goes on where it was."""


def job_row(document: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """``document``: as the native API describes the job (``service.transforms.view``)."""
    total, done = document["bytes"], document["bytes_done"]
    under_way = document["status"] == "InProgress"
    eta = document["eta"]
    return {
        "name": document["job"],
        "status": document["status"],
        "tone": TONES.get(document["status"], ""),
        "detail": document["reason"] or document["waiting"] or "",
        "model": document["model"],
        "part": round(100 * min(1.0, done / total), 1) if total else None,
        "bytes": f"{format_bytes(done)} of {format_bytes(total)}" if total else UNKNOWN,
        "objects": f"{document['objects_done']:,} of {document['objects']:,}",
        "failed": document["objects_failed"],
        "records": f"{document['records']:,}",
        "bad": document["bad_records"],
        "took": format_clock(document["seconds"]),
        "left": format_clock(eta) if under_way and eta is not None else "",
        "resumable": document["status"] in RESUMABLE,
        "age": format_age(document["created"], now),
    }


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
    return [job_row(transforms.view(saved.body, gateway.progress(saved.name), now), now) for saved in found]


async def _snapshot_jobs(gateway: Gateway, may_operate: bool) -> Snapshot:
    listed: Any = TEMPLATES.get_template("job_list.html").module
    rows = await _read_jobs(gateway)
    return Snapshot({"jobs": str(listed.jobs(rows, gateway.settings.url, may_operate))})
