"""The planner in tidegate's own API: what it asks, and a plan from answers."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypedDict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.domain.errors import Invalid
from tidegate.features.planner import planning as planner
from tidegate.features.planner.models import with_models
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.error_responses import error_response
from tidegate.gateway.native_body import takes
from tidegate.prices import Catalogue, price_folder


async def describe_questions(gateway: Gateway, request: Request) -> Response:
    """Show the questions, flowchart and examples."""
    return JSONResponse(planner.what_is_asked())


class PlanBody(TypedDict, total=False):
    """Answers to the planner's questions, or an example with what differs."""

    answers: dict[str, Any]
    example: str
    models: list[str]


@takes(PlanBody)
async def make(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Plan a deployment. ``{"answers": {...}}`` or ``{"example": "payroll-fraud", "answers": {what differs}}``.
    Changes nothing. The ``relaxations`` of a refusal are the changes that would make a plan.

    ``models`` are addresses for the spec: one, or ``NAME=ADDRESS`` for each container."""
    answers, models = body.get("answers", {}), body.get("models", [])
    if not isinstance(answers, dict):
        raise Invalid("'answers' must be an object")
    if not isinstance(models, list) or not all(isinstance(one, str) for one in models):
        raise Invalid("'models' must be a list of addresses")
    if "example" in body:
        answers = {**planner.answers_of(str(body["example"])), **answers}
    return await asyncio.to_thread(
        _make_plan, answers, models, price_folder(gateway.settings.prices, gateway.settings.state)
    )


def _make_plan(answers: Mapping[str, object], models: Sequence[str], prices: Path | None) -> Response:
    """The promise takes up to some seconds, in which the event loop has better to do."""
    given, catalogue = planner.read(answers), Catalogue.load(prices)
    try:
        made = planner.plan(given, catalogue)
    except Invalid as error:
        return error_response(error, relaxations=[asdict(one) for one in planner.relaxations(given, catalogue)])
    spec = with_models(made.spec, models) if models else None
    document = planner.document(made)
    return JSONResponse({**document, "spec": spec or document["spec"], "file": planner.render_spec(made, spec)})
