"""The walk through the flowchart, and where a model runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.features.planner import rules
from tidegate.features.planner.assumptions import contradiction, words
from tidegate.features.planner.tables import table


@dataclass(frozen=True)
class FlowchartStep:
    """One question of the flowchart with its answer; ``leads_to`` is the next question's id or a mode."""

    id: str
    question: str
    answer: bool
    because: str
    leads_to: str


@dataclass(frozen=True)
class PlanNote:
    """A note that a person should know of a plan, and what to change if it is unwelcome."""

    about: str
    say: str
    change: str


@dataclass(frozen=True)
class Place:
    """The target, architecture and mode of a plan: ids of the tables, their titles, and the reasons."""

    mode: str
    target: str
    architecture: str
    architecture_title: str
    title: str
    because: str
    change: str
    notes: tuple[PlanNote, ...] = ()


def walk(facts: Mapping[str, Any]) -> tuple[FlowchartStep, ...]:
    """Walk from the first question to a mode, which the last step leads to."""
    questions = {question["id"]: question for question in table("flowchart")["questions"]}
    here, steps = next(iter(questions)), []
    told = words(facts)
    while here in questions:
        question = questions[here]
        answer = rules.holds(question["yes_when"], facts)
        branch = "true" if answer else "false"
        here = question[branch]
        steps.append(
            FlowchartStep(
                question["id"], question["ask"], answer, question["because"][branch].format(**told), here
            )
        )
    return tuple(steps)


def place(facts: Mapping[str, Any], mode: str) -> Place:
    """Choose the target, architecture and mode that serve, which is not always the walk's: no target can do all.
    Raises Invalid where nothing can."""
    targets = table("targets")
    here = rules.add_conditions({**facts, "mode": mode}, targets["facts"])
    rule = rules.first(targets["rules"], here)
    target = targets["targets"][rule["target"]]
    moved = target["instead"].get(mode, mode)
    served, notes = _limited({**here, "target": rule["target"]}, moved, rule["target"])
    architecture = rules.first(table("architectures")["rules"], facts)
    told = words(facts)
    said = [rule] if served == "batch" else [rule, architecture]
    return Place(
        mode=served,
        target=rule["target"],
        architecture=architecture["architecture"],
        architecture_title=architecture["title"],
        title=target["titles"][served].format(architecture=architecture["title"]),
        because="; ".join(one["because"] for one in said).format(**told),
        change="; ".join(one["change"] for one in said).format(**told),
        notes=notes,
    )


def _limited(facts: Mapping[str, Any], mode: str, target: str) -> tuple[str, tuple[PlanNote, ...]]:
    notes: list[PlanNote] = []
    for rule in table("modes"):
        of_target = target in rule.get("target", [target])
        if rule["mode"] != mode or not of_target or not rules.holds(rule["when"], facts):
            continue
        if "instead" not in rule:
            raise contradiction(rule, facts)
        told = words(facts)
        notes.append(PlanNote("mode", rule["say"].format(**told), rule["change"].format(**told)))
        mode = rule["instead"]
    return mode, tuple(notes)
