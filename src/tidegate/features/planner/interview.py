"""The questions one after the other, with a way back: which comes next, and what an answer contradicts. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.domain.errors import Invalid
from tidegate.features.planner import rules
from tidegate.features.planner.answers import PlanAnswers, Question, asked, parsed, read_partly
from tidegate.features.planner.assumptions import contradiction, find_facts
from tidegate.features.planner.tables import table


@dataclass
class Interview:
    """``given`` are answers that are not asked, ``said`` the texts that were typed, by key, in their order; an empty
    one stands for the default. ``further``: the further questions are asked, too."""

    given: Mapping[str, object]
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
        return len(self.said) + 1, max(len(self.said) + 1, len(list(self._asked())))

    def answer(self, question: Question, text: str) -> None:
        """Take an answer. Raises Invalid for one that is none, or contradicts an earlier one; it is not taken
        then."""
        if not text and question.get("required"):
            raise Invalid(f"{question['key']}: this has to be answered")
        parsed(question, text or question["default"], stated=bool(text))
        self.said[question["key"]] = text
        try:
            self._refuse_contradictions(question["key"])
        except Invalid:
            del self.said[question["key"]]
            raise

    def go_back(self) -> None:
        """Ask the last question again; the first stays the first."""
        if self.said:
            self.said.popitem()

    def _asked(self) -> Iterator[Question]:
        values = self._values()
        for further in (False, True) if self.further else (False,):
            for question in table("questions"):
                wanted = bool(question.get("further")) is further and question["key"] not in self.given
                if wanted and asked(question, values):
                    yield question

    def _values(self) -> dict[str, Any]:
        return read_partly(self.answers)

    def _refuse_contradictions(self, key: str) -> None:
        """Refuse what contradicts answers that are known already: a rule about others may still be met."""
        known = self.said.keys() | self.given.keys()
        facts = find_facts(PlanAnswers(**self._values()))
        for rule in table("contradictions"):
            if key in rule["keys"] and known.issuperset(rule["keys"]) and rules.holds(rule["when"], facts):
                raise contradiction(rule, facts)
