"""Metric math: CloudWatch's expressions over series. Pure; nothing is evaluated that is not in this grammar.

Numbers, ids of other lines, ``+ - * / ^``, comparisons, ``AND`` and ``OR``, ``IF``, and the functions of
``FUNCTIONS`` over one series or a list (``[m1, m2]``, ``METRICS()``). Everything else is refused by its name.

Missing data as CloudWatch's guide has it: a comparison, ``AND`` or ``OR`` of two series takes the value that one of
them lacks for 0, and has no value where both lack one. Where the guide is silent: a point has no value where
arithmetic lacks one, divides by zero or leaves the range of floats, and where the condition of ``IF`` has none;
functions over a list ignore what has no value."""

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from itertools import accumulate

from tidegate.domain.errors import Invalid
from tidegate.domain.metric import Query
from tidegate.monitoring.samples import STATISTICS, check_extended

Points = Sequence[float | None]
"""One value a span, None where there is none."""

ALL = "METRICS"
IF = "IF"
DEEPEST = 40
"""Parentheses and signs within each other."""
MOST = 1000
"""Steps that all lines together take for one span."""
MOST_ASKED = 1_000_000
"""Steps of one call that asks for points."""
MOST_WATCHED = 50_000
"""Steps of one look of an alarm, some milliseconds: the controller looks at all of them, again and again."""
_ID = re.compile(r"[a-z][a-zA-Z0-9_]*")
_TOKEN = re.compile(
    r"\s*(?:((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|([A-Za-z_]\w*)|(<=|>=|==|!=|&&|\|\|)|(\"[^\"]*\"|'[^']*')|(\S))",
    re.ASCII,
)
_WORDS = {"AND": "AND", "&&": "AND", "&": "AND", "OR": "OR", "||": "OR", "|": "OR"}
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_LOGIC: Mapping[str, Callable[[float, float], bool]] = {
    "AND": lambda a, b: bool(a) and bool(b),
    "OR": lambda a, b: bool(a) or bool(b),
}
_TRUTHS = {**_COMPARISONS, **_LOGIC}


@dataclass(frozen=True)
class Series:
    """The values of an expression. A ``scalar`` is the same at all times, and is never missing for a comparison."""

    points: list[float | None]
    scalar: bool = False


Value = Series | list[Series]
"""Of an expression; a list is only an argument."""


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _deviation(values: list[float]) -> float:
    mean = _mean(values)
    return math.sqrt(_mean([(value - mean) ** 2 for value in values]))


AGGREGATES: dict[str, Callable[[list[float]], float]] = {
    "SUM": math.fsum,
    "AVG": _mean,
    "MIN": min,
    "MAX": max,
    "STDDEV": _deviation,
}
"""Of a list, the value at each time; of one series, a single value over all times."""
EACH: dict[str, Callable[[float], float]] = {
    "ABS": abs,
    "CEIL": lambda value: float(math.ceil(value)),
    "FLOOR": lambda value: float(math.floor(value)),
    "LOG": math.log,
    "LOG10": math.log10,
}
"""Of each value."""
TIMES: dict[str, Callable[[datetime], float]] = {
    "MINUTE": lambda at: at.minute,
    "HOUR": lambda at: at.hour,
    "DAY": lambda at: at.isoweekday(),
    "DATE": lambda at: at.day,
    "MONTH": lambda at: at.month,
    "YEAR": lambda at: at.year,
    "EPOCH": lambda at: at.timestamp(),
}
"""Of the time of each value, in UTC; Monday is day 1."""
ALONG = ("DIFF", "RATE", "RUNNING_SUM")
"""Of a value and those before it."""
COUNTS = ("DATAPOINT_COUNT", "METRIC_COUNT")
PICKS = ("FIRST", "LAST")
"""One series of a list."""
_LISTS = ("METRIC_COUNT", *PICKS)
FUNCTIONS = (*AGGREGATES, *EACH, *TIMES, *ALONG, *COUNTS, *PICKS, "PERIOD", "TIME_SERIES", IF, "FILL", ALL)


@dataclass(frozen=True)
class _Number:
    value: float


@dataclass(frozen=True)
class _LineReference:
    id: str


@dataclass(frozen=True)
class _Chain:
    """``first``, then each operator with its right side, in order."""

    first: "Node"
    rest: tuple[tuple[str, "Node"], ...]


@dataclass(frozen=True)
class _ExpressionList:
    """Several expressions. ``of`` None: the metrics whose id contains ``part``."""

    of: "tuple[Node, ...] | None"
    part: str = ""


@dataclass(frozen=True)
class _Application:
    """A function of one expression."""

    function: str
    of: "Node"


@dataclass(frozen=True)
class _Fill:
    of: "Node"
    how: "float | str"
    """A value, REPEAT or LINEAR."""


@dataclass(frozen=True)
class _Choice:
    """IF. Without ``otherwise`` there is no value where the condition does not hold."""

    condition: "Node"
    then: "Node"
    otherwise: "Node | None"


Node = _Number | _LineReference | _Chain | _ExpressionList | _Application | _Fill | _Choice


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
            check_extended(query.statistic)
    if any(steps > MOST for steps in accumulate(_sizes(queries))):
        raise Invalid(f"the expressions take more than {MOST} steps for each point, the most there may be")
    order(queries)


def size(queries: Sequence[Query]) -> int:
    """Return the steps that all lines together take for one span."""
    return sum(_sizes(queries))


def _sizes(queries: Sequence[Query]) -> Iterator[int]:
    """Yield the steps that each line takes for one span. A line is parsed only when its size is requested."""
    metrics = sum(query.metric is not None for query in queries)
    for query in queries:
        yield 1 if query.metric is not None else _size(parse(query.expression), metrics)


def order(queries: Sequence[Query]) -> list[Query]:
    """Sort the lines so that each follows those that it uses. Raises Invalid if there is no such order."""
    known = {query.id: query for query in queries}
    metrics = {query.id for query in queries if query.metric is not None}
    if not metrics:
        raise Invalid("metric math needs at least one metric (MetricStat)")
    uses = {id: _find_used(parse(known[id].expression), metrics) for id in known if id not in metrics}
    for id, used in uses.items():
        if unknown := sorted(used - known.keys()):
            raise Invalid(f"Expression {known[id].expression!r}: there is no line with the Id {unknown[0]!r}")
    try:
        return [known[id] for id in TopologicalSorter({id: uses.get(id, ()) for id in known}).static_order()]
    except CycleError as error:
        (id, *_) = error.args[1]
        raise Invalid(f"Expression {known[id].expression!r}: it is made of itself") from None


def evaluate(queries: Sequence[Query], read: Mapping[str, Points], spans: range) -> dict[str, list[float | None]]:
    """The points of every line; ``read`` has those of each metric, one for each of ``spans`` (epoch seconds)."""
    metrics = [query.id for query in queries if query.metric is not None]
    found: dict[str, Series] = {}
    for query in order(queries):
        if query.metric is not None:
            found[query.id] = Series(list(read[query.id]))
        else:
            found[query.id] = _Evaluation(found, metrics, spans).series(parse(query.expression))
    return {id: one.points for id, one in found.items()}


@lru_cache(maxsize=1024)
def parse(text: str) -> Node:
    """Parse an expression. Raises Invalid with a description of what is wrong."""
    parser = _Parser(text)
    node = parser.whole()
    if parser.next is not None:
        parser.fail(f"{parser.next!r} is not expected there")
    if _is_list(node):
        parser.fail(f"the result is a list of series: put {', '.join(AGGREGATES)} around it")
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

    def whole(self) -> Node:
        return self._chain(("OR",), lambda: self._chain(("AND",), self._comparison))

    def _comparison(self) -> Node:
        return self._chain(tuple(_COMPARISONS), lambda: self._chain(("+", "-"), self._product))

    def _product(self) -> Node:
        return self._chain(("*", "/"), self._signed)

    def _chain(self, signs: tuple[str, ...], part: Callable[[], Node]) -> Node:
        first, rest = part(), list[tuple[str, Node]]()
        while self.next is not None and (sign := _WORDS.get(self.next, self.next)) in signs:
            self.take()
            rest.append((sign, part()))
        return self._join(first, rest) if rest else first

    def _join(self, first: Node, rest: Sequence[tuple[str, Node]]) -> _Chain:
        if any(map(_is_list, (first, *(right for _, right in rest)))):
            self.fail("operators take no lists: put a function around each")
        return _Chain(first, tuple(rest))

    def _signed(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(f"more than {DEEPEST} parentheses or signs within each other")
        if self.next in ("-", "+"):
            sign = self.take()
            node: Node = self._signed()
            node = self._join(_Number(-1.0), [("*", node)]) if sign == "-" else node
        else:
            node = self._atom()
            if self.next == "^":
                self.take()
                node = self._join(node, [("^", self._signed())])
        self.depth -= 1
        return node

    def _atom(self) -> Node:
        token = self.take()
        if token is None:
            self.fail("it ends too early")
        assert token is not None
        if token == "(":
            node = self.whole()
            self.want(")")
            return node
        if token == "[":
            return self._list()
        if token[0].isdigit() or token[0] == ".":
            return self._number(token)
        if _ID.fullmatch(token):
            return _LineReference(token)
        if self.next == "(" or token in FUNCTIONS:
            return self._function(token)
        known = "use numbers, Ids, + - * / ^ ( ), < > <= >= == !=, AND, OR"
        self.fail(f"{token!r} is not supported: {known} and {', '.join(FUNCTIONS)}")
        raise AssertionError

    def _number(self, token: str) -> _Number:
        try:
            value = float(token)
        except ValueError:
            value = math.inf
        if not math.isfinite(value):
            self.fail(f"{token!r} is not a number")
        return _Number(value)

    def _list(self) -> _ExpressionList:
        items = [self.whole()]
        while self.next == ",":
            self.take()
            items.append(self.whole())
        self.want("]")
        if any(map(_is_list, items)):
            self.fail("a list within a list")
        return _ExpressionList(tuple(items))

    def _function(self, name: str) -> Node:
        if name not in FUNCTIONS:
            self.fail(f"{name} is not supported: use {', '.join(FUNCTIONS)}")
        self.want("(")
        match name:
            case "METRICS":
                node: Node = self._metrics()
            case "FILL":
                node = self._fill()
            case "IF":
                node = self._choice()
            case _:
                node = self._applied(name)
        self.want(")")
        return node

    def _metrics(self) -> _ExpressionList:
        if self.next is None or self.next[0] not in "\"'":
            return _ExpressionList(None)
        return _ExpressionList(None, str(self.take())[1:-1])

    def _applied(self, name: str) -> _Application:
        of = self.whole()
        listed = _is_list(of)
        if name in _LISTS and not listed:
            self.fail(f"{name} needs a list: {name}([m1, m2]) or {name}({ALL}())")
        if listed and name in (*TIMES, "PERIOD", "TIME_SERIES", "DATAPOINT_COUNT"):
            self.fail(f"{name} takes one series, not a list")
        return _Application(name, of)

    def _fill(self) -> _Fill:
        of = self.whole()
        self.want(",")
        if self.next in ("REPEAT", "LINEAR"):
            return _Fill(of, str(self.take()))
        sign = -1.0 if self.next == "-" else 1.0
        if sign < 0:
            self.take()
        token = self.take() or ""
        if not token[:1].isdigit() and token[:1] != ".":
            self.fail(f"FILL({token or '...'}): a number, REPEAT or LINEAR must come second")
        return _Fill(of, sign * self._number(token).value)

    def _choice(self) -> _Choice:
        condition = self.whole()
        self.want(",")
        then = self.whole()
        otherwise = None
        if self.next == ",":
            self.take()
            otherwise = self.whole()
        if any(_is_list(part) for part in (condition, then, otherwise) if part is not None):
            self.fail("IF takes series and numbers, not lists")
        return _Choice(condition, then, otherwise)


def _is_list(node: Node) -> bool:
    match node:
        case _ExpressionList():
            return True
        case _Fill():
            return _is_list(node.of)
        case _Application():
            return (node.function in EACH or node.function in ALONG) and _is_list(node.of)
    return False


def _parts(node: Node) -> "Iterable[Node]":
    match node:
        case _Chain():
            return (node.first, *(right for _, right in node.rest))
        case _ExpressionList():
            return node.of or ()
        case _Application() | _Fill():
            return (node.of,)
        case _Choice():
            return (node.condition, node.then, *([] if node.otherwise is None else [node.otherwise]))
    return ()


def _find_used(node: Node, metrics: set[str]) -> set[str]:
    if isinstance(node, _LineReference):
        return {node.id}
    if isinstance(node, _ExpressionList) and node.of is None:
        return {id for id in metrics if node.part in id}
    return set().union(*(_find_used(one, metrics) for one in _parts(node)))


def _size(node: Node, metrics: int) -> int:
    if isinstance(node, _ExpressionList) and node.of is None:
        return 1 + metrics
    return 1 + sum(_size(one, metrics) for one in _parts(node))


@dataclass(frozen=True)
class _Evaluation:
    """Evaluates nodes: ``known`` has the lines before, ``metrics`` the ids of the metrics among them."""

    known: Mapping[str, Series]
    metrics: Sequence[str]
    spans: range

    def series(self, node: Node) -> Series:
        found = self.value(node)
        assert isinstance(found, Series), "parse refuses other lists"
        return found

    def value(self, node: Node) -> Value:
        match node:
            case _Number():
                return self._scalar(node.value)
            case _LineReference():
                return self.known[node.id]
            case _Chain():
                return self._chained(node)
            case _ExpressionList():
                if node.of is None:
                    return [self.known[id] for id in self.metrics if node.part in id]
                return [self.series(one) for one in node.of]
            case _Fill():
                return _map(self.value(node.of), lambda one: Series(_fill(one.points, node.how)))
            case _Choice():
                return self._choose_series(node)
            case _Application():
                return self._applied(node.function, self.value(node.of))

    def _scalar(self, value: float | None) -> Series:
        return Series([value] * len(self.spans), scalar=True)

    def _chained(self, node: _Chain) -> Series:
        left = self.series(node.first)
        for sign, part in node.rest:
            right, scalar = self.series(part), left.scalar
            pairs = zip(left.points, right.points, strict=True)
            if sign in _TRUTHS:
                both = not (left.scalar or right.scalar)
                found = [_judge(_TRUTHS[sign], a, b, both) for a, b in pairs]
            else:
                found = [_reckon(sign, a, b) for a, b in pairs]
            left = Series(found, scalar and right.scalar)
        return left

    def _choose_series(self, node: _Choice) -> Series:
        condition, then = self.series(node.condition), self.series(node.then)
        otherwise = self._scalar(None) if node.otherwise is None else self.series(node.otherwise)
        rows = zip(condition.points, then.points, otherwise.points, strict=True)
        found = [None if held is None else yes if held else no for held, yes, no in rows]
        return Series(found, condition.scalar and then.scalar and otherwise.scalar)

    def _applied(self, name: str, given: Value) -> Value:
        if name in AGGREGATES:
            if isinstance(given, Series):
                return self._scalar(_aggregate(name, given.points))
            columns = zip(*(one.points for one in given), strict=True)
            return Series([_aggregate(name, column) for column in columns] or self._scalar(None).points)
        if name in EACH:
            return _map(given, lambda one: Series([_each(name, value) for value in one.points], one.scalar))
        if name in ALONG:
            return _map(given, lambda one: Series(_accumulate(name, one.points, self.spans.step)))
        if isinstance(given, list):
            if name == "METRIC_COUNT":
                return self._scalar(float(len(given)))
            return given[0 if name == "FIRST" else -1] if given else self._scalar(None)
        return self._describe_series(name, given)

    def _describe_series(self, name: str, given: Series) -> Series:
        match name:
            case "PERIOD":
                return self._scalar(float(self.spans.step))
            case "DATAPOINT_COUNT":
                return self._scalar(float(sum(value is not None for value in given.points)))
            case "TIME_SERIES":
                return Series(given.points)
        times = (datetime.fromtimestamp(at, UTC) for at in self.spans)
        rows = zip(times, given.points, strict=True)
        return Series([None if value is None else float(TIMES[name](at)) for at, value in rows])


def _map(given: Value, work: Callable[[Series], Series]) -> Value:
    return work(given) if isinstance(given, Series) else [work(one) for one in given]


def _judge(test: Callable[[float, float], bool], a: float | None, b: float | None, both: bool) -> float | None:
    """Compare two values. ``both``: both sides are series, so that a value that one of them lacks counts as 0."""
    if (a is None and b is None) or (not both and (a is None or b is None)):
        return None
    return float(test(a or 0.0, b or 0.0))


def _reckon(sign: str, a: float | None, b: float | None) -> float | None:
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


def _aggregate(function: str, column: Iterable[float | None]) -> float | None:
    values = [value for value in column if value is not None]
    if not values:
        return None
    try:
        found = AGGREGATES[function](values)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _each(function: str, value: float | None) -> float | None:
    if value is None:
        return None
    try:
        return EACH[function](value)
    except ValueError:  # the logarithm of what is not above 0
        return None


def _accumulate(function: str, points: Points, step: int) -> list[float | None]:
    """Compute RUNNING_SUM, DIFF or RATE along the points. DIFF and RATE: the change since the last value before,
    however long ago; RATE divides it by the seconds between them."""
    last, total, found = None, 0.0, list[float | None]()
    for place, point in enumerate(points):
        value = None
        if point is not None and function == "RUNNING_SUM":
            total += point
            value = total if math.isfinite(total) else None
        elif point is not None and last is not None:
            change = _reckon("-", point, last[1])
            value = change if function == "DIFF" else _reckon("/", change, float(step * (place - last[0])))
        last = last if point is None else (place, point)
        found.append(value)
    return found


def _fill(points: Points, how: float | str) -> list[float | None]:
    if how == "LINEAR":
        return _fill_linearly(points)
    last, found = None, list[float | None]()
    for point in points:
        last = last if point is None else point
        found.append(point if point is not None else how if isinstance(how, float) else last)
    return found


def _fill_linearly(points: Points) -> list[float | None]:
    """Fill the gaps between two values linearly. Other gaps stay."""
    found, last = list(points), None
    for place, point in enumerate(points):
        if point is None:
            continue
        if last is not None:
            before, value = last
            for gap in range(before + 1, place):
                part = (gap - before) / (place - before)
                found[gap] = value * (1 - part) + point * part
        last = (place, point)
    return found
