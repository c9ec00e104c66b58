"""The targets that a model may run on, compared for one's own answers: a plan for each target. Pure."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from tidegate.domain.errors import TidegateError
from tidegate.features.planner import planning as planner
from tidegate.features.planner.answers import format_answer
from tidegate.features.planner.overview import TARGETS, THERE
from tidegate.features.planner.page import EXAMPLE
from tidegate.prices import Catalogue

FIRST = "payroll-fraud"
ASKED = ("rate", "latency", "payload", "processing_time", "model_size")
"""Questions of the form. Other answers in the address are passed on unchanged."""
SHOWN = ("Inference Mode", "Instance Type", "Scaling")
START = 2.0
"""Seconds that a start from zero may take, about."""
NOWHERE: Mapping[str, object] = {"custom_logic": False, "event_driven": False}


def compared(query: Mapping[str, str], catalogue: Catalogue) -> dict[str, Any]:
    """Make a plan for each target. ``query``: the planner's answers as text, or an example's name; neither: those of
    ``FIRST``."""
    given: dict[str, Any] = {key: value for key, value in query.items() if value.strip()}
    example = given.pop(EXAMPLE, None if given else FIRST)
    problem, ways, answers = None, list[dict[str, Any]](), dict[str, Any]()
    try:
        answers = {**(planner.answers_of(example) if example else {}), **given}
        if lacking := planner.missing(answers):
            problem = f"an answer is missing: {', '.join(lacking)}"
        else:
            chosen = planner.plan(planner.read(answers), catalogue).place.target
            ways = [_way(target, answers, chosen, catalogue) for target in TARGETS]
    except TidegateError as error:
        problem = error.message
    questions = {one["key"]: one for one in planner.what_is_asked()["questions"]}
    return {
        "fields": [
            {"key": key, "ask": questions[key]["ask"], "value": format_answer(answers.get(key, ""))}
            for key in ASKED
        ],
        "carried": {key: format_answer(value) for key, value in answers.items() if key not in ASKED},
        "examples": {name: one["title"] for name, one in planner.examples().items()},
        "problem": problem,
        "ways": ways,
        "address": urlencode({key: format_answer(value) for key, value in answers.items()}),
    }


def _way(target: str, answers: Mapping[str, Any], chosen: str, catalogue: Catalogue) -> dict[str, Any]:
    """Return the plan with what leads to this target; where even that leads elsewhere, the reason."""
    told = TARGETS[target]
    try:
        made = planner.plan(planner.read({**answers, **NOWHERE, **THERE[target]}), catalogue)
    except TidegateError as error:
        return {**told, "chosen": False, "why_not": error.message}
    if made.place.target != target:
        return {**told, "chosen": False, "why_not": f"{made.place.title}: {made.place.because}"}
    rows = {row.name: row.value for row in made.rows if row.name in SHOWN}
    because = made.place.because.partition(";")[0]
    notes = [one.say for one in made.notes]
    latency = made.facts["latency"]
    if made.place.mode == "serverless" and latency is not None and latency < START:
        notes.append(
            "the first request after a pause waits for a start, some seconds, which is later than you allow"
        )
    found = {"month": made.bill.month, "rows": rows, "because": because, "notes": notes}
    return {**told, **found, "chosen": target == chosen, "why_not": ""}
