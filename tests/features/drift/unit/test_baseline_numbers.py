"""Baselines whose numbers are none: refused, whatever of them could still be compared."""

import json
import random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tidegate.domain.errors import Invalid
from tidegate.features.drift.baseline import read_baseline
from tidegate.features.drift.constraints import read_constraints
from tidegate.features.drift.shapes import make_constraints, make_statistics
from tidegate.rows.profile import TableProfile

NAN, INFINITE, LARGE = float("nan"), float("inf"), 10**400


def statistics() -> dict[str, Any]:
    table = TableProfile(random.Random(1).randrange)
    for number in range(100):
        table.add({"amount": float(number)})
    return make_statistics(table)


@pytest.mark.parametrize("strange", [NAN, INFINITE, LARGE], ids=["NaN", "infinite", "too large"])
@pytest.mark.parametrize("member", ["mean of the sketch", "sum", "min", "std_dev"])
def test_statistics_with_numbers_that_are_none_are_refused(member: str, strange: float) -> None:
    document = statistics()
    found = document["features"][0]["numerical_statistics"]
    if member == "mean of the sketch":
        found["distribution"]["kll"]["sketch"]["data"] = [[strange] * 100]
    else:
        found[member] = strange
    with pytest.raises(Invalid, match=r"no statistics.json"):
        read_baseline(json.dumps(document).encode(), ZoneInfo("UTC"))


@pytest.mark.parametrize("strange", [NAN, INFINITE, LARGE], ids=["NaN", "infinite", "too large"])
@pytest.mark.parametrize("member", ["times", "amount"])
def test_rows_with_numbers_that_are_none_are_refused(member: str, strange: float) -> None:
    document: dict[str, Any] = {"kind": "tidegate drift baseline", "version": 1, "rows": 2}
    document |= {"times": [1.0, 2.0], "columns": {"amount": [1.0, 2.0]}}
    (document if member == "times" else document["columns"])[member][0] = strange
    with pytest.raises(Invalid, match="the baseline cannot be read"):
        read_baseline(json.dumps(document).encode(), ZoneInfo("UTC"))


def test_a_limit_that_is_too_large_a_number_is_refused() -> None:
    table = TableProfile(random.Random(1).randrange)
    table.add({"amount": 1.0})
    document = make_constraints(table, 0.1)
    document["features"][0]["completeness"] = LARGE
    with pytest.raises(Invalid, match="completeness"):
        read_constraints(json.dumps(document).encode(), ["amount"])
