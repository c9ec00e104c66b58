"""Limits of single columns in a constraints.json count in an execution, beyond what chance explains."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.features.drift.unit.drift_looks import END, WINDOW, usual
from tests.features.drift.unit.test_report import Monitored
from tidegate.domain.drift import DriftVerdict
from tidegate.domain.errors import Invalid
from tidegate.features.drift.compare import DriftTerms, compare
from tidegate.features.drift.constraints import read_constraints
from tidegate.features.drift.shapes import make_constraints
from tidegate.features.drift.slices import EVERYTHING
from tidegate.rows.profile import TableProfile

Change = Callable[[dict[str, Any], int], dict[str, Any]]


def row(draw: random.Random) -> dict[str, Any]:
    return {
        "amount": abs(draw.gauss(100, 30)),
        "children": float(draw.randrange(4)),
        "country": draw.choice(("US", "DE", "IN")),
    }


def table(seed: int, count: int, change: Change = lambda made, number: made) -> TableProfile:
    draw, made = random.Random(seed), TableProfile(random.Random(2).randrange)
    for number in range(count):
        made.add(change(row(draw), number))
    return made


BASELINE = table(1, 2_000)


def checks(change: Change, edit: Callable[[dict[str, Any]], Any] = lambda document: None) -> set[tuple[str, str]]:
    document = make_constraints(BASELINE, 0.1)
    edit(document)
    found = read_constraints(json.dumps(document).encode(), BASELINE.columns)
    terms = DriftTerms(found.least, 0.002, compared=found.compared, limits=found.limits)
    report = compare({EVERYTHING: BASELINE}, {EVERYTHING: table(3, 400, change)}, terms)
    return {(one.feature_name, one.constraint_check_type) for one in report.violations}


def every(step: int, **values: Any) -> Change:
    return lambda made, number: {**made, **values} if number % step == 0 else made


def feature(name: str, **members: Any) -> Callable[[dict[str, Any]], None]:
    def edit(document: dict[str, Any]) -> None:
        next(one for one in document["features"] if one["name"] == name).update(members)

    return edit


BROKEN: list[tuple[str, Change, tuple[str, str]]] = [
    ("3 % missing", every(33, amount=None), ("amount", "completeness_check")),
    ("3 % negative", every(33, amount=-1.0), ("amount", "non_negative_check")),
    ("3 % not whole", every(33, children=1.5), ("children", "data_type_check")),
    ("one text", every(400, amount="n/a?"), ("amount", "data_type_check")),
    ("3 % of a new value", every(33, country="FR"), ("country", "categorical_values_check")),
]


@pytest.mark.parametrize(("change", "violated"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_limit_of_the_baseline_is_violated_by_more_than_chance(
    change: Change, violated: tuple[str, str]
) -> None:
    assert checks(change) == {violated}


def test_what_chance_explains_violates_no_limit_of_the_baseline() -> None:
    assert checks(lambda made, number: made) == set()
    for change in (every(400, amount=None), every(400, amount=-1.0), every(400, children=0.5)):
        assert checks(change) == set()
    assert checks(every(400, country="FR")) == set()


EDITED: list[tuple[str, Callable[[dict[str, Any]], Any], Change, set[tuple[str, str]]]] = [
    ("less complete", feature("amount", completeness=0.9), every(33, amount=None), set()),
    (
        "far less complete",
        feature("amount", completeness=0.9),
        every(4, amount=None),
        {("amount", "completeness_check")},
    ),
    (
        "negative is allowed",
        feature("amount", num_constraints={"is_non_negative": False}),
        every(33, amount=-1.0),
        set(),
    ),
    ("fractions are allowed", feature("children", inferred_type="Fractional"), every(33, children=1.5), set()),
    ("a type that is not asked for", feature("children", inferred_type="Unknown"), every(33, children=1.5), set()),
    (
        "another domain",
        feature("country", string_constraints={"domains": ["US", "DE"]}),
        lambda made, number: made,
        {("country", "categorical_values_check")},
    ),
    (
        "a wider domain",
        feature("country", string_constraints={"domains": ["US", "DE", "IN", "FR"]}),
        every(33, country="FR"),
        set(),
    ),
    (
        "new values up to 5 %",
        lambda document: document["monitoring_config"].update(domain_content_threshold=0.95),
        every(33, country="FR"),
        set(),
    ),
    (
        "texts up to 5 %, of one column",
        feature("amount", monitoringConfigOverrides={"datatype_check_threshold": 0.95}),
        every(33, amount="?"),
        set(),
    ),
]


@pytest.mark.parametrize(
    ("edit", "change", "expected"), [one[1:] for one in EDITED], ids=[one[0] for one in EDITED]
)
def test_an_edited_limit_counts_as_it_stands(
    edit: Callable[[dict[str, Any]], Any], change: Change, expected: set[tuple[str, str]]
) -> None:
    assert checks(change, edit) == expected


def test_a_column_has_a_threshold_of_its_own() -> None:
    def dearer(made: dict[str, Any], number: int) -> dict[str, Any]:
        return {**made, "amount": made["amount"] + 15}

    assert checks(dearer) == {("amount", "baseline_drift_check")}
    own = {"distribution_constraints": {"comparison_threshold": 0.5}}
    assert checks(dearer, feature("amount", monitoringConfigOverrides=own)) == set()
    off = {"distribution_constraints": {"perform_comparison": "Disabled"}}
    assert checks(dearer, feature("amount", monitoringConfigOverrides=off)) == set()


def test_limits_are_tested_where_distributions_are_not_compared() -> None:
    def off(document: dict[str, Any]) -> None:
        document["monitoring_config"]["distribution_constraints"]["perform_comparison"] = "Disabled"

    def dearer_or_missing(made: dict[str, Any], number: int) -> dict[str, Any]:
        return {**made, "amount": None if number % 20 == 0 else made["amount"] + 90}

    assert checks(dearer_or_missing, off) == {("amount", "completeness_check")}


BAD: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (feature("amount", completeness=1.2), "completeness of feature 'amount' is 1.2"),
    (feature("amount", completeness=float("nan")), "completeness of feature 'amount' is nan"),
    (feature("amount", completeness=True), "is True"),
    (feature("amount", inferred_type="Float"), "inferred_type of feature 'amount' is 'Float'"),
    (
        feature("amount", num_constraints={"is_non_negative": "yes"}),
        "is_non_negative of feature 'amount' is 'yes'",
    ),
    (feature("amount", num_constraints=[]), "num_constraints of feature 'amount' is no object"),
    (feature("country", string_constraints={"domains": "US"}), "domains of feature 'country' is no list"),
    (
        lambda document: document["monitoring_config"].update(evaluate_constraints="Disabled"),
        "nothing would be checked",
    ),
    (lambda document: document["features"].pop(), "its features are not those of the statistics: country"),
    (lambda document: document.update(features=5), "this is no constraints.json"),
]


@pytest.mark.parametrize(("edit", "said"), BAD, ids=[said for _, said in BAD])
def test_a_limit_that_is_none_is_refused_by_name(edit: Callable[[dict[str, Any]], Any], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        checks(lambda made, number: made, edit)


def test_an_execution_reports_limits_and_publishes_as_the_file_says(tmp_path: Any) -> None:
    monitored = Monitored(tmp_path)

    def incomplete(draw: random.Random) -> dict[str, Any]:
        made = usual(draw)
        return {**made, "tenure": None if draw.random() < 0.06 else made["tenure"]}

    monitored.capture(monitored.rows(incomplete), END - WINDOW)
    document = make_constraints(monitored.table, 0.1)
    document["monitoring_config"]["emit_metrics"] = "Disabled"
    outcome = monitored.execute(document)
    assert outcome.verdict is DriftVerdict.DRIFT and outcome.distances == {}
    [violation] = monitored.report("constraint_violations.json")["violations"]
    assert (violation["feature_name"], violation["constraint_check_type"]) == ("tenure", "completeness_check")
    assert monitored.report("constraints.json") == document
