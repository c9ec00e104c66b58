"""What differs between two versions of an endpoint."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tidegate.console import version_diff
from tidegate.domain.errors import Invalid
from tidegate.domain.fleet import VariantSpec
from tidegate.domain.history import History, HistoryEntry, VersionOutcome
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.rollout import DeploymentConfig, Version

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def entry(number: int, instances: int = 2, **environment: str) -> HistoryEntry:
    container = ContainerDefinition("tidegate/xgboost", "file:///m.ubj", environment)
    variant = VariantSpec("main", Model("fraud", (container,), START.replace(second=number)), instances)
    version = Version(number, f"v{number}", (variant,), {"note": str(number)})
    return HistoryEntry(number, f"rollout-{number}", version, DeploymentConfig(), "ada", START, "digest")


HISTORY = History((entry(1), replace(entry(2, 4), outcome=VersionOutcome.ROLLED_BACK, reason="errors"), entry(4)))


def test_only_what_differs_is_shown() -> None:
    found = version_diff.compare_versions(entry(1), entry(2, 4))
    assert [(one.what, one.before, one.after) for one in found] == [("variants.main.instance_count", "2", "4")]
    assert version_diff.compare_versions(entry(1), entry(2)) == []


def test_values_of_environment_variables_are_not_shown() -> None:
    found = version_diff.compare_versions(entry(1, KEY="s3cret", OLD="gone"), entry(2, KEY="s3cret2", NEW="come"))
    told = {one.what.rpartition(".")[2]: (one.before, one.after) for one in found}
    assert told == {
        "KEY": ("a value", "another value"),
        "OLD": ("a value", None),
        "NEW": (None, "a value"),
    }


def test_new_model_data_is_a_difference() -> None:
    first = replace(entry(1), artifacts={"main": ("sha256:aaa",)})
    second = replace(entry(2), artifacts={"main": ("sha256:bbb",)})
    (one,) = version_diff.compare_versions(first, second)
    assert (one.before, one.after) == ("sha256:aaa", "sha256:bbb")


def test_the_newest_is_compared_with_the_one_before_unless_others_are_asked_for() -> None:
    def numbers(before: str | None, after: str | None) -> tuple[int, int]:
        old, new = version_diff.choose_versions(HISTORY, before, after)
        return old.number, new.number

    assert numbers(None, None) == (2, 4)
    assert numbers("1", None) == (1, 4)
    assert numbers(None, "1") == (1, 1)
    with pytest.raises(Invalid, match="there is no version 3: there are 1, 2, 4"):
        numbers("3", None)


def test_the_history_is_listed_newest_first() -> None:
    rows = version_diff.history_rows(HISTORY)
    assert [row["number"] for row in rows] == [4, 2, 1]
    assert (rows[1]["outcome"], rows[1]["tone"], rows[1]["reason"]) == ("rolled back", "warn", "errors")
