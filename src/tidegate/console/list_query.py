"""Filter and order of the list of endpoints, as the page's address has them. Pure."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup

from tidegate.domain.endpoint import UNREADABLE, Endpoint
from tidegate.domain.errors import Invalid
from tidegate.domain.usage import Usage

PAGE = 100
"""Endpoints of one page."""
MAX_TEXT = 200
"""Characters of a filter; more cannot be typed into the page."""
MAX_PAGES = 100_000
NEED = "need"
ATTENTION = "attention"
"""In place of a state: those with an alarm or a failure."""
STATES: Mapping[str, str] = {
    ATTENTION: "with an alarm or a failure",
    **{
        state: state
        for state in (
            "InService",
            "Creating",
            "Updating",
            "RollingBack",
            "Deleting",
            "UpdateRollbackFailed",
            "Failed",
            UNREADABLE,
        )
    },
}
COLUMNS: Mapping[str, str] = {
    "name": "Endpoint",
    "state": "State",
    "versions": "Versions",
    "requests": "Requests",
    "latency": "p50 / p99",
    "errors": "Errors",
    "instances": "Instances",
    "last": "Last rollout",
}
"""What a column of the core is sorted by -> its heading."""
MEASURED = frozenset({"requests", "latency", "errors"})
"""Columns of the core whose order takes the metrics of every endpoint that the filter lets through."""
FALLING = frozenset({"requests", "latency", "errors", "instances", "last"})
"""Columns of the core whose first order is the largest first."""


class ListColumn(ABC):
    """A column that a feature adds to the list: the hook ``endpoint_columns``. ``key`` is what the list is sorted by,
    ``exported`` its name in files."""

    key = ""
    title = ""
    exported = ""
    falling = False
    """Whether its first order is the largest first."""
    number = False
    """Whether its cells are numbers, which are aligned at their ends."""
    about = ""
    """One sentence below the table; empty: none."""

    @abstractmethod
    async def read(self, endpoint: Endpoint, used: Usage) -> tuple[float | None, Markup]:
        """Return what the endpoint is sorted by (None: unknown), and its cell: text that is no markup is escaped.
        Asked again each ``SPAN``, and when one of them changes."""


Columns = Sequence[ListColumn]


def name_columns(added: Columns) -> dict[str, str]:
    """Headings of the core's columns, and before the last one those of features."""
    last = "last"
    found = {key: title for key, title in COLUMNS.items() if key != last}
    return {**found, **{one.key: one.title for one in added}, last: COLUMNS[last]}


@dataclass(frozen=True)
class ListQuery:
    """Filter, order and page of the list. ``text`` has words, each of which has to be in an endpoint's name, target,
    state, mode, versions or tags, in any case. ``sort`` is a column, or ``NEED``."""

    text: str = ""
    state: str = ""
    sort: str = NEED
    falling: bool = False
    page: int = 1

    @property
    def filters(self) -> bool:
        return bool(self.text or self.state)

    @property
    def order(self) -> str:
        """The order as the address has it: a minus before a column means the largest first."""
        return f"-{self.sort}" if self.falling else self.sort

    @property
    def address(self) -> str:
        """The query string, the same for the same view; empty for the list as it opens."""
        found = {"q": self.text, "state": self.state, "sort": "" if self.order == NEED else self.order}
        page = {"page": str(self.page)} if self.page > 1 else {}
        return urlencode({key: value for key, value in {**found, **page}.items() if value})

    def on_page(self, page: int) -> "ListQuery":
        return replace(self, page=page)


@dataclass(frozen=True)
class ListedFacts:
    """Values by which an endpoint is found and sorted. None means unknown, such as the latency of no requests."""

    name: str
    target: str
    status: str
    modes: tuple[str, ...]
    tags: tuple[tuple[str, str], ...]
    versions: tuple[str, ...]
    """Names of the configs that run."""
    attention: bool
    changing: bool
    ready: int
    desired: int
    last_ended: str | None
    rate: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    errors: float | None = None
    added: Mapping[str, float | None] = field(default_factory=dict)
    """By the columns of features."""


def parse_query(given: Mapping[str, str], added: Columns = ()) -> ListQuery:
    """Parse the query of a page's address. ``added`` has the columns of features. Raises Invalid for a filter that is
    too long, and for a state, a column or a page that does not exist."""
    text, state, order = given.get("q", ""), given.get("state", ""), given.get("sort") or NEED
    page = given.get("page") or "1"
    if len(text) > MAX_TEXT:
        raise Invalid(f"the filter has {len(text)} characters: {MAX_TEXT} at most")
    if state and state not in STATES:
        raise Invalid(f"state={state[:80]!r}: expected one of {', '.join(STATES)}")
    falling, sort = order.startswith("-"), order.removeprefix("-")
    if sort not in (columns := name_columns(added)) and order != NEED:
        known = ", ".join(columns)
        raise Invalid(
            f"sort={order[:80]!r}: expected {NEED} or one of {known}, with '-' before it for the largest first"
        )
    if not (page.isascii() and page.isdecimal() and len(page) < 7 and 1 <= int(page) <= MAX_PAGES):
        raise Invalid(f"page={page[:80]!r}: expected a whole number from 1 to {MAX_PAGES}")
    return ListQuery(" ".join(text.split()), state, sort, falling, int(page))


def next_order(query: ListQuery, column: str, falling: bool) -> str:
    """Return the order that a press on a column's heading selects: the column's first order, then the other one, then
    the order in which the list opens. ``falling`` says whether the first order has the largest first."""
    first = f"-{column}" if falling else column
    second = column if falling else f"-{column}"
    return {first: second, second: NEED}.get(query.order, first)


def describe_modes(endpoint: Endpoint) -> tuple[str, ...]:
    """Describe how an endpoint is invoked: real-time, serverless or asynchronous, and whether it has many models or a
    shadow."""
    version = endpoint.serving or (endpoint.rollout.new if endpoint.rollout else None)
    variants = version.variants if version is not None else ()
    found = []
    for variant in variants:
        mode = "asynchronous" if variant.asynchronous else "serverless" if variant.serverless else "real-time"
        further = {"multi-model": variant.model.multi_model, "shadow": variant.shadow}
        found += [mode, *(word for word, holds in further.items() if holds)]
    return tuple(dict.fromkeys(found))


def join_text(facts: ListedFacts) -> str:
    """The text that the words of a filter are looked for in; no word reaches over a line end."""
    tags = (f"{key}={value}" for key, value in facts.tags)
    parts = (facts.name, facts.target, facts.status, *facts.modes, *facts.versions, *tags)
    return "\n".join(parts).casefold()


def matches(query: ListQuery, facts: ListedFacts) -> bool:
    if query.state == ATTENTION and not facts.attention:
        return False
    if query.state not in ("", ATTENTION) and query.state != facts.status:
        return False
    words = query.text.casefold().split()
    if not words:
        return True
    where = join_text(facts)
    return all(word in where for word in words)


_KEYS: Mapping[str, Callable[[ListedFacts], Any]] = {
    "name": lambda one: one.name,
    "state": lambda one: one.status,
    "versions": lambda one: one.versions or None,
    "requests": lambda one: one.rate,
    "latency": lambda one: one.p99_ms,
    "errors": lambda one: one.errors,
    "instances": lambda one: one.ready,
    "last": lambda one: one.last_ended,
}


def sort_facts(found: Sequence[ListedFacts], query: ListQuery) -> list[ListedFacts]:
    """Sort endpoints in the order of the query, and equal ones by name. Unknown values always come last."""
    by_name = sorted(found, key=lambda one: one.name)
    if query.sort == NEED:
        return sorted(by_name, key=lambda one: 0 if one.attention else 1 if one.changing else 2)

    def of_feature(one: ListedFacts) -> float | None:
        return one.added.get(query.sort)

    key: Callable[[ListedFacts], Any] = _KEYS.get(query.sort, of_feature)
    known = [one for one in by_name if key(one) is not None]
    known.sort(key=key, reverse=query.falling)
    return known + [one for one in by_name if key(one) is None]


@dataclass(frozen=True)
class ListedPage:
    """Names of what is shown, and what is not. ``hidden``: those with an alarm or a failure that are not shown."""

    names: tuple[str, ...]
    page: int
    pages: int
    matching: int
    total: int
    hidden: tuple[str, ...]


def cut_page(every: Sequence[ListedFacts], order: Sequence[str], query: ListQuery) -> ListedPage:
    """Return one page of the list. ``order`` has the names of all endpoints that match. A page beyond the end is the
    last."""
    pages = max(1, -(-len(order) // PAGE))
    page = min(query.page, pages)
    names = tuple(order[PAGE * (page - 1) : PAGE * page])
    shown = set(names)
    hidden = tuple(sorted(one.name for one in every if one.attention and one.name not in shown))
    return ListedPage(names, page, pages, len(order), len(every), hidden)


def count_shown(listed: ListedPage) -> str:
    """Describe how many endpoints are shown, such as "12 of 1,000 shown". The text always has the total."""
    text = f"{len(listed.names):,} of {listed.total:,} shown"
    if listed.pages > 1:
        text += f": page {listed.page} of {listed.pages} of the {listed.matching:,} that match"
    return text
