"""Metric math: CloudWatch's arithmetic over series. Pure; nothing is evaluated that is not in this grammar.

Numbers, ids of other lines, ``+ - * / ^``, parentheses; ``SUM``, ``AVG``, ``MIN`` and ``MAX`` over a list
(``[m1, m2]`` or ``METRICS()``); ``FILL(m1, 0)`` and ``FILL(m1, REPEAT)``. Everything else is refused by its name.

Where the guide is silent: a point has no value where arithmetic lacks one, divides by zero or leaves the range of
floats; functions over a list pass over what has no value.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from itertools import accumulate

from tidegate.domain.errors import Invalid
from tidegate.domain.metric import Query
from tidegate.monitoring.datapoint import STATISTICS, check_percentile

Points = Sequence[float | None]
"""One value a span, None where there is none."""

ALL = "METRICS"
DEEPEST = 40
"""Parentheses and signs within each other."""
MOST = 1000
"""Steps that all lines together take for one span."""
MOST_ASKED = 1_000_000
"""Steps of one call that asks for points."""
MOST_WATCHED = 50_000
"""Steps of one look of an alarm, some milliseconds: the controller looks at all of them, again and again."""
_ID = re.compile(r"[a-z][a-zA-Z0-9_]*")
_TOKEN = re.compile(r"\s*(?:((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|([A-Za-z_]\w*)|(\S))", re.ASCII)


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


LISTED: dict[str, Callable[[list[float]], float]] = {"SUM": math.fsum, "AVG": _mean, "MIN": min, "MAX": max}
FUNCTIONS = (*LISTED, "FILL", ALL)


@dataclass(frozen=True)
class Number:
    value: float


@dataclass(frozen=True)
class LineReference:
    id: str


@dataclass(frozen=True)
class Chain:
    """``first``, then each operator with its right side, in order."""

    first: "Node"
    rest: tuple[tuple[str, "Node"], ...]


@dataclass(frozen=True)
class Over:
    """A function over the values that some expressions have at one time; ``of`` None: over all metrics."""

    function: str
    of: "tuple[Node, ...] | None"


@dataclass(frozen=True)
class Fill:
    of: "Node"
    value: float | None
    """None: the last value before."""


Node = Number | LineReference | Chain | Over | Fill


def check(queries: Sequence[Query]) -> None:
    """Raises Invalid for lines that cannot be evaluated: what is wrong, and in which."""
    ids = set[str]()
    for query in queries:
        if not _ID.fullmatch(query.id):
            raise Invalid(f"Id {query.id!r} must begin with a small letter; then letters, digits and _ may follow")
        if query.id in ids:
            raise Invalid(f"Id {query.id!r} comes twice; each must be unique")
        ids.add(query.id)
    for query in queries:
        if (query.metric is None) == (not query.expression):
            raise Invalid(f"{query.id}: exactly one of MetricStat and Expression must be given")
        if query.metric is not None and query.statistic not in STATISTICS:
            check_percentile(query.statistic)
    if any(steps > MOST for steps in accumulate(_sizes(queries))):
        raise Invalid(f"the expressions take more than {MOST} steps for each point, the most there may be")
    order(queries)


def size(queries: Sequence[Query]) -> int:
    """Steps that all lines together take for one span."""
    return sum(_sizes(queries))


def _sizes(queries: Sequence[Query]) -> Iterator[int]:
    """Of each line, read only when it is asked for."""
    metrics = sum(query.metric is not None for query in queries)
    for query in queries:
        yield 1 if query.metric is not None else _size(parse(query.expression), metrics)


def order(queries: Sequence[Query]) -> list[Query]:
    """Each line after those that it is made of. Raises Invalid where there is no such order."""
    known = {query.id: query for query in queries}
    metrics = {query.id for query in queries if query.metric is not None}
    if not metrics:
        raise Invalid("metric math needs at least one metric (MetricStat)")
    uses = {id: _uses(parse(known[id].expression), metrics) for id in known if id not in metrics}
    for id, used in uses.items():
        if unknown := sorted(used - known.keys()):
            raise Invalid(f"Expression {known[id].expression!r}: there is no line with the Id {unknown[0]!r}")
    try:
        return [known[id] for id in TopologicalSorter({id: uses.get(id, ()) for id in known}).static_order()]
    except CycleError as error:
        (id, *_) = error.args[1]
        raise Invalid(f"Expression {known[id].expression!r}: it is made of itself") from None


def evaluate(queries: Sequence[Query], read: Mapping[str, Points], spans: int) -> dict[str, list[float | None]]:
    """The points of every line; ``read`` has those of each metric, ``spans`` of them."""
    metrics = [query.id for query in queries if query.metric is not None]
    found: dict[str, list[float | None]] = {}
    for query in order(queries):
        if query.metric is not None:
            found[query.id] = list(read[query.id])
        else:
            found[query.id] = _points(parse(query.expression), found, metrics, spans)
    return found


@lru_cache(maxsize=1024)
def parse(text: str) -> Node:
    """Raises Invalid with what is wrong."""
    parser = _Parser(text)
    node = parser.sum()
    if parser.next is not None:
        parser.fail(f"{parser.next!r} is not expected there")
    return node


class _Parser:
    """Recursive descent; ``next`` is the token to read, None at the end."""

    def __init__(self, text: str) -> None:
        self.text, self.depth = text, 0
        self._tokens = (match.group(match.lastindex or 0) for match in _TOKEN.finditer(text))
        self.next: str | None = None
        self.take()

    def fail(self, why: str) -> None:
        raise Invalid(f"Expression {self.text!r}: {why}")

    def take(self) -> str | None:
        taken, self.next = self.next, next(self._tokens, None)
        return taken

    def want(self, sign: str) -> None:
        if self.take() != sign:
            self.fail(f"{sign!r} is missing")

    def sum(self) -> Node:
        return self._chain("+-", self._product)

    def _product(self) -> Node:
        return self._chain("*/", self._signed)

    def _chain(self, signs: str, part: Callable[[], Node]) -> Node:
        first, rest = part(), list[tuple[str, Node]]()
        while self.next is not None and self.next in signs:
            sign = str(self.take())
            rest.append((sign, part()))
        return Chain(first, tuple(rest)) if rest else first

    def _signed(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(f"more than {DEEPEST} parentheses or signs within each other")
        if self.next in ("-", "+"):
            sign = self.take()
            node: Node = self._signed()
            node = Chain(Number(-1.0), (("*", node),)) if sign == "-" else node
        else:
            node = self._atom()
            if self.next == "^":
                self.take()
                node = Chain(node, (("^", self._signed()),))
        self.depth -= 1
        return node

    def _atom(self) -> Node:
        token = self.take()
        if token is None:
            self.fail("it ends too early")
        assert token is not None
        if token == "(":
            node = self.sum()
            self.want(")")
            return node
        if token[0].isdigit() or token[0] == ".":
            return self._number(token)
        if _ID.fullmatch(token):
            return LineReference(token)
        if self.next == "(" or token in FUNCTIONS:
            return self._function(token)
        self.fail(f"{token!r} is not supported: use numbers, Ids, + - * / ^ ( ) and {', '.join(FUNCTIONS)}")
        raise AssertionError

    def _number(self, token: str) -> Number:
        try:
            value = float(token)
        except ValueError:
            value = math.inf
        if not math.isfinite(value):
            self.fail(f"{token!r} is not a number")
        return Number(value)

    def _function(self, name: str) -> Node:
        if name not in FUNCTIONS:
            self.fail(f"{name} is not supported: use {', '.join(FUNCTIONS)}")
        if name == ALL:
            self.fail(f"{ALL}() is a list: put {', '.join(LISTED)} around it")
        self.want("(")
        node = self._fill() if name == "FILL" else Over(name, self._list(name))
        self.want(")")
        return node

    def _list(self, name: str) -> tuple[Node, ...] | None:
        if self.next == ALL:
            self.take()
            self.want("(")
            self.want(")")
            return None
        if self.next != "[":
            self.fail(f"{name} needs a list: {name}([m1, m2]) or {name}({ALL}())")
        self.take()
        items = [self.sum()]
        while self.next == ",":
            self.take()
            items.append(self.sum())
        self.want("]")
        return tuple(items)

    def _fill(self) -> Fill:
        of = self.sum()
        self.want(",")
        if self.next == "REPEAT":
            self.take()
            return Fill(of, None)
        sign = -1.0 if self.next == "-" else 1.0
        if sign < 0:
            self.take()
        token = self.take() or ""
        if not token[:1].isdigit() and token[:1] != ".":
            self.fail(f"FILL({token or '...'}): a number or REPEAT must come second")
        return Fill(of, sign * self._number(token).value)


def _uses(node: Node, metrics: set[str]) -> set[str]:
    match node:
        case Number():
            return set()
        case LineReference():
            return {node.id}
        case Chain():
            return _uses(node.first, metrics).union(*(_uses(right, metrics) for _, right in node.rest))
        case Over():
            return metrics if node.of is None else set().union(*(_uses(one, metrics) for one in node.of))
        case Fill():
            return _uses(node.of, metrics)


def _size(node: Node, metrics: int) -> int:
    match node:
        case Chain():
            return 1 + _size(node.first, metrics) + sum(_size(right, metrics) for _, right in node.rest)
        case Over():
            return 1 + (metrics if node.of is None else sum(_size(one, metrics) for one in node.of))
        case Fill():
            return 1 + _size(node.of, metrics)
    return 1


def _points(node: Node, known: Mapping[str, Points], metrics: Sequence[str], spans: int) -> list[float | None]:
    match node:
        case Number():
            return [node.value] * spans
        case LineReference():
            return list(known[node.id])
        case Chain():
            left = _points(node.first, known, metrics, spans)
            for sign, part in node.rest:
                right = _points(part, known, metrics, spans)
                left = [_reckoned(sign, a, b) for a, b in zip(left, right, strict=True)]
            return left
        case Over():
            of = [LineReference(id) for id in metrics] if node.of is None else node.of
            columns = zip(*(_points(one, known, metrics, spans) for one in of), strict=True)
            return [_listed(node.function, column) for column in columns]
        case Fill():
            return _filled(_points(node.of, known, metrics, spans), node.value)


def _reckoned(sign: str, a: float | None, b: float | None) -> float | None:
    if a is None or b is None:
        return None
    try:
        match sign:
            case "+":
                found: float | complex = a + b
            case "-":
                found = a - b
            case "*":
                found = a * b
            case "/":
                found = a / b
            case _:
                found = a**b
    except (ZeroDivisionError, OverflowError):
        return None
    return found if isinstance(found, float) and math.isfinite(found) else None


def _listed(function: str, column: Sequence[float | None]) -> float | None:
    values = [value for value in column if value is not None]
    if not values:
        return None
    try:
        return LISTED[function](values)
    except OverflowError:
        return None


def _filled(points: Points, value: float | None) -> list[float | None]:
    last, found = None, list[float | None]()
    for point in points:
        if point is not None:
            last = point
        found.append(point if point is not None else value if value is not None else last)
    return found
