"""Flip points: the values of answers that nobody measured at which a plan changes. Pure.

By them the planner asks only for what decides, and says how far its assumptions may be wrong."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from tidegate.domain.errors import TidegateError
from tidegate.features.planner import units
from tidegate.features.planner.answers import (
    PlanAnswers,
    Question,
    asked,
    format_answer,
    is_within_bounds,
    list_choices,
)
from tidegate.features.planner.assumptions import find_facts, format_assumed
from tidegate.features.planner.sizing import FleetSize
from tidegate.features.planner.tables import table
from tidegate.features.planner.units import format_money

if TYPE_CHECKING:
    from tidegate.features.planner.plan import Plan

Replan = Callable[[PlanAnswers], "Plan"]
FACTORS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Multiples of an answer that are tried, and their inverses."""
FURTHER = (1e2, 1e3, 1e4)
"""Multiples that are tried of what was assumed, as far as they are plausible."""
BILL_PART, BILL_LEAST = 0.1, 1.0
"""A bill is another one if it differs by more than this part, and by more than so many dollars a month."""


@dataclass(frozen=True)
class FlipPoint:
    """The nearest value of an unmeasured answer at which the plan changes; ``month`` is the bill in dollars there,
    None if there is no plan."""

    key: str
    value: str
    say: str
    month: float | None


@dataclass(frozen=True)
class Sensitivity:
    """How a plan depends on one answer, which is ``assumed`` unless it was stated. ``flip`` is None if no value that
    was tried changes the plan; ``unchanged`` says for which values it is the same."""

    assumed: str
    flip: FlipPoint | None
    unchanged: str

    @property
    def change(self) -> str:
        """``from 25 ms it is ...``, or with which values the plan is the same."""
        return self.unchanged if self.flip is None else self.flip.say.partition(": ")[2]

    @property
    def reason(self) -> str:
        """The reason to ask for an answer: the assumption without one, and the change."""
        return f"without an answer {self.assumed}; {self.change}"


class FlipSearch:
    """A search that changes one answer at a time, to the nearest value first: up to ten times the value and down to a
    tenth of it, further where more is plausible for what was assumed, and each choice of a question that has choices.
    ``replan`` makes a plan of other answers; its plans are kept."""

    def __init__(self, replan: Replan) -> None:
        self._replan = replan
        self._made: dict[PlanAnswers, Plan | TidegateError] = {}

    def list_sensitivities(self, answers: PlanAnswers) -> dict[str, Sensitivity]:
        """Return by key how the plan depends on what was assumed, and on every figure that may be wrong."""
        return {
            question["key"]: self.find(answers, question)
            for question in table("questions")
            if asked(question, _values(answers)) and _is_searched(question, answers)
        }

    def find(self, answers: PlanAnswers, question: Question) -> Sensitivity:
        """Return how the plan of the answers depends on that of the question."""
        key, before = question["key"], self._plan(answers)
        facts = find_facts(answers) if isinstance(before, TidegateError) else before.facts
        present, tried = facts["slowest" if key == "p99" else key], list[Any]()
        # What contradicts the answers that a default follows from is no answer.
        assumed, refused = key in answers.assumed, key in answers.assumed and "default_by" not in question
        shown = format_assumed(key, facts)
        for step in _steps(question, present, facts, assumed=assumed):
            for value in step:
                after = self._plan(replace(answers, **{key: value}))
                if _changes(before, after, refused=refused):
                    flip = _flip(question, present, value, before, after)
                    return Sensitivity(shown, flip, _unchanged(question, present, tried))
            tried += step
        return Sensitivity(shown, None, _unchanged(question, present, tried))

    def _plan(self, answers: PlanAnswers) -> "Plan | TidegateError":
        if answers not in self._made:
            try:
                self._made[answers] = self._replan(answers)
            except TidegateError as error:
                self._made[answers] = error
        return self._made[answers]


def _values(answers: PlanAnswers) -> dict[str, Any]:
    return {field.name: getattr(answers, field.name) for field in fields(answers)}


def _is_searched(question: Question, answers: PlanAnswers) -> bool:
    """Whether an answer may be another than the plan has: what was assumed, and stated figures. Of a choice that was
    stated it is known what it is."""
    if question.get("if_decisive"):
        return question["key"] in answers.assumed or not list_choices(question)
    return bool(question.get("required"))


def _steps(question: Question, present: Any, facts: Mapping[str, Any], *, assumed: bool) -> Iterator[list[Any]]:
    """Yield the values to try, the nearest first."""
    if choices := list_choices(question):
        yield [value for value in choices if value != present]
        return
    low, high = _plausible(question, facts, present) if assumed else (present, present)
    # The slowest hundredth cannot be faster than the mean, which would contradict it.
    least = facts["processing_time"] if question["key"] == "p99" else 0.0
    whole = question["kind"] in ("whole", "size")
    for factor in (*FACTORS, *FURTHER) if present else ():
        values = [present * factor, present / factor]
        if factor in FURTHER:
            clipped = (min(high, present * factor), max(low, present / factor))
            values = [one for one in clipped if max(one / present, present / one) > factor / FACTORS[-1]]
        made = [round(value) if whole else value for value in values]
        yield [one for one in made if one >= least and one != present and is_within_bounds(one, question)]


def _plausible(question: Question, facts: Mapping[str, Any], present: float) -> tuple[float, float]:
    """Return the least and the most that the answer may be for this kind of model, as far as a range is known."""
    of_kind = table("compute")["kinds"][facts["model_kind"]].get("plausible", {})
    low, high = of_kind.get(question["key"], question.get("plausible", (present, present)))
    return units.amount(low) or present, units.amount(high) or present


def _changes(before: "Plan | TidegateError", after: "Plan | TidegateError", *, refused: bool) -> bool:
    """Whether the choice is another, or the bill clearly is. ``refused``: a value with which there is no plan counts
    as a change."""
    if isinstance(after, TidegateError):
        return refused and not isinstance(before, TidegateError)
    if isinstance(before, TidegateError):
        return True
    month = before.bill.month
    if abs(after.bill.month - month) > max(BILL_PART * month, BILL_LEAST):
        return True
    return (_choice(before), _rollout(before), _missed(before)) != (
        _choice(after),
        _rollout(after),
        _missed(after),
    )


def _choice(plan: "Plan") -> tuple[Any, ...]:
    size = plan.size
    if isinstance(size, FleetSize):
        return plan.place.target, plan.place.mode, size.type.name, size.least, size.most
    return plan.place.target, plan.place.mode, size.memory_gib, size.concurrency


def _rollout(plan: "Plan") -> dict[str, Any]:
    return {"strategy": plan.strategy.kind, **plan.strategy.rollout}


def _missed(plan: "Plan") -> set[str]:
    """Return what was asked for and the plan does not have."""
    return {note.about for note in plan.notes} & {"latency", "quota"}


def _flip(
    question: Question, present: Any, value: Any, before: "Plan | TidegateError", after: "Plan | TidegateError"
) -> FlipPoint:
    key, shown = question["key"], _format(question, value)
    where = f"if {shown}," if list_choices(question) else f"{'from' if value > present else 'down to'} {shown}"
    if isinstance(after, TidegateError):
        refusal = after.message.partition("; ")[0]
        return FlipPoint(key, shown, f"{key}: {where} there is no plan: {refusal}", None)
    return FlipPoint(key, shown, f"{key}: {where} {_describe_change(before, after)}", after.bill.month)


def _describe_change(before: "Plan | TidegateError", after: "Plan") -> str:
    price = f"about {format_money(after.bill.month)} a month"
    if isinstance(before, TidegateError):
        return f"it is {describe_plan(after)}, {price}, and as it is there is no plan"
    if _choice(before) != _choice(after):
        return f"it is {describe_plan(after)}, {price}"
    if changed := [
        f"{key} {value}" for key, value in _rollout(after).items() if _rollout(before).get(key) != value
    ]:
        return f"its rollout has {', '.join(changed)}"
    if missed := _missed(after) - _missed(before):
        return next(note.say for note in after.notes if note.about in missed)
    if kept := _missed(before) - _missed(after):
        return f"the {' and the '.join(sorted(kept))} that is asked for is kept"
    return f"it costs {price}, not {format_money(before.bill.month)}"


def describe_plan(plan: "Plan") -> str:
    """``real time on 2 to 4 x ml.c5.large``."""
    size = plan.size
    if not isinstance(size, FleetSize):
        return f"serverless with {size.memory_gib} GiB for {size.concurrency:,} at a time"
    counts = str(size.least) if size.least == size.most else f"{size.least} to {size.most}"
    return f"{plan.place.mode.replace('_', ' ')} on {counts} x {size.type.name}"


def _unchanged(question: Question, present: Any, tried: list[Any]) -> str:
    if not tried:
        return ""
    if list_choices(question):
        return "the plan is the same whatever the answer"
    low, high = min(present, *tried), max(present, *tried)
    return f"the plan is the same from {_format(question, low)} to {_format(question, high)}"


def _format(question: Question, value: Any) -> str:
    formats: Mapping[str, Callable[[float], str]] = {
        "duration": units.format_seconds,
        "size": units.format_size,
        "rate": units.format_rate,
        "whole": "{:,}".format,
        "number": "{:,.4g}".format,
    }
    made = formats.get(question["kind"], format_answer)
    return "nothing" if value is None else made(value)
