"""The list of endpoints under any filter and any order: nothing is lost, invented or hidden without being said."""

import csv
import io
from collections.abc import Sequence
from urllib.parse import parse_qsl

from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from tidegate.console.endpoint_list import disarm_cell, name_fields, write_csv, write_rows
from tidegate.console.list_query import (
    FALLING,
    NEED,
    PAGE,
    STATES,
    ListColumn,
    ListedFacts,
    ListQuery,
    count_shown,
    cut_page,
    matches,
    name_columns,
    next_order,
    parse_query,
    sort_facts,
)
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.usage import Usage


class CostColumn(ListColumn):
    """Of a feature."""

    key, title, exported, falling = "cost", "Cost", "cost_dollars", True

    async def read(self, endpoint: Endpoint, used: Usage) -> tuple[float | None, Markup]:
        raise AssertionError("nothing here reads cells")


ADDED = (CostColumn(),)
COLUMNS = name_columns(ADDED)
FIELDS = name_fields(ADDED)
TEXT = st.text("aBß-=1 ", max_size=6)
NUMBER = st.none() | st.floats(0, 1e6)
STATUS = st.sampled_from([state for state in STATES if state != "attention"])
FACTS = st.builds(
    ListedFacts,
    name=st.text("abc", min_size=1, max_size=3),
    target=st.sampled_from(["local", "ecs"]),
    status=STATUS,
    modes=st.lists(st.sampled_from(["real-time", "serverless"]), unique=True).map(tuple),
    tags=st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple),
    versions=st.lists(TEXT, max_size=2).map(tuple),
    attention=st.booleans(),
    changing=st.booleans(),
    ready=st.integers(0, 9),
    desired=st.integers(0, 9),
    last_ended=st.none() | st.sampled_from(["2030-01-01T00:00:00+00:00", "2031-01-01T00:00:00+00:00"]),
    rate=NUMBER,
    p99_ms=NUMBER,
    errors=NUMBER,
    added=st.dictionaries(st.just("cost"), NUMBER),
)
MANY = st.lists(FACTS, max_size=12, unique_by=lambda one: one.name)
QUERIES = st.builds(
    ListQuery,
    text=TEXT.map(lambda text: " ".join(text.split())),
    state=st.sampled_from(["", *STATES]),
    sort=st.sampled_from(list(COLUMNS)),
    falling=st.booleans(),
    page=st.integers(1, 3),
) | st.just(ListQuery())


@given(MANY, QUERIES)
@settings(max_examples=150)
def test_a_sort_keeps_every_endpoint_and_puts_what_is_unknown_last(
    found: Sequence[ListedFacts], query: ListQuery
) -> None:
    order = sort_facts(found, query)
    assert sorted(one.name for one in order) == sorted(one.name for one in found)
    assert order == sort_facts(list(reversed(found)), query)
    if query.sort == "cost":
        known = [cost for one in order if (cost := one.added.get("cost")) is not None]
        assert known == sorted(known, reverse=query.falling)
        assert all(one.added.get("cost") is None for one in order[len(known) :])
    if query.sort == "errors":
        known = [one.errors for one in order if one.errors is not None]
        assert known == sorted(known, reverse=query.falling)
        assert all(one.errors is None for one in order[len(known) :])


@given(MANY, QUERIES)
@settings(max_examples=150)
def test_what_is_shown_matches_and_alarms_of_the_rest_are_named(
    found: Sequence[ListedFacts], query: ListQuery
) -> None:
    order = [one.name for one in sort_facts([one for one in found if matches(query, one)], query)]
    page = cut_page(found, order, query)
    assert set(page.names) <= set(order) and page.total == len(found)
    for one in found:
        assert not one.attention or (one.name in page.names) != (one.name in page.hidden)
    assert count_shown(page).startswith(f"{len(page.names)} of {len(found)} shown")


@given(QUERIES)
def test_an_address_says_the_whole_view(query: ListQuery) -> None:
    assert parse_query(dict(parse_qsl(query.address)), ADDED) == query


@given(st.sampled_from(sorted(COLUMNS)))
def test_a_heading_goes_round_three_orders(column: str) -> None:
    query, seen = ListQuery(), []
    for _ in range(3):
        seen.append(next_order(query, column, column in FALLING or column == "cost"))
        query = parse_query({"sort": seen[-1]}, ADDED)
    assert seen[-1] == NEED and set(seen) == {column, f"-{column}", NEED}


@given(st.integers(0, 5 * PAGE), st.integers(1, 9))
def test_pages_together_are_the_whole_order(count: int, asked: int) -> None:
    names = [f"e{number:04d}" for number in range(count)]
    pages = [cut_page([], names, ListQuery(page=number)) for number in range(1, -(-count // PAGE) + 1)]
    assert [name for page in pages for name in page.names] == names
    assert 1 <= cut_page([], names, ListQuery(page=asked)).page <= max(1, len(pages))


@given(FACTS, st.text(max_size=12))
def test_no_cell_is_a_formula_and_all_cells_come_back(facts: ListedFacts, alarm: str) -> None:
    rows = list(csv.reader(io.StringIO(write_csv(write_rows([(facts, [alarm])], ADDED), ADDED), newline="")))
    assert rows[0] == list(FIELDS) and len(rows) == 2 and len(rows[1]) == len(FIELDS)
    assert not any(cell.lstrip()[:1] in ("=", "+", "-", "@") for cell in rows[1] if cell)
    assert rows[1][FIELDS.index("alarms")].removeprefix("'") == alarm.removeprefix("'")


@given(st.sampled_from("=+-@＝＋－＠"), st.text(max_size=8), st.sampled_from(["", " ", "\t", "\n ", "\u00a0"]))
def test_a_cell_that_begins_a_formula_is_made_text(first: str, rest: str, before: str) -> None:
    assert disarm_cell(before + first + rest) == f"'{before}{first}{rest}"
