"""Late labels in tidegate's own API: posted by inference id, and what is known of the versions by them."""

import asyncio
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.domain.errors import Invalid, NotFound
from tidegate.features.labels.label_terms import LabelTerms, describe_terms
from tidegate.features.labels.ledger import LabelKind
from tidegate.features.labels.posted import read_posted, read_terms, read_unset
from tidegate.features.labels.store import LabelStore, label_folder
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.native_body import JournaledBody, takes
from tidegate.gateway.request_parsing import parse_endpoint_name
from tidegate.service import endpoints


class LabelsBody(TypedDict):
    """Labels, and how they are read."""

    labels: list[Any]
    score: NotRequired[str]
    kind: NotRequired[LabelKind]


@takes(LabelsBody)
async def post_labels(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Add labels: ``{"labels": [{"id", "label", "at", "probability"}, ...], "score": PLACE, "kind": KIND}``. With the
    kind ``feedback`` a label may be ``up`` or ``down``. The answer comes once they are on disk; the same labels
    again change nothing. ``score`` and ``kind`` may say what is so already, and what nobody knew; to change them
    takes an operator. Raises Conflict."""
    name = parse_endpoint_name(request)
    if "labels" not in body:
        raise Invalid("'labels' is missing: a list of objects with id and label")
    terms, now = read_terms(body), gateway.context.clock.now().timestamp()
    await gateway.context.store.read(lambda tx: endpoints.get_endpoint(tx, name))
    store = LabelStore(label_folder(gateway.settings.state), name)
    kind = terms.kind
    if kind is None and store.exists:
        kind = (await asyncio.to_thread(store.terms)).kind
    labels, problems = read_posted(body["labels"], now, kind is LabelKind.FEEDBACK)
    counts: dict[str, int] = {}
    if labels:
        found = await asyncio.to_thread(store.accept, labels, terms)
        counts = {str(outcome): count for outcome, count in found.items() if count}
    counts |= {str(problem): count for problem, count in problems.items()}
    return JSONResponse({"received": len(labels), "outcomes": counts})


class TermsBody(JournaledBody, total=False):
    """How labels and answers are read."""

    score: str
    kind: LabelKind
    unset: list[str]


@takes(TermsBody)
async def change_terms(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Change how labels are read. ``{"score": PLACE, "kind": KIND, "unset": ["score", "kind"], "reason": TEXT}``: how
    labels and answers are read, those that there are and those to come. What is left out stays; what is unset is
    "not said" again, and only an operator can say it anew."""
    name = parse_endpoint_name(request)
    terms, unset = read_terms(body), read_unset(body)
    if not terms.where and terms.kind is None and not unset:
        raise Invalid("neither 'score' nor 'kind' is given: say the place of the score, or what labels are")
    await gateway.context.store.read(lambda tx: endpoints.get_endpoint(tx, name))
    store = LabelStore(label_folder(gateway.settings.state), name)
    before = await asyncio.to_thread(store.terms) if store.exists else LabelTerms()
    after = await asyncio.to_thread(store.change_terms, terms, unset)
    request.state.told.detail = f"{describe_terms(before)} before, {describe_terms(after)} now"
    return JSONResponse({"endpoint": name, "score": after.where, "kind": after.kind})


async def show_labels(gateway: Gateway, request: Request) -> Response:
    """Show what was found last, which may be some seconds old."""
    return JSONResponse(await read_labels(gateway, parse_endpoint_name(request)))


async def read_labels(gateway: Gateway, name: str) -> dict[str, Any]:
    """Raises NotFound."""
    await gateway.context.store.read(lambda tx: endpoints.get_endpoint(tx, name))
    return await asyncio.to_thread(_document, label_folder(gateway.settings.state), name)


def _document(folder: Path, name: str) -> dict[str, Any]:
    store = LabelStore(folder, name)
    if not store.exists:
        raise NotFound(
            f"endpoint {name} has no labels: post some, or measure files by 'tidegate labels measure {name} FILE'"
        )
    return {"endpoint": name, **(store.document() or {"at": None, "versions": [], "labels": {}})}
