"""The planner's page: its questions as fields of a form, and what a plan of the answers looks like. Pure."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from tidegate.advisor import planner
from tidegate.advisor.prices import Catalogue
from tidegate.console.money import format_dollars
from tidegate.domain.errors import TidegateError

EXAMPLE = "example"
MISSING = "An answer is needed."
_FLAGS = {True: "yes", False: "no"}


def planned(query: Mapping[str, str], catalogue: Catalogue) -> dict[str, Any]:
    """``query``: an example's name, or answers as text, empty ones as if they were not there. A form that was sent
    without answers that are needed shows all of them."""
    asked = planner.what_is_asked()
    given = {key: value for key, value in query.items() if value.strip()}
    example = given.pop(EXAMPLE, None)
    problem, made, answers, lacking = None, None, dict[str, Any](given), list[str]()
    if query:
        try:
            answers = {**(planner.answers_of(example) if example else {}), **given}
            lacking = planner.missing(answers)
            if not lacking:
                made = planner.plan(planner.read(answers), catalogue)
        except TidegateError as error:
            problem = error.message
    fields = [_field(question, answers, problem, question["key"] in lacking) for question in asked["questions"]]
    return {
        "examples": asked["examples"],
        "chosen": example,
        "fields": fields,
        "missing": [field for field in fields if field["key"] in lacking],
        "problem": problem,
        "plan": None
        if made is None
        else {**planner.document(made), "file": planner.render_spec(made), "answers_given": answers},
        "address": urlencode({key: written(value) for key, value in answers.items()}),
        "dollars": format_dollars,
    }


def written(value: object) -> str:
    """An answer as the text of a field."""
    if isinstance(value, bool):
        return _FLAGS[value]
    if isinstance(value, list | tuple):
        return ", ".join(
            f"{one['name']}*{one['factor']:g}" if isinstance(one, dict) else str(one) for one in value
        )
    return "" if value is None else str(value)


def _field(
    question: Mapping[str, Any], answers: Mapping[str, Any], problem: str | None, missing: bool
) -> dict[str, Any]:
    """``problem`` is this field's where it begins with its key, as the planner's errors do."""
    key = question["key"]
    choices = question.get("choices") if question["kind"] == "choice" else None
    if question["kind"] == "flag":
        choices = {"yes": "", "no": ""}
    default = written(question["default"])
    return {
        "key": key,
        "ask": question["ask"],
        "help": question.get("help", ""),
        "choices": choices,
        "default": default,
        "value": written(answers[key]) if key in answers else "",
        "further": question.get("further", False),
        "problem": MISSING if missing else problem if problem and problem.startswith(f"{key}:") else None,
    }
