"""The table of targets in docs/targets.md is what the last run has shown."""

import json

from tests.conformance.results import BEGIN, END, PAGE, RESULTS, insert, table
from tests.conformance.scenarios import SCENARIOS
from tidegate.targets.registry import KINDS


def test_table_is_made_of_the_results() -> None:
    page = PAGE.read_text()
    assert BEGIN in page and END in page
    assert insert(page, table(json.loads(RESULTS.read_text()), list(SCENARIOS))) == page, "run 'make conformance'"


def test_results_are_of_targets_and_scenarios_that_there_are() -> None:
    results = json.loads(RESULTS.read_text())
    assert {column.partition(",")[0] for column in results} <= set(KINDS)
    assert {scenario for found in results.values() for scenario in found} <= set(SCENARIOS)


def test_failed_and_missing_scenarios_are_not_shown_as_passed() -> None:
    found = {"local": {"deploy": {"outcome": "failed", "date": "2026-01-01"}}}
    assert table(found, ["deploy", "abort"]).splitlines()[2:4] == ["| deploy | no |", "| abort | not run |"]


def test_difference_is_explained_below_the_table() -> None:
    found = {"local": {"deploy": {"outcome": "different", "date": "2026-01-01", "why": "it has none"}}}
    assert table(found, ["deploy"]).splitlines()[-1] == "- local, deploy: it has none."


def test_each_column_says_when_and_where_it_was_made() -> None:
    passed = {"outcome": "passed", "date": "2026-01-02", "place": "Kubernetes 1.20.2"}
    found = {
        "local": {"deploy": {"outcome": "passed", "date": "2026-03-04"}},
        "kubernetes": {"deploy": {**passed, "date": "2026-01-01"}, "abort": passed},
    }
    lines = table(found, ["deploy", "abort"]).splitlines()
    assert "- local: 2026-03-04." in lines
    assert "- kubernetes: 2026-01-01 to 2026-01-02, on Kubernetes 1.20.2." in lines
