"""Whatever the answers: a question that is left out changes no plan at the ends of the range that is said of it."""

import re
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.features.planner.property.test_planner import CATALOGUE, GIVEN
from tidegate.domain.errors import Invalid
from tidegate.features.planner import planning as planner
from tidegate.features.planner.answers import asked, format_answer, list_choices, read_partly
from tidegate.features.planner.interview import Interview
from tidegate.features.planner.planning import Plan
from tidegate.features.planner.sizing import FleetSize
from tidegate.features.planner.tables import table

UNSURE = [question for question in table("questions") if question.get("if_decisive")]
RANGE = re.compile(r"the plan is the same from (.+) to (.+)")
PART, LEAST = 0.1, 1.0
"""Part of the bill, and dollars a month, by which bills may differ: as the planner's page says."""


def interviewed(drawn: dict[str, Any], answered: frozenset[str]) -> Interview:
    """Answer what is asked from the drawn answers; of what decides only the keys in ``answered``."""
    special = {one["key"] for one in table("questions") if one.get("further")}
    interview = Interview({key: drawn[key] for key in special & drawn.keys()}, planner.search_flips(CATALOGUE))
    while (question := interview.next_question()) is not None:
        key = question["key"]
        known = key in answered or not question.get("if_decisive")
        try:
            interview.answer(question, format_answer(drawn.get(key)) if known else "")
        except Invalid:
            assume(False)
    return interview


def ends(interview: Interview) -> list[tuple[str, object]]:
    """Return the keys of the questions that were left out with the answers that are said to change nothing."""
    values = read_partly(interview.answers)
    found: list[tuple[str, object]] = []
    for question in UNSURE:
        key = question["key"]
        if key in interview.said or not asked(question, values):
            continue
        if said := RANGE.search(interview.reason(question)):
            found += [(key, said[1]), (key, said[2])]
        found += [(key, choice) for choice in list_choices(question)]
    return found


def chosen(plan: Plan) -> tuple[object, ...]:
    size = plan.size
    counts = (size.type.name, size.least, size.most) if isinstance(size, FleetSize) else size
    return plan.place.target, plan.place.mode, counts, dict(plan.strategy.rollout)


@settings(max_examples=10, derandomize=True)
@given(GIVEN, st.frozensets(st.sampled_from([question["key"] for question in UNSURE])))
def test_a_question_that_is_left_out_changes_no_plan(drawn: dict[str, Any], answered: frozenset[str]) -> None:
    interview = interviewed(drawn, answered)
    try:
        before = planner.plan(planner.read(interview.answers), CATALOGUE)
    except Invalid:
        assume(False)
    for key, end in ends(interview):
        try:
            after = planner.plan(planner.read({**interview.answers, key: end}), CATALOGUE)
        except Invalid as error:
            assert key == "shape" and "and shape: " in error.message, (
                "only a curve may contradict what was answered"
            )
            continue
        assert chosen(after) == chosen(before), (key, end)
        assert abs(after.bill.month - before.bill.month) <= max(PART * before.bill.month, LEAST), (key, end)
