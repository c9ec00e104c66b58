"""What follows from the answers: assumptions for what was left out, names for conditions, and words for texts."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from tidegate.advisor.planner import rules, units
from tidegate.advisor.planner.answers import Answers
from tidegate.advisor.planner.tables import table
from tidegate.domain.errors import Invalid
from tidegate.domain.memory_sizes import parse_bytes

LAMBDA_MEMORY = "8 GB"
UTC = "UTC"


def known(answers: Answers) -> dict[str, Any]:
    """Facts by name: every answer, with the assumptions of its kind of model for those that were left out, what is
    derived from them, and the conditions that the tables name."""
    kind = table("compute")["kinds"][answers.model_kind]
    facts: dict[str, Any] = {field.name: getattr(answers, field.name) for field in fields(answers)}
    if facts["processing_time"] is None:
        facts["processing_time"] = units.seconds(kind["processing_time"])
    if facts["model_size"] is None:
        facts["model_size"] = parse_bytes(kind["model_size"])
    facts["timezone"] = answers.timezone or UTC
    memory = table("compute")["memory"]
    facts |= {
        "stage_count": len(answers.stages),
        "framework_count": len(answers.frameworks),
        "peaks_named": bool(answers.peaks),
        "has_latency": answers.latency is not None,
        "accelerated": kind["family"] != "cpu",
        "memory_needed": facts["model_size"] * memory["working"] + parse_bytes(memory["beside_the_model"]),
    }
    facts = rules.with_named(facts, table("architectures")["facts"])
    return rules.with_named(facts, table("flowchart")["facts"])


def assumptions(answers: Answers, *, has_calendar: bool = False) -> tuple[str, ...]:
    """What was not answered and is taken to be so, with its basis."""
    kind = table("compute")["kinds"][answers.model_kind]
    found = []
    if answers.processing_time is None and answers.capacity is None:
        found.append(f"processing_time is taken to be {kind['processing_time']}: {kind['basis']}")
    if answers.model_size is None:
        found.append(f"model_size is taken to be {kind['model_size']}, as of {kind['told']}")
    if has_calendar and answers.timezone is None:
        found.append(f"timezone is taken to be {UTC}: the calendar's hours are of that place")
    return tuple(found)


def words(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts as texts say them."""
    kinds = {question["key"]: question["kind"] for question in table("questions")}
    told = {name: _word(value, kinds.get(name, "")) for name, value in facts.items()}
    latency = facts["latency"]
    return told | {
        "memory_needed_told": units.told_size(facts["memory_needed"]),
        "lambda_memory": LAMBDA_MEMORY,
        "kind_told": table("compute")["kinds"][facts["model_kind"]]["told"],
        "stage_names": ", ".join(facts["stages"]),
        "framework_names": " and ".join(facts["frameworks"]),
        "latency_need": _need(facts, latency),
    }


def refuse_contradictions(facts: Mapping[str, Any]) -> None:
    """Raises Invalid at the first rule of ``data/contradictions.yaml`` that holds."""
    for rule in table("contradictions"):
        if rules.holds(rule["when"], facts):
            raise contradiction(rule, facts)


def contradiction(rule: Mapping[str, Any], facts: Mapping[str, Any]) -> Invalid:
    """``latency and payload: an answer within ...; allow more latency ...``"""
    keys = " and ".join(rule["keys"])
    told = words(facts)
    return Invalid(f"{keys}: {rule['say'].format(**told)}; {rule['change'].format(**told)}")


def _need(facts: Mapping[str, Any], latency: float | None) -> str:
    if facts["latency_matters"]:
        return (
            "every answer must come as fast as any other"
            if latency is None
            else f"each answer must come within {units.told_seconds(latency)}, every time"
        )
    return "an answer may come later now and then"


def _word(value: Any, kind: str) -> str:
    if value is None:
        return "nothing"
    if kind == "duration":
        return units.told_seconds(value)
    if kind == "size":
        return units.told_size(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
