"""The questions one after the other, with a way back: which comes next, why, and what an answer contradicts. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.domain.errors import Invalid
from tidegate.features.planner import rules
from tidegate.features.planner.answers import PlanAnswers, Question, asked, parsed, read, read_partly
from tidegate.features.planner.assumptions import contradiction, find_facts
from tidegate.features.planner.flip_points import FlipSearch
from tidegate.features.planner.tables import table


@dataclass
class Interview:
    """``given`` are answers that are not asked, ``said`` the texts that were typed, by key, in their order; an empty
    one stands for the default. ``search`` finds the questions that decide. ``further``: every question is asked."""

    given: Mapping[str, object]
    search: FlipSearch
    further: bool = False
    said: dict[str, str] = field(default_factory=dict)

    @property
    def answers(self) -> dict[str, object]:
        """All answers that are not defaults."""
        return {**self.given, **{key: text for key, text in self.said.items() if text}}

    def next_question(self) -> Question | None:
        """Return the question that comes next; None after the last."""
        return next((one for one in self._asked() if one["key"] not in self.said), None)

    def number(self) -> tuple[int, int]:
        """Return which question comes next, and how many there are by the answers so far."""
        coming = sum(one["key"] not in self.said for one in self._asked())
        return len(self.said) + 1, len(self.said) + max(1, coming)

    def reason(self, question: Question) -> str:
        """Return what is assumed without the answer, and where the plan changes; nothing for a question that is
        always asked."""
        if not question.get("if_decisive") or self._lacks_answers():
            return ""
        return self.search.find(read(self.answers), question).reason

    def answer(self, question: Question, text: str) -> None:
        """Take an answer. Raises Invalid for one that is none, or contradicts an earlier one; it is not taken
        then."""
        if not text and question.get("required"):
            raise Invalid(f"{question['key']}: this has to be answered")
        parsed(question, text or question["default"], stated=bool(text))
        key, before = question["key"], self.said
        # One that was answered before is the last one now, to which ``go_back`` returns.
        self.said = {name: one for name, one in before.items() if name != key} | {key: text}
        try:
            self._refuse_contradictions(key)
        except Invalid:
            self.said = before
            raise

    def go_back(self) -> None:
        """Ask the last question again; the first stays the first."""
        if self.said:
            self.said.popitem()

    def _asked(self) -> Iterator[Question]:
        """Yield the questions that are always asked, those that decide by the answers to these, and the further."""
        values = self._values()
        sensible = [one for one in table("questions") if one["key"] not in self.given and asked(one, values)]
        yield from (one for one in sensible if not one.get("if_decisive") and not one.get("further"))
        for question in (one for one in sensible if one.get("if_decisive")):
            if self.further or question["key"] in self.said or self._decides(question):
                yield question
        yield from (one for one in sensible if one.get("further") and self.further)

    def _decides(self, question: Question) -> bool:
        return not self._lacks_answers() and self.search.find(read(self.answers), question).flip is not None

    def _lacks_answers(self) -> bool:
        """Whether a question that is always asked comes first: before that there is no plan to change."""
        values = self._values()
        known = self.said.keys() | self.given.keys()
        first = (one for one in table("questions") if not one.get("if_decisive") and not one.get("further"))
        return any(one["key"] not in known and asked(one, values) for one in first)

    def _values(self) -> dict[str, Any]:
        return read_partly(self.answers)

    def _refuse_contradictions(self, key: str) -> None:
        """Refuse what contradicts answers that are known already: a rule about others may still be met."""
        known = self.said.keys() | self.given.keys()
        facts = find_facts(PlanAnswers(**self._values()))
        for rule in table("contradictions"):
            if key in rule["keys"] and known.issuperset(rule["keys"]) and rules.holds(rule["when"], facts):
                raise contradiction(rule, facts)
