"""GetMetricData: what CloudWatch could not read is not nothing."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from tidegate.domain.errors import Transient
from tidegate.targets.aws.metric_data import MetricPoints, MetricQuery, find_unread, read_points

QUERY = MetricQuery("AWS/Lambda", "Errors", (("FunctionName", "fraud"),), "Sum")


class Pages:
    """Answers with the pages, one after the other."""

    def __init__(self, *states: str) -> None:
        self.states = list(states)

    async def call(self, service: str, operation: str, members: Mapping[str, object]) -> dict[str, Any]:
        state, minute = self.states.pop(0), 1200 + 60 * len(self.states)
        line = {
            "Id": "m0",
            "StatusCode": state,
            "Values": [5.0],
            "Timestamps": [datetime.fromtimestamp(minute, UTC)],
        }
        return {"MetricDataResults": [line], **({"NextToken": "more"} if self.states else {})}


def read(*states: str) -> MetricPoints:
    return asyncio.run(read_points(Pages(*states), [QUERY], 1200, 1320, 60))


def test_partial_data_is_whole_with_the_pages_after_it() -> None:
    assert read("PartialData", "Complete") == MetricPoints({QUERY: {1260: 5.0, 1200: 5.0}}, {})


@pytest.mark.parametrize(
    "states", [("InternalError",), ("Forbidden",), ("PartialData",), ("Complete", "InternalError")]
)
def test_what_could_not_be_read_as_a_whole_is_said(states: tuple[str, ...]) -> None:
    found = read(*states)
    assert "CloudWatch could not read Errors" in (found.find_trouble([QUERY]) or "")
    with pytest.raises(Transient, match="CloudWatch"):
        find_unread(found, [("fraud", [QUERY])])
    assert find_unread(found, [("fraud", [QUERY]), ("spam", [])]).keys() == {"fraud"}
