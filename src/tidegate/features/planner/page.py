"""The planner's page: its questions as fields of a form, and what a plan of the answers looks like. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

from tidegate.domain.errors import TidegateError
from tidegate.features.planner import planning as planner
from tidegate.features.planner.answers import format_answer
from tidegate.features.planner.flip_points import Sensitivity
from tidegate.prices import Catalogue

EXAMPLE, AGAINST = "example", "against"
LONGEST = 4_000
"""Characters of the answers to compare with."""
MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MISSING = "An answer is needed."


def show_plan(query: Mapping[str, str], catalogue: Catalogue) -> dict[str, Any]:
    """``query``: an example's name, or answers as text, empty ones as if they were not there. A form that was sent
    without answers that are needed shows all of them."""
    asked = planner.what_is_asked()
    given = {key: value for key, value in query.items() if value.strip()}
    example, against = given.pop(EXAMPLE, None), given.pop(AGAINST, "")[:LONGEST]
    problem, made, answers, lacking = None, None, dict[str, Any](given), list[str]()
    relaxed: list[dict[str, str]] = []
    if query.keys() - {AGAINST}:
        try:
            answers = {**(planner.answers_of(example) if example else {}), **given}
            lacking = planner.missing(answers)
            if not lacking:
                made = planner.plan(planner.read(answers), catalogue)
        except TidegateError as error:
            problem, relaxed = error.message, _relax(answers, catalogue)
    fields = [_field(question, answers, problem, question["key"] in lacking) for question in asked["questions"]]
    for field, found in _find_unanswered(fields, made, answers, catalogue):
        field |= {"further": found.flip is None, "reason": found.reason}
    return {
        "examples": asked["examples"],
        "chosen": example,
        "fields": fields,
        "missing": [field for field in fields if field["key"] in lacking],
        "problem": problem,
        "relaxations": relaxed,
        "plan": None
        if made is None
        else {
            **planner.document(made),
            "file": planner.render_spec(made),
            "answers_given": answers,
            "headline": _headline(made),
            "year": _year(planner.monthly(made)),
        },
        "against": against,
        "versus": None if made is None or not against else compare(made, answers, against, catalogue),
        "address": urlencode({key: format_answer(value) for key, value in answers.items()}),
    }


def _find_unanswered(
    fields: list[dict[str, Any]], made: planner.Plan | None, answers: Mapping[str, Any], catalogue: Catalogue
) -> list[tuple[dict[str, Any], Sensitivity]]:
    """Return the fields without an answer that are asked if they decide, with how the plan depends on each; none
    before there are answers to plan with."""
    if made is not None:
        found = made.sensitivities
    else:
        try:
            given = planner.read(answers)
        except TidegateError:
            return []
        found = planner.search_flips(catalogue).list_sensitivities(given)
    return [(field, found[field["key"]]) for field in fields if not field["value"] and field["key"] in found]


def _relax(answers: Mapping[str, Any], catalogue: Catalogue) -> list[dict[str, str]]:
    """The changes that would make a plan, each with the address of its page; none of answers that cannot be read."""
    try:
        found = planner.relaxations(planner.read(answers), catalogue)
    except TidegateError:
        return []
    texts = {key: format_answer(value) for key, value in answers.items()}
    return [{"say": one.say, "address": urlencode({**texts, **one.changes})} for one in found]


def _headline(made: planner.Plan) -> dict[str, str]:
    rows = {row.name: row.value for row in made.rows}
    return {
        "mode": rows["Inference Mode"],
        "type": rows["Instance Type"],
        "scaling": rows["Scaling"],
        "strategy": rows["Deployment Strategy"],
        "target": rows["Deployment Target"],
    }


def _year(*plans: Sequence[float]) -> list[dict[str, Any]]:
    """Each month with the dollars of each plan, and their percent of the dearest month of all."""
    dearest = max(max(months) for months in plans) or 1.0
    return [
        {
            "month": name,
            "amounts": [
                {"dollars": months[place], "part": round(100 * months[place] / dearest, 1)} for months in plans
            ],
        }
        for place, name in enumerate(MONTH_NAMES)
    ]


def compare(made: planner.Plan, answers: Mapping[str, Any], against: str, catalogue: Catalogue) -> dict[str, Any]:
    """A plan beside that of the answers in ``against``, which is the query of a planner's address."""
    given: dict[str, Any] = {key: value for key, value in parse_qsl(against) if value.strip()}
    example = given.pop(EXAMPLE, None)
    given.pop(AGAINST, None)
    try:
        before = {**(planner.answers_of(example) if example else {}), **given}
        other = planner.plan(planner.read(before), catalogue)
    except TidegateError as error:
        return {"problem": f"the plan to compare with cannot be made: {error.message}"}
    values = {row.name: row.value for row in other.rows}
    texts = {
        key: (format_answer(before.get(key)), format_answer(answers.get(key))) for key in {**before, **answers}
    }
    return {
        "problem": "",
        "months": (other.bill.month, made.bill.month),
        "rows": [{"name": row.name, "before": values.get(row.name, "-"), "now": row.value} for row in made.rows],
        "answers": [
            {"key": key, "before": old or "-", "now": new or "-"}
            for key, (old, new) in texts.items()
            if old != new
        ],
        "year": _year(planner.monthly(other), planner.monthly(made)),
    }


def _is_required(question: Mapping[str, Any], answers: Mapping[str, Any]) -> bool:
    """Whether a plan needs the answer, by the other answers or, without them, for an endpoint."""
    given = {"individual_responses": answers.get("individual_responses") not in (False, "no")}
    applies = all(given.get(key) == value for key, value in question.get("when", {}).items())
    return bool(question.get("required", False)) and applies


def _field(
    question: Mapping[str, Any], answers: Mapping[str, Any], problem: str | None, missing: bool
) -> dict[str, Any]:
    """``problem`` is this field's where it begins with its key, as the planner's errors do."""
    key = question["key"]
    choices = question.get("choices") if question["kind"] == "choice" else None
    if question["kind"] == "flag":
        choices = {"yes": "", "no": ""}
    default = format_answer(question["default"])
    return {
        "key": key,
        "ask": question["ask"],
        "help": question.get("help", ""),
        "choices": choices,
        "default": default,
        "value": format_answer(answers[key]) if key in answers else "",
        "further": bool(question.get("further") or (question.get("if_decisive") and key not in answers)),
        "reason": "",
        "required": _is_required(question, answers),
        "problem": MISSING if missing else problem if problem and problem.startswith(f"{key}:") else None,
    }
