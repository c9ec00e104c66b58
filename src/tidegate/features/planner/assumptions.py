"""The consequences of the answers: assumptions for what was left out, names for conditions, and words for texts."""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from tidegate.domain.errors import Invalid
from tidegate.domain.memory_sizes import parse_bytes
from tidegate.features.planner import erlang, hardware, language_models, rules, units
from tidegate.features.planner.answers import PlanAnswers, asked
from tidegate.features.planner.hardware import serving
from tidegate.features.planner.language_models import BITS
from tidegate.features.planner.tables import table
from tidegate.features.planner.traffic import find_load, has_idle_hours

UTC = "UTC"
BINARY = ("images",)
"""Kinds of model whose requests are not text."""


def find_facts(answers: PlanAnswers) -> dict[str, Any]:
    """Return the facts by name: every answer, with the assumptions of its kind of model for those that were left out,
    what is derived from them, and the conditions that the tables name."""
    book = table("compute")
    kind, memory = book["kinds"][answers.model_kind], book["memory"]
    facts: dict[str, Any] = {field.name: getattr(answers, field.name) for field in fields(answers)}
    del facts["assumed"]
    facts["processing_time_stated"] = answers.processing_time is not None
    facts["deadline"] = answers.deadline or units.seconds(book["deadline"])
    if facts["model_size"] is None:
        facts["model_size"] = parse_bytes(kind["model_size"])
    facts |= hardware.derive_facts(facts)
    facts["timezone"] = answers.timezone or UTC
    containers = len(answers.stages) or (len(answers.frameworks) if answers.separate_invocation else 1)
    loaded = facts["model_size"] * containers
    facts |= {
        "stage_count": len(answers.stages),
        "framework_count": len(answers.frameworks),
        "container_count": containers,
        "peaks_named": bool(answers.peaks),
        "harm_named": bool(answers.harm),
        "time_by_type": answers.model_kind == "llm"
        and facts["accelerated"]
        and answers.processing_time is None
        and answers.capacity is None,
        "name_length": len(answers.name),
        "quota_known": answers.quota is not None,
        "has_latency": answers.latency is not None,
        "shape_idle": has_idle_hours(answers.shape),
        "binary": answers.model_kind in BINARY,
        "by_line": answers.model_kind not in BINARY and answers.payload <= parse_bytes(book["line"]),
        "slowest": answers.p99 or facts["processing_time"] * book["slowest_of_mean"],
        "availability_known": answers.availability is not None,
        "p99_stated": answers.p99 is not None,
        "memory_needed": loaded * memory["working"] + parse_bytes(memory["beside_the_model"]),
    }
    facts["slowest_from_zero"] = facts["slowest"] + units.seconds(book["from_zero"])
    facts["concurrency"] = _concurrency(facts) if answers.individual_responses else 0
    facts = rules.add_conditions(facts, table("architectures")["facts"])
    return rules.add_conditions(facts, table("flowchart")["facts"])


def _concurrency(facts: Mapping[str, Any]) -> int:
    """Return the requests at one time in the busiest minutes. After hours without any, those of the ordinary rate
    find nothing started, and each is held for the start as well."""
    book = table("compute")
    start = book["cold_start"]
    cold = units.seconds(start["base"]) + units.seconds(start["per_gb"]) * facts["model_size"] / 1e9
    starting = facts["rate"] * cold if has_idle_hours(facts["shape"]) else 0.0
    return erlang.servers(find_load(facts).busiest * facts["processing_time"] + starting, book["refused"])


def assumptions(answers: PlanAnswers, facts: Mapping[str, Any], *, has_calendar: bool = False) -> dict[str, str]:
    """Return by key the values that are assumed for questions without an answer, with the basis of each."""
    values = {field.name: getattr(answers, field.name) for field in fields(answers)}
    bases = _list_bases(facts) | ({} if answers.processing_time is None else {"weight_bits": None})
    found = {}
    for question in table("questions"):
        key = question["key"]
        basis = bases.get(key, "")
        if key in answers.assumed and asked(question, values) and basis is not None:
            found[key] = f"{key} is taken to be {format_assumed(key, facts)}" + (f": {basis}" if basis else "")
    if has_calendar and answers.timezone is None:
        found["timezone"] = f"timezone is taken to be {UTC}: the calendar's hours are of that place"
    return found


def _list_bases(facts: Mapping[str, Any]) -> dict[str, str | None]:
    """Return by key what the assumptions rest on; None for what no plan of these facts uses."""
    kind, told = table("compute")["kinds"][facts["model_kind"]], words(facts)
    objects = "S3 charges each object that is written and read"
    return {
        "processing_time": kind.get("time_basis", kind["basis"]).format(**told),
        "p99": f"{table('compute')['slowest_of_mean']} times the time that the model works",
        "records_per_object": objects if facts["by_line"] else None,
        "deadline": "a job has to be done within that time",
        "pattern": "it follows from the shape and the idle hours",
        "shape": "it follows from the pattern and the idle hours",
        "consistent_latency": "it follows from the latency",
        "frameworks": "the usual one of this kind of model",
        "model_size": f"as of {kind['text']}",
        "measured_on": "what this kind of model usually runs on",
        "weight_bits": _describe_weights(facts) if facts["model_kind"] == "llm" else None,
    }


def _describe_weights(facts: Mapping[str, Any]) -> str:
    return f"the model then has {language_models.model_of(facts).weights / 1e9:.3g} billion weights"


def format_assumed(key: str, facts: Mapping[str, Any]) -> str:
    """Return the value that is assumed, as texts say it."""
    if key == "weight_bits" and facts["weight_bits"] is None:
        model = language_models.model_of(facts)
        return f"{BITS * model.size / model.weights:g}"
    if key == "measured_on":
        return hardware.measured_on(facts)
    if isinstance(facts[key], tuple):
        return ", ".join(facts[key])
    return words(facts)[{"p99": "slowest_text", "consistent_latency": "latency_matters"}.get(key, key)]


def words(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts as texts say them."""
    kinds = {question["key"]: question["kind"] for question in table("questions")}
    told = {name: _word(value, kinds.get(name, "")) for name, value in facts.items()}
    latency = facts["latency"]
    limits = {name: str(one["value"]) for name, one in table("limits").items()}
    return (
        limits
        | told
        | {
            "memory_needed_text": units.format_size(facts["memory_needed"]),
            "slowest_text": units.format_seconds(facts["slowest"]),
            "slowest_from_zero_text": units.format_seconds(facts["slowest_from_zero"]),
            "timeout_seconds": str(min(3600, math.ceil(facts["slowest"] / 60) * 60)),
            "hardware_text": table("compute")["hardware"]
            .get(facts["hardware_asked"], {})
            .get("text", "an accelerator"),
            "serving_names": " and ".join(serving(facts)),
            "kind_text": table("compute")["kinds"][facts["model_kind"]]["text"],
            "stage_names": ", ".join(facts["stages"]),
            "framework_names": " and ".join(facts["frameworks"]),
            "latency_need": _need(facts, latency),
        }
    )


def refuse_contradictions(facts: Mapping[str, Any]) -> None:
    """Refuse answers that contradict each other. Raises Invalid at the first rule of ``data/contradictions.yaml``
    that holds."""
    for rule in table("contradictions"):
        if rules.holds(rule["when"], facts):
            raise contradiction(rule, facts)


def contradiction(rule: Mapping[str, Any], facts: Mapping[str, Any]) -> Invalid:
    """Make the error of a rule: ``latency and payload: an answer within ...; allow more latency ...``."""
    keys = " and ".join(rule["keys"])
    told = words(facts)
    return Invalid(f"{keys}: {rule['say'].format(**told)}; {rule['change'].format(**told)}")


def _need(facts: Mapping[str, Any], latency: float | None) -> str:
    if facts["latency_matters"]:
        return (
            "every answer must come as fast as any other"
            if latency is None
            else f"each answer must come within {units.format_seconds(latency)}, every time"
        )
    return "an answer may come later now and then"


def _word(value: Any, kind: str) -> str:
    if value is None:
        return "nothing"
    if kind == "duration":
        return units.format_seconds(value)
    if kind == "size":
        return units.format_size(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
