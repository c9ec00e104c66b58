"""The list of endpoints: what an address may ask, and what words find."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.samples import version
from tidegate.console.list_query import ListedFacts, ListQuery, describe_modes, matches, parse_query, sort_facts
from tidegate.domain.asynchronous import AsyncConfig
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Invalid

NOW = datetime(2030, 1, 1, tzinfo=UTC)
FRAUD = ListedFacts(
    *("Fraud-EU", "local", "InService", ("real-time",), (("team", "risk"),), ("fraud-v7",)),
    attention=False,
    changing=False,
    ready=1,
    desired=1,
    last_ended=None,
)


@pytest.mark.parametrize(
    "text", ["fraud", "FRAUD eu", "team=risk", "risk local", "v7", "inservice", "real-time", "", "  "]
)
def test_each_word_is_looked_for_in_all_that_an_endpoint_is_known_by(text: str) -> None:
    assert matches(parse_query({"q": text}), FRAUD)


@pytest.mark.parametrize("text", ["fraud us", "v8", "euteam", "localinservice"])
def test_a_word_that_is_nowhere_hides_it(text: str) -> None:
    assert not matches(parse_query({"q": text}), FRAUD)


def test_a_state_is_one_of_its_own_or_whatever_needs_somebody() -> None:
    ringing = replace(FRAUD, attention=True)
    assert matches(ListQuery(state="InService"), FRAUD) and not matches(ListQuery(state="Failed"), FRAUD)
    assert matches(ListQuery(state="attention"), ringing) and not matches(ListQuery(state="attention"), FRAUD)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"q": "x" * 201}, "201 characters: 200 at most"),
        ({"state": "Sleeping"}, "state='Sleeping': expected one of attention"),
        ({"sort": "size"}, "sort='size': expected need or one of name"),
        ({"sort": "-need"}, "sort='-need'"),
        ({"sort": "--name"}, "sort='--name'"),
        ({"page": "0"}, "page='0'"),
        ({"page": "²"}, "page='²'"),
        ({"page": "9999999"}, "page='9999999'"),
    ],
)
def test_an_address_that_asks_for_what_there_is_not_is_refused(given: dict[str, str], why: str) -> None:
    with pytest.raises(Invalid, match=re.escape(why)):
        parse_query(given)


def test_what_needs_somebody_is_at_the_top_of_the_list() -> None:
    rows = [
        replace(FRAUD, name="a"),
        replace(FRAUD, name="b", changing=True),
        replace(FRAUD, name="c", attention=True),
        replace(FRAUD, name="d", attention=True, changing=True),
        replace(FRAUD, name="e", changing=True),
    ]
    assert [one.name for one in sort_facts(rows, ListQuery())] == ["c", "d", "b", "e", "a"]


def test_modes_are_those_of_the_version_that_serves() -> None:
    serving = version("v1", 1, created_at=NOW)
    assert describe_modes(Endpoint("a", NOW, NOW, 1, serving)) == ("real-time",)
    queued = tuple(replace(one, asynchronous=AsyncConfig("file:///out")) for one in serving.variants)
    assert describe_modes(Endpoint("a", NOW, NOW, 1, replace(serving, variants=queued))) == ("asynchronous",)
    assert describe_modes(Endpoint("a", NOW, NOW, 1, None)) == ()
