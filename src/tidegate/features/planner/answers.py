"""The answers about a model before it is deployed, read against the questions of ``data/questions.yaml``."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from tidegate.domain.errors import Invalid
from tidegate.domain.memory_sizes import parse_bytes
from tidegate.features.evidence.harm_words import parse_harm
from tidegate.features.planner import rules
from tidegate.features.planner.tables import table
from tidegate.features.planner.units import number, rate, seconds
from tidegate.schedules.schedule import load_zone

Question = Mapping[str, Any]
MOST_PEAKS = 20
MOST_FACTOR = 10_000.0


@dataclass(frozen=True)
class TrafficPeak:
    """A recurring time of more traffic: ``name`` is one of ``data/peaks.yaml``, ``factor`` multiplies the rate."""

    name: str
    factor: float


@dataclass(frozen=True)
class PlanAnswers:
    """The answers: one field for each question, in its order, and ``assumed``. Times are seconds, sizes bytes,
    ``rate`` requests a second."""

    name: str
    individual_responses: bool
    latency: float | None
    payload: int
    processing_time: float | None
    p99: float | None
    records: int
    records_per_object: int
    runs_per_month: float
    deadline: float | None
    rate: float
    pattern: str
    shape: str
    idle_hours: float
    peaks: tuple[TrafficPeak, ...]
    timezone: str | None
    consistent_latency: bool | None
    criticality: str
    reversible: bool
    user_facing: bool
    harm: str
    playbook: str
    model_kind: str
    measured_on: str | None
    model_size: int | None
    prompt_tokens: int
    answer_tokens: int
    weight_bits: str | None
    alike_models: int
    stages: tuple[str, ...]
    frameworks: tuple[str, ...]
    separate_invocation: bool
    custom_logic: bool
    platform: str
    event_driven: bool
    environment: str
    spot: bool
    spot_override: str
    budget: float | None
    hardware: str
    region: str
    instance_type: str
    capacity: float | None
    quota: int | None
    availability: float | None
    vpc: bool
    own_key: bool
    assumed: tuple[str, ...] = ()
    """Keys that were not answered, of questions that are asked if they decide or that follow from other answers."""


def read(data: object) -> PlanAnswers:
    """Read plain data as answers; a question that is left out has its default. Raises Invalid that names the key.

    Each answer is checked by itself; ``assumptions.refuse_contradictions`` checks them together.
    """
    values, assumed = _values(data)
    for question in _missing(values, data):
        raise Invalid(f"{question['key']} is missing: {question['ask']}")
    return PlanAnswers(**values, assumed=assumed)


def read_partly(data: object) -> dict[str, Any]:
    """Return every answer in its type, defaults where there is none. Raises Invalid as ``read`` does."""
    return _values(data)[0]


def missing(data: object) -> list[str]:
    """Return the keys of the answers without which there can be no plan. Raises Invalid as ``read`` does."""
    return [question["key"] for question in _missing(_values(data)[0], data)]


def _missing(values: Mapping[str, Any], data: Any) -> Iterator[Question]:
    for question in table("questions"):
        if question.get("required") and data.get(question["key"]) is None and asked(question, values):
            yield question


def _values(data: object) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return every answer in its type, and the keys of those that follow from others."""
    if not isinstance(data, Mapping):
        raise Invalid("answers: expected keys and values, such as rate: 20")
    questions = {question["key"]: question for question in table("questions")}
    for key in data:
        if key not in questions:
            raise Invalid(f"unknown answer {str(key)[:60]!r}{_suggest(str(key), questions)}")
    values: dict[str, Any] = {}
    for key, question in questions.items():
        given = data.get(key)
        values[key] = parsed(question, question["default"] if given is None else given, stated=given is not None)
    assumed = []
    for key, question in questions.items():
        default = None if data.get(key) is not None else _default_by(question, values, data)
        if default is not None:
            values[key] = parsed(question, default, stated=False)
        if default is not None or (question.get("if_decisive") and data.get(key) is None):
            assumed.append(key)
    return values, tuple(assumed)


def _default_by(question: Question, values: Mapping[str, Any], stated: Mapping[str, Any]) -> Any:
    """Return a question's default by other answers, of those that were ``stated``; None where none bears on it."""
    for key, rows in question.get("default_by", {}).items():
        if stated.get(key) is None:
            continue
        value = values[key]
        if value in rows:
            return rows[value]
        if "some" in rows and value > 0:
            return rows["some"]
    return None


def asked(question: Question, values: Mapping[str, Any]) -> bool:
    """Whether the question makes sense after the answers so far."""
    return rules.holds(question.get("when", {}), rules.add_conditions(values, table("conditions")))


def parsed(question: Question, value: object, *, stated: bool = True) -> Any:
    """Parse one answer as its own type. Raises Invalid; a default (not ``stated``) is not held against the bounds."""
    key = question["key"]
    if value is None:
        return None
    try:
        made = _READERS[question["kind"]](value, question)
        if stated:
            _bounded(made, question)
    except ValueError as error:
        raise Invalid(f"{key}: {_shorten(value)}: {error}") from None
    return made


def list_choices(question: Question) -> tuple[Any, ...]:
    """Return every answer of a question that has a few, or those that stand for all; none of one that takes a figure
    or any text."""
    if question["kind"] == "flag":
        return (True, False)
    return tuple(question["choices"] if question["kind"] == "choice" else question.get("tried", ()))


def is_within_bounds(value: Any, question: Question) -> bool:
    """Whether a parsed value may be an answer."""
    try:
        _bounded(value, question)
    except ValueError:
        return False
    return True


def format_answer(value: object) -> str:
    """An answer as the text of a field."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(
            f"{one['name']}*{one['factor']:g}" if isinstance(one, dict) else str(one) for one in value
        )
    return "" if value is None else str(value)


def _text(value: object, question: Question) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text: put it in quotes")
    pattern = question.get("pattern")
    if pattern is not None and not re.fullmatch(pattern, value):
        raise ValueError(f"expected {question['expected']}")
    if len(value) > question.get("most_characters", 100) or not value.isprintable():
        raise ValueError(f"expected at most {question.get('most_characters', 100)} printable characters")
    return value.strip()


def _choice(value: object, question: Question) -> str:
    choices = question["choices"]
    text = {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value
    text = str(text) if isinstance(text, int) else text
    if text not in choices:
        raise ValueError(f"expected one of {', '.join(choices)}{_suggest(str(value), choices, listed=False)}")
    return str(text)


def _flag(value: object, question: Question) -> bool:
    if isinstance(value, str) and value.strip().lower() in _FLAGS:
        return _FLAGS[value.strip().lower()]
    if not isinstance(value, bool):
        raise ValueError("expected yes or no")
    return value


_FLAGS = {"yes": True, "y": True, "true": True, "no": False, "n": False, "false": False}


def _number(value: object, question: Question) -> float:
    if isinstance(value, str):
        value = number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("expected a number")
    if not math.isfinite(value):
        raise ValueError("expected a finite number")
    return float(value)


def _rate(value: object, question: Question) -> float:
    """Parse a number of requests a second, or ``3/day``."""
    if isinstance(value, str) and re.search(r"[a-zA-Z/]", value) and not re.fullmatch(r"[0-9.,]+[eE].*", value):
        return rate(value)
    return _number(value, question)


def _parse_whole(value: object, question: Question) -> int:
    number = _number(value, question)
    if number != int(number):
        raise ValueError("expected a whole number")
    return int(number)


def _duration(value: object, question: Question) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"say the unit, such as {value:g}ms or {value:g}s")
    return seconds(str(value))


def _size(value: object, question: Question) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("expected a size such as 16 KB or 2GB")
    return parse_bytes(str(value))


def _harm(value: object, question: Question) -> str:
    text = _text(value, question)
    if text:
        try:
            parse_harm(text)
        except Invalid as error:
            raise ValueError(error.message.removeprefix("what would hurt: ")) from None
    return text


def _list(value: object, question: Question) -> tuple[str, ...]:
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ValueError("expected a list of names")
    names = tuple(part for part in parts if part)
    least, most = question.get("least_items", 0), question["most_items"]
    if not least <= len(names) <= most:
        raise ValueError(f"{len(names)} names, expected {least} to {most}")
    choices = question.get("choices")
    for name in names:
        if choices is not None and name in question.get("elsewhere", {}):
            raise ValueError(f"{name} is not served as it is: {question['elsewhere'][name]}")
        if choices is not None and name not in choices:
            raise ValueError(f"unknown name {name!r}{_suggest(name, choices)}")
        if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name):
            raise ValueError(f"{name!r}: expected 1 to 63 letters, digits and hyphens")
    if choices is None and len(set(names)) != len(names):
        raise ValueError("a name is given twice")
    return names


def _peaks(value: object, question: Question) -> tuple[TrafficPeak, ...]:
    """Parse ``[{name: pay-days, factor: 4}]`` or ``pay-days*4, year-end*10``."""
    given = [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        raise ValueError("expected a list of peaks, such as pay-days*4")
    if len(given) > MOST_PEAKS:
        raise ValueError(f"{len(given)} peaks, expected {MOST_PEAKS} at most")
    made = tuple(_peak(one) for one in given)
    if len({peak.name for peak in made}) != len(made):
        raise ValueError("a peak is given twice")
    return made


def _peak(given: object) -> TrafficPeak:
    if isinstance(given, TrafficPeak):
        return given
    if isinstance(given, str):
        name, _, times = given.partition("*")
        given = {"name": name.strip(), "factor": times.strip()}
    if not isinstance(given, Mapping) or set(given) != {"name", "factor"}:
        raise ValueError("a peak has a name and a factor, such as pay-days*4")
    known = table("peaks")
    if given["name"] not in known:
        raise ValueError(f"unknown peak {given['name']!r}{_suggest(str(given['name']), known)}")
    factor = _number(given["factor"], {})
    if not 1 <= factor <= MOST_FACTOR:
        raise ValueError(f"the factor of {given['name']} must be from 1 to {MOST_FACTOR:,.0f}, not {factor:g}")
    return TrafficPeak(given["name"], factor)


def _zone(value: object, question: Question) -> str:
    name = _text(value, question)
    try:
        load_zone(name)
    except Invalid as error:
        raise ValueError(error.message) from None
    return name


_READERS: Mapping[str, Callable[[object, Question], Any]] = {
    "text": _text,
    "choice": _choice,
    "flag": _flag,
    "harm": _harm,
    "number": _number,
    "rate": _rate,
    "whole": _parse_whole,
    "duration": _duration,
    "size": _size,
    "list": _list,
    "peaks": _peaks,
    "zone": _zone,
}


def _bounded(value: Any, question: Question) -> None:
    tests = (("least", "at least"), ("most", "at most"), ("above", "above"), ("below", "below"))
    for word, said in tests:
        if word in question:
            bound = question[word]
            limit = bound if isinstance(bound, int | float) else parse_bytes(bound)
            if not rules.holds({"value": {_WORDS.get(word, word): limit}}, {"value": value}):
                unit = " seconds" if question["kind"] == "duration" else ""
                raise ValueError(f"must be {said} {bound if isinstance(bound, str) else f'{bound:,}'}{unit}")


_WORDS = {"least": "at_least", "most": "at_most"}


def _suggest(word: str, known: Mapping[str, Any], *, listed: bool = True) -> str:
    near = get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    if near:
        return f", did you mean {near[0]!r}?"
    return f", expected one of {', '.join(known)}" if listed else ""


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
