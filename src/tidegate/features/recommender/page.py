"""The recommender's pages: its jobs, and the progress and results of one as figures, tables and bars."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console.figures import (
    UNKNOWN,
    format_age,
    format_clock,
    format_dollars,
    format_milliseconds,
    format_rate,
)
from tidegate.console.live_stream import Snapshot
from tidegate.console.operate_pages import open_stream
from tidegate.console.page_context import PageContext
from tidegate.console.rendering import TEMPLATES, load_catalogue, render_page
from tidegate.domain.access import Access
from tidegate.domain.registry import Model
from tidegate.features.recommender import service as use
from tidegate.features.recommender.native import job_view
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE
from tidegate.ports.store import Filter, Tx
from tidegate.service.record_kinds import MODEL

TONES: Mapping[str, str] = {"COMPLETED": "good", "FAILED": "bad", "STOPPED": "warn", "STOPPING": "warn"}
WORDS: Mapping[str, str] = {
    "PENDING": "waiting",
    "IN_PROGRESS": "measuring",
    "COMPLETED": "completed",
    "FAILED": "failed",
    "STOPPING": "stopping",
    "STOPPED": "stopped",
}
LASTING = 600.0
"""Seconds of a job unless somebody says otherwise."""
PARTS = ("state", "trials", "found")


def is_measurable(model: Model) -> bool:
    """Whether a recommendation job takes it."""
    return len(model.containers) == 1 and not model.multi_model


def job_row(job: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """``job``: as the native API describes it (``gateway.recommendations.job_view``)."""
    best = job["found"][0] if job["found"] else None
    return {
        "name": job["job"],
        "model": job["model"],
        **_state(job),
        "age": format_age(job["created"], now),
        "best": "" if best is None else f"{best['instance_type']}, {_per_million(best)} a million requests",
    }


def job_page(job: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    limits = job["limits"]
    rate = "" if limits["rate"] is None else f", up to {format_rate(limits['rate'])}"
    limit = f"{limits['percent']:g} % of the answers within {format_milliseconds(limits['latency'] * 1000)}{rate}"
    return {
        "name": job["job"],
        "model": job["model"],
        **_state(job),
        "reason": job["reason"],
        "limit": limit,
        "can_stop": job["status"] in ("PENDING", "IN_PROGRESS"),
        "ended": job["ended"] is not None,
        **_progress(job, now),
        "trials": _trials(job["steps"], job["ended"] is not None),
        "found": _recommendation_rows(job["found"]),
    }


def _state(job: Mapping[str, Any]) -> dict[str, str]:
    return {"state": WORDS[job["status"]], "tone": TONES.get(job["status"], "")}


def _progress(job: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the progress of a job. ``part``: percent of the time that the job may take; it may end sooner, and its
    last load ends later."""
    if job["started"] is None:
        return {"part": 0.0, "took": "", "most": format_clock(job["limits"]["seconds"])}
    until = now if job["ended"] is None else datetime.fromisoformat(job["ended"])
    seconds = max(0.0, (until - datetime.fromisoformat(job["started"])).total_seconds())
    return {
        "part": 100.0 if job["ended"] else round(min(99.0, 100 * seconds / job["limits"]["seconds"]), 1),
        "took": format_clock(seconds),
        "most": format_clock(job["limits"]["seconds"]),
    }


def _trials(steps: Sequence[Mapping[str, Any]], ended: bool) -> list[dict[str, Any]]:
    """Return each configuration that was loaded, in order; the bar of the highest rate so far has the full width."""
    most = max((step["rate"] for step in steps), default=0.0)
    return [
        {
            "settings": _describe_settings(step["environment"], step["instances"]),
            "rate": format_rate(step["rate"])
            if step["rate"]
            else "none within the limit"
            if step["latency"]
            else "",
            "latency": UNKNOWN if step["latency"] is None else format_milliseconds(step["latency"] * 1000),
            "part": round(100 * step["rate"] / most, 1) if most else 0.0,
            "best": most > 0 and step["rate"] == most,
            "now": not ended and step is steps[-1],
        }
        for step in steps
    ]


def _describe_settings(environment: Mapping[str, str], instances: int) -> str:
    """Describe the settings of a configuration, such as "2 workers, OMP_NUM_THREADS 1, MAX_BATCH_ROWS 16"."""
    workers = f"{instances} worker{'' if instances == 1 else 's'}"
    return ", ".join([workers, *(f"{key} {value}" for key, value in sorted(environment.items()))])


def _recommendation_rows(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    dearest = max((_cost(one) for one in found), default=0.0)
    return [
        {
            "type": one["instance_type"],
            "hourly": f"${one['hourly']:.3f}",
            "month": format_dollars(one["hourly"] * 730),
            "rate": format_rate(one["per_minute"] / 60),
            "per_million": _per_million(one),
            "part": round(100 * _cost(one) / dearest, 1) if dearest else 0.0,
            "latency": format_milliseconds(one["latency"] * 1000),
            "cpu": f"{one['cpu']:.0f} %",
            "memory": f"{one['memory']:.0f} %",
            "settings": ", ".join(f"{key} {value}" for key, value in sorted(one["environment"].items()))
            or UNKNOWN,
        }
        for one in found
    ]


def _cost(one: Mapping[str, Any]) -> float:
    """Return the cost of a request in dollars, at the highest rate within the limit."""
    hourly, per_minute = float(one["hourly"]), float(one["per_minute"])
    return hourly / (60 * per_minute)


def _per_million(one: Mapping[str, Any]) -> str:
    return format_dollars(1e6 * _cost(one))


# --- routes of the recommender's pages: its jobs, and one job with its progress, live ---


RECOMMENDER = f"{CONSOLE}/recommender"
SHOWN_JOBS, SHOWN_MODELS = 50, 500


def page_routes(context: PageContext) -> list[GuardedRoute]:
    """GET only: jobs are started and stopped by the native API."""
    gateway, streams = context.gateway, context.streams

    async def show_jobs(request: Request) -> Response:
        jobs, models = await gateway.context.store.read(_find)
        now = gateway.context.clock.now()
        rows = [job_row(job, now) for job in jobs]
        chosen = request.query_params.get("model", "")[:200]
        shown = {"rows": rows, "models": models, "chosen": chosen}
        minutes = round(LASTING / 60)
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
    models = [saved.name for saved in tx.find(MODEL, Filter(), SHOWN_MODELS).items if is_measurable(saved.body)]
    return jobs, models


async def _read(gateway: Gateway, name: str) -> dict[str, Any]:
    """Raises NotFound."""
    job = (await gateway.context.store.read(lambda tx: use.get(tx, name))).body
    return await asyncio.to_thread(job_page, job_view(job), gateway.context.clock.now())


async def _snapshot(gateway: Gateway, name: str) -> Snapshot:
    page = await _read(gateway, name)
    parts: Any = TEMPLATES.get_template("recommendation_parts.html").module
    return Snapshot({part: str(getattr(parts, part)(page)) for part in PARTS})
