"""Reads lines of captures and of SageMaker's ground truth. Pure; every line is an entry or a named problem."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

from tidegate.domain.errors import Invalid
from tidegate.domain.prediction_path import parse_path
from tidegate.serving.formats.slice_values import name_slice_value
from tidegate.serving.front.body_values import read_first_row

LARGEST_NUMBER = 1e100
"""A larger label or score is none: sums of its squares could not be computed."""
LEAST_PROBABILITY = 1e-6
LONGEST_ID = 1_024
SHORT_MEMBERS = frozenset(("id", "label", "at", "probability"))
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_PLACE = re.compile(r"(?:[^.\[\]]+|\[\d+\])(?:\.[^.\[\]]+|\[\d+\])*")
_HOUR = re.compile(r"(?:^|/)(\d{4})/(\d\d)/(\d\d)/(\d\d)/[^/]*$")
_VARIANT = re.compile(r"([^/]+)/\d{4}/\d\d/\d\d/\d\d/[^/]*$")


class LineProblem(StrEnum):
    """Why a line is no entry."""

    BROKEN = "broken line"
    NO_FILE = "file that cannot be read"
    NO_ID = "no id"
    NO_SCORE = "answer without the score"
    NO_TIME = "no time"
    NO_NUMBER = "label that is no number"
    NO_PROBABILITY = "selection probability that is none"


@dataclass(frozen=True)
class Prediction:
    """``at``: epoch seconds; ``id``: the inference id, where there is one, otherwise the event's. ``config``: name of
    the endpoint config that answered, ``variant``: its variant; empty: not known. ``slices``: those that the request
    is in, as ``country=DE``."""

    id: str
    at: float
    score: float
    config: str = ""
    variant: str = ""
    slices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Label:
    """``at``: epoch seconds when it was known; None: nobody said. ``probability``: with which its request was chosen
    to be labelled; None: not known. ``received``: epoch seconds, where it was posted."""

    id: str
    value: float
    at: float | None
    probability: float | None = None
    received: float | None = None


def read_prediction(
    line: bytes, where: str, path: str = "", scored: bool = True, columns: Sequence[str] = ()
) -> Prediction | LineProblem:
    """A captured line of the file at ``path``. ``where``: the place of the score in a JSON answer
    (``predictions[0].score``) or the number of its column, from 0; empty: the answer is one number. ``scored``: an
    answer without the score is a problem; otherwise no score is looked for. ``columns``: of the request, by whose
    values predictions are measured by themselves, too."""
    document = _document(line)
    if document is None:
        return LineProblem.BROKEN
    about = document.get("eventMetadata")
    if not isinstance(about, dict):
        return LineProblem.BROKEN
    id = about.get("inferenceId") or about.get("eventId")
    if not isinstance(id, str) or not id:
        return LineProblem.NO_ID
    at = read_time(about.get("inferenceTime"))
    if at is None:
        return LineProblem.NO_TIME
    score = read_score(document.get("captureData"), where) if scored else 0.0
    if score is None:
        return LineProblem.NO_SCORE
    config = about.get("configName")
    slices = _slices(document.get("captureData"), columns) if columns else ()
    return Prediction(id, at, score, config if isinstance(config, str) else "", _variant(path), slices)


def _slices(captured: object, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the slices of the first row of a request; none if it cannot be read."""
    side = captured.get("endpointInput") if isinstance(captured, dict) else None
    data = side.get("data") if isinstance(side, dict) else None
    if not isinstance(side, dict) or not isinstance(data, str):
        return ()
    kind = side.get("observedContentType")
    try:
        body = base64.b64decode(data) if side.get("encoding") == "BASE64" else data.encode()
    except (binascii.Error, UnicodeEncodeError):
        return ()
    usual = {"CSV": "text/csv", "JSON": "application/json"}.get(str(side.get("encoding")), "")
    row = read_first_row(body, kind if isinstance(kind, str) else usual)
    values = {} if row is None else dict(zip(*row, strict=True))
    return tuple(
        " ".join(f"{column}={name_slice_value(column, values[column])}".split())
        for column in columns
        if column in values
    )


def read_event_id(line: bytes) -> str | None:
    """The id by which a captured line is labelled."""
    document = _document(line)
    about = document.get("eventMetadata") if document is not None else None
    id = (about.get("inferenceId") or about.get("eventId")) if isinstance(about, dict) else None
    return id if isinstance(id, str) and id else None


def read_label(line: bytes, path: str) -> Label | LineProblem:
    """Read a line of ground truth in SageMaker's form, or in the short form that is posted (``read_short_label``).

    Its time is ``labelTime`` in SageMaker's metadata, a member of ours, or ``at`` in the short form; otherwise the
    hour that the ``path`` of its file names, as captures' paths do. ``selectionProbability`` is ours as well."""
    document = _document(line)
    if document is None:
        return LineProblem.BROKEN
    if "groundTruthData" not in document and "label" in document:
        return read_short_label(document, _hour(path))
    truth, about = document.get("groundTruthData"), document.get("eventMetadata")
    if not isinstance(truth, dict) or not isinstance(about, dict):
        return LineProblem.BROKEN
    id = about.get("eventId")
    if not isinstance(id, str) or not id:
        return LineProblem.NO_ID
    value = read_number(truth.get("data"))
    if value is None:
        return LineProblem.NO_NUMBER
    at = read_time(about["labelTime"]) if "labelTime" in about else _hour(path)
    if "labelTime" in about and at is None:
        return LineProblem.NO_TIME
    if "selectionProbability" not in about:
        return Label(id, value, at)
    probability = read_probability(about["selectionProbability"])
    return LineProblem.NO_PROBABILITY if probability is None else Label(id, value, at, probability)


def read_short_label(document: Mapping[str, object], at: float | None) -> Label | LineProblem:
    """Read ``{"id": .., "label": .., "at": .., "probability": ..}``, of which the last two may be left out.

    ``at``: epoch seconds of a label that states no time."""
    if document.keys() - SHORT_MEMBERS:
        return LineProblem.BROKEN
    id, value = document.get("id"), read_number(document.get("label"))
    if not isinstance(id, str) or not 0 < len(id) <= LONGEST_ID or not _is_text(id):
        return LineProblem.NO_ID
    if value is None:
        return LineProblem.NO_NUMBER
    if document.get("at") is not None and (at := read_time(document["at"])) is None:
        return LineProblem.NO_TIME
    probability = None
    if (
        document.get("probability") is not None
        and (probability := read_probability(document["probability"])) is None
    ):
        return LineProblem.NO_PROBABILITY
    return Label(id, value, at, probability)


def _is_text(id: str) -> bool:
    """Half of a surrogate pair, which JSON can say, is none, and no captured id has it."""
    try:
        id.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_place(where: str) -> None:
    """Raises Invalid for a place that cannot be one."""
    if where.startswith("$"):
        parse_path(where)
    elif where and not _PLACE.fullmatch(where):
        raise Invalid(f"{where!r} is no place of a score: expected a column such as 1, or predictions[0].score")


def _document(line: bytes) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def read_score(captured: object, where: str) -> float | None:
    """The score of an answer; None if it is not there, or no finite number. ``where``: its place, or a path of a
    prediction; empty: where the answer's version has it, or it is all that the answer has."""
    side = captured.get("endpointOutput") if isinstance(captured, dict) else None
    if not isinstance(side, dict) or not isinstance(side.get("data"), str):
        return None
    data, where = side["data"], where or _own_path(side)
    if side.get("encoding") == "CSV":
        cells = data.strip().split(",")
        if not where:
            return read_number(cells[0]) if len(cells) == 1 and "\n" not in data.strip() else None
        return read_number(cells[int(where)]) if where.isdecimal() and int(where) < len(cells) else None
    if side.get("encoding") != "JSON":
        return None
    found = _decode(data)
    if where.startswith("$"):
        return _extract_number(parse_path(where).find(found))
    return _extract_number(found) if not where else read_number(find_at(found, where))


def _own_path(side: Mapping[str, object]) -> str:
    """Return the path of the prediction that the version which gave a captured answer has; empty if it has none."""
    path = side.get("predictionPath")
    try:
        return path if isinstance(path, str) and parse_path(path) else ""
    except Invalid:
        return ""


def read_scores(captured: object, where: str, rows: int) -> list[float | None]:
    """The score of each of so many rows that were asked together; None where there is no finite number."""
    if rows == 1:
        return [read_score(captured, where)]
    side = captured.get("endpointOutput") if isinstance(captured, dict) else None
    if not isinstance(side, dict) or not isinstance(side.get("data"), str):
        return [None] * rows
    data, encoding, where = side["data"], side.get("encoding"), where or _own_path(side)
    if encoding == "CSV":
        lines = data.split("\n") if "\n" in data.strip() else data.split(",")
        parts: list[object] = [{"data": line, "encoding": "CSV"} for line in lines if line.strip()]
        answers: list[float | None] = [read_score({"endpointOutput": part}, where) for part in parts]
    elif where.startswith("$"):
        answers = [_extract_number(one) for one in find_rows(_decode(data), where)]
    else:
        answers = [
            _extract_number(one) if not where else read_number(find_at(one, where)) for one in _list_of(data, rows)
        ]
    return answers if len(answers) == rows else [None] * rows


def find_rows(data: object, path: str) -> list[object]:
    """Return what is at a path of an answer, or the items of the only list there."""
    found = parse_path(path).find(data)
    return found[0] if len(found) == 1 and isinstance(found[0], list) else found


def _decode(data: str) -> Any:
    """Decode JSON; None if it is none."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None


def _list_of(data: str, rows: int) -> list[Any]:
    """The list with a member for each row, within as many members and lists of one as there may be around it."""
    found = _decode(data)
    while isinstance(found, (list, dict)) and len(found) == 1:
        found = next(iter(found.values())) if isinstance(found, dict) else found[0]
    return found if isinstance(found, list) and len(found) == rows else []


def _extract_number(found: Any) -> float | None:
    """The number in as many lists and members as there may be around it, if it is the only value."""
    while isinstance(found, (list, dict)) and len(found) == 1:
        found = next(iter(found.values())) if isinstance(found, dict) else found[0]
    return read_number(found)


def find_at(found: Any, where: str) -> Any:
    """Return the value at a place such as ``1``, ``label`` or ``predictions[0].label``; None if there is none."""
    for name, place in _STEP.findall(where):
        if name and isinstance(found, dict):
            found = found.get(name)
        elif (place or name.isdecimal()) and isinstance(found, list) and int(place or name) < len(found):
            found = found[int(place or name)]
        else:
            return None
    return found


def read_number(value: object) -> float | None:
    """A finite number, also as text, at most LARGEST_NUMBER in size."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) <= LARGEST_NUMBER else None


def read_probability(value: object) -> float | None:
    """A number from one in a million to 1: what is hardly ever chosen would outweigh all else."""
    found = None if isinstance(value, str) else read_number(value)
    return found if found is not None and LEAST_PROBABILITY <= found <= 1 else None


def read_time(value: object) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _variant(path: str) -> str:
    """The variant that the path of a captured file names."""
    found = _VARIANT.search(path)
    return found.group(1) if found else ""


def _hour(path: str) -> float | None:
    found = _HOUR.search(path)
    if found is None:
        return None
    year, month, day, hour = map(int, found.groups())
    try:
        return datetime(year, month, day, hour, tzinfo=UTC).timestamp()
    except ValueError:
        return None
