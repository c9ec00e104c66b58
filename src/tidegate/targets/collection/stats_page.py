"""A worker's stats page, read as what anybody may have written. Pure.

The process that makes the page also runs its owner's model, so nothing on the page is believed: a field that cannot
be used is left out alone and reported, and everything beside it counts. What comes out is finite, bounded in size,
and about the page's own fleet.
"""

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from reprlib import Repr
from typing import Annotated, Any

import msgspec

from tidegate.domain.metric import Latency, WorkerSeries
from tidegate.domain.pairs import Pair
from tidegate.domain.surrogates import replace_all_surrogates
from tidegate.domain.text_answers import TextAnswer
from tidegate.domain.worker_stats import (
    CONTAINER,
    LONGEST_FAILURE,
    MODEL,
    MOST_FAILURES,
    MOST_TEXTS,
    SERIES_OF_PART,
    SERIES_OF_REPLICA,
    CountKey,
    PageCountKey,
    SpreadKey,
    ValueKey,
)
from tidegate.monitoring import sketch
from tidegate.monitoring.finite import LARGEST
from tidegate.targets.collection.pair_rows import convert_row, read_pairs, read_rows

MOST_TOKENS = 10**9
LONGEST = 86_400 * 10**6
"""Microseconds that an answer may have taken."""
FASTEST = 1e9
"""Tokens per second."""

Tokens = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]


class _Row(msgspec.Struct):
    began: int
    tokens: Tokens
    given: Tokens | None
    first: Annotated[int, msgspec.Meta(ge=0, le=LONGEST)]
    speed: Annotated[float, msgspec.Meta(ge=0, le=FASTEST)] | None
    refusal: bool
    repeated: bool
    empty: bool
    phrases: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


def read_texts(rows: object, second: int) -> tuple[tuple[TextAnswer, ...], int]:
    """The texts that ended in a second, and how many rows were none."""
    return read_rows(rows, MOST_TEXTS, lambda row: _read(row, second))


def _read(given: Any, second: int) -> TextAnswer | None:
    row = convert_row(given, _Row)
    if row is None:
        return None
    end = (second + 1) * 10**6
    if not end - LONGEST <= row.began < end or not math.isfinite(row.speed or 0):
        return None
    return TextAnswer(
        began=row.began,
        tokens=row.tokens,
        given=row.given,
        first=float(row.first),
        speed=row.speed,
        refusal=row.refusal,
        repeated=row.repeated,
        empty=row.empty,
        phrases=row.phrases,
    )


MOST_COUNT = 10**9
"""Requests of one second."""
MOST_ANSWERED = 2**53
MOST_SECONDS = 1_000
MOST_SERIES = 1_000
"""Series of one second."""
MOST_BINS = 8_192
MOST_PROBLEMS = 100
"""Problems of one page that are reported; the rest are only counted."""
LONGEST_NAME = 1_024
"""Characters of a container's or a model's name."""
AHEAD = 5
"""Seconds that a worker's clock, read after ours, may be ahead of it."""

KNOWN = SERIES_OF_REPLICA | SERIES_OF_PART
"""Any other name could be a metric that is counted elsewhere, or make one without end."""

_INDEX = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_shown = Repr()
_shown.maxstring = _shown.maxother = _shown.maxlong = 40


@dataclass(frozen=True)
class Record:
    """One second. ``whole``: all of its counts and times could be used."""

    second: int
    invocations: int = 0
    errors_4xx: int = 0
    errors_5xx: int = 0
    model_errors: int = 0
    latency: Latency | None = None
    overhead: Latency | None = None
    series: tuple[WorkerSeries, ...] = ()
    pairs: tuple[tuple[str, Pair], ...] = ()
    texts: tuple[TextAnswer, ...] = ()
    whole: bool = True


@dataclass(frozen=True)
class FailureMessage:
    """A message of failed requests, how many had it since the worker's start, and when the last one did."""

    message: str
    count: int
    at: float


@dataclass(frozen=True)
class ReplicaStats:
    """``records``: those from the second that was asked for to before ``through``, up to which the page is complete.
    ``problems`` are of these records, ``doubts`` of the page itself, which may show them again next time. A number
    that could not be used is None."""

    records: tuple[Record, ...]
    through: int
    in_flight: int | None
    answered: int | None
    problems: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    activity: int | None = None
    """The number in the worker's file when it made the page."""
    failures: tuple[FailureMessage, ...] = ()
    """The last messages of failed requests."""


class _Unusable(ValueError):
    """A value of a page is unusable. The message says what is wrong with it, and where."""


def read_page(
    body: bytes, since: int, before: int | None, now: int, containers: Collection[str]
) -> ReplicaStats | None:
    """The seconds from ``since`` to before ``before`` of a page that was asked for in the second ``now``; None for
    what is no page. Where ``before`` is None, it is the last page of a worker, which shows the current second, too.
    ``containers`` are the names that the fleet's containers have."""
    document = _parse(body)
    rows = document.get("seconds") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(rows, list):
        return None
    doubts: list[str] = []
    through = now + 1 if before is None else max(since, min(before, _read_through(document, now, doubts)))
    problems: list[str] = []
    records: dict[int, Record] = {}
    if len(rows) > MOST_SECONDS:
        doubts.append(f"{len(rows)} seconds, more than {MOST_SECONDS}: the newest count")
    for row in rows[-MOST_SECONDS:]:
        second = _second(row, now, doubts)
        if second is None or not since <= second < through:
            continue
        if second in records:
            problems.append(f"second {second}: comes twice; the first one counts")
        else:
            records[second] = _record(row, second, containers, problems)
    in_flight, answered = _optional(document, "in_flight", doubts), _optional(document, "answered", doubts)
    activity = _optional(document, "activity", doubts)
    reported = (tuple(problems), tuple(doubts[:MOST_PROBLEMS]))
    ordered = tuple(records[second] for second in sorted(records))
    failures = tuple(_failures(document.get("failures"), now))
    return ReplicaStats(ordered, through, in_flight, answered, *reported, activity, failures)


def _failures(rows: object, now: int) -> Iterator[FailureMessage]:
    """Texts for people: what cannot be used is left out, and casts no doubt on the counts."""
    for row in rows[:MOST_FAILURES] if isinstance(rows, list) else ():
        if not isinstance(row, dict):
            continue
        message, count, at = row.get("message"), row.get("count"), row.get("at")
        if not (isinstance(message, str) and message and type(count) is int and isinstance(at, int | float)):
            continue
        if 0 < count <= MOST_COUNT and 0 <= at <= now + AHEAD:
            text = "".join(one if one.isprintable() else "?" for one in message[:LONGEST_FAILURE])
            yield FailureMessage(text, count, float(at))


def _parse(body: bytes) -> Any:
    """Parse JSON leniently: NaN or a number out of range must cost no more than itself. Every text has
    an encoding. None if nothing can be read."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        pass
    try:
        return replace_all_surrogates(json.loads(body.decode("utf-8", "replace")))
    except (ValueError, RecursionError):
        return None


def _read_through(document: Mapping[str, Any], now: int, doubts: list[str]) -> int:
    """The first second that the page does not show completely: the one in which it was made."""
    made = document.get("now", now)
    if isinstance(made, int | float) and abs(made - now) <= AHEAD:
        return int(made)
    doubts.append(f"now: {_shown.repr(made)} is not the time")
    return now


def _second(row: object, now: int, doubts: list[str]) -> int | None:
    second = row.get("second") if isinstance(row, dict) else None
    if type(second) is not int:
        doubts.append(f"second: {_shown.repr(second)} is not a moment")
        return None
    if second > now + AHEAD:
        doubts.append(f"second: {_shown.repr(second)} is in the future")
    return second


def _optional(document: Mapping[str, Any], key: PageCountKey, doubts: list[str]) -> int | None:
    if key not in document:
        return None
    try:
        return _count(document, key, MOST_ANSWERED)
    except _Unusable as error:
        doubts.append(str(error))
        return None


def _record(row: Mapping[str, Any], second: int, containers: Collection[str], problems: list[str]) -> Record:
    """A count that cannot be used becomes the least that the other counts allow, and the record is not whole."""
    wrong: list[str] = []

    def count(key: CountKey) -> int:
        try:
            return _count(row, key, MOST_COUNT)
        except _Unusable as error:
            wrong.append(str(error))
            return 0

    def spread(key: SpreadKey) -> Latency | None:
        try:
            return _spread(row.get(key), key, least=0.0)
        except _Unusable as error:
            wrong.append(str(error))
            return None

    client, server = count("4xx"), count("5xx")
    failed, invocations = count("model_errors"), count("invocations")
    latency, overhead = spread("latency"), spread("overhead")
    if not wrong and invocations < max(client + server, failed):
        wrong.append(f"invocations: {invocations} are fewer than the errors among them")
    failed = max(failed, client + server)
    invocations = max(invocations, failed, int(latency.count) if latency and wrong else 0)
    whole = not wrong
    series = tuple(_series(row.get("series", []), containers, wrong))
    pairs, unusable = read_pairs(row.get("pairs", []))
    if unusable:
        wrong.append(f"pairs: {unusable} are no pairs of predictions")
    texts, strange = read_texts(row.get("texts", []), second)
    if strange:
        wrong.append(f"texts: {strange} are no measures of a text")
    problems += [f"second {second}: {what}" for what in wrong]
    return Record(second, invocations, client, server, failed, latency, overhead, series, pairs, texts, whole)


def _series(rows: object, containers: Collection[str], wrong: list[str]) -> Iterator[WorkerSeries]:
    if not isinstance(rows, list):
        wrong.append(f"series: {_shown.repr(rows)} is not a list")
        return
    if len(rows) > MOST_SERIES:
        wrong.append(f"series: {len(rows)}, more than {MOST_SERIES}: the first ones count")
    for row in rows[:MOST_SERIES]:
        try:
            found = _one_series(row, containers)
        except _Unusable as error:
            wrong.append(str(error))
        else:
            if found is not None:
                yield found


def _one_series(row: object, containers: Collection[str]) -> WorkerSeries | None:
    if not isinstance(row, dict):
        raise _Unusable(f"series: {_shown.repr(row)} is no series")
    name, dimensions = row.get("name"), row.get("dimensions")
    if not isinstance(name, str) or name not in KNOWN:
        raise _Unusable(f"series: {_shown.repr(name)} is not a series of a worker")
    if not isinstance(dimensions, dict) or not _fits(name, dimensions, containers):
        raise _Unusable(f"series: {name} does not have the dimensions {_shown.repr(dimensions)}")
    values = _spread(row.get("spread"), name, least=-LARGEST)
    return WorkerSeries(name, tuple(dimensions.items()), values) if values else None


def _fits(name: str, dimensions: Mapping[Any, Any], containers: Collection[str]) -> bool:
    if name in SERIES_OF_REPLICA:
        return not dimensions
    match list(dimensions.items()):
        case [(str(key), str(value))] if key == CONTAINER:
            return value in containers
        case [(str(key), str(value))] if key == MODEL:
            return name != "ContainerLatency" and 0 < len(value) <= LONGEST_NAME and value.isprintable()
    return False


def _spread(document: object, name: str, least: float) -> Latency | None:
    """Read a spread of values; None where there are no values."""
    if not isinstance(document, dict):
        raise _Unusable(f"{name}: {_shown.repr(document)} is no spread of values")
    count = _count(document, "count", MOST_COUNT, name)
    if count == 0:
        return None
    low, high = _number(document, "low", name), _number(document, "high", name)
    total = _number(document, "total", name)
    if not least <= low <= high:
        raise _Unusable(f"{name}: values from {low:g} to {high:g}")
    slack = 1e-6 * max(abs(low), abs(high)) * count
    if not low * count - slack <= total <= high * count + slack:
        raise _Unusable(f"{name}: {count} values from {low:g} to {high:g} with a total of {total:g}")
    bins = _bins(document.get("bins"), name)
    if abs(math.fsum(bins.values()) - count) > 1e-6 * count:
        raise _Unusable(f"{name}: bins of {math.fsum(bins.values()):g} values, not of {count}")
    return Latency(bins, total, low, high)


def _bins(document: object, name: str) -> dict[int, float]:
    if not isinstance(document, dict) or len(document) > MOST_BINS:
        raise _Unusable(f"{name}: {_shown.repr(document)} are no bins")
    bins: dict[int, float] = {}
    for key, count in document.items():
        if not (
            isinstance(key, str) and _INDEX.fullmatch(key) and sketch.is_bin(int(key)) and int(key) not in bins
        ):
            raise _Unusable(f"{name}: {_shown.repr(key)} is no bin")
        if type(count) not in (int, float) or not 0 < count <= MOST_COUNT:
            raise _Unusable(f"{name}: {_shown.repr(count)} values in a bin")
        bins[int(key)] = count
    return bins


def _count(document: Mapping[str, Any], key: CountKey | PageCountKey | ValueKey, most: int, name: str = "") -> int:
    value = document.get(key)
    if type(value) is int and 0 <= value <= most:
        return value
    raise _Unusable(f"{name}.{key}: {_shown.repr(value)} is not a count".lstrip("."))


def _number(document: Mapping[str, Any], key: ValueKey, name: str) -> float:
    value = document.get(key)
    if isinstance(value, int | float) and type(value) is not bool and abs(value) <= LARGEST * MOST_COUNT:
        return float(value)
    raise _Unusable(f"{name}.{key}: {_shown.repr(value)} is not a number in range")
